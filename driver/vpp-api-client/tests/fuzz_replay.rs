//! The fuzz target's seeds, every input that ever was a finding, and random bytes, as a normal test.

mod fuzzed;
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

use proptest::prelude::*;
use vpp_api_client::api::MESSAGES;
use vpp_api_client::wire::DecodeError;

#[test]
fn reply() {
    replay::replay("vpp_api_reply", fuzzed::vpp_api_reply);
}

/// Bytes that a number stands for. Most are small, which makes lengths that can be met.
fn bytes(mut state: u64, count: usize) -> Vec<u8> {
    let mut next = || {
        // xorshift64 (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let byte = |[choice, byte, ..]: [u8; 8]| if choice < 192 { byte % 4 } else { byte };
    (0..count).map(|_| byte(next())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_messages_or_refused(seed in 1_u64.., count in 0_usize..700) {
        fuzzed::vpp_api_reply(&bytes(seed, count));
    }

    /// As long as one of the messages needs.
    #[test]
    fn random_messages_are_understood(seed in 1_u64.., at in 0..MESSAGES.len()) {
        let known = MESSAGES[at];
        let bytes = bytes(seed, 4096);
        let mut size = known.header.size();
        while let Err(DecodeError::Short { at, needed, .. }) = known.recode(&bytes[..size]) {
            match at.checked_add(needed) {
                Some(longer) if longer <= bytes.len() => size = longer,
                _ => break,
            }
        }
        fuzzed::vpp_api_reply(&bytes[..size]);
    }
}
