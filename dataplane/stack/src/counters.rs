//! What a stack counts.

/// Counts since the stack was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received, those that were of no use included.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Received frames that break the rules of their protocol.
    pub malformed: u64,
    /// Received packets with a wrong checksum.
    pub bad_checksum: u64,
    /// Received frames that are not for this endpoint, or of a protocol that it does not speak.
    pub ignored: u64,
    /// Received fragments of packets for this endpoint.
    pub fragments: u64,
    /// Packets that were put together from fragments.
    pub reassembled: u64,
    /// Packets of which fragments were missing for too long, gave way to others, or overlapped.
    pub reassembly_failed: u64,
    /// Packets that were sent in fragments.
    pub fragmented: u64,
    /// Segments for which there is no connection, answered with a reset.
    pub refused: u64,
    /// SYNs that found the backlog full.
    pub backlog_full: u64,
    /// Half-open connections that gave way to newer ones.
    pub half_open_evicted: u64,
    /// Datagrams that found their socket full.
    pub udp_full: u64,
    /// Datagrams for ports that nobody uses.
    pub udp_unreachable: u64,
    /// Datagrams for whose next hop nobody answered.
    pub udp_unresolved: u64,
    /// Frames that could not be sent because too many were on the way.
    pub no_room: u64,
}
