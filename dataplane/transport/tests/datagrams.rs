//! Datagrams of a program with sessions, and the kernel's own UDP behind a TAP of the same bridge domain.
//! Needs root and /dev/net/tun, and says so when it is skipped.

#[path = "../../stack/tests/lab/mod.rs"]
mod lab;
mod site;
#[path = "../../session/tests/support/mod.rs"]
mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use lab::service::{fill_pattern, is_pattern};
use lab::{both, ip, ipv4};
use rustix::event::PollFlags;
use session::Closed;
use session::datagram::Mtu;
use session::layout::RingSize;
use session::wire::Transport;
use site::{Site, site, site_with};
use support::{PATIENCE, eventually, wait};

/// Sessions that peers may cause; as documented.
const MOST_BY_PEERS: usize = 256;

/// Datagrams: more than may be on the way to one neighbour, less than the kernel's buffer holds.
const COUNT: u32 = 100;

/// The longest datagram that an MTU of 1500 takes with IPv6, in one packet.
const ONE_PACKET: usize = 1500 - 40 - 8;

/// The longest of each version.
fn longest(of: IpAddr) -> usize {
    if of.is_ipv4() { 65_507 } else { 65_527 }
}

impl Site {
    fn kernel_socket(&self, at: IpAddr) -> (UdpSocket, SocketAddr) {
        let socket = self.kernel.run(move || UdpSocket::bind((at, 0)).expect("binds"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let address = socket.local_addr().expect("bound");
        (socket, address)
    }
}

fn pattern(length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    fill_pattern(length as u64, &mut data);
    data
}

#[test]
fn a_program_asks_and_the_kernel_answers() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    for at in both(2) {
        let (socket, address) = site.kernel_socket(at);
        let end = site.program.connect_datagrams(5000, address).expect("a session");
        assert_eq!((end.info.transport, end.info.remote), (Transport::Stack, address));
        let mut buffer = vec![0; 70_000];
        for length in [0, 1, 100, ONE_PACKET, ONE_PACKET + 1, 9000, longest(at)] {
            assert!(end.send_datagram(&pattern(length)));
            let (got, from) = socket.recv_from(&mut buffer).expect("it arrives");
            assert_eq!((got, from), (length, end.info.local));
            assert!(is_pattern(length as u64, &buffer[..got]));
            socket.send_to(&buffer[..got], from).expect("sends");
            assert_eq!(end.receive_datagram(), pattern(length));
        }
        drop(end);
        eventually("the session is forgotten", || site.world.service.sessions().is_empty());
    }
}

#[test]
fn the_kernel_asks_and_a_program_answers() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let listening = site.program.listen_for_datagrams("[::]:53".parse().expect("valid"), 16);
    let mut ends = Vec::new();
    for at in both(1) {
        let (socket, address) =
            site.kernel_socket(if at.is_ipv4() { ipv4(2).into() } else { lab::ipv6(2).into() });
        socket.send_to(b"first", (at, 53)).expect("sends");
        let end = listening.accept();
        assert_eq!((end.info.transport, end.info.remote), (Transport::Stack, address));
        assert_eq!(end.info.local, (at, 53).into());
        assert_eq!(end.receive_datagram(), b"first");
        // The second one comes the same way.
        for length in [ONE_PACKET, ONE_PACKET + 1, longest(at)] {
            socket.send_to(&pattern(length), (at, 53)).expect("sends");
            assert_eq!(end.receive_datagram(), pattern(length));
        }
        assert!(end.send_datagram(b"answer"));
        let mut buffer = [0; 64];
        let (got, from) = socket.recv_from(&mut buffer).expect("it arrives");
        assert_eq!((&buffer[..got], from), (&b"answer"[..], (at, 53).into()));
        ends.push(end);
    }
    // Nobody listens any more, and the sessions go on until they end.
    drop((listening, ends));
    eventually("the port is closed", || {
        let (socket, _) = site.kernel_socket(ipv4(2).into());
        socket.connect((ipv4(1), 53)).expect("connects");
        let _ = socket.send(b"x");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let error = socket.recv(&mut [0; 8]).expect_err("nobody answers");
        error.kind() == std::io::ErrorKind::ConnectionRefused
    });
}

#[test]
fn a_closed_port_ends_the_session_as_reset() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    for at in both(2) {
        let end = site.program.connect_datagrams(5001, (at, 9).into()).expect("a session");
        assert!(end.send_datagram(b"is anybody there?"));
        wait(&end.socket, PollFlags::HUP);
        assert_eq!(end.stream().peer_closed(), Some(Closed::Reset));
        drop(end);
        eventually("the session is forgotten", || site.world.service.sessions().is_empty());
    }
}

#[test]
fn a_burst_arrives_whole_and_in_order() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let (socket, address) = site.kernel_socket(ipv4(2).into());
    let end = site.program.connect_datagrams(5002, address).expect("a session");
    let mut buffer = [0; 8];
    // While a neighbour is asked for, few datagrams are kept.
    assert!(end.send_datagram(b"hello"));
    socket.recv_from(&mut buffer).expect("it arrives");
    for number in 0..COUNT {
        assert!(end.send_datagram(&number.to_ne_bytes()));
    }
    for number in 0..COUNT {
        let (got, _) = socket.recv_from(&mut buffer).expect("it arrives");
        assert_eq!(buffer[..got], number.to_ne_bytes());
    }
}

/// A receiver that does not read loses what its ring does not hold, and that is counted.
#[test]
fn datagrams_that_a_program_does_not_read_are_counted() {
    let Some(site) = site(RingSize::new(4096).expect("the smallest")) else { return };
    let (socket, _) = site.kernel_socket(ipv4(2).into());
    let listening = site.program.listen_for_datagrams("0.0.0.0:53".parse().expect("valid"), 16);
    socket.send_to(&0u32.to_ne_bytes(), (ipv4(1), 53)).expect("sends");
    let end = listening.accept();
    assert_eq!(end.receive_datagram(), 0u32.to_ne_bytes());
    // A record of four bytes takes sixteen.
    let (held, sent) = (4096 / 16, 1024);
    for number in 1..=sent {
        socket.send_to(&u32::to_ne_bytes(number), (ipv4(1), 53)).expect("sends");
        // Not more than the kernel of the other side and the worker take at once.
        if number % 64 == 0 {
            let there = u64::from(number.min(held));
            eventually("they are there, or counted", || {
                let counters = site.world.service.counters(site.program.key).expect("there");
                let waiting = end.stream().readable().expect("sound") as u64 / 16;
                waiting == there && waiting + counters.datagrams_overflowed == u64::from(number)
            });
        }
    }
    for number in 1..=held {
        assert_eq!(end.receive_datagram(), number.to_ne_bytes());
    }
    drop(end);
    eventually("what was lost stays counted", || {
        let counters = site.world.service.counters(site.program.key).expect("there");
        site.world.service.sessions().is_empty()
            && counters.datagrams_overflowed == u64::from(sent - held)
    });
}

/// The kernel as a router to a network of packets with 1000 bytes at most.
fn route_to_a_narrow_network(site: &Site) {
    site.kernel.run(|| {
        assert!(ip("link add narrow mtu 1000 type veth peer name beyond"));
        assert!(ip("link set narrow up"));
        assert!(ip("link set beyond up"));
        assert!(ip("address add 198.51.100.1/24 dev narrow"));
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root");
    });
}

#[test]
fn a_program_is_told_how_long_packets_may_be() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    route_to_a_narrow_network(&site);
    let end = site.program.connect_datagrams(5006, ([198, 51, 100, 9], 9).into());
    let end = end.expect("a session");
    let told = |mtu| eventually("it is told", || end.stream().told_mtu() == Some(mtu));
    told(Mtu { path: 1500, own: 1500 });
    assert!(end.send_datagram(&pattern(1400)));
    told(Mtu { path: 1000, own: 1500 });
}

#[test]
fn a_program_that_sends_nothing_is_told_when_a_router_is_believed_no_more() {
    let shortly = |config: &mut stack::Config| config.path_timeout = Duration::from_secs(1);
    let Some(site) = site_with(RingSize::DEFAULT, shortly) else { return };
    route_to_a_narrow_network(&site);
    let end = site.program.connect_datagrams(5007, ([198, 51, 100, 9], 9).into());
    let end = end.expect("a session");
    eventually("it is told what the router says", || {
        // Again, when that was over before it was seen.
        end.send_datagram(&pattern(1400));
        end.stream().told_mtu() == Some(Mtu { path: 1000, own: 1500 })
    });
    eventually("it is told that longer ones may pass now", || {
        end.stream().told_mtu() == Some(Mtu { path: 1500, own: 1500 })
    });
}

/// More than any queue on the way holds: the sender waits, nothing is lost.
#[test]
fn what_the_stack_took_arrives_though_it_is_much() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    for at in both(2) {
        let (socket, address) = site.kernel_socket(at);
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20).expect("root");
        let end = site.program.connect_datagrams(5005, address).expect("a session");
        let (mut buffer, count) = (vec![0; 2000], 20_000_u32);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..count {
                    let mut data = pattern(1200);
                    data[..4].copy_from_slice(&number.to_ne_bytes());
                    while !end.send_datagram(&data) {
                        std::thread::yield_now();
                    }
                }
            });
            for number in 0..count {
                let (got, _) = socket.recv_from(&mut buffer).expect("it arrives");
                assert_eq!((got, &buffer[..4]), (1200, &number.to_ne_bytes()[..]));
            }
        });
    }
}

#[test]
fn peers_that_are_many_cost_a_bounded_number_of_sessions() {
    let Some(site) = site(RingSize::new(4096).expect("the smallest")) else { return };
    let listening = site.program.listen_for_datagrams("0.0.0.0:53".parse().expect("valid"), 4096);
    // They keep their ports.
    let mut sockets = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..MOST_BY_PEERS + 50 {
        let (socket, address) = site.kernel_socket(ipv4(2).into());
        socket.send_to(b"hello", (ipv4(1), 53)).expect("sends");
        let end = listening.accept();
        assert_eq!(end.info.remote, address);
        sockets.push(socket);
        ends.push(end);
    }
    let gone = || ends.iter().filter(|end| end.stream().peer_left()).count();
    eventually("those that were used least recently gave way", || gone() >= 50);
    // What they were sent can still be read.
    assert!(ends.iter().all(|end| end.receive_datagram() == b"hello"));
    assert!(ends.iter().rev().take(200).all(|end| !end.stream().peer_left()));
}

#[test]
fn a_program_that_scribbles_loses_its_own_session_only() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let (socket, address) = site.kernel_socket(ipv4(2).into());
    let good = site.program.connect_datagrams(5003, address).expect("a session");
    let bad = site.program.connect_datagrams(5004, address).expect("a session");
    bad.scribble(u64::MAX / 2);
    bad.token_now();
    wait(&bad.socket, PollFlags::HUP);
    assert!(good.send_datagram(b"still here"));
    let mut buffer = [0; 64];
    let (got, _) = socket.recv_from(&mut buffer).expect("it arrives");
    assert_eq!(&buffer[..got], b"still here");
}
