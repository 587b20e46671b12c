//! See `driver/vpp-api-client/tests/fuzzed/mod.rs`, which the replaying test shares.
#![no_main]
#![allow(dead_code)]

#[path = "../../../driver/vpp-api-client/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::vpp_api_reply(data));
