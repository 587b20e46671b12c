//! Published ports by sockets of the host: who connects there has a session with a program. Needs neither root nor
//! the network.

mod door;
mod exchange;
#[path = "../../stack/tests/lab/mod.rs"]
mod lab;
#[path = "../../session/tests/support/mod.rs"]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use door::{GATEWAY, Site, site};
use exchange::exchange;
use lab::ipv4;
use rustix::event::PollFlags;
use rustix::net::{SendFlags, send, sockopt};
use session::Closed;
use session::broker::{Limits, Way};
use session::layout::RingSize;
use session::wire::Transport;
use support::{End, Listening, PATIENCE, eventually, wait};

fn joined() -> (Site, Listening, End, TcpStream) {
    let site = site(RingSize::DEFAULT, Limits::default());
    let listening = site.listens(16);
    let stream = site.connects();
    let end = listening.accept();
    (site, listening, end, stream)
}

#[test]
fn much_goes_both_ways_and_the_program_sees_who_comes() {
    for ring in [RingSize::DEFAULT, RingSize::new(4096).expect("the smallest")] {
        let site = site(ring, Limits::default());
        let listening = site.listens(16);
        let stream = site.connects();
        let end = listening.accept();
        let port = stream.local_addr().expect("bound").port();
        assert_eq!(
            (end.info.local, end.info.remote),
            ((ipv4(1), 80).into(), (GATEWAY, port).into())
        );
        assert_eq!(end.info.transport, Transport::Stack);
        let seen = site.world.service.sessions();
        assert_eq!(
            (seen.len(), seen[0].way, seen[0].server),
            (1, Way::Splice, Some(site.program.key))
        );
        exchange(&end, &stream);
        drop((end, stream));
        eventually("the session is forgotten", || site.world.service.sessions().is_empty());
        let counters = site.world.service.counters(site.program.key).expect("it is there");
        assert_eq!((counters.sessions, counters.accepted), (0, 1));
    }
}

#[test]
fn a_port_refuses_unless_a_program_listens_and_is_free_when_the_door_is_closed() {
    let mut site = site(RingSize::DEFAULT, Limits::default());
    for _ in 0..2 {
        assert!(site.refuses(), "nobody listens");
        let listening = site.listens(16);
        // At once: the answer to the program comes after.
        let stream = site.connects();
        drop(listening.accept());
        drop((stream, listening));
        eventually("the port is closed", || site.refuses());
        let taken = TcpListener::bind(site.at).expect_err("it is kept");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    }
    let _listening = site.listens(16);
    site.door = None;
    TcpListener::bind(site.at).expect("the port is free");
}

#[test]
fn a_packet_client_has_the_address_for_itself() {
    let (site, listening, end, mut stream) = joined();
    let (told, tells) = std::sync::mpsc::channel();
    let splicer = site.host.splicer().expect("there is one");
    assert!(splicer.serves_for(Duration::MAX), "nobody else ever had the address");
    splicer.watch(move || told.send(()).expect("the test waits"));
    site.world.service.handle().set_packet_client(site.program.key, true);
    tells.recv_timeout(PATIENCE).expect("it is told");
    assert!(!splicer.serves() && site.refuses());
    assert_eq!(stream.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    wait(&end.socket, PollFlags::HUP);
    assert_eq!(end.stream().peer_closed(), Some(Closed::Reset));
    site.world.service.handle().set_packet_client(site.program.key, false);
    tells.recv_timeout(PATIENCE).expect("it is told");
    assert!(splicer.serves() && splicer.serves_for(Duration::ZERO));
    assert!(!splicer.serves_for(Duration::from_hours(1)), "a packet client was here just now");
    let _stream = site.connects();
    listening.accept();
}

#[test]
fn ends_and_resets_reach_the_other_side() {
    // The program dies with nothing left: an end, after all that it wrote.
    let (_site, _listening, end, mut stream) = joined();
    end.write_all(b"last words");
    drop(end);
    let mut words = String::new();
    stream.read_to_string(&mut words).expect("an orderly end");
    assert_eq!(words, "last words");
    // It did not read all: a reset.
    let (_site, _listening, end, mut stream) = joined();
    stream.write_all(b"not heard").expect("writes");
    eventually("the bytes are there", || end.stream().readable() == Ok(9));
    drop(end);
    assert_eq!(stream.read(&mut [0; 16]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    // The client does not read all, while the program sleeps.
    let (_site, _listening, end, stream) = joined();
    end.write_all(b"unread");
    eventually("the bytes are there", || stream.peek(&mut [0]).is_ok());
    drop(stream);
    wait(&end.socket, PollFlags::HUP);
    assert_eq!(end.stream().peer_closed(), Some(Closed::Reset));
}

#[test]
fn urgent_data_comes_in_line_and_hides_nothing() {
    let (_site, _listening, end, stream) = joined();
    // Held back until there is urgent data, so that all comes at once, while the thread sleeps.
    sockopt::set_tcp_cork(&stream, true).expect("a socket");
    for (bytes, flags) in [(&b"before"[..], SendFlags::empty()), (b"!", SendFlags::OOB)] {
        assert_eq!(send(&stream, bytes, flags), Ok(bytes.len()));
    }
    assert_eq!(end.read(7), b"before!");
    for (bytes, flags) in [(&b"1"[..], SendFlags::OOB), (b"after", SendFlags::empty())] {
        assert_eq!(send(&stream, bytes, flags), Ok(bytes.len()));
    }
    sockopt::set_tcp_cork(&stream, false).expect("a socket");
    assert_eq!(end.read(6), b"1after");
}

#[test]
fn connections_without_room_wait_until_there_is() {
    let site = site(RingSize::DEFAULT, Limits { sessions: 1, ..Limits::default() });
    let listening = site.listens(16);
    let first = site.connects();
    let mut second = site.connects();
    second.write_all(b"patience").expect("writes");
    let end = listening.accept();
    assert_eq!(end.info.remote.port(), first.local_addr().expect("bound").port());
    assert_eq!(site.world.service.sessions().len(), 1, "the limit holds");
    drop((end, first));
    let end = listening.accept();
    assert_eq!(end.read(8), b"patience");
}

#[test]
fn without_its_station_nothing_is_open() {
    let (site, _listening, end, mut stream) = joined();
    let Site { host, at, door, world, program, .. } = site;
    drop(host);
    wait(&end.socket, PollFlags::HUP);
    assert_eq!(stream.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(at).expect_err("nobody serves it");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop((door, program, world));
}
