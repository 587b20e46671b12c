//! Where things lie in a client's region, and in a ring. Pure arithmetic.
//!
//! One region holds all rings and then all buffers: first the rings from client to server, then
//! those from server to client, each a 128-byte header followed by its descriptors; this is the
//! order of VPP, DPDK and libmemif. Offsets are computed in 64 bits (VPP's and DPDK's 16-bit slot
//! arithmetic lets buffers alias beyond 65,536 slots).

use crate::parameters::{BufferSize, RingSize};

/// Bytes of a ring header; the index of the client is in its first cache line, that of the server in
/// the second (64-byte lines: every x86 build, and libmemif everywhere).
pub(crate) const RING_HEADER: u64 = 128;
/// Offset of the cookie in a ring header.
pub(crate) const COOKIE: usize = 0;
/// Offset of the flags in a ring header.
pub(crate) const FLAGS: usize = 4;
/// Offset of `head`, which the client writes.
pub(crate) const HEAD: usize = 6;
/// Offset of `tail`, which the server writes.
pub(crate) const TAIL: usize = 64;
/// What the cookie must be (VPP 26.06 `memif.h`, `MEMIF_COOKIE`).
pub(crate) const COOKIE_VALUE: u32 = 0x03e3_1f20;
/// Bytes of a descriptor.
const DESCRIPTOR: u64 = 16;
/// Buffers start at a cache line.
const ALIGN: u64 = 64;

/// Bytes of a ring with its header.
pub(crate) fn ring_bytes(size: RingSize) -> u64 {
    RING_HEADER + DESCRIPTOR * u64::from(size.slots())
}

/// What a client wants in its region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLayout {
    /// Rings from client to server.
    pub client_to_server: u16,
    /// Rings from server to client.
    pub server_to_client: u16,
    /// Slots of each ring.
    pub ring_size: RingSize,
    /// Capacity of each buffer.
    pub buffer_size: BufferSize,
}

impl ClientLayout {
    /// Rings in both directions together.
    pub(crate) fn rings(self) -> u32 {
        u32::from(self.client_to_server) + u32::from(self.server_to_client)
    }

    /// Offset of ring `index`, counted over both directions.
    pub(crate) fn ring_offset(self, index: u32) -> u64 {
        u64::from(index) * ring_bytes(self.ring_size)
    }

    /// Offset of the first buffer of ring `index`.
    pub(crate) fn buffers_offset(self, index: u32) -> u64 {
        let rings = self.ring_offset(self.rings()).next_multiple_of(ALIGN);
        rings + u64::from(index) * u64::from(self.ring_size.slots()) * self.stride()
    }

    /// Distance between two buffers: their size rounded up to an odd number of cache lines. A cache finds a line by the low
    /// bits of its address: first lines of buffers that are a power of two apart would all share a few places of it (two of
    /// 64 sets at 2048 bytes), and push each other out long before it is full.
    pub(crate) fn stride(self) -> u64 {
        (u64::from(self.buffer_size.bytes()).div_ceil(ALIGN) | 1) * ALIGN
    }

    /// Size of the region. A descriptor's offset has 32 bits, so more than 4 GiB cannot be used.
    pub(crate) fn region_bytes(self) -> u64 {
        self.buffers_offset(self.rings())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_come_first_and_buffers_never_overlap() {
        let layout = ClientLayout {
            client_to_server: 2,
            server_to_client: 1,
            ring_size: RingSize::from_log2(4).expect("in range"),
            buffer_size: BufferSize::new(100).expect("in range"),
        };
        assert_eq!(ring_bytes(layout.ring_size), 128 + 256);
        assert_eq!(layout.ring_offset(2), 768);
        assert_eq!(layout.buffers_offset(0), 1152);
        assert_eq!(layout.buffers_offset(1), 1152 + 16 * 192);
        assert_eq!(layout.region_bytes(), 1152 + 3 * 16 * 192);
    }

    #[test]
    fn first_lines_of_buffers_spread_over_all_sets_of_a_cache() {
        for bytes in [64, 65, 1500, 2048, 4096, 9216, u16::MAX] {
            let layout = ClientLayout {
                client_to_server: 1,
                server_to_client: 1,
                ring_size: RingSize::from_log2(10).expect("in range"),
                buffer_size: BufferSize::new(bytes).expect("in range"),
            };
            assert!(layout.stride() >= u64::from(bytes));
            let sets = 64;
            let used: std::collections::HashSet<u64> =
                (0..sets).map(|slot| slot * layout.stride() / ALIGN % sets).collect();
            assert_eq!(used.len() as u64, sets, "buffers of {bytes} bytes");
        }
    }

    #[test]
    fn the_largest_layout_does_not_wrap() {
        let layout = ClientLayout {
            client_to_server: u16::MAX,
            server_to_client: u16::MAX,
            ring_size: RingSize::from_log2(14).expect("in range"),
            buffer_size: BufferSize::new(u16::MAX).expect("in range"),
        };
        assert!(layout.region_bytes() > 1 << 46);
    }
}
