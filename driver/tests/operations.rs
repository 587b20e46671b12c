//! What operators meet of the real process: configuration file, metrics, the service manager, log lines.
//! The engine is fake, so that neither Docker nor privileges are needed.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod exposition;
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use exposition::Exposition;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{endpoint, exchange, join, network};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_dockervpp");

/// The folder of one agent, whose options are all in a file.
struct Place(TempDir);

/// An agent that is ready.
struct Running {
    child: Child,
    ready: Value,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the configuration file: what every agent here needs, and `more`.
    fn configure(&self, more: &str) -> PathBuf {
        let at = |name| self.path(name).display().to_string();
        let text = format!(
            "engine = \"fake\"\ndocker-socket = \"none\"\nlog-format = \"json\"\nplugin-socket = \"{}\"\n\
             control-socket = \"{}\"\nstate-dir = \"{}\"\n{more}",
            at("plugin.sock"),
            at("control.sock"),
            at("state")
        );
        let file = self.path("config.toml");
        fs::write(&file, text).unwrap();
        file
    }

    fn serve(&self, more: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--config"]).arg(self.configure(more));
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
        command
    }

    fn post(&self, call: &str, body: &Value) -> Value {
        let path = format!("/NetworkDriver.{call}");
        exchange(&self.path("plugin.sock"), "POST", &path, body.to_string().as_bytes()).json()
    }
}

/// Starts it and waits for its word that it is ready, which is a JSON object.
fn start(command: &mut Command) -> Running {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let ready = loop {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the agent ended: {:?}", child.wait());
        let entry: Value = serde_json::from_str(&line).unwrap();
        if entry["fields"]["message"] == "ready" {
            break entry["fields"].clone();
        }
    };
    std::thread::spawn(move || drop(log.read_to_end(&mut Vec::new())));
    Running { child, ready }
}

/// What a command says on its standard output and its standard error, the latter on one line.
fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let error = text(&output.stderr).replace('│', " ");
    (text(&output.stdout), error.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn run(command: &mut Command, code: i32) -> (String, String) {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    said(&output)
}

fn config(arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("config").args(arguments).arg(file).env_remove("RUST_LOG");
    command
}

#[test]
fn mistakes_in_the_file_are_told_and_nothing_starts() {
    let place = Place::new();
    let file = place.configure("worker = 2\ncollect-every = \"often\"\n");
    let (_, error) = run(&mut config(&["check"], &file), 1);
    assert!(error.contains("line 7: unknown option `worker` (did you mean `workers`?)"), "{error}");
    assert!(error.contains("line 8: `collect-every`: `often`"), "{error}");
    let (json, _) = run(&mut config(&["check", "--json"], &file), 1);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(report["problems"][0]["line"], 7);
    assert_eq!(report["problems"][0]["key"], "worker");
    let mut serve = place.serve("worker = 2\n");
    let (_, error) = run(&mut serve, 1);
    assert!(error.contains("did you mean `workers`"), "{error}");
    assert!(!place.path("state").exists(), "nothing was begun");
    let (json, _) = run(&mut config(&["check", "--json"], &place.configure("workers = 2\n")), 0);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["valid"], true);
    assert_eq!(report["set"][6], "workers");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let missing = Path::new("/nowhere/config.toml");
    let (_, error) = run(&mut config(&["show", "--config"], missing), 1);
    assert!(error.contains("cannot read the configuration file /nowhere/config.toml"), "{error}");
    let (json, _) = run(&mut config(&["check", "--json"], missing), 1);
    assert!(json.contains("No such file"), "{json}");
}

#[test]
fn what_is_in_effect_is_shown_with_its_source() {
    let place = Place::new();
    let file = place.configure("workers = 2\nlog = \"warn\"\n");
    let mut command = config(&["show", "--json", "--workers", "3", "--config"], &file);
    let (json, _) = run(command.env("RUST_LOG", "debug"), 0);
    let shown: Value = serde_json::from_str(&json).unwrap();
    let setting = |key: &str| {
        let settings = shown["settings"].as_array().unwrap();
        settings.iter().find(|it| it["key"] == key).unwrap().clone()
    };
    assert_eq!(setting("workers")["value"], "3");
    assert_eq!(setting("workers")["source"]["kind"], "command-line");
    assert_eq!(setting("log")["value"], "debug");
    assert_eq!(setting("log")["source"]["variable"], "RUST_LOG");
    assert_eq!(setting("engine")["source"]["line"], 1);
    assert_eq!(setting("spin-microseconds")["source"]["kind"], "default");
    assert_eq!(setting("vpp-outside")["value"], Value::Null);
    let (table, _) = run(&mut config(&["show", "--config"], &file), 0);
    assert!(table.contains("file, line 7") && table.contains("default"), "{table}");
}

#[test]
fn metrics_tell_what_the_agent_has_and_did() {
    let place = Place::new();
    let socket = place.path("metrics.sock");
    let agent = start(&mut place.serve(&format!("metrics = \"unix:{}\"\n", socket.display())));
    assert_eq!(agent.ready["metrics"], format!("unix:{}", socket.display()));
    place.post("CreateNetwork", &network("abc1", 0));
    place.post("CreateEndpoint", &endpoint("abc1", "e1", "10.1.0.2/24"));
    place.post("CreateEndpoint", &endpoint("abc1", "e2", "10.1.0.3/24"));
    place.post("Join", &join("abc1", "e1", "/run/netns/1"));
    place.post("Join", &join("abc1", "gone", "/run/netns/1"));
    let control = place.path("control.sock");
    exchange(&control, "GET", "/v1/networks?network=abc", b"");
    exchange(&control, "GET", "/v1/nonsense", b"");
    let reply = exchange(&socket, "GET", "/metrics", b"");
    assert!(
        reply.head.to_lowercase().contains("content-type: text/plain; version=0.0.4"),
        "{}",
        reply.head
    );
    let metrics = Exposition::parse(&String::from_utf8(reply.body).unwrap());
    let version = env!("CARGO_PKG_VERSION");
    let one = |name: &str, labels: &[(&str, &str)]| metrics.value(name, labels);
    assert_eq!(one("dockervpp_build_info", &[("version", version), ("engine", "fake")]), Some(1.0));
    assert_eq!(one("dockervpp_networks", &[]), Some(1.0));
    assert_eq!(one("dockervpp_endpoints", &[("phase", "joined")]), Some(1.0));
    assert_eq!(one("dockervpp_endpoints", &[("phase", "idle")]), Some(1.0));
    let e1 = [("network", "abc1"), ("endpoint", "e1")];
    assert!(one("dockervpp_endpoint_receive_frames_total", &e1).is_some());
    for reason in ["full", "kernel-stray"] {
        let drops = [e1[0], e1[1], ("reason", reason)];
        assert_eq!(one("dockervpp_endpoint_drops_total", &drops), Some(0.0), "{reason}");
    }
    let answers = [e1[0], e1[1], ("kind", "answers")];
    assert_eq!(one("dockervpp_endpoint_name_packets_total", &answers), Some(0.0));
    let requests = |api, request, outcome| {
        let labels = [("api", api), ("request", request), ("outcome", outcome)];
        one("dockervpp_request_duration_seconds_count", &labels)
    };
    assert_eq!(requests("docker", "NetworkDriver.Join", "answered"), Some(1.0));
    assert_eq!(requests("docker", "NetworkDriver.Join", "refused"), Some(1.0));
    assert_eq!(requests("control", "/v1/networks", "answered"), Some(1.0));
    assert_eq!(requests("control", "unknown", "refused"), Some(1.0));
}

#[test]
fn metrics_over_tcp_are_for_this_host_unless_said_otherwise() {
    let place = Place::new();
    let mut serve = place.serve("metrics = \"tcp:0.0.0.0:0\"\n");
    let (_, error) = run(&mut serve, 1);
    assert!(error.contains("other hosts") && error.contains("--metrics-remote"), "{error}");
    for options in
        ["metrics = \"tcp:127.0.0.1:0\"\n", "metrics = \"tcp:0.0.0.0:0\"\nmetrics-remote = true\n"]
    {
        let agent = start(&mut place.serve(options));
        let port = agent.ready["metrics"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(Exposition::parse(body).value("dockervpp_networks", &[]), Some(0.0));
    }
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new();
    let path = place.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    // Only so that a broken agent fails the test instead of holding it up.
    manager.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let heard = || {
        let mut bytes = [0; 4096];
        let length = manager.recv(&mut bytes).expect("the agent says something");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command = place.serve("");
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let mut agent = start(&mut command);
    let mut words = Vec::new();
    while !(words.iter().any(|it: &String| it.contains("READY=1"))
        && words.iter().filter(|it| it.contains("WATCHDOG=1")).count() >= 2)
    {
        words.push(heard());
    }
    assert!(words.iter().any(|it| it.contains("STATUS=engine fake, 0 networks")), "{words:?}");
    // What it has now, not what it had when it began.
    place.post("CreateNetwork", &network("abc1", 0));
    while !heard().contains("STATUS=engine fake, 1 networks") {}
    kill_process(Pid::from_child(&agent.child), Signal::TERM).unwrap();
    while !heard().contains("STOPPING=1") {}
    assert!(agent.child.wait().unwrap().success());
}
