//! The examples do what they say, as processes, against each other and against the library.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use common::address;
use memif::memory::Queues;
use memif::{ClientConfig, InterfaceId, connect, wait_for_frames};

const PATIENCE: Duration = Duration::from_secs(30);

/// An example that is stopped when the test ends.
struct Example(Child);

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(folder().join(name));
        Self(command.args(arguments).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for its end; what it printed.
    fn output(mut self) -> String {
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().unwrap();
        std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Fails when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the examples are, built: a test run alone does not build them.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let build = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--examples", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .status()
            .unwrap();
        assert!(build.success());
        // target/debug/deps/examples-… → target/debug/examples, also in a release run.
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(3).unwrap().join("debug/examples")
    })
}

fn assert_field(json: &str, field: &str, value: u64) {
    let found = json.split(['{', ',', '}']).any(|it| it == format!("\"{field}\":{value}"));
    assert!(found, "{field} is not {value}: {json}");
}

fn assert_clean(json: &str, received: u64) {
    assert_field(json, "received", received);
    for field in ["lost", "disordered", "damaged", "foreign"] {
        assert_field(json, field, 0);
    }
}

#[test]
fn traffic_arrives_whole_and_in_order() {
    let place = address("traffic");
    let sink = Example::start("traffic", &[&format!("listen:{place}"), "receive", "--json"]);
    let endpoint = format!("connect:{place},queues=2,rsize=6,bsize=512");
    let sizes = "22,63,64,65,1500,4096";
    let options = ["send", "--count", "5000", "--size", sizes, "--json"];
    let source = Example::start("traffic", &[&[&endpoint[..]], &options[..]].concat()).output();
    assert_field(&source, "sent", 10_000);
    assert_field(&source, "unread", 0);
    assert_clean(&sink.output(), 10_000);
}

#[test]
fn sleeping_sink_is_woken_for_frames_that_come_now_and_then() {
    let place = address("sleep");
    let listen = format!("listen:{place}");
    let sink = Example::start("traffic", &[&listen, "receive", "--sleep", "--json"]);
    let connect = format!("connect:{place}");
    let options = ["send", "--count", "300", "--rate", "1000", "--json"];
    let source = Example::start("traffic", &[&[&connect[..]], &options[..]].concat()).output();
    assert_field(&source, "sent", 300);
    assert_clean(&sink.output(), 300);
}

#[test]
fn round_trips_return_whole() {
    let place = address("echo");
    let _echo = Example::start("traffic", &[&format!("listen:{place}"), "echo"]);
    let connect = format!("connect:{place}");
    let json = Example::start("traffic", &[&connect, "ping", "--count", "50", "--json"]).output();
    assert_clean(&json, 50);
    assert!(json.contains("\"round_trips\":{\"count\":50,"), "{json}");
}

#[test]
fn bridge_joins_two_links() {
    let (left, right) = (address("left"), address("right"));
    // Clients have room from the start (servers only when the client has posted buffers), and fewer
    // frames than the ring has slots fit in any case: none needs to be dropped.
    let ends = [format!("listen:{left}"), format!("connect:{right}")];
    let _bridge = Example::start("bridge_two", &[&ends[0], &ends[1]]);
    let sink = Example::start("traffic", &[&format!("listen:{right}"), "receive", "--json"]);
    let options = ["send", "--count", "500", "--size", "64,1500"];
    let connect = format!("connect:{left}");
    Example::start("traffic", &[&[&connect[..]], &options[..]].concat()).output();
    assert_clean(&sink.output(), 500);
}

fn ask(queues: &mut Queues, request: &[u8]) -> Vec<u8> {
    queues.tx[0].push(request).unwrap();
    queues.tx[0].flush().unwrap();
    loop {
        wait_for_frames(&mut queues.rx, Some(PATIENCE)).unwrap();
        let batch = queues.rx[0].batch(1).unwrap();
        if let Some(frame) = batch.frames().next() {
            return frame.to_vec();
        }
    }
}

fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

#[test]
fn responder_answers_arp_and_ping() {
    let place = address("ping");
    let arguments = [&format!("listen:{place}"), "192.0.2.1", "--mac", "02:00:00:00:00:aa"];
    let _responder = Example::start("ping_responder", &arguments);
    let mut link = connect(&place, ClientConfig::new(InterfaceId::default()), PATIENCE).unwrap();
    let mut queues = link.take_queues().unwrap();
    let (us, them) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0xaa]);
    let (our_ip, their_ip) = ([192, 0, 2, 9], [192, 0, 2, 1]);
    let arp = [1, 8, 0, 6, 4, 0];

    let request = [&[0xff; 6][..], &us, &[8, 6, 0], &arp, &[1], &us, &our_ip, &[0; 6], &their_ip];
    let expected = [&us[..], &them, &[8, 6, 0], &arp, &[2], &them, &their_ip, &us, &our_ip];
    assert_eq!(ask(&mut queues, &request.concat()), expected.concat());

    let header = [0x45, 0, 0, 32, 0, 1, 0, 0, 64, 1, 0, 0];
    let mut ip = [&header[..], &our_ip, &their_ip].concat();
    let sum = internet_checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut icmp = [&[8, 0, 0, 0, 0x12, 0x34, 0, 7][..], b"ping"].concat();
    let sum = internet_checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let reply = ask(&mut queues, &[&them[..], &us, &[8, 0], &ip, &icmp].concat());
    assert_eq!(reply[..14], [&us[..], &them, &[8, 0]].concat());
    assert_eq!(reply[26..34], [their_ip, our_ip].concat());
    assert_eq!(internet_checksum(&reply[14..34]), 0);
    assert_eq!(internet_checksum(&reply[34..]), 0);
    assert_eq!((reply[34], &reply[38..]), (0, &icmp[4..]));
}
