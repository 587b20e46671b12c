//! A program with sessions, and the kernel's own TCP behind a TAP of the same bridge domain. Needs root
//! and /dev/net/tun, and says so when it is skipped.

mod exchange;
#[path = "../../stack/tests/lab/mod.rs"]
mod lab;
mod site;
#[path = "../../session/tests/support/mod.rs"]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use exchange::exchange;
use lab::kernel_stream::patient;
use lab::{both, ip, ipv4};
use rustix::event::PollFlags;
use session::Closed;
use session::broker::{SessionState, Way};
use session::layout::RingSize;
use session::wire::{Refusal, Reply, Transport};
use site::site;
use support::{End, PATIENCE, eventually, receive, wait};

#[test]
fn a_program_connects_to_the_kernel() {
    for ring in [RingSize::DEFAULT, RingSize::new(4096).expect("the smallest")] {
        let Some(site) = site(ring) else { return };
        for at in both(2) {
            let (listener, address) = site.kernel_listens(at);
            let end = site.connect(address).expect("connects");
            assert_eq!((end.info.transport, end.info.remote), (Transport::Stack, address));
            let (stream, from) = listener.accept().expect("accepts");
            assert_eq!(from, end.info.local);
            let seen = site.world.service.sessions();
            assert_eq!((seen.len(), seen[0].way), (1, Way::Stack));
            assert_eq!((seen[0].client, seen[0].server), (Some(site.program.key), None));
            assert_eq!(seen[0].state, SessionState::Open);
            exchange(&end, &stream);
            eventually("its frames are counted", || {
                let counted = site.host.counters().stack;
                counted.frames_in > 0 && counted.frames_out > 0 && counted.malformed == 0
            });
            drop(end);
            eventually("the session is forgotten", || site.world.service.sessions().is_empty());
        }
        drop(site.host);
    }
}

#[test]
fn the_kernel_connects_to_a_program() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let any: SocketAddr = "[::]:80".parse().expect("an address");
    let listening = site.program.listen_as(any, 16, session::wire::Reuse::default(), None, None);
    assert_eq!(listening.1, Reply::Listening);
    for at in both(1) {
        let stream = site.kernel_connects((at, 80).into()).expect("connects");
        let end = listening.0.accept();
        assert_eq!(end.info.transport, Transport::Stack);
        assert_eq!(end.info.remote, stream.local_addr().expect("bound"));
        assert_eq!(end.info.local, (at, 80).into());
        exchange(&end, &stream);
        let other = site.program.resume(std::os::fd::AsFd::as_fd(&end.socket));
        assert!(matches!(other.reply, Reply::Connected(info) if info == end.info));
    }
    drop(listening);
    eventually("the port is closed", || {
        let refused = site.kernel_connects((ipv4(1), 80).into());
        refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

#[test]
fn refusals_reach_the_program() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let closed = (ipv4(2), 1).into();
    assert_eq!(site.connect(closed).err(), Some(Reply::Refused(Refusal::Refused)));
    let nobody = (ipv4(77), 1).into();
    assert_eq!(site.connect(nobody).err(), Some(Reply::Refused(Refusal::Unreachable)));
    let counters = site.world.service.counters(site.program.key).expect("it is there");
    assert_eq!((counters.sessions, counters.refused), (0, 2));
}

#[test]
fn what_lies_beyond_the_network_goes_through_the_gateway() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    site.kernel.run(|| assert!(ip("address add 192.0.2.7/32 dev lo")));
    let (listener, address) = site.kernel_listens("192.0.2.7".parse().expect("an address"));
    let end = site.connect(address).expect("connects");
    let (stream, _) = listener.accept().expect("accepts");
    exchange(&end, &stream);
}

#[test]
fn a_reset_of_the_peer_reaches_the_program() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let (listener, address) = site.kernel_listens(ipv4(2).into());
    let end = site.connect(address).expect("connects");
    let (stream, _) = listener.accept().expect("accepts");
    // Bytes that nobody reads turn a close into a reset.
    end.write_all(b"unread");
    eventually("the byte is there", || stream.peek(&mut [0]).is_ok());
    drop(stream);
    wait(&end.socket, PollFlags::HUP);
    assert_eq!(end.stream().peer_closed(), Some(Closed::Reset));
}

#[test]
fn a_program_that_dies_leaves_an_end_or_a_reset() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let (listener, address) = site.kernel_listens(ipv4(2).into());
    // Everything was read: an end, after all that was written.
    let end = site.connect(address).expect("connects");
    let (mut stream, _) = listener.accept().expect("accepts");
    patient(&stream, PATIENCE);
    end.write_all(b"last words");
    drop(end);
    let mut words = String::new();
    stream.read_to_string(&mut words).expect("an orderly end");
    assert_eq!(words, "last words");
    // Something was not: a reset.
    let end = site.connect(address).expect("connects");
    let (mut stream, _) = listener.accept().expect("accepts");
    patient(&stream, PATIENCE);
    stream.write_all(b"not heard").expect("writes");
    wait_for_bytes(&end);
    drop(end);
    let error = stream.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    eventually("the sessions are forgotten", || site.world.service.sessions().is_empty());
}

fn wait_for_bytes(end: &End) {
    eventually("bytes are there", || end.stream().readable().is_ok_and(|count| count > 0));
}

#[test]
fn a_program_that_scribbles_loses_its_own_session_only() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let (listener, address) = site.kernel_listens(ipv4(2).into());
    let good = site.connect(address).expect("connects");
    let (good_stream, _) = listener.accept().expect("accepts");
    let bad = site.connect(address).expect("connects");
    let (mut bad_stream, _) = listener.accept().expect("accepts");
    patient(&bad_stream, PATIENCE);
    bad.scribble(u64::MAX / 2);
    bad.token_now();
    let error = bad_stream.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    exchange(&good, &good_stream);
}

#[test]
fn a_full_backlog_holds_connections_until_there_is_room() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let any: SocketAddr = "0.0.0.0:80".parse().expect("an address");
    let (listening, reply) =
        site.program.listen_as(any, 2, session::wire::Reuse::default(), None, None);
    assert_eq!(reply, Reply::Listening);
    std::thread::scope(|scope| {
        let site = &site;
        let connect = move || {
            let mut stream = site.kernel_connects((ipv4(1), 80).into()).expect("connects");
            patient(&stream, PATIENCE);
            stream.write_all(b"x").expect("writes");
            stream.read_exact(&mut [0]).expect("an answer");
        };
        let clients: Vec<_> = (0..12).map(|_| scope.spawn(connect)).collect();
        for _ in 0..12 {
            std::thread::sleep(Duration::from_millis(20));
            let end = listening.accept();
            assert_eq!(end.read(1), b"x");
            end.write_all(b"y");
            // The program goes when the peer has read it and gone.
            wait(&end.socket, PollFlags::RDHUP);
        }
        for client in clients {
            client.join().expect("no panic");
        }
    });
}

#[test]
fn the_end_of_the_station_ends_its_sessions() {
    let Some(site) = site(RingSize::DEFAULT) else { return };
    let (listener, address) = site.kernel_listens(ipv4(2).into());
    let end = site.connect(address).expect("connects");
    let (mut stream, _) = listener.accept().expect("accepts");
    patient(&stream, PATIENCE);
    let waiting = site.program.start_connect(None, (ipv4(66), 1).into());
    assert_eq!(receive(&waiting).expect("an answer").reply, Reply::Pending);
    eventually("the stack has the connect", || {
        let sessions = site.world.service.sessions();
        sessions.iter().any(|session| session.state == SessionState::Connecting)
    });
    drop(site.host);
    wait(&end.socket, PollFlags::HUP);
    let reply = receive(&waiting).expect("an answer").reply;
    assert_eq!(reply, Reply::Refused(Refusal::Unreachable));
    let error = stream.read(&mut [0; 16]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    drop((site.lab, site.kernel));
}
