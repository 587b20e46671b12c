//! The fuzz targets' seeds, and every input that ever was a finding, as a normal test.

mod fuzzed;
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn wire() {
    replay("session_wire", fuzzed::session_wire);
}

#[test]
fn broker() {
    replay("session_broker", fuzzed::session_broker);
}

#[test]
fn ring() {
    replay("session_ring", fuzzed::session_ring);
}
