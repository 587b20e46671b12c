//! The fuzz targets' seeds, and every input that ever was a finding, as a normal test.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod fuzzed;

use std::fs;
use std::path::Path;

/// Runs a target on all inputs that are kept for it; there must be some.
fn replay(target: &str, run: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
    let mut count = 0;
    for folder in ["seeds", "regressions"] {
        let Ok(inputs) = fs::read_dir(fuzz.join(folder).join(target)) else { continue };
        for input in inputs {
            let path = input.unwrap().path();
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
            count += 1;
        }
    }
    assert!(count > 0, "no input for {target}");
}

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
