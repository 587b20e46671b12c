//! Fuzz targets on their seeds and findings.

mod fuzzed;
#[path = "../../tests/fuzz/replay.rs"]
mod replay;

#[test]
fn vxlan_header() {
    replay::replay("vxlan_header", fuzzed::vxlan_header);
}
