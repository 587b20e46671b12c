//! See `dataplane/tests/fuzzed/mod.rs`, which the replaying test shares.
#![no_main]
#![allow(dead_code)]

#[path = "../../../dataplane/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::vxlan_header(data));
