//! The real `dockervpp` process: start, refusals, restart, signals, and the commands that talk to
//! it. The engine is fake, so that neither Docker nor privileges are needed.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::json;
use support::{endpoint, exchange, join, network};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_dockervpp");

/// The directories and sockets of one agent.
struct Place {
    directory: TempDir,
}

struct Running {
    child: Child,
    ready: String,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn plugin(&self) -> PathBuf {
        self.directory.path().join("plugin.sock")
    }

    fn control(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn serve(&self) -> Command {
        self.serve_on(&self.plugin())
    }

    fn serve_on(&self, plugin: &Path) -> Command {
        let mut command = Command::new(BINARY);
        // Whatever this machine's own agent is told in its file is not for these.
        command.args(["serve", "--config", "/dev/null", "--engine", "fake", "--log", "info"]);
        // A Docker that runs on this machine knows nothing of these networks.
        command.args(["--docker-socket", "none"]);
        command.arg("--plugin-socket").arg(plugin);
        command.arg("--control-socket").arg(self.control());
        command.arg("--state-dir").arg(self.state());
        command
    }

    /// Starts an agent and waits for its word that it is ready.
    fn start(&self) -> Running {
        let mut child = self.serve().stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut ready = String::new();
        while !ready.contains("ready") {
            ready.clear();
            assert!(log.read_line(&mut ready).unwrap() > 0, "the agent ended: {:?}", child.wait());
        }
        std::thread::spawn(move || drop(log.read_to_end(&mut Vec::new())));
        Running { child, ready }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--control-socket").arg(self.control());
        command
    }

    fn post(&self, call: &str, body: &serde_json::Value) {
        let path = format!("/NetworkDriver.{call}");
        let reply = exchange(&self.plugin(), "POST", &path, body.to_string().as_bytes());
        assert!(reply.status == 200 && reply.json().get("Err").is_none(), "{call}: {reply:?}");
    }

    fn populate(&self) {
        self.post("CreateNetwork", &network("abc1", 0));
        self.post("CreateNetwork", &network("abd2", 1));
        self.post("CreateEndpoint", &endpoint("abc1", "e1", "10.1.0.2/24"));
        self.post("Join", &join("abc1", "e1", "/run/netns/1"));
    }
}

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn stop(mut self, signal: Signal) -> ExitStatus {
        kill_process(self.pid(), signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// What a command that must fail with this exit code says, on one line.
fn refusal(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let (_, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn termination_keeps_the_state_and_a_restart_takes_it_up() {
    let place = Place::new();
    let agent = place.start();
    place.populate();
    assert!(agent.stop(Signal::TERM).success());
    assert!(!place.plugin().exists() && !place.control().exists(), "a socket was left behind");
    let agent = place.start();
    assert!(
        agent.ready.contains("networks=2 running=1 idle=0 removed=0 failed=0"),
        "{}",
        agent.ready
    );
    assert!(agent.stop(Signal::INT).success());
}

#[test]
fn a_killed_agent_is_followed_by_another_on_the_same_sockets() {
    let place = Place::new();
    let agent = place.start();
    place.populate();
    agent.stop(Signal::KILL);
    assert!(place.plugin().exists(), "a killed agent cannot remove its socket");
    let agent = place.start();
    assert!(agent.ready.contains("networks=2 running=1"), "{}", agent.ready);
    let mode = fs::metadata(place.plugin()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    place.post("Leave", &json!({"NetworkID": "abc1", "EndpointID": "e1"}));
}

#[test]
fn docker_must_be_on_this_host() {
    let place = Place::new();
    let mut command = Command::new(BINARY);
    command.args(["serve", "--docker-socket", "tcp://10.0.0.1:2375"]);
    let error = refusal(&mut command, 2);
    assert!(error.contains("unix socket on this host") && error.contains("`none`"), "{error}");
    let _agent = place.start();
    let mut doctor = place.command(&["doctor", "--json"]);
    let (report, _) = text(&doctor.output().unwrap());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let agreement = findings.iter().find(|finding| finding["check"] == "agreement").unwrap();
    assert_eq!(agreement["verdict"], "info");
    assert!(agreement["fix"].as_str().unwrap().contains("--docker-socket"), "{agreement}");
}

#[test]
fn a_second_agent_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let agent = place.start();
    let process = format!("(process {})", agent.pid().as_raw_nonzero());
    let error = refusal(&mut place.serve(), 3);
    assert!(error.contains(&process) && error.contains("uses the state directory"), "{error}");
    let elsewhere = Place::new();
    let mut second = elsewhere.serve_on(&place.plugin());
    let error = refusal(&mut second, 3);
    assert!(error.contains(&process) && error.contains("already served"), "{error}");
    place.populate();
}

#[test]
fn what_is_not_a_socket_is_not_removed() {
    let place = Place::new();
    fs::write(place.plugin(), "precious").unwrap();
    let error = refusal(&mut place.serve(), 1);
    assert!(error.contains("exists and is not a socket"), "{error}");
    assert_eq!(fs::read_to_string(place.plugin()).unwrap(), "precious");
}

#[test]
fn a_damaged_state_is_refused_as_it_is() {
    let place = Place::new();
    let agent = place.start();
    place.populate();
    agent.stop(Signal::TERM);
    let file = place.state().join("state.redb");
    let bytes = fs::read(&file).unwrap();
    let half = &bytes[..bytes.len() / 2];
    fs::write(&file, half).unwrap();
    let error = refusal(&mut place.serve(), 1);
    assert!(error.contains("is damaged") && error.contains("move it aside"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), half);
    assert!(!place.plugin().exists());
}

#[test]
fn without_permission_it_says_so() {
    let place = Place::new();
    let open = |mode| fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(mode));
    let mut command = place.serve();
    if geteuid().is_root() {
        // As somebody else, from a place that he can read.
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let binary = folder.path().join("dockervpp");
        if fs::hard_link(BINARY, &binary).is_err() {
            fs::copy(BINARY, &binary).unwrap();
        }
        let mut other = Command::new(&binary);
        other.args(command.get_args()).uid(65534).gid(65534);
        open(0o755).unwrap();
        let error = refusal(&mut other, 1);
        assert_permission_error(&error);
    } else {
        open(0o500).unwrap();
        let error = refusal(&mut command, 1);
        open(0o700).unwrap();
        assert_permission_error(&error);
    }
}

fn assert_permission_error(error: &str) {
    assert!(
        error.contains("Permission denied") && error.contains("run the agent as root"),
        "{error}"
    );
}

#[test]
fn show_has_tables_and_json() {
    let place = Place::new();
    let _agent = place.start();
    place.populate();
    let (table, _) = text(&place.command(&["show", "endpoints"]).output().unwrap());
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("ENDPOINT  NETWORK  MAC"), "{table}");
    assert!(lines.next().unwrap().contains("02:42:0a:01:00:02  10.1.0.2/24"), "{table}");
    let (json, _) = text(&place.command(&["show", "networks", "--json"]).output().unwrap());
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list[1]["id"], "abd2");
    for what in ["fdb", "counters", "ports"] {
        assert!(place.command(&["show", what, "--network", "abc"]).status().unwrap().success());
    }
    let error = refusal(&mut place.command(&["show", "fdb", "--network", "ab"]), 1);
    assert!(error.contains("abc1, abd2"), "{error}");
    let mut forget = place.command(&["forget", "--network", "abd"]);
    assert!(forget.output().unwrap().status.success());
    let (json, _) = text(&place.command(&["show", "networks", "--json"]).output().unwrap());
    assert!(!json.contains("abd2"), "{json}");
}

#[test]
fn without_an_agent_the_commands_say_how_to_start_it() {
    let place = Place::new();
    for arguments in [&["show", "networks"][..], &["capture", "--network", "a", "-w", "/dev/null"]]
    {
        let error = refusal(&mut place.command(arguments), 3);
        assert!(error.contains("not running") && error.contains("dockervpp serve"), "{error}");
    }
    // A socket of a dead agent is no agent either.
    drop(UnixListener::bind(place.control()).unwrap());
    let error = refusal(&mut place.command(&["show", "networks"]), 3);
    assert!(error.contains("not running"), "{error}");
}

/// The kinds of the blocks in a pcapng file.
fn kinds(file: &Path) -> Vec<u32> {
    let bytes = fs::read(file).unwrap();
    let mut rest = bytes.as_slice();
    let mut kinds = Vec::new();
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        kinds.push(word(0));
        rest = &rest[word(4) as usize..];
    }
    kinds
}

#[test]
fn a_capture_is_a_whole_file_however_it_ends() {
    let place = Place::new();
    let _agent = place.start();
    place.populate();
    let file = place.directory.path().join("x.pcapng");
    let path = file.to_str().unwrap();
    let arguments = ["capture", "--endpoint", "e1", "-w", path, "-c", "2"];
    assert!(place.command(&arguments).status().unwrap().success());
    assert_eq!(kinds(&file), [0x0a0d_0d0a, 1, 1, 6, 6, 5, 5]);

    let arguments = ["capture", "--network", "abc1", "-w", "-"];
    let mut child = place.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    // Its first bytes say that it runs; then it is interrupted.
    let mut bytes = vec![0; 28];
    output.read_exact(&mut bytes).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    output.read_to_end(&mut bytes).unwrap();
    assert!(child.wait().unwrap().success());
    fs::write(&file, bytes).unwrap();
    assert_eq!(kinds(&file).last(), Some(&5), "the count of lost frames comes last");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Place::new();
    let _agent = place.start();
    place.populate();
    for arguments in [&["show", "networks", "--json"][..], &["capture", "--network", "abc"]] {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
}

#[test]
fn packages_get_completions_manual_and_options() {
    let place = Place::new();
    let output = Command::new(BINARY).args(["completions", "bash"]).output().unwrap();
    assert!(text(&output).0.contains("--plugin-socket"));
    let directory = place.directory.path();
    assert!(Command::new(BINARY).arg("man").arg(directory).status().unwrap().success());
    let page = fs::read_to_string(directory.join("dockervpp-serve.1")).unwrap();
    assert!(page.contains("plugin\\-socket"), "{page}");
    let output = Command::new(BINARY).args(["options", "--json"]).output().unwrap();
    let options: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = options["network"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap());
    let keys: Vec<_> = keys.collect();
    assert!(keys.contains(&"attach") && keys.contains(&"antispoof"), "{keys:?}");
    assert!(
        text(&Command::new(BINARY).arg("options").output().unwrap()).0.contains("memif.secret")
    );
}
