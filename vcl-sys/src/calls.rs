//! libvppcom's functions as safe ones, for one worker's thread: all that the safe layer calls.
//!
//! What holds for every call here: the library is loaded for good; [`Calls`] is made only by attaching and
//! registering, so the thread is a worker until [`Calls::leave`] takes it away, and it cannot go to another
//! thread; libvppcom checks handles itself (`VPPCOM_EBADFD`) and keeps no pointer that it is given.

#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use libc::epoll_event;

use crate::abi::{AppConfig, CertKeyPair, Endpoint, SessionHandle};
use crate::error::{AttachError, CallError};
use crate::{Attribute, Config, Library, Release};

/// The default of libvppcom, for what it does not do by the other limit.
const APP_TIMEOUT: Duration = Duration::from_mins(10);

/// The calls of one worker's thread.
#[derive(Debug)]
pub(crate) struct Calls {
    library: Library,
    /// No other thread may have it.
    thread: PhantomData<Rc<()>>,
}

/// Whether a worker that leaves is the last one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Last {
    /// Other workers go on.
    No,
    /// There is no other: the application is detached.
    Yes,
}

fn count(call: &'static str, returned: c_int) -> Result<usize, CallError> {
    usize::try_from(returned).map_err(|_| CallError::new(call, returned))
}

fn done(call: &'static str, returned: c_int) -> Result<(), CallError> {
    count(call, returned).map(drop)
}

/// Handles are returned as numbers with a sign, and those of workers from 128 on look negative.
fn handle(call: &'static str, returned: c_int) -> Result<SessionHandle, CallError> {
    const LAST_ERRNO: c_int = 4095;
    if (-LAST_ERRNO..0).contains(&returned) {
        return Err(CallError::new(call, returned));
    }
    Ok(returned.cast_unsigned())
}

fn text(what: &'static str, text: &str) -> Result<CString, AttachError> {
    CString::new(text).map_err(|_| AttachError::Text(what))
}

/// Calls `with` an endpoint for `address`.
fn endpoint<T>(address: SocketAddr, with: impl FnOnce(*mut Endpoint) -> T) -> T {
    let (mut bytes, is_ip4) = match address.ip() {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            (bytes, 1)
        }
        IpAddr::V6(ip) => (ip.octets(), 0),
    };
    let mut endpoint = Endpoint::with_address_at(bytes.as_mut_ptr());
    endpoint.is_ip4 = is_ip4;
    endpoint.port = address.port().to_be();
    with(&raw mut endpoint)
}

/// Calls `with` an endpoint that is to be filled in, and returns the address that was.
fn returned_endpoint<T>(with: impl FnOnce(*mut Endpoint) -> T) -> (T, SocketAddr) {
    let mut bytes = [0u8; 16];
    let mut endpoint = Endpoint::with_address_at((&raw mut bytes).cast());
    let result = with(&raw mut endpoint);
    let [a, b, c, d, ..] = bytes;
    let ip: IpAddr = if endpoint.is_ip4 == 0 { bytes.into() } else { [a, b, c, d].into() };
    (result, SocketAddr::new(ip, u16::from_be(endpoint.port)))
}

impl Calls {
    const fn of(library: Library) -> Self {
        Self { library, thread: PhantomData }
    }

    /// Attaches the process; the calling thread becomes its first worker. To be called by one thread at a
    /// time.
    pub(crate) fn attach(library: &Library, config: &Config) -> Result<Self, AttachError> {
        let Some(create) = library.symbols().vppcom_app_create_with_config else {
            return Err(AttachError::FileOnly(library.release()));
        };
        let name = text("the name", &config.name)?;
        let socket = text("the app socket", &config.socket)?;
        let mut raw = AppConfig {
            heapsize: config.heap,
            max_workers: config.max_workers.into(),
            segment_baseva: 0,
            segment_size: config.segment,
            add_segment_size: config.add_segment,
            preallocated_fifo_pairs: config.preallocated_fifo_pairs,
            rx_fifo_size: config.rx_fifo,
            tx_fifo_size: config.tx_fifo,
            event_queue_size: config.event_queue,
            app_proxy_transport_tcp: 0,
            app_proxy_transport_udp: 0,
            app_scope_local: config.local_scope.into(),
            app_scope_global: config.global_scope.into(),
            namespace_id: ptr::null_mut(),
            namespace_secret: 0,
            use_mq_eventfd: 1,
            app_timeout: APP_TIMEOUT.as_secs_f64(),
            session_timeout: config.patience.as_secs_f64(),
            event_log_path: ptr::null_mut(),
            vpp_app_socket_api: socket.as_ptr().cast_mut(),
            vpp_bapi_socket_name: ptr::null_mut(),
            app_name: name.as_ptr().cast_mut(),
            tls_engine: 0,
            mt_wrk_supported: 0,
            huge_page: 0,
            app_original_dst: 0,
            debug_level: config.debug,
        };
        // SAFETY: the structure is complete, its strings live until the call returns, and the library copies
        // them (v26.06 `vppcom_cfg_apply_user_config`; what it keeps, `event_log_path`, is null).
        let returned = unsafe { create(&raw mut raw) };
        done("vppcom_app_create_with_config", returned).map_err(AttachError::Attach)?;
        Ok(Self::of(library.clone()))
    }

    /// As [`attach`](Self::attach), by the environment and the configuration file.
    pub(crate) fn attach_from_environment(
        library: &Library,
        name: &str,
    ) -> Result<Self, AttachError> {
        let name = text("the name", name)?;
        // SAFETY: the name lives until the call returns, and is copied.
        let returned = unsafe { (library.symbols().vppcom_app_create)(name.as_ptr()) };
        done("vppcom_app_create", returned).map_err(AttachError::Attach)?;
        Ok(Self::of(library.clone()))
    }

    /// The calling thread, which is no worker yet, becomes one of an attached application.
    pub(crate) fn register(library: &Library) -> Result<Self, AttachError> {
        // SAFETY: the application is attached, says the caller's count of workers.
        let returned = unsafe { (library.symbols().vppcom_worker_register)() };
        done("vppcom_worker_register", returned).map_err(AttachError::Worker)?;
        Ok(Self::of(library.clone()))
    }

    /// The thread is no worker any more. Nothing may be called afterwards: its owner is being dropped.
    pub(crate) fn leave(&self, last: Last) {
        let symbols = self.library.symbols();
        match last {
            // SAFETY: the thread is a worker.
            Last::No => unsafe { (symbols.vppcom_worker_unregister)() },
            // SAFETY: the thread is a worker, and there is no other.
            Last::Yes => unsafe { (symbols.vppcom_app_destroy)() },
        }
    }

    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    /// The worker's epoll descriptor, or `None` without eventfds.
    pub(crate) fn event_fd(&self) -> Option<c_int> {
        // SAFETY: the thread is a worker.
        let fd = unsafe { (self.library.symbols().vppcom_worker_mqs_epfd)() };
        (fd >= 0).then_some(fd)
    }

    #[allow(clippy::unused_self)] // What is borrowed is the worker's.
    /// The descriptor that [`event_fd`](Self::event_fd) answered, for as long as the worker is.
    pub(crate) fn borrow_fd(&self, fd: c_int) -> BorrowedFd<'_> {
        // SAFETY: the library closes it when the worker leaves, after which nobody has this borrow.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }

    /// Whether VPP is gone; `None` where the library cannot tell.
    pub(crate) fn is_detached(&self) -> Option<bool> {
        let function = self.library.symbols().vppcom_worker_is_detached?;
        // SAFETY: the thread is a worker.
        match unsafe { function() } {
            negative if negative < 0 => None,
            answer => Some(answer != 0),
        }
    }

    pub(crate) fn worker_index(&self) -> c_int {
        // SAFETY: the function only reads a thread-local number.
        unsafe { (self.library.symbols().vppcom_worker_index)() }
    }

    pub(crate) fn create(&self, protocol: u8) -> Result<SessionHandle, CallError> {
        // SAFETY: the thread is a worker.
        handle("vppcom_session_create", unsafe {
            (self.library.symbols().vppcom_session_create)(protocol, 1)
        })
    }

    pub(crate) fn close(&self, session: SessionHandle) -> Result<(), CallError> {
        // SAFETY: the thread is a worker; handles are checked.
        done("vppcom_session_close", unsafe {
            (self.library.symbols().vppcom_session_close)(session)
        })
    }

    pub(crate) fn shutdown(&self, session: SessionHandle, how: c_int) -> Result<(), CallError> {
        // SAFETY: the thread is a worker; handles are checked.
        done("vppcom_session_shutdown", unsafe {
            (self.library.symbols().vppcom_session_shutdown)(session, how)
        })
    }

    pub(crate) fn terminate(&self, session: SessionHandle) -> Result<(), CallError> {
        let call = "vppcom_session_terminate";
        let function =
            self.library.symbols().vppcom_session_terminate.ok_or(CallError::missing(call))?;
        // SAFETY: the thread is a worker; handles are checked.
        done(call, unsafe { function(session) })
    }

    /// What the library says went wrong with a session; `None` where it cannot tell.
    pub(crate) fn error(&self, session: SessionHandle) -> Option<Result<(), CallError>> {
        let function = self.library.symbols().vppcom_session_get_error?;
        // SAFETY: the thread is a worker; handles are checked.
        Some(done("vppcom_session_get_error", unsafe { function(session) }))
    }

    pub(crate) fn bind(
        &self,
        session: SessionHandle,
        address: SocketAddr,
    ) -> Result<(), CallError> {
        let bind = self.library.symbols().vppcom_session_bind;
        // SAFETY: the thread is a worker; the endpoint and its address live until the call returns.
        done("vppcom_session_bind", endpoint(address, |it| unsafe { bind(session, it) }))
    }

    pub(crate) fn listen(&self, session: SessionHandle, backlog: u32) -> Result<(), CallError> {
        // SAFETY: the thread is a worker; handles are checked.
        done("vppcom_session_listen", unsafe {
            (self.library.symbols().vppcom_session_listen)(session, backlog)
        })
    }

    pub(crate) fn accept(
        &self,
        session: SessionHandle,
    ) -> Result<(SessionHandle, SocketAddr), CallError> {
        let accept = self.library.symbols().vppcom_session_accept;
        let flags = libc::O_NONBLOCK.cast_unsigned();
        // SAFETY: the thread is a worker; the endpoint has room for either family.
        let (returned, peer) = returned_endpoint(|it| unsafe { accept(session, it, flags) });
        Ok((handle("vppcom_session_accept", returned)?, peer))
    }

    pub(crate) fn connect(&self, session: SessionHandle, to: SocketAddr) -> Result<(), CallError> {
        let connect = self.library.symbols().vppcom_session_connect;
        // SAFETY: the thread is a worker; the endpoint and its address live until the call returns.
        done("vppcom_session_connect", endpoint(to, |it| unsafe { connect(session, it) }))
    }

    pub(crate) fn stream_connect(
        &self,
        session: SessionHandle,
        parent: SessionHandle,
    ) -> Result<(), CallError> {
        // SAFETY: the thread is a worker; handles are checked.
        done("vppcom_session_stream_connect", unsafe {
            (self.library.symbols().vppcom_session_stream_connect)(session, parent)
        })
    }

    pub(crate) fn read(
        &self,
        session: SessionHandle,
        buffer: &mut [u8],
    ) -> Result<usize, CallError> {
        self.read_shared(session, shared(buffer))
    }

    pub(crate) fn read_shared(
        &self,
        session: SessionHandle,
        buffer: &[AtomicU8],
    ) -> Result<usize, CallError> {
        let len = buffer.len().min(c_int::MAX as usize);
        let start = buffer.as_ptr().cast_mut().cast();
        // SAFETY: the thread is a worker; at most `len` bytes of the buffer are written, which may be by all.
        count("vppcom_session_read", unsafe {
            (self.library.symbols().vppcom_session_read)(session, start, len)
        })
    }

    pub(crate) fn write(
        &self,
        session: SessionHandle,
        data: &[u8],
        flush: bool,
    ) -> Result<usize, CallError> {
        // SAFETY: the thread is a worker; so many bytes are there to be read.
        unsafe { self.write_at(session, data.as_ptr(), data.len(), flush) }
    }

    pub(crate) fn write_shared(
        &self,
        session: SessionHandle,
        data: &[AtomicU8],
    ) -> Result<usize, CallError> {
        // SAFETY: as in `write`; the library only copies bytes that may change meanwhile.
        unsafe { self.write_at(session, data.as_ptr().cast(), data.len(), false) }
    }

    /// # Safety
    /// At `data` are `len` bytes.
    unsafe fn write_at(
        &self,
        session: SessionHandle,
        data: *const u8,
        len: usize,
        flush: bool,
    ) -> Result<usize, CallError> {
        let symbols = self.library.symbols();
        let (call, function) = if flush {
            ("vppcom_session_write_msg", symbols.vppcom_session_write_msg)
        } else {
            ("vppcom_session_write", symbols.vppcom_session_write)
        };
        let len = len.min(c_int::MAX as usize);
        // SAFETY: the thread is a worker; the library only reads what it is to write, which is there.
        count(call, unsafe { function(session, data.cast_mut().cast(), len) })
    }

    pub(crate) fn receive(
        &self,
        session: SessionHandle,
        buffer: &mut [u8],
        peek: bool,
    ) -> Result<(usize, SocketAddr), CallError> {
        let function = self.library.symbols().vppcom_session_recvfrom;
        let data: *mut c_void = buffer.as_mut_ptr().cast();
        let len = u32::try_from(buffer.len()).unwrap_or(c_int::MAX.cast_unsigned());
        let flags = if peek { libc::MSG_PEEK } else { 0 };
        // SAFETY: the thread is a worker; the buffer has `len` bytes, the endpoint room for either family.
        let (returned, from) =
            returned_endpoint(|it| unsafe { function(session, data, len, flags, it) });
        Ok((count("vppcom_session_recvfrom", returned)?, from))
    }

    pub(crate) fn send(
        &self,
        session: SessionHandle,
        data: &[u8],
        to: SocketAddr,
    ) -> Result<usize, CallError> {
        let function = self.library.symbols().vppcom_session_sendto;
        let len = u32::try_from(data.len()).unwrap_or(c_int::MAX.cast_unsigned());
        let data: *mut c_void = data.as_ptr().cast_mut().cast();
        // SAFETY: the thread is a worker; the library only reads the `len` bytes that it is to send.
        let returned = endpoint(to, |it| unsafe { function(session, data, len, 0, it) });
        count("vppcom_session_sendto", returned)
    }

    pub(crate) fn epoll_create(&self) -> Result<SessionHandle, CallError> {
        // SAFETY: the thread is a worker.
        handle("vppcom_epoll_create", unsafe { (self.library.symbols().vppcom_epoll_create)() })
    }

    pub(crate) fn epoll_control(
        &self,
        set: SessionHandle,
        operation: c_int,
        session: SessionHandle,
        mut event: epoll_event,
    ) -> Result<(), CallError> {
        // SAFETY: the thread is a worker; the event lives until the call returns, and is copied.
        done("vppcom_epoll_ctl", unsafe {
            (self.library.symbols().vppcom_epoll_ctl)(set, operation, session, &raw mut event)
        })
    }

    /// Fills in what is ready; never waits.
    pub(crate) fn epoll_poll(
        &self,
        set: SessionHandle,
        events: &mut [epoll_event],
    ) -> Result<usize, CallError> {
        let room = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
        // SAFETY: the thread is a worker; at most `room` events are written.
        let returned = unsafe {
            (self.library.symbols().vppcom_epoll_wait)(set, events.as_mut_ptr(), room, 0.0)
        };
        count("vppcom_epoll_wait", returned).map(|ready| ready.min(events.len()))
    }

    fn attribute(
        &self,
        session: SessionHandle,
        attribute: Attribute,
        value: *mut c_void,
        mut len: u32,
    ) -> Result<usize, CallError> {
        let call = "vppcom_session_attr";
        if !self.library.has_attribute(attribute) {
            return Err(CallError::missing(call));
        }
        let function = self.library.symbols().vppcom_session_attr;
        // SAFETY: the thread is a worker; the private callers below say that `value` has room for whatever
        // the attribute writes, which for some is more than the length that has to be given.
        count(call, unsafe { function(session, attribute.number(), value, &raw mut len) })
    }

    /// An attribute that is a number of 4 bytes. `GetRxFifoLen` writes 8 of them (v26.06), so there is room.
    pub(crate) fn number(
        &self,
        session: SessionHandle,
        attribute: Attribute,
    ) -> Result<u32, CallError> {
        let mut value = [0u32; 2];
        self.attribute(session, attribute, (&raw mut value).cast(), 4)?;
        Ok(value[0])
    }

    /// Sets an attribute that is a number of 4 bytes.
    pub(crate) fn set_number(
        &self,
        session: SessionHandle,
        attribute: Attribute,
        value: u32,
    ) -> Result<(), CallError> {
        let mut value = [value, 0];
        self.attribute(session, attribute, (&raw mut value).cast(), 4).map(drop)
    }

    /// What `GetNRead` and `GetNWrite` answer as the call's result.
    pub(crate) fn amount(
        &self,
        session: SessionHandle,
        attribute: Attribute,
    ) -> Result<usize, CallError> {
        self.attribute(session, attribute, ptr::null_mut(), 0)
    }

    /// An attribute that is an address.
    pub(crate) fn address(
        &self,
        session: SessionHandle,
        attribute: Attribute,
    ) -> Result<SocketAddr, CallError> {
        #[allow(clippy::cast_possible_truncation)] // 48 is little.
        const LEN: u32 = size_of::<Endpoint>() as u32;
        let (returned, address) =
            returned_endpoint(|it| self.attribute(session, attribute, it.cast(), LEN));
        returned.map(|_| address)
    }

    pub(crate) fn add_cert_key(&self, cert: &[u8], key: &[u8]) -> Result<u32, CallError> {
        let call = "vppcom_add_cert_key_pair";
        let too_long = CallError::new(call, -libc::EINVAL);
        let mut pair = CertKeyPair {
            cert: cert.as_ptr().cast_mut().cast(),
            key: key.as_ptr().cast_mut().cast(),
            cert_len: u32::try_from(cert.len()).map_err(|_| too_long)?,
            key_len: u32::try_from(key.len()).map_err(|_| too_long)?,
        };
        // SAFETY: the thread is a worker; the library only reads both texts, and copies them.
        let returned = unsafe { (self.library.symbols().vppcom_add_cert_key_pair)(&raw mut pair) };
        handle(call, returned)
    }

    pub(crate) fn delete_cert_key(&self, index: u32) -> Result<(), CallError> {
        // SAFETY: the thread is a worker; VPP checks the number.
        done("vppcom_del_cert_key_pair", unsafe {
            (self.library.symbols().vppcom_del_cert_key_pair)(index)
        })
    }

    pub(crate) fn release(&self) -> Release {
        self.library.release()
    }
}

/// One's own memory, as memory that others may change.
fn shared(own: &mut [u8]) -> &[AtomicU8] {
    // SAFETY: so many bytes, alike in layout, that nobody else refers to for as long.
    unsafe { std::slice::from_raw_parts(own.as_mut_ptr().cast(), own.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_carry_addresses_both_ways() {
        for address in ["10.1.2.3:80", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let ((), back) = returned_endpoint(|out| {
                endpoint(address, |given| {
                    // SAFETY: both endpoints and their addresses live here.
                    let (given, out) = unsafe { (&*given, &mut *out) };
                    out.is_ip4 = given.is_ip4;
                    out.port = given.port;
                    // SAFETY: both have 16 bytes.
                    unsafe { ptr::copy_nonoverlapping(given.ip, out.ip, 16) };
                });
            });
            assert_eq!(back, address);
        }
    }

    #[test]
    fn handles_of_late_workers_are_no_errors() {
        let late = (200u32 << 24 | 7).cast_signed();
        assert_eq!(handle("call", late), Ok(200 << 24 | 7));
        assert_eq!(handle("call", 5), Ok(5));
        assert!(handle("call", -libc::EBADFD).is_err());
        assert!(handle("call", -1).is_err());
    }
}
