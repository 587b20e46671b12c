//! The kernel of a container beside its network stack: it reaches name servers, and nobody else. Needs root and
//! /dev/net/tun, and says so when it is skipped.

#[path = "../../stack/tests/lab/mod.rs"]
mod lab;
mod site;
#[path = "../../session/tests/support/mod.rs"]
mod support;

use std::io::{ErrorKind, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::time::Duration;

use lab::kernel_stream::{patient, pour, swallow};
use lab::{Namespace, both, ip, ipv4};
use site::{Site, site_with_names};
use support::{PATIENCE, eventually};

/// As long as an answer over UDP ever gets that a resolver asks for (RFC 6891, 6.2.5).
const LONG: usize = 4096;

fn any(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn socket(of: &Namespace, at: SocketAddr) -> UdpSocket {
    let socket = of.run(move || UdpSocket::bind(at).expect("binds"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// The kernel beside the program asks over UDP, and is answered with `length` bytes.
fn ask(site: &Site, beside: &Namespace, server: IpAddr, length: usize) {
    let answers = socket(&site.kernel, (server, 53).into());
    let asks = socket(beside, (any(server), 0).into());
    asks.connect((server, 53)).expect("a route");
    asks.send(b"a question").expect("sent");
    let mut buffer = vec![0; LONG + 1];
    let (asked, from) = answers.recv_from(&mut buffer).expect("the server is asked");
    assert_eq!(&buffer[..asked], b"a question");
    assert_eq!(from.ip(), both(1)[usize::from(server.is_ipv6())], "by the endpoint");
    answers.send_to(&vec![7; length], from).expect("answers");
    let got = asks.recv(&mut buffer).expect("an answer from the server's own address");
    assert!(got == length && buffer[..got].iter().all(|byte| *byte == 7));
}

#[test]
fn datagrams_to_name_servers_are_answered() {
    let Some((site, beside)) = site_with_names() else { return };
    for server in both(2) {
        for length in [0, 100, LONG] {
            ask(&site, &beside, server, length);
        }
    }
    let counted = || {
        let names = site.host.counters().names;
        (names.queries, names.answers, names.strays)
    };
    eventually("all are counted", || counted() == (6, 6, 0));
}

#[test]
fn streams_to_name_servers_go_both_ways() {
    let Some((site, beside)) = site_with_names() else { return };
    for server in both(2) {
        let at = SocketAddr::new(server, 53);
        let listener = site.kernel.run(move || TcpListener::bind(at).expect("binds"));
        let near = beside.run(move || TcpStream::connect_timeout(&at, PATIENCE).expect("connects"));
        let (far, _) = listener.accept().expect("accepts");
        for stream in [&near, &far] {
            patient(stream, PATIENCE);
        }
        for (from, to) in [(&near, &far), (&far, &near)] {
            std::thread::scope(|scope| {
                let swallowed = scope.spawn(|| swallow(to));
                pour(from, 1_000_000);
                from.shutdown(Shutdown::Write).expect("open");
                assert_eq!(swallowed.join().expect("no panic"), 1_000_000);
            });
        }
    }
    assert_eq!(site.host.counters().names.strays, 0);
}

#[test]
fn a_port_that_nobody_serves_is_refused_at_once() {
    let Some((_site, beside)) = site_with_names() else { return };
    for server in both(2) {
        let asks = socket(&beside, (any(server), 0).into());
        asks.connect((server, 53)).expect("a route");
        asks.send(b"a question").expect("sent");
        let refused = asks.recv(&mut [0; 16]).expect_err("nobody is there");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn strays_are_counted_and_reach_nobody() {
    let Some((site, beside)) = site_with_names() else { return };
    for server in both(2) {
        let hears = socket(&site.kernel, (server, 5353).into());
        let before = site.host.counters().names.strays;
        let speaks = socket(&beside, (any(server), 0).into());
        speaks.send_to(b"nobody's", (server, 5353)).expect("sent");
        eventually("it is counted", || site.host.counters().names.strays > before);
        let at = SocketAddr::new(server, 80);
        let _listener = site.kernel.run(move || TcpListener::bind(at).expect("binds"));
        let soon = Duration::from_millis(300);
        let tried = beside.run(move || TcpStream::connect_timeout(&at, soon));
        assert_eq!(tried.expect_err("no way").kind(), ErrorKind::TimedOut);
        eventually("so is this", || site.host.counters().names.strays > before + 1);
        // A later question arrives; what came before it would have.
        ask(&site, &beside, server, 10);
        hears.set_nonblocking(true).expect("a socket");
        let heard = hears.recv(&mut [0; 16]);
        assert_eq!(heard.expect_err("nothing").kind(), ErrorKind::WouldBlock);
    }
    eventually("both are counted", || site.host.counters().names.queries == 2);
}

#[test]
fn the_interface_may_go_before_the_stack() {
    let Some((site, beside)) = site_with_names() else { return };
    ask(&site, &beside, ipv4(2).into(), 1);
    beside.run(|| assert!(ip("link delete eth0")));
    drop(beside);
    let (listener, address) = site.kernel_listens(ipv4(2).into());
    let _end = site.connect(address).expect("sessions go on");
    listener.accept().expect("accepts").0.write_all(b"!").expect("sent");
}

#[test]
fn nothing_of_the_interface_is_left_when_the_stack_ends() {
    let Some((site, beside)) = site_with_names() else { return };
    ask(&site, &beside, ipv4(2).into(), 1);
    drop(site.host);
    // It is not persistent: it goes with its last descriptor.
    let names =
        beside.run(|| std::fs::read_dir("/proc/thread-self/net/dev_snmp6").map(Iterator::count));
    assert_eq!(names.ok(), Some(1), "`lo` alone is left");
}
