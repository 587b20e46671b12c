//! Identifications of fragmented packets.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::headers::IpInfo;

/// Gives each fragmented packet a number. Those of one pair of addresses count up, from a start that
/// nobody else can guess (RFC 7739, 5.3), so that a number comes again as late as it can (RFC 6864, 5.2).
#[derive(Debug)]
pub(crate) struct Identifications {
    seed: u128,
    count: u32,
}

impl Identifications {
    /// `seed` is random and secret.
    pub(crate) fn new(seed: u128) -> Self {
        Self { seed, count: 0 }
    }

    /// The number of the next packet; IPv4 has room for its low half.
    pub(crate) fn next(&mut self, info: IpInfo) -> u32 {
        let mut hasher = DefaultHasher::new();
        (self.seed, "fragments", info.src, info.dst, info.protocol.0).hash(&mut hasher);
        self.count = self.count.wrapping_add(1);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).wrapping_add(self.count)
    }
}
