//! Every message of a VPP, against VPP's own Python client: random messages that it writes are read and
//! written again by generated code, and must come out byte for byte.
//!
//! Skipped, by name, where there are no definitions (`DOCKERVPP_VPP_API_DIR`) or no `vpp_papi`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::need::{Need, offered};
use kit::vpp::definitions;
use vpp_api_generator::{Definitions, MessageDef, emit};

/// How many messages of each kind.
const ROUNDS: &str = "20";

fn crate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is one up").to_owned()
}

/// A workspace with nothing but the client, whose messages are all of the definitions'.
fn scratch(all: &Definitions) -> PathBuf {
    let (from, to) = (crate_folder(), Path::new(env!("CARGO_TARGET_TMPDIR")).join("papi"));
    let root = from.join("../..");
    copy_sources(&from.join("src"), &to.join("client/src"));
    for folder in ["client/src/api", "client/examples"] {
        fs::create_dir_all(to.join(folder)).expect("a folder");
    }
    for (name, text) in emit::emit(all, &BTreeMap::new()).expect("everything can be expressed") {
        write(&to.join("client/src/api").join(name), &text);
    }
    copy(&from.join("README.md"), &to.join("client/README.md"));
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scratch/recode.rs");
    copy(&example, &to.join("client/examples/recode.rs"));
    let manifest = read(&from.join("Cargo.toml"));
    let (before, after) = manifest.split_once("[dev-dependencies]").expect("a manifest");
    let lints = after.find("[lints]").expect("lints");
    write(&to.join("client/Cargo.toml"), &format!("{before}{}", &after[lints..]));
    let workspace = read(&root.join("Cargo.toml"));
    let rest = workspace.find("[workspace.package]").expect("the workspace's manifest");
    let head = "[workspace]\nresolver = \"3\"\nmembers = [\"client\"]\n\n";
    write(&to.join("Cargo.toml"), &format!("{head}{}", &workspace[rest..]));
    copy(&root.join("Cargo.lock"), &to.join("Cargo.lock"));
    to
}

/// All sources but the generated ones, which are made anew.
fn copy_sources(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("files have names");
        if path.is_file() {
            copy(&path, &to.join(name));
        } else if name != "api" {
            copy_sources(&path, &to.join(name));
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) {
    write(to, &read(from));
}

/// Writes what is not there yet: cargo builds again what is newer.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// What a program prints, given the file `input`.
fn output(command: &mut Command, input: Option<&Path>) -> String {
    let stdin = input.map_or(Stdio::null(), |it| fs::File::open(it).expect("input").into());
    let done = command.stdin(stdin).stderr(Stdio::inherit()).output().expect("it starts");
    assert!(done.status.success(), "{command:?}: {}", done.status);
    String::from_utf8(done.stdout).expect("it prints text")
}

#[test]
fn every_message_is_what_vpps_python_client_writes() {
    if !offered(&[Need::VppDefinitions]) {
        return;
    }
    let folder = definitions().expect("it is there");
    let all = Definitions::read(&folder).expect("definitions");
    let scratch = scratch(&all);
    output(
        Command::new(env!("CARGO"))
            .args(["build", "--offline", "--quiet", "--example", "recode"])
            .env("CARGO_TARGET_DIR", scratch.join("target"))
            .env("RUSTFLAGS", "-Awarnings")
            .current_dir(&scratch),
        None,
    );

    let seed = std::process::id().to_string();
    println!("seed {seed}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/papi.py");
    let written =
        output(Command::new("python3").arg(script).arg(folder).args([&seed, ROUNDS]), None);
    let input = scratch.join("messages.txt");
    fs::write(&input, &written).expect("a file");
    let recode = scratch.join("target/debug/examples/recode");
    let again = output(&mut Command::new(recode), Some(&input));

    let mut seen = BTreeSet::new();
    assert_eq!(written.lines().count(), again.lines().count());
    for (theirs, ours) in written.lines().zip(again.lines()) {
        let (key, bytes) = theirs.split_once(' ').expect("a name and bytes");
        let (header, fields) = ours.split_once(' ').unwrap_or_default();
        let header: usize = header.parse().unwrap_or_else(|_| panic!("{theirs}\n{ours}"));
        assert_eq!(&bytes[header..], fields, "{key}: read and written again");
        seen.insert(key.to_owned());
    }
    let known = all.files.values().flat_map(|it| &it.messages).map(MessageDef::key);
    assert_eq!(known.collect::<BTreeSet<_>>(), seen, "no message is left out");
    println!("{} messages, {} bytes", seen.len(), written.len() / 2);
}
