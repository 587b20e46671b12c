//! Runs a fuzz target on its seeds and on every input that ever was a finding: shared by the ordinary
//! tests of the crates whose targets are here.

use std::fs;
use std::path::Path;

/// Runs a target on all inputs that are kept for it.
///
/// # Panics
/// When there are none, or when the target finds something.
pub(crate) fn replay(target: &str, run: fn(&[u8])) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = crate_folder.ancestors().map(|folder| folder.join("tests/fuzz"));
    let fuzz = folders.find(|folder| folder.is_dir()).expect("the workspace has targets");
    let mut count = 0;
    for folder in ["seeds", "regressions"] {
        let Ok(inputs) = fs::read_dir(fuzz.join(folder).join(target)) else { continue };
        for input in inputs {
            let path = input.expect("the folder can be read").path();
            println!("{}", path.display());
            run(&fs::read(path).expect("it can be read"));
            count += 1;
        }
    }
    assert!(count > 0, "no input for {target}");
}
