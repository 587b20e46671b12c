//! Rules about source files, read as text.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{hold, root};

/// Code without I/O, clocks or threads: bytes and values in, values out. A folder means all in it.
const PURE: &[&str] = &[
    "bench/src/gallery.rs",
    "bench/src/html.rs",
    "bench/src/judgement.rs",
    "bench/src/pace.rs",
    "bench/src/picture",
    "bench/src/statistics",
    "bench/src/worker/stations.rs",
    "dataplane/memif/src/descriptor.rs",
    "dataplane/memif/src/handshake",
    "dataplane/memif/src/parameters.rs",
    "dataplane/memif/src/text.rs",
    "dataplane/memif/src/wire",
    "dataplane/memif/src/wire.rs",
    "dataplane/session/src/broker/core",
    "dataplane/src/bridge",
    "dataplane/src/bucket.rs",
    "dataplane/src/counters.rs",
    "dataplane/src/gateway",
    "dataplane/src/mac.rs",
    "dataplane/src/messages/control.rs",
    "dataplane/src/messages/name.rs",
    "dataplane/src/offload",
    "dataplane/src/packet",
    "dataplane/src/packet_socket/unpack.rs",
    "dataplane/src/policy",
    "dataplane/src/vxlan/claims.rs",
    "dataplane/src/vxlan/header.rs",
    "dataplane/src/vxlan/outbox.rs",
    "dataplane/src/vxlan/peers.rs",
    "dataplane/src/vxlan/pending.rs",
    "dataplane/stack/src",
    "dataplane/transport/src/listeners.rs",
    "dataplane/transport/src/vcl/backoff.rs",
    "dataplane/transport/src/vcl/desk.rs",
    "dataplane/transport/src/vcl/options.rs",
    "dataplane/transport/src/vcl/wire.rs",
    "dataplane/vhost-user/src/features.rs",
    "driver/src/commands/run/line.rs",
    "driver/src/config/file.rs",
    "driver/src/config/sample.rs",
    "driver/src/docker/options",
    "driver/src/docker/options.rs",
    "driver/src/docker/request.rs",
    "driver/src/docker/wire.rs",
    "driver/src/engine/embedded/outside/flows.rs",
    "driver/src/engine/embedded/outside/forward.rs",
    "driver/src/engine/embedded/outside/name.rs",
    "driver/src/engine/embedded/outside/plan.rs",
    "driver/src/engine/embedded/outside/rules.rs",
    "driver/src/engine/embedded/policy.rs",
    "driver/src/engine/embedded/vxlan/file.rs",
    "driver/src/engine/embedded/vxlan/mtu.rs",
    "driver/src/engine/vpp/cli_text.rs",
    "driver/src/engine/vpp/diff.rs",
    "driver/src/engine/vpp/diff/host.rs",
    "driver/src/engine/vpp/observe.rs",
    "driver/src/engine/vpp/observe/host.rs",
    "driver/src/engine/vpp/plan.rs",
    "driver/src/engine/vpp/policy.rs",
    "driver/src/engine/vpp/state.rs",
    "driver/src/engine/vpp/tag.rs",
    "driver/src/host/seclusion.rs",
    "driver/src/logging/entry.rs",
    "driver/src/metrics/address.rs",
    "driver/src/model",
    "driver/src/model.rs",
    "driver/src/nearest.rs",
    "driver/src/reconcile/decide.rs",
    "driver/src/state.rs",
    "driver/vpp-api-client/src/api",
    "driver/vpp-api-client/src/frame.rs",
    "driver/vpp-api-client/src/handshake.rs",
    "driver/vpp-api-client/src/message.rs",
    "driver/vpp-api-client/src/stats/interfaces.rs",
    "driver/vpp-api-client/src/stats/layout.rs",
    "driver/vpp-api-client/src/table.rs",
    "driver/vpp-api-client/src/wire",
    "driver/vpp-api-client/src/wire.rs",
    "tests/kit/src/vpp_script/entry.rs",
    "tests/kit/src/vpp_script/format.rs",
    "tests/kit/src/vpp_script/message.rs",
    "tests/kit/src/vpp_script/script.rs",
    "tests/kit/src/vpp_script/varying.rs",
    "vcl-sys/src/attribute.rs",
    "vcl-sys/src/config.rs",
    "vcl-sys/src/protocol.rs",
    "vcl-sys/src/release.rs",
];

/// What pure code cannot name. Addresses of `std::net` are values and welcome.
const IMPURE: &[&str] = &[
    "rustix::",
    "libc::",
    "shm::",
    "tokio::",
    "std::fs",
    "std::io::",
    "std::os::",
    "std::process",
    "std::thread",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "Instant::now",
    "SystemTime::now",
];

/// Where `unsafe` may stand: shared memory, the TAP's ioctl and `io_uring` pushes, calls about packet sockets, calls
/// that send and receive many messages, libvppcom's functions,
/// the preload library, whose every call takes pointers of the program, and the program that makes the
/// C library's calls to compare what comes of them.
const UNSAFE: &[&str] = &[
    "dataplane/shm/",
    "dataplane/src/messages/option.rs",
    "dataplane/src/messages/receive.rs",
    "dataplane/src/messages/send.rs",
    "dataplane/src/packet_socket/",
    "dataplane/src/tap/",
    "vcl-sys/src/calls.rs",
    "vcl-sys/src/library.rs",
    "vcl-sys/src/symbols.rs",
    "vcl-sys/src/abi.rs",
    "vcl-sys/shim/",
    "tests/conformance/src/sys/",
];

/// Lines of a file without its tests.
const LINE_CAP: usize = 500;

/// Files that a program writes: as long as what they list.
const GENERATED: &str = "driver/vpp-api-client/src/api/";

/// Files that are longer, and why that is better than splitting them.
const LONGER: &[(&str, usize, &str)] = &[];

/// File names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "misc", "common", "stuff"];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines of code: without comments, and without the tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.lines().position(|line| line.starts_with("#[cfg(test)]"));
        let end = tests.filter(|_| self.inline_tests()).unwrap_or(usize::MAX);
        let lines = self.text.lines().enumerate().take(end);
        lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }

    /// Whether the first `cfg(test)` opens the module that ends the file.
    fn inline_tests(&self) -> bool {
        self.text.contains("#[cfg(test)]\nmod tests {")
            || self.text.contains("#[cfg(test)]\npub(crate) mod")
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }
}

/// Every Rust file of the workspace.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["dataplane", "driver", "vcl-sys", "bench", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 10, "the source files were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path: PathBuf = entry.expect("the folder can be read").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" {
            collect(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let path = path.strip_prefix(root()).expect("it is below the root");
            found.push(Source { path: path.display().to_string(), text });
        }
    }
}

/// Lines where `code` names one of `words`, as `file:line: word`.
fn naming(source: &Source, words: &[&str]) -> Vec<String> {
    let hits = source.code().flat_map(|(line, code)| {
        let found = words.iter().filter(move |word| names(code, word));
        found.map(move |word| (line, *word))
    });
    hits.map(|(line, word)| format!("{}:{line}: {word}", source.path)).collect()
}

/// Whether `code` contains `word` at the start of a word: `shm::` but not `other_shm::`.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|it| it.is_alphanumeric() || it == '_')
    })
}

#[test]
fn pure_modules_do_no_io() {
    let sources = sources();
    let mut broken = Vec::new();
    for place in PURE {
        let folder = format!("{place}/");
        let here: Vec<_> =
            sources.iter().filter(|it| it.path == *place || it.path.starts_with(&folder)).collect();
        if here.is_empty() {
            broken.push(format!("{place} does not exist: correct the list in {}", file!()));
        }
        let code = here.into_iter().filter(|source| !source.is_test());
        broken.extend(code.flat_map(|source| naming(source, IMPURE)));
    }
    hold("protocol logic is pure: no sockets, memory, clocks, files or threads", &broken);
}

#[test]
fn unsafe_code_stands_only_where_it_may() {
    let outside = |source: &&Source| !UNSAFE.iter().any(|place| source.path.starts_with(place));
    let sources = sources();
    let checked = sources.iter().filter(outside).filter(|it| !it.path.starts_with("tests/layout/"));
    let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code)"];
    let broken: Vec<_> = checked.flat_map(|source| naming(source, &words)).collect();
    hold("all unsafe code is where the list in this file says", &broken);
}

#[test]
fn files_are_short() {
    let mut broken = Vec::new();
    let written = |it: &&Source| !it.is_test() && !it.path.starts_with(GENERATED);
    for source in sources().iter().filter(written) {
        let lines = source.code().count();
        let exception = LONGER.iter().find(|(path, ..)| *path == source.path);
        let cap = exception.map_or(LINE_CAP, |(_, cap, _)| *cap);
        if lines > cap {
            broken.push(format!("{}: {lines} lines, at most {cap}", source.path));
        }
    }
    hold("one job per file: at most 500 lines without tests", &broken);
}

#[test]
fn files_say_what_they_are() {
    let mut broken = Vec::new();
    for source in sources() {
        let name = Path::new(&source.path).file_stem().unwrap_or_default().to_string_lossy();
        if EMPTY_NAMES.contains(&name.as_ref()) {
            broken.push(format!("{}: the name says nothing", source.path));
        }
        let text = source.text.trim_start_matches("#![no_main]").trim_start();
        if !text.starts_with("//!") && !text.starts_with("#![doc = include_str!") {
            broken.push(format!("{}: does not open with what it is (`//!`)", source.path));
        }
    }
    hold("a file is named after its job and opens with it", &broken);
}

#[test]
fn the_scan_sees_what_it_looks_for() {
    let source = Source {
        path: "x.rs".to_owned(),
        text: "use shm::Map; // libc::x\nlet other_shm::y;\n#[cfg(test)]\nmod tests {\nlibc::z"
            .to_owned(),
    };
    assert_eq!(naming(&source, IMPURE), ["x.rs:1: shm::"]);
}
