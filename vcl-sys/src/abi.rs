//! What libvppcom's functions take and give: numbers and layouts, as `vppcom.h` and `vcl_locked.h` of VPP
//! v21.10 to v26.06 have them. The assertions below were checked with a C compiler against v26.06.

use std::ffi::{c_char, c_int, c_short, c_ulong};
use std::mem::offset_of;
use std::ptr;

/// A session's handle: the worker's index in the top 8 bits, the session's in the low 24.
pub type SessionHandle = u32;

/// No session.
pub const INVALID_SESSION: SessionHandle = u32::MAX;

/// A word of the bitmaps that `vppcom_select` takes.
pub type SessionSet = c_ulong;

/// A handle of the locked layer (`vls_*`): a small number, or -1.
pub type LockedHandle = c_int;

/// An address and a port: `vppcom_endpt_t`, as it is since v23.06.
///
/// Up to v22.10 the structure ended after [`unused2`](Self::unused2); v23.02 had a value of 16 bytes in
/// place of the last two fields. One of 48 bytes whose last fields are zero is good for all of them.
#[repr(C)]
#[derive(Debug)]
pub struct Endpoint {
    /// Once said whether the session is a cut-through one.
    pub unused: u8,
    /// 1 for IPv4, 0 for IPv6.
    pub is_ip4: u8,
    /// 4 or 16 bytes in network order; where an address is returned, room for 16.
    pub ip: *mut u8,
    /// The port in network order.
    pub port: u16,
    /// Once the handle of a parent session.
    pub unused2: u64,
    /// Bytes at `app_tlvs`.
    pub app_tlv_len: u32,
    /// Further values; read whenever it is not null.
    pub app_tlvs: *mut EndpointTlv,
}

impl Endpoint {
    /// One that says nothing, whose address is at `ip`.
    pub const fn with_address_at(ip: *mut u8) -> Self {
        Self {
            unused: 0,
            is_ip4: 0,
            ip,
            port: 0,
            unused2: 0,
            app_tlv_len: 0,
            app_tlvs: ptr::null_mut(),
        }
    }
}

/// The head of a value beside an endpoint: `vppcom_endpt_tlv_t`. Its bytes follow.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct EndpointTlv {
    /// What it is.
    pub data_type: u32,
    /// Bytes that follow.
    pub data_len: u32,
}

/// A piece of a session's buffer: `vppcom_data_segment_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DataSegment {
    /// Where it is.
    pub data: *mut u8,
    /// How long it is.
    pub len: u32,
}

/// A session that `vppcom_poll` looks at: `vcl_poll_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PollEntry {
    /// The caller's own.
    pub fds_ndx: u32,
    /// Read by libvppcom as a session's index, so that only worker 0 can use it (v26.06 `vppcom_poll`).
    pub sh: SessionHandle,
    /// `POLLIN`, `POLLOUT`.
    pub events: c_short,
    /// What is ready.
    pub revents: c_short,
}

/// A certificate and its key, both PEM: `vppcom_cert_key_pair_t`.
#[repr(C)]
#[derive(Debug)]
pub struct CertKeyPair {
    /// The certificate.
    pub cert: *mut c_char,
    /// The key.
    pub key: *mut c_char,
    /// Bytes of the certificate.
    pub cert_len: u32,
    /// Bytes of the key.
    pub key_len: u32,
}

/// What `vppcom_app_create_with_config` takes (since v26.02): `vppcom_cfg_t`. Zero means zero, not the
/// default.
#[repr(C)]
#[derive(Debug)]
pub struct AppConfig {
    /// Bytes of the library's own heap.
    pub heapsize: usize,
    /// Workers at most.
    pub max_workers: u32,
    /// Where segments are mapped; 0: anywhere.
    pub segment_baseva: usize,
    /// Bytes of the first segment of FIFOs.
    pub segment_size: usize,
    /// Bytes of each further one.
    pub add_segment_size: usize,
    /// Pairs of FIFOs that are made in advance.
    pub preallocated_fifo_pairs: u32,
    /// Bytes of a session's receive FIFO.
    pub rx_fifo_size: u32,
    /// Bytes of a session's transmit FIFO.
    pub tx_fifo_size: u32,
    /// Messages that wait for a worker at most.
    pub event_queue_size: u32,
    /// A proxy for every TCP connection.
    pub app_proxy_transport_tcp: u8,
    /// A proxy for every UDP connection.
    pub app_proxy_transport_udp: u8,
    /// Sessions within the namespace, past the network (cut-through).
    pub app_scope_local: u8,
    /// Sessions with the network.
    pub app_scope_global: u8,
    /// The namespace's name, for the binary API; the app socket decides otherwise.
    pub namespace_id: *mut c_char,
    /// The namespace's secret, for the binary API.
    pub namespace_secret: u64,
    /// Messages are signalled by an eventfd.
    pub use_mq_eventfd: u8,
    /// Seconds.
    pub app_timeout: f64,
    /// Seconds that blocking calls wait for VPP.
    pub session_timeout: f64,
    /// Where event logs go; kept by the library, not copied.
    pub event_log_path: *mut c_char,
    /// The app socket: a path, or `abstract:NAME`.
    pub vpp_app_socket_api: *mut c_char,
    /// The socket of the binary API.
    pub vpp_bapi_socket_name: *mut c_char,
    /// The application's name.
    pub app_name: *mut c_char,
    /// The TLS engine's number.
    pub tls_engine: u32,
    /// Threads get workers (locked layer).
    pub mt_wrk_supported: u8,
    /// Segments in huge pages.
    pub huge_page: u8,
    /// Original destinations are wanted.
    pub app_original_dst: u8,
    /// What the library prints; 0 for nothing.
    pub debug_level: u8,
}

/// Replacements of the kernel's epoll functions, for the locked layer since v25.10: `vls_epoll_fns_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct EpollFunctions {
    /// `epoll_create1`.
    pub create1: Option<unsafe extern "C" fn(c_int) -> c_int>,
    /// `epoll_ctl`.
    pub ctl: Option<unsafe extern "C" fn(c_int, c_int, c_int, *mut libc::epoll_event) -> c_int>,
    /// `epoll_wait`.
    pub wait: Option<unsafe extern "C" fn(c_int, *mut libc::epoll_event, c_int, c_int) -> c_int>,
}

macro_rules! layout {
    ($type:ident: $size:expr, $($field:ident @ $offset:expr),+) => {
        const _: () = {
            assert!(size_of::<$type>() == $size);
            $(assert!(offset_of!($type, $field) == $offset);)+
        };
    };
}

#[cfg(target_pointer_width = "64")]
mod layouts {
    use super::{
        AppConfig, CertKeyPair, DataSegment, Endpoint, EndpointTlv, EpollFunctions, PollEntry,
        offset_of,
    };

    layout!(Endpoint: 48, unused @ 0, is_ip4 @ 1, ip @ 8, port @ 16, unused2 @ 24, app_tlv_len @ 32,
        app_tlvs @ 40);
    layout!(EndpointTlv: 8, data_type @ 0, data_len @ 4);
    layout!(DataSegment: 16, data @ 0, len @ 8);
    layout!(PollEntry: 12, fds_ndx @ 0, sh @ 4, events @ 8, revents @ 10);
    layout!(CertKeyPair: 24, cert @ 0, key @ 8, cert_len @ 16, key_len @ 20);
    layout!(AppConfig: 144, heapsize @ 0, max_workers @ 8, segment_baseva @ 16, segment_size @ 24,
        add_segment_size @ 32, preallocated_fifo_pairs @ 40, rx_fifo_size @ 44, tx_fifo_size @ 48,
        event_queue_size @ 52, app_proxy_transport_tcp @ 56, app_proxy_transport_udp @ 57,
        app_scope_local @ 58, app_scope_global @ 59, namespace_id @ 64, namespace_secret @ 72,
        use_mq_eventfd @ 80, app_timeout @ 88, session_timeout @ 96, event_log_path @ 104,
        vpp_app_socket_api @ 112, vpp_bapi_socket_name @ 120, app_name @ 128, tls_engine @ 136,
        mt_wrk_supported @ 140, huge_page @ 141, app_original_dst @ 142, debug_level @ 143);
    layout!(EpollFunctions: 24, create1 @ 0, ctl @ 8, wait @ 16);
}
