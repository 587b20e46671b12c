//! Every public function of libvppcom, by its own name.
//!
//! What has been there since v21.10 and the safe layer needs is always there; the others are [`Option`]s.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_double, c_int, c_uchar, c_void};

use libc::epoll_event;

use crate::abi::{
    AppConfig, CertKeyPair, DataSegment, Endpoint, EpollFunctions, LockedHandle, PollEntry,
    SessionHandle, SessionSet,
};

macro_rules! symbols {
    (
        core { $($(#[$core_doc:meta])* fn $core:ident($($core_arg:ty),*) $(-> $core_result:ty)?;)+ }
        optional { $($(#[$doc:meta])* fn $name:ident($($arg:ty),*) $(-> $result:ty)?;)+ }
    ) => {
        /// The functions of one libvppcom.
        ///
        /// Calling them is as unsafe as calling C. All but `vppcom_app_create*`, `vppcom_worker_register`
        /// and those that only name things need the calling thread to be a worker, and the session to be
        /// that worker's.
        #[derive(Debug, Clone, Copy)]
        pub struct Symbols {
            $($(#[$core_doc])* pub $core: unsafe extern "C" fn($($core_arg),*) $(-> $core_result)?,)+
            $($(#[$doc])* pub $name: Option<unsafe extern "C" fn($($arg),*) $(-> $result)?>,)+
        }

        impl Symbols {
            /// Names of the functions without which a library is refused.
            pub const CORE: &[&str] = &[$(stringify!($core)),+];

            /// Names of the functions that a library may lack.
            pub const OPTIONAL: &[&str] = &[$(stringify!($name)),+];

            /// Looks everything up.
            ///
            /// # Errors
            /// The name of a core function that the library lacks.
            ///
            /// # Safety
            /// `library` is a libvppcom of v21.10 or newer and stays loaded as long as anything is called.
            pub(crate) unsafe fn resolve(
                library: &libloading::os::unix::Library,
            ) -> Result<Self, &'static str> {
                Ok(Self {
                    $($core: {
                        let name = stringify!($core);
                        // SAFETY: in such a library the symbol is a function of this signature.
                        let found = unsafe { library.get(name) };
                        *found.map_err(|_| name)?
                    },)+
                    $($name: {
                        // SAFETY: as above; later releases did not change a signature.
                        let found = unsafe { library.get(stringify!($name)) };
                        found.ok().map(|it| *it)
                    },)+
                })
            }
        }
    };
}

symbols! {
    core {
        /// Attaches as the environment and the configuration file say. Name.
        fn vppcom_app_create(*const c_char) -> c_int;
        /// Detaches and frees everything.
        fn vppcom_app_destroy();
        /// A new session. Protocol, non-blocking.
        fn vppcom_session_create(u8, u8) -> c_int;
        /// Ends one direction or both. Session, `SHUT_*`.
        fn vppcom_session_shutdown(SessionHandle, c_int) -> c_int;
        /// Closes a session.
        fn vppcom_session_close(SessionHandle) -> c_int;
        /// Gives a session its address.
        fn vppcom_session_bind(SessionHandle, *mut Endpoint) -> c_int;
        /// Listens; waits for VPP's answer. Session, backlog (ignored).
        fn vppcom_session_listen(SessionHandle, u32) -> c_int;
        /// Takes a connection. Session, its peer, `O_NONBLOCK`.
        fn vppcom_session_accept(SessionHandle, *mut Endpoint, u32) -> c_int;
        /// Connects.
        fn vppcom_session_connect(SessionHandle, *mut Endpoint) -> c_int;
        /// Opens a stream of a connection. Session, the connection.
        fn vppcom_session_stream_connect(SessionHandle, SessionHandle) -> c_int;
        /// Reads.
        fn vppcom_session_read(SessionHandle, *mut c_void, usize) -> c_int;
        /// Writes.
        fn vppcom_session_write(SessionHandle, *mut c_void, usize) -> c_int;
        /// Writes, and has VPP send at once.
        fn vppcom_session_write_msg(SessionHandle, *mut c_void, usize) -> c_int;
        /// A new epoll set.
        fn vppcom_epoll_create() -> c_int;
        /// Changes an epoll set. Set, `EPOLL_CTL_*`, session, event.
        fn vppcom_epoll_ctl(SessionHandle, c_int, SessionHandle, *mut epoll_event) -> c_int;
        /// Waits on an epoll set. Set, events, their number, milliseconds.
        fn vppcom_epoll_wait(SessionHandle, *mut epoll_event, c_int, c_double) -> c_int;
        /// Gets or sets an attribute. Session, number, value, its length.
        fn vppcom_session_attr(SessionHandle, u32, *mut c_void, *mut u32) -> c_int;
        /// Reads. Session, buffer, its length, 0 or `MSG_PEEK`, the sender.
        fn vppcom_session_recvfrom(SessionHandle, *mut c_void, u32, c_int, *mut Endpoint) -> c_int;
        /// Writes. Session, buffer, its length, flags (ignored), the receiver.
        fn vppcom_session_sendto(SessionHandle, *mut c_void, u32, c_int, *mut Endpoint) -> c_int;
        /// Lends pieces of the receive FIFO. Session, pieces, their number, bytes at most.
        fn vppcom_session_read_segments(SessionHandle, *mut DataSegment, u32, u32) -> c_int;
        /// Frees what was lent. Session, bytes.
        fn vppcom_session_free_segments(SessionHandle, u32);
        /// Makes the calling thread a worker.
        fn vppcom_worker_register() -> c_int;
        /// The calling thread is no worker any more.
        fn vppcom_worker_unregister();
        /// The calling thread's worker.
        fn vppcom_worker_index() -> c_int;
        /// The epoll descriptor of the worker's message queues; -1 without eventfds.
        fn vppcom_worker_mqs_epfd() -> c_int;
        /// Gives VPP a certificate and key; returns its number.
        fn vppcom_add_cert_key_pair(*mut CertKeyPair) -> c_int;
        /// Takes it back.
        fn vppcom_del_cert_key_pair(u32) -> c_int;
    }
    optional {
        /// Attaches as the structure says. Since v26.02.
        fn vppcom_app_create_with_config(*mut AppConfig) -> c_int;
        /// Resets a connection. Since v26.02.
        fn vppcom_session_terminate(SessionHandle) -> c_int;
        /// Whether a session is a stream of a connection. Since v26.02.
        fn vppcom_session_is_stream(SessionHandle) -> c_int;
        /// What went wrong. Since v22.10.
        fn vppcom_session_get_error(SessionHandle) -> c_int;
        /// Whether VPP is gone. Since v23.02.
        fn vppcom_worker_is_detached() -> c_int;
        /// Writes pieces, all or nothing. Since v24.10.
        fn vppcom_session_write_segments(SessionHandle, *mut DataSegment, u32) -> c_int;
        /// `select`: highest number, read, write and exception sets, seconds. Spins.
        fn vppcom_select(c_int, *mut SessionSet, *mut SessionSet, *mut SessionSet, c_double) -> c_int;
        /// `poll`: entries, their number, seconds. Spins; for sessions of worker 0 only.
        fn vppcom_poll(*mut PollEntry, u32, c_double) -> c_int;
        /// As `vppcom_worker_mqs_epfd`, without asking for eventfds.
        fn vppcom_mq_epoll_fd() -> c_int;
        /// The session's part of a handle.
        fn vppcom_session_index(SessionHandle) -> c_int;
        /// The worker's part of a handle.
        fn vppcom_session_worker(SessionHandle) -> c_int;
        /// The number of a protocol's name.
        fn vppcom_unformat_proto(*mut u8, *mut c_char) -> c_int;
        /// Whether connections can be accepted from a connected session.
        fn vppcom_session_is_connectable_listener(SessionHandle) -> c_int;
        /// The listener that a session came from.
        fn vppcom_session_listener(SessionHandle) -> c_int;
        /// Sessions that came from a listener and are open.
        fn vppcom_session_n_accepted(SessionHandle) -> c_int;
        /// The name of a protocol.
        fn vppcom_proto_str(c_int) -> *const c_char;
        /// The name of a result.
        fn vppcom_retval_str(c_int) -> *const c_char;
        /// Makes the calling thread that worker.
        fn vppcom_worker_index_set(c_int);
        /// The locked layer: sessions that threads share.
        fn vls_app_create(*mut c_char) -> c_int;
        /// As `vppcom_session_create`.
        fn vls_create(u8, u8) -> LockedHandle;
        /// As `vppcom_session_shutdown`.
        fn vls_shutdown(LockedHandle, c_int) -> c_int;
        /// As `vppcom_session_close`.
        fn vls_close(LockedHandle) -> c_int;
        /// As `vppcom_session_bind`.
        fn vls_bind(LockedHandle, *mut Endpoint) -> c_int;
        /// As `vppcom_session_listen`.
        fn vls_listen(LockedHandle, c_int) -> c_int;
        /// As `vppcom_session_connect`.
        fn vls_connect(LockedHandle, *mut Endpoint) -> c_int;
        /// As `vppcom_session_accept`.
        fn vls_accept(LockedHandle, *mut Endpoint, c_int) -> LockedHandle;
        /// As `vppcom_session_read`.
        fn vls_read(LockedHandle, *mut c_void, usize) -> isize;
        /// As `vppcom_session_recvfrom`.
        fn vls_recvfrom(LockedHandle, *mut c_void, u32, c_int, *mut Endpoint) -> isize;
        /// As `vppcom_session_write`.
        fn vls_write(LockedHandle, *mut c_void, usize) -> c_int;
        /// As `vppcom_session_write_msg`.
        fn vls_write_msg(LockedHandle, *mut c_void, usize) -> c_int;
        /// As `vppcom_session_sendto`.
        fn vls_sendto(LockedHandle, *mut c_void, c_int, c_int, *mut Endpoint) -> c_int;
        /// As `vppcom_session_attr`.
        fn vls_attr(LockedHandle, u32, *mut c_void, *mut u32) -> c_int;
        /// As `vppcom_epoll_create`.
        fn vls_epoll_create() -> LockedHandle;
        /// As `vppcom_epoll_ctl`.
        fn vls_epoll_ctl(LockedHandle, c_int, LockedHandle, *mut epoll_event) -> c_int;
        /// As `vppcom_epoll_wait`.
        fn vls_epoll_wait(LockedHandle, *mut epoll_event, c_int, c_double) -> c_int;
        /// As `vppcom_select`.
        fn vls_select(c_int, *mut SessionSet, *mut SessionSet, *mut SessionSet, c_double) -> c_int;
        /// As `vppcom_poll`. Since v25.02.
        fn vls_poll(*mut PollEntry, u32, c_double) -> c_int;
        /// The session of a handle.
        fn vlsh_to_sh(LockedHandle) -> SessionHandle;
        /// The session's and the worker's number of a handle. Since v25.02.
        fn vlsh_to_session_and_worker_index(LockedHandle, *mut u32, *mut u32);
        /// The session's number of a handle. Until v24.10.
        fn vlsh_to_session_index(LockedHandle) -> SessionHandle;
        /// The handle of a session's number.
        fn vls_session_index_to_vlsh(u32) -> LockedHandle;
        /// Whether messages are signalled by eventfds.
        fn vls_use_eventfd() -> c_uchar;
        /// Whether each thread has a worker.
        fn vls_mt_wrk_supported() -> c_uchar;
        /// Keeps a descriptor for an epoll set. Since v25.02.
        fn vls_set_libc_epfd(LockedHandle, c_int) -> c_int;
        /// The descriptor that was kept. Since v25.02.
        fn vls_get_libc_epfd(LockedHandle) -> c_int;
        /// Replaces the kernel's epoll functions. Since v25.10.
        fn vls_set_epoll_fns(EpollFunctions);
        /// Whether the kernel's epoll is used. Until v25.06.
        fn vls_use_real_epoll() -> c_int;
        /// Makes the calling thread a worker, if each thread is to have one.
        fn vls_register_vcl_worker();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_has_two_entries() {
        let mut names: Vec<_> = Symbols::CORE.iter().chain(Symbols::OPTIONAL).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn the_public_header_is_covered() {
        // VPP v26.06, vppcom.h and vcl_locked.h.
        let vppcom = Symbols::CORE.iter().chain(Symbols::OPTIONAL);
        assert_eq!(vppcom.clone().filter(|it| it.starts_with("vppcom_")).count(), 45);
        let old = ["vlsh_to_session_index", "vls_use_real_epoll"];
        let locked = vppcom.filter(|it| it.starts_with("vls") && !old.contains(it));
        assert_eq!(locked.count(), 28);
    }
}
