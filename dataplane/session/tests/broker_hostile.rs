//! Programs that do what they should not, and others that must not notice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::{SocketType, sockopt};
use session::broker::{Endpoint, Limits, Rate};
use session::wire::{Protocol, REQUEST_BYTES, Refusal, Reply, Request, Reuse};

use support::{World, eventually, pair, receive, spec};

/// Two well-behaved endpoints connect.
fn others_go_on(world: &mut World) {
    let (server, client) = (world.endpoint(101), world.endpoint(102));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    let second = listening.accept();
    first.write_all(b"fine");
    assert_eq!(second.read(4), b"fine");
}

#[test]
fn garbage_is_counted_and_answered_where_it_can_be() {
    let mut world = World::new();
    let hostile = world.endpoint(1);
    for len in [0, 1, REQUEST_BYTES - 1, REQUEST_BYTES, REQUEST_BYTES + 1, 4000] {
        hostile.send_bytes(&vec![0xaa; len], &[]);
    }
    let (near, far) = pair(SocketType::STREAM);
    hostile.send_bytes(&[0xaa; REQUEST_BYTES], &[far.as_fd()]);
    let refused = |refusal| Reply::Refused(refusal);
    assert_eq!(receive(&near).expect("an answer").reply, refused(Refusal::Malformed));
    let mut newer = Request::Describe.encode();
    newer[4] = 9;
    hostile.send_bytes(&newer, &[far.as_fd()]);
    assert_eq!(receive(&near).expect("an answer").reply, refused(Refusal::Version));
    assert!(world.service.counters(hostile.key).unwrap().malformed >= 8);
    others_go_on(&mut world);
}

#[test]
fn descriptors_that_are_no_sockets_are_turned_away() {
    let mut world = World::new();
    let (hostile, server) = (world.endpoint(1), world.endpoint(2));
    let _listening = server.listen(80);
    let connect = Request::Connect {
        protocol: Protocol::Stream,
        source: None,
        destination: server.at(80),
        cookie: 7,
        sharing: 0,
    };
    let file = std::fs::File::open("/dev/null").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (reader, _writer) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let listen = Request::Listen {
        protocol: Protocol::Stream,
        address: hostile.at(81),
        backlog: 1,
        reuse: Reuse::default(),
        cookie: 1,
    };
    for bad in [file.as_fd(), tcp.as_fd(), reader.as_fd()] {
        for request in [connect, listen, Request::Describe, Request::Resume] {
            hostile.send(&request, &[bad]);
            hostile.send(&request, &[bad, bad]);
        }
    }
    eventually("all are counted", || world.service.counters(hostile.key).unwrap().malformed == 24);
    // A listener's kernel socket that is none is left out.
    let (near, far) = pair(SocketType::SEQPACKET);
    hostile.send(&listen, &[far.as_fd(), file.as_fd()]);
    assert_eq!(receive(&near).expect("an answer").reply, Reply::Listening);
    others_go_on(&mut world);
}

#[test]
fn a_flood_of_descriptors_is_closed() {
    let mut world = World::new();
    let hostile = world.endpoint(1);
    let (one, _other) = pair(SocketType::STREAM);
    let many: Vec<BorrowedFd<'_>> = (0..253).map(|_| one.as_fd()).collect();
    let before = support::descriptors().len();
    for _ in 0..200 {
        hostile.send(&Request::Describe, &many);
    }
    eventually("all are counted", || world.service.counters(hostile.key).unwrap().malformed == 200);
    eventually("all are closed", || support::descriptors().len() <= before + 8);
    others_go_on(&mut world);
}

#[test]
fn who_reads_no_replies_holds_nobody_up() {
    let mut world = World::new();
    let hostile = world.endpoint(1);
    let (near, far) = pair(SocketType::STREAM);
    sockopt::set_socket_send_buffer_size(&far, 0).unwrap();
    for _ in 0..500 {
        hostile.send(&Request::Describe, &[far.as_fd()]);
    }
    eventually("replies get lost", || world.service.counters(hostile.key).unwrap().undelivered > 0);
    others_go_on(&mut world);
    drop(near);
}

#[test]
fn a_listener_that_never_accepts_fills_its_own_backlog_only() {
    let mut world = World::new();
    let limits = Limits { waiting: 10, ..Limits::default() };
    let hostile = world.endpoint(1);
    let client = world.endpoint_with(Endpoint { limits, ..spec(1, 2) });
    let _listening = hostile.listen_as(hostile.at(80), 1, Reuse::default(), None, None);
    let all: Vec<_> = (0..20).map(|_| client.start_connect(None, hostile.at(80))).collect();
    let mut replies: Vec<_> = all.iter().map(|it| receive(it).expect("an answer").reply).collect();
    assert!(matches!(replies[..2], [Reply::Connected(_), Reply::Connected(_)]));
    let over = replies.split_off(12);
    assert!(replies[2..].iter().all(|reply| *reply == Reply::Pending));
    assert!(over.iter().all(|reply| *reply == Reply::Refused(Refusal::Limit)));
    others_go_on(&mut world);
}

#[test]
fn another_network_is_out_of_reach() {
    let mut world = World::new();
    let server = world.endpoint_with(spec(1, 1));
    let same = world.endpoint_with(spec(2, 1));
    let stranger = world.endpoint_with(spec(2, 2));
    let _listening = server.listen(80);
    let refused = stranger.connect(server.at(80)).map(|_| ()).unwrap_err();
    assert_eq!(refused, Reply::Refused(Refusal::Refused));
    // The same addresses may be used in both networks.
    let listening = same.listen(80);
    let session = stranger.connect(same.at(80)).expect("a session");
    assert_eq!(listening.accept().info.id, session.info.id);
    // A descriptor of a session of another endpoint resumes nothing.
    assert_eq!(server.resume(session.socket.as_fd()).reply, Reply::UseKernel);
}

#[test]
fn sessions_are_limited_and_a_released_lock_frees_no_memory_of_others() {
    let mut world = World::new();
    let limits = Limits { sessions: 5, ..Limits::default() };
    let server = world.endpoint(1);
    let client = world.endpoint_with(Endpoint { limits, ..spec(1, 2) });
    let listening = server.listen(80);
    let all: Vec<_> = (0..5).map(|_| client.connect(server.at(80)).expect("room")).collect();
    let refused = client.connect(server.at(80)).map(|_| ()).unwrap_err();
    assert_eq!(refused, Reply::Refused(Refusal::Limit));
    let accepted: Vec<_> = all.iter().map(|_| listening.accept()).collect();
    drop((all, accepted));
    eventually("there is room again", || client.connect(server.at(80)).is_ok());
}

#[test]
fn who_makes_sessions_too_fast_is_refused_and_nobody_else() {
    let mut world = World::new();
    // So slow that time gives nothing during the test.
    let new_sessions = Some(Rate { per_second: 1, burst: 40 });
    let limits = Limits { new_sessions, ..Limits::default() };
    let server = world.endpoint(1);
    let hasty = world.endpoint_with(Endpoint { limits, ..spec(1, 2) });
    let listening = server.listen(80);
    let mut refused = 0;
    for _ in 0..100 {
        match hasty.connect(server.at(80)) {
            Ok(session) => drop((session, listening.accept())),
            Err(reply) => {
                assert_eq!(reply, Reply::Refused(Refusal::Limit));
                refused += 1;
            }
        }
    }
    // What leads to no session costs nothing, and is answered as ever.
    let nobody = hasty.connect(server.at(81)).map(|_| ()).unwrap_err();
    assert_eq!(nobody, Reply::Refused(Refusal::Refused));
    let counters = world.service.counters(hasty.key).unwrap();
    assert_eq!((counters.connected, counters.over_rate), (100 - refused, refused));
    assert!((30..=60).contains(&refused), "{refused}");
    assert_eq!(counters.over_limit, 0);
    let other = world.endpoint(3);
    other.connect(server.at(80)).expect("others have a rate of their own");
}

/// A socket whose last close waits: data that its peer never takes, and `SO_LINGER`.
fn lingering() -> (std::net::TcpListener, std::net::TcpStream) {
    use std::io::Write;

    // More than what the peer's kernel takes for a program that does not read: some of it waits,
    // whether the kernel is short of memory for sockets now and no longer is later.
    const TAKEN: usize = 1024;
    const WRITTEN: usize = 8 * 1024;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Connections get theirs from the listener.
    sockopt::set_socket_recv_buffer_size(&listener, TAKEN).unwrap();
    let mut stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // What is set is not made smaller when memory is short.
    sockopt::set_socket_send_buffer_size(&stream, 2 * WRITTEN).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    eventually("the kernel takes what its peer does not", || {
        while let Ok(bytes) = stream.write(&[0; 1024]) {
            written += bytes;
        }
        written >= WRITTEN
    });
    sockopt::set_socket_linger(&stream, Some(Duration::from_secs(15))).unwrap();
    (listener, stream)
}

#[test]
fn a_descriptor_that_takes_long_to_close_costs_its_owner_the_broker() {
    let mut world = World::new();
    let (hostile, socket) = world.unserved(spec(1, 1));
    // Whoever closes a descriptor last waits. Here that is the broker, which gets the message only when
    // nobody else has the descriptors any more.
    let (peers, streams): (Vec<_>, Vec<_>) = (0..12).map(|_| lingering()).unzip();
    let (near, far) = pair(SocketType::STREAM);
    let sent: Vec<_> =
        std::iter::once(far.as_fd()).chain(streams.iter().map(AsFd::as_fd)).collect();
    hostile.send(&Request::Describe, &sent);
    drop((streams, far));
    world.service.serve(hostile.key, socket).expect("the socket is served");
    assert_eq!(receive(&near).expect("an answer").reply, Reply::Refused(Refusal::Malformed));
    // The broker gives an endpoint up that holds it for more than half a second.
    eventually("the hostile endpoint is not served any more", || !hostile.is_heard());
    others_go_on(&mut world);
    drop(peers);
}
