//! The broker with real sockets: programs that connect, listen, end and resume.

mod support;

use std::os::fd::AsFd;

use rustix::event::PollFlags;
use rustix::net::SocketType;
use session::wire::{Protocol, Refusal, Reply, Request, Reuse};

use support::{Listening, World, finish_connect, is, pair, receive};

#[test]
fn two_programs_are_connected_and_bytes_go_both_ways() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    let second = listening.accept();
    assert_eq!(first.info.id, second.info.id);
    assert_eq!((first.info.local, first.info.remote), (second.info.remote, second.info.local));
    assert_eq!(first.info.remote, server.at(80));
    assert_eq!(first.info.local.ip(), client.at(0).ip());
    assert_eq!(first.info.local.port(), 61_000);

    let sent: Vec<u8> = (0..3 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| first.write_all(&sent));
        scope.spawn(|| second.write_all(&sent));
        let received = scope.spawn(|| first.read(sent.len()));
        assert!(second.read(sent.len()) == sent, "bytes were garbled");
        assert!(received.join().unwrap() == sent, "bytes were garbled");
    });
    drop(first);
    assert!(is(&second.socket, PollFlags::HUP));
}

#[test]
fn nobody_listens_so_the_connect_is_refused() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let refused = client.connect(server.at(80)).map(|_| ()).unwrap_err();
    assert_eq!(refused, Reply::Refused(Refusal::Refused));
    let listening = server.listen(80);
    client.connect(server.at(80)).expect("a session");
    drop(listening);
    support::eventually("the listener is forgotten", || world.service.listeners().is_empty());
    let refused = client.connect(server.at(80)).map(|_| ()).unwrap_err();
    assert_eq!(refused, Reply::Refused(Refusal::Refused));
}

#[test]
fn two_tokens_make_an_end_unwritable_and_one_does_not() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    let second = listening.accept();
    for end in [&first, &second] {
        rustix::net::sockopt::set_socket_send_buffer_size(&end.socket, 0).unwrap();
    }
    for (own, other) in [(&first, &second), (&second, &first)] {
        assert!(support::send_raw(&own.socket, &[0]));
        assert!(is(&own.socket, PollFlags::OUT));
        assert!(support::send_raw(&own.socket, &[0]));
        assert!(!is(&own.socket, PollFlags::OUT));
        assert!(is(&other.socket, PollFlags::OUT));
        let mut tokens = [0; 8];
        rustix::net::recv(&other.socket, &mut tokens, rustix::net::RecvFlags::empty()).unwrap();
        assert!(is(&own.socket, PollFlags::OUT));
    }
}

#[test]
fn sessions_that_are_over_are_not_shown() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let ends: Vec<_> = (0..200)
        .map(|_| (client.connect(server.at(80)).expect("a session"), listening.accept()))
        .collect();
    assert_eq!(world.service.sessions().len(), 200);
    drop(ends);
    assert_eq!(world.service.sessions(), []);
}

#[test]
fn dropped_datagrams_are_counted_while_the_session_lasts_and_afterwards() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let protocol = Protocol::Datagram;
    let (near, far) = pair(SocketType::SEQPACKET);
    let (address, reuse, cookie) = (server.at(53), Reuse::default(), 1);
    let request = Request::Listen { protocol, address, backlog: 8, reuse, cookie };
    server.send(&request, &[far.as_fd()]);
    assert_eq!(receive(&near).expect("an answer").reply, Reply::Listening);
    let listening = Listening { near, cookie };
    let (near, far) = pair(SocketType::STREAM);
    let request =
        Request::Connect { protocol, source: None, destination: address, cookie: 2, sharing: 0 };
    client.send(&request, &[far.as_fd()]);
    let (first, second) = (finish_connect(near).expect("a session"), listening.accept());
    let dropped =
        |world: &World, key| world.service.counters(key).expect("it is there").datagrams_dropped;
    first.stream().count_dropped();
    first.stream().count_dropped();
    second.stream().count_dropped();
    assert_eq!((dropped(&world, client.key), dropped(&world, server.key)), (2, 1));
    drop((first, second));
    assert_eq!(world.service.sessions(), []);
    assert_eq!((dropped(&world, client.key), dropped(&world, server.key)), (2, 1));
}

#[test]
fn an_ended_broker_ends_no_session() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    let second = listening.accept();
    drop(world);
    first.write_all(b"still here");
    assert_eq!(second.read(10), b"still here");
    assert!(receive(&listening.near).is_none(), "the listener sees that the broker is gone");
}

#[test]
fn after_two_descriptions_the_kernel_socket_of_a_closed_listener_is_free() {
    let mut world = World::new();
    let server = world.endpoint(1);
    let any = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let port = std::net::TcpListener::bind(any).unwrap().local_addr().unwrap();
    for round in 0..200 {
        let kernel = std::net::TcpListener::bind(port).unwrap_or_else(|error| {
            panic!("round {round}: the broker still holds the listener: {error}")
        });
        let (listening, reply) =
            server.listen_as(port, 128, Reuse::default(), Some(kernel.as_fd()), None);
        assert_eq!(reply, Reply::Listening);
        drop((listening, kernel));
        server.describe();
        server.describe();
    }
}

#[test]
fn a_full_backlog_makes_the_next_wait_until_somebody_is_accepted() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let any = server.at(80);
    let (listening, reply) = server.listen_as(any, 2, Reuse::default(), None, None);
    assert_eq!(reply, Reply::Listening);
    // As in the kernel, one more waits than the backlog says.
    let queued: Vec<_> = (0..3).map(|_| client.connect(any).expect("a session")).collect();
    let [fourth, fifth] = [0, 1].map(|_| client.start_connect(None, any));
    for waiting in [&fourth, &fifth] {
        assert_eq!(receive(waiting).expect("an answer").reply, Reply::Pending);
    }
    assert_eq!(world.service.counters(client.key).unwrap().waiting, 2);
    for session in &queued {
        assert_eq!(listening.accept().info.id, session.info.id);
    }
    let [fourth, fifth] = [fourth, fifth].map(|near| finish_connect(near).expect("a session"));
    assert_eq!(listening.accept().info.id, fourth.info.id);
    assert_eq!(listening.accept().info.id, fifth.info.id);
    assert_eq!(world.service.counters(client.key).unwrap().waiting, 0);
}

#[test]
fn who_waits_for_a_listener_that_ends_is_refused() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let (listening, _) = server.listen_as(server.at(80), 1, Reuse::default(), None, None);
    let _queued: Vec<_> = (0..2).map(|_| client.connect(server.at(80)).expect("room")).collect();
    let near = client.start_connect(None, server.at(80));
    assert_eq!(receive(&near).expect("an answer").reply, Reply::Pending);
    drop(listening);
    let refused = receive(&near).expect("an answer").reply;
    assert_eq!(refused, Reply::Refused(Refusal::Refused));
}

#[test]
fn an_address_is_free_again_when_its_listener_has_ended() {
    let mut world = World::new();
    let server = world.endpoint(1);
    let (first, _) = server.listen_as(server.at(80), 1, Reuse::default(), None, None);
    let (_, reply) = server.listen_as(server.at(80), 1, Reuse::default(), None, None);
    assert_eq!(reply, Reply::Refused(Refusal::AddressInUse));
    // The same listener may register again, as a forked process does.
    let cookie = Some(first.cookie);
    let (again, reply) = server.listen_as(server.at(80), 1, Reuse::default(), None, cookie);
    assert_eq!(reply, Reply::Listening);
    drop((first, again));
    let (_third, reply) = server.listen_as(server.at(80), 1, Reuse::default(), None, None);
    assert_eq!(reply, Reply::Listening);
}

#[test]
fn both_sides_resume_by_their_descriptor_and_nobody_else_does() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    let second = listening.accept();
    for (program, end) in [(&client, &first), (&server, &second)] {
        let mut message = program.resume(end.socket.as_fd());
        assert_eq!(message.reply, Reply::Connected(end.info));
        let held = end.socket.try_clone().unwrap();
        let resumed = support::End::new(held, &message.descriptors.remove(0), end.info);
        resumed.write_all(b"again");
    }
    assert_eq!((first.read(5), second.read(5)), (b"again".to_vec(), b"again".to_vec()));
    assert_eq!(server.resume(first.socket.as_fd()).reply, Reply::UseKernel);
    assert_eq!(server.resume(listening.near.as_fd()).reply, Reply::Listening);
    let (stranger, _far) = pair(SocketType::STREAM);
    assert_eq!(client.resume(stranger.as_fd()).reply, Reply::UseKernel);
}

#[test]
fn connections_of_the_kernel_arrive_at_the_listener_too() {
    use std::net::{TcpListener, TcpStream};

    let mut world = World::new();
    let server = world.endpoint(1);
    let kernel = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = kernel.local_addr().unwrap();
    let any = server.at(address.port());
    let (listening, reply) = server.listen_as(any, 1, Reuse::default(), Some(kernel.as_fd()), None);
    assert_eq!(reply, Reply::Listening);
    let clients: Vec<_> = (0..6).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in &clients {
        let mut message = receive(&listening.near).expect("a connection");
        assert_eq!(message.reply, Reply::AcceptKernel);
        let accepted = TcpStream::from(message.descriptors.remove(0));
        let peer = accepted.peer_addr().unwrap();
        assert!(clients.iter().any(|client| client.local_addr().unwrap() == peer));
    }
}

#[test]
fn a_program_may_end_before_it_is_accepted_and_its_bytes_arrive() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    first.write_all(b"last words");
    drop(first);
    // Long enough for the broker to look at the session a few times.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let second = listening.accept();
    assert_eq!(second.read(10), b"last words");
}

#[test]
fn ten_thousand_sessions_leave_nothing_behind() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    drop(client.connect(server.at(80)).expect("a session"));
    drop(listening.accept());
    let sessions = |world: &World| world.service.sessions().len();
    support::eventually("the first is forgotten", || sessions(&world) == 0);
    for _ in 0..10_000 {
        drop(client.connect(server.at(80)).expect("a session"));
        drop(listening.accept());
    }
    support::eventually("all are forgotten", || sessions(&world) == 0);
    let left = world.service.counters(client.key).unwrap();
    assert_eq!((left.sessions, left.connected), (0, 10_001));
    let names = support::descriptors();
    let memories = names.iter().filter(|name| name.contains("dockervpp-session")).count();
    assert!(memories < 64, "{memories} memories are still open: {names:?}");
}

#[test]
fn what_sessions_do_can_be_seen() {
    use session::broker::SessionState;

    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    let second = listening.accept();
    first.write_all(b"12345");
    assert_eq!(second.read(3), b"123");
    second.stream().end();
    let [seen] = &world.service.sessions()[..] else { panic!("one session") };
    assert_eq!((seen.client, seen.server), (Some(client.key), Some(server.key)));
    assert_eq!((seen.directions[0].written, seen.directions[0].read), (5, 3));
    assert_eq!(seen.state, SessionState::HalfClosed);
    let [listener] = &world.service.listeners()[..] else { panic!("one listener") };
    assert_eq!((listener.endpoint, listener.port, listener.full), (server.key, 80, false));
}

#[test]
fn a_removed_endpoint_is_not_reached_any_more() {
    let mut world = World::new();
    let (server, client) = (world.endpoint(1), world.endpoint(2));
    let listening = server.listen(80);
    let first = client.connect(server.at(80)).expect("a session");
    let second = listening.accept();
    world.service.remove_endpoint(server.key);
    assert!(receive(&listening.near).is_none());
    let refused = client.connect(server.at(80)).map(|_| ()).unwrap_err();
    assert_eq!(refused, Reply::Refused(Refusal::Unreachable));
    first.write_all(b"on");
    assert_eq!(second.read(2), b"on");
}
