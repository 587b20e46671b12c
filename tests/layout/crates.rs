//! Rules about crates, read from `cargo metadata`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::{hold, root};

/// What each crate of the workspace may name, for its own code; arrows point one way.
const EDGES: &[(&str, &[&str])] = &[
    ("shm", &[]),
    ("session", &["shm"]),
    ("memif-rs", &["shm"]),
    ("vhost-user-net", &["shm"]),
    ("dataplane", &["memif-rs", "shm", "vhost-user-net"]),
    ("stack", &["dataplane"]),
    ("transport", &["session", "stack", "dataplane", "shm", "vcl-sys"]),
    ("vcl-shim", &["session", "shm"]),
    ("vcl-sys", &[]),
    ("vpp-api-client", &[]),
    ("vpp-api-generator", &[]),
    ("dockervpp", &["dataplane", "memif-rs", "session", "stack", "transport", "vpp-api-client"]),
    ("conformance", &[]),
    // Of the client only the messages: a scripted VPP speaks the same ones.
    ("kit", &["memif-rs", "dataplane", "stack", "vpp-api-client"]),
    ("dockervpp-bench", &["kit", "dataplane", "memif-rs", "shm", "vcl-sys"]),
    ("hot-paths", &["dataplane", "memif-rs", "session", "shm"]),
    ("tests", &["kit", "memif-rs", "dataplane", "shm"]),
];

/// Crates that run no async runtime, whatever their features.
const NO_RUNTIME: &[&str] =
    &["shm", "vhost-user-net", "dataplane", "stack", "transport", "vcl-sys"];

/// Direct dependencies that only the product or the suites may have.
const PRODUCT_ONLY: &[&str] = &["anyhow", "axum", "clap", "hyper", "miette", "redb", "serde_json"];

pub(crate) fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().expect("metadata has packages")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Dependencies of the crate's own code (not of its tests) by workspace crate.
fn dependencies(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    packages(metadata)
        .iter()
        .filter(|package| package["source"].is_null())
        .map(|package| {
            let named = package["dependencies"].as_array().expect("packages list dependencies");
            let own = named.iter().filter(|it| text(it, "kind") != "dev");
            let names = own.map(|it| text(it, "name").to_owned()).collect();
            (text(package, "name").to_owned(), names)
        })
        .collect()
}

#[test]
fn crates_name_only_crates_below_them() {
    let dependencies = dependencies(&metadata());
    let mut broken = Vec::new();
    for (krate, named) in &dependencies {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| name == krate) else {
            broken.push(format!("{krate} is not in tests/layout/crates.rs: say what it may name"));
            continue;
        };
        let inside = named.iter().filter(|name| dependencies.contains_key(*name));
        let forbidden = inside.filter(|name| !allowed.contains(&name.as_str()));
        broken.extend(forbidden.map(|name| format!("{krate} names {name}")));
    }
    hold("dependencies point one way: shm <- memif-rs <- dataplane <- dockervpp", &broken);
}

#[test]
fn the_data_path_has_no_async_runtime_and_no_product_crates() {
    let mut broken = Vec::new();
    for (krate, named) in dependencies(&metadata()) {
        if NO_RUNTIME.contains(&krate.as_str()) && named.iter().any(|name| name == "tokio") {
            broken.push(format!("{krate} names tokio"));
        }
        if matches!(krate.as_str(), "shm" | "memif-rs" | "vhost-user-net" | "dataplane") {
            let product = named.iter().filter(|name| PRODUCT_ONLY.contains(&name.as_str()));
            broken.extend(product.map(|name| format!("{krate} names {name}")));
        }
    }
    hold("workers run to completion on plain threads; libraries carry no product", &broken);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let metadata = metadata();
    let local = packages(&metadata).iter().filter(|package| package["source"].is_null());
    let broken: Vec<_> = local
        .map(|package| text(package, "manifest_path").to_owned())
        .filter(|path| {
            let manifest = fs::read_to_string(path).expect("cargo just read it");
            !manifest.contains("[lints]\nworkspace = true")
        })
        .collect();
    hold("lints are the workspace's: `[lints] workspace = true`", &broken);
}

/// The licences that `deny.toml` allows: the one list, for cargo-deny and for this test.
fn allowed_licences() -> Vec<String> {
    let file = fs::read_to_string(root().join("deny.toml")).expect("deny.toml is in the root");
    let list = file.split_once("allow = [").expect("deny.toml has a licence list").1;
    let list = list.split_once(']').expect("the list ends").0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with allowed licences: some `OR` branch of it has only
/// allowed `AND` parts. (Parentheses hold `OR` groups only, in every crate seen so far.)
fn acceptable(expression: &str, allowed: &[String]) -> bool {
    let any = |group: &str| {
        let group = group.trim().trim_matches(['(', ')']);
        group.replace('/', " OR ").split(" OR ").any(|it| allowed.contains(&it.trim().to_owned()))
    };
    if expression.contains('(') {
        expression.split(" AND ").all(any)
    } else {
        let every = |branch: &str| branch.split(" AND ").all(any);
        expression.replace('/', " OR ").split(" OR ").any(every)
    }
}

#[test]
fn dependencies_are_from_the_registry_under_allowed_licences() {
    let allowed = allowed_licences();
    let metadata = metadata();
    let mut broken = Vec::new();
    for package in packages(&metadata) {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        if !acceptable(licence, &allowed) {
            broken.push(format!("{name}: licence `{licence}`"));
        }
        let source = text(package, "source");
        if !source.is_empty() && !source.starts_with("registry+") {
            broken.push(format!("{name}: source {source}"));
        }
    }
    hold("only licences listed in deny.toml, only crates from the registry", &broken);
}

#[test]
fn licence_expressions_are_read_right() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for good in ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(acceptable(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "", "(MIT OR Apache-2.0) AND GPL-3.0"] {
        assert!(!acceptable(bad, &allowed), "{bad}");
    }
}
