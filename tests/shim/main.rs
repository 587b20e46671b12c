//! The preload library and the kernel's TCP say the same: each program of `programs/` runs twice, once
//! over each, and must print the same lines.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kit::lab::Turn;
use kit::need::{self, Need};

const NAMESPACE: &str = "dockervpp-shim-test";

/// The address in `programs/calls.py`.
const ADDRESS: &str = "10.77.0.1";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is below the root")
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("the program starts");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// A network namespace with an address, and a broker in it.
struct World {
    broker: Child,
}

impl World {
    fn new() -> Self {
        let _ = Command::new("ip").args(["netns", "del", NAMESPACE]).stderr(Stdio::null()).status();
        run("ip", &["netns", "add", NAMESPACE]);
        run("ip", &["-n", NAMESPACE, "link", "set", "lo", "up"]);
        run("ip", &["-n", NAMESPACE, "addr", "add", &format!("{ADDRESS}/24"), "dev", "lo"]);
        let binaries = std::env::var_os("DOCKERVPP_TEST_BINARIES").map(PathBuf::from);
        let broker =
            binaries.unwrap_or_else(|| root().join("target/debug")).join("examples/broker");
        let broker = Command::new(&broker)
            .arg(format!("{NAMESPACE}={ADDRESS}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", broker.display()));
        let mut world = Self { broker };
        world.wait_for_broker();
        world
    }

    fn wait_for_broker(&mut self) {
        let output = self.broker.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("the broker says that it is ready");
        assert_eq!(line.trim(), "ready");
    }

    /// What a program prints, over the kernel or over sessions.
    fn output(program: &str, preload: Option<&Path>) -> String {
        let log = std::env::temp_dir().join(format!("dockervpp-shim-{program}.log"));
        let _ = fs::remove_file(&log);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", NAMESPACE, "env"]);
        if let Some(library) = preload {
            command.arg(format!("LD_PRELOAD={}", library.display()));
            command.arg(format!("DOCKERVPP_SHIM_LOG={}", log.display()));
        }
        command.args(["timeout", "60", "python3"]);
        command.arg(root().join("tests/shim/programs").join(program).with_extension("py"));
        let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().expect("ip starts");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program}: {}\n{out}{err}", output.status);
        if preload.is_some() {
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(log.contains(": session "), "{program} used no session:\n{log}");
        }
        out.into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
        run("ip", &["netns", "del", NAMESPACE]);
    }
}

/// Runs a program both ways and compares line by line.
fn same(program: &str) {
    if !need::met(&[Need::Root, Need::Python]) {
        return;
    }
    let library = root().join("target/shim/libvcl_shim.so");
    assert!(library.is_file(), "{} is not there: `make shim`", library.display());
    let _turn = Turn::take().expect("the lock file can be made");
    let _world = World::new();
    let kernel = World::output(program, None);
    let sessions = World::output(program, Some(&library));
    let pairs = kernel.lines().zip(sessions.lines()).enumerate();
    let differ: Vec<_> = pairs
        .filter(|(_, (kernel, sessions))| kernel != sessions)
        .map(|(at, (kernel, sessions))| {
            format!("{at}: kernel   {kernel}\n{at}: sessions {sessions}")
        })
        .collect();
    assert!(differ.is_empty(), "{program} differs:\n{}", differ.join("\n"));
    assert_eq!(kernel.lines().count(), sessions.lines().count(), "{program}:\n{sessions}");
}

#[test]
fn options() {
    same("options");
}

#[test]
fn data() {
    same("data");
}

#[test]
fn processes() {
    same("processes");
}

#[test]
fn signals() {
    same("signals");
}
