//! The fuzz targets' seeds, and every input that ever was a finding, as a normal test.

mod fuzzed;
#[path = "../../../tests/fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn wire() {
    replay("memif_wire", fuzzed::memif_wire);
}

#[test]
fn handshake() {
    replay("memif_handshake", fuzzed::memif_handshake);
}

#[test]
fn ring() {
    replay("memif_ring", fuzzed::memif_ring);
}
