//! The fuzz target's body, shared with the test that replays its inputs.

use vpp_api_client::api::MESSAGES;

/// Bytes from a VPP, taken for every message that is known: what is no such message is refused, and what is
/// one is written as it was understood, which is understood the same.
pub(crate) fn vpp_api_reply(bytes: &[u8]) {
    for known in MESSAGES {
        let Ok(first) = known.recode(bytes) else { continue };
        let mut again = bytes[..known.header.size()].to_vec();
        again.extend_from_slice(&first.fields);
        let second = known.recode(&again).expect("what was written can be read");
        assert_eq!(first.text, second.text, "{}", known.identity.name);
        assert_eq!(first.fields, second.fields, "{}", known.identity.name);
    }
}
