//! The demo builds what its containers run.

use std::fs;

use kit::image::EXAMPLES;
use serde_json::Value;

use crate::root;

#[test]
fn the_demo_builds_the_examples_that_its_image_has() {
    let script = fs::read_to_string(root().join("scripts/demo.sh")).expect("the demo is there");
    let line = script.lines().find(|it| it.contains("cargo build") && it.contains("--examples"));
    let words: Vec<&str> = line.expect("the demo builds examples").split_whitespace().collect();
    let metadata = crate::crates::metadata();
    for example in EXAMPLES {
        let has = |package: &&Value| {
            let targets = package["targets"].as_array().expect("targets");
            let is_it = |it: &Value| it["name"] == example && it["kind"][0] == "example";
            // Without a source: of this workspace.
            package["source"].is_null() && targets.iter().any(is_it)
        };
        let package = metadata["packages"].as_array().expect("packages").iter().find(has);
        let package = package.unwrap_or_else(|| panic!("{example} is an example"));
        let name = package["name"].as_str().expect("a name");
        let builds = words.windows(2).any(|pair| pair == ["-p", name]);
        assert!(builds, "scripts/demo.sh does not build {example} of {name}");
    }
}
