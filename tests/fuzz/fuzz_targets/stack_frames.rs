//! See `dataplane/stack/tests/fuzzed/mod.rs`, which the replaying test shares.
#![no_main]

#[path = "../../../dataplane/stack/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::stack_frames(data));
