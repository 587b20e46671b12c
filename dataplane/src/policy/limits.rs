//! Frames and bits that a port may send.

use super::{PortPolicy, Rate};
use crate::DropReason;
use crate::bridge::Tick;
use crate::bucket::TokenBucket;

/// Headers of a frame that is to be cut, at least: Ethernet, IPv4 and TCP without options.
const LEAST_HEADERS: usize = 14 + 20 + 20;

/// What a port may send, and what of it is left.
#[derive(Debug, Clone)]
pub struct Limits {
    packets: TokenBucket,
    bits: TokenBucket,
}

impl Limits {
    /// The limits of a policy; `None` when it has none.
    pub fn of(policy: &PortPolicy) -> Option<Self> {
        let limited = policy.packets.is_some() || policy.bits.is_some();
        limited.then(|| Self { packets: bucket(policy.packets), bits: bucket(policy.bits) })
    }

    /// Lets a frame of `length` bytes pass, or says which limit forbids it; it costs nothing then.
    /// `segment` is the payload of the packets that it will be cut into, 0 if it is one.
    ///
    /// # Errors
    /// [`DropReason::RatePackets`], [`DropReason::RateBits`].
    pub fn admit(&mut self, now: Tick, length: usize, segment: usize) -> Result<(), DropReason> {
        let (packets, bits) = (packets(length, segment), length as u64 * 8);
        if !self.packets.has(now, packets) {
            return Err(DropReason::RatePackets);
        }
        if !self.bits.has(now, bits) {
            return Err(DropReason::RateBits);
        }
        self.packets.take(packets);
        self.bits.take(bits);
        Ok(())
    }
}

/// One without a rate admits everything.
fn bucket(rate: Option<Rate>) -> TokenBucket {
    match rate {
        Some(Rate { per_second, burst }) => TokenBucket::new(per_second.max(1), burst),
        None => TokenBucket::new(0, 0),
    }
}

/// Packets that a frame becomes; at most one too many where its headers are longer than the least.
fn packets(length: usize, segment: usize) -> u64 {
    match segment {
        0 => 1,
        segment => length.saturating_sub(LEAST_HEADERS).div_ceil(segment).max(1) as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(packets: Option<Rate>, bits: Option<Rate>) -> Limits {
        Limits::of(&PortPolicy { packets, bits, ..PortPolicy::default() }).unwrap()
    }

    #[test]
    fn a_policy_without_rates_has_no_limits() {
        assert!(Limits::of(&PortPolicy::default()).is_none());
    }

    #[test]
    fn what_one_limit_refuses_costs_the_other_nothing() {
        let rate = |per_second, burst| Some(Rate { per_second, burst });
        let mut both = limits(rate(1000, 10), rate(8000, 800));
        assert_eq!(both.admit(Tick(0), 100, 0), Ok(()));
        for _ in 0..100 {
            assert_eq!(both.admit(Tick(0), 100, 0), Err(DropReason::RateBits));
        }
        assert_eq!(both.admit(Tick(100), 100, 0), Ok(()));
        let mut few = limits(rate(1, 2), rate(8000, 8_000_000));
        let outcomes = [(); 3].map(|()| few.admit(Tick(0), 100, 0));
        assert_eq!(outcomes, [Ok(()), Ok(()), Err(DropReason::RatePackets)]);
    }

    #[test]
    fn a_frame_that_is_to_be_cut_counts_as_its_packets() {
        assert_eq!(packets(64, 0), 1);
        assert_eq!(packets(54 + 14_480, 1448), 10);
        assert_eq!(packets(66 + 14_480, 1448), 11, "options of TCP may make it one more");
        assert_eq!(packets(20, 1448), 1);
    }

    proptest! {
        /// Over any stretch of time no more passes than the rate and the burst allow.
        #[test]
        fn the_rates_hold(
            rate in 1..100_000u64, burst in 1..10_000u64,
            frames in proptest::collection::vec((0..50u64, 14..65_000usize), 1..300),
        ) {
            let mut limits = limits(Some(Rate { per_second: rate, burst }), None);
            let (mut now, mut passed) = (0, 0);
            for (pause, length) in frames {
                now += pause;
                passed += u64::from(limits.admit(Tick(now), length, 0).is_ok());
            }
            prop_assert!(passed * 1000 <= now * rate + (burst * 1000).max(2 * rate));
        }
    }
}
