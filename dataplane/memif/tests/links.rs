//! Links between a listener and clients of this crate, over real sockets and memory.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{ID, address, client, drive, link, listener, next_of_client, next_of_listener};
use memif::{
    AcceptError, Address, BufferSize, Client, ClientConfig, ClientEvent, ConnectError,
    DisconnectReason, HandshakeError, InterfaceConfig, InterfaceExists, InterfaceId, Link,
    Listener, ListenerConfig, ListenerEvent, Mode, Name, Reconnect, RingFault, RingSize, Role,
    RxQueue, Secret, TxQueue, connect, wait_for_frames,
};

/// One frame, from one end to the other.
fn exchange(tx: &mut TxQueue, rx: &mut RxQueue, frame: &[u8]) {
    tx.push(frame).unwrap();
    tx.flush().unwrap();
    let batch = rx.batch(64).unwrap();
    let received: Vec<_> = batch.frames().map(|frame| frame.to_vec()).collect();
    assert_eq!(received, [frame]);
}

#[test]
fn frames_pass_both_ways_on_every_queue() {
    let address = address("frames");
    let mut listener = listener(&address);
    let config = ClientConfig {
        transmit_queues: 2,
        receive_queues: 3,
        ring_size: RingSize::from_log2(3).unwrap(),
        buffer_size: BufferSize::new(256).unwrap(),
        interface: Name::new("c0").unwrap(),
        ..ClientConfig::new(ID)
    };
    let mut client = Client::new(address, config, Instant::now()).unwrap();
    let (mut at_server, mut at_client) = link(&mut listener, &mut client);
    assert_eq!((at_server.role(), at_client.role()), (Role::Server, Role::Client));
    assert_eq!((at_server.id(), at_client.id()), (ID, ID));
    assert_eq!(at_server.peer().interface.to_string(), "c0");
    assert_eq!(at_client.peer().interface.to_string(), "memif7");
    assert!(at_client.peer().application.to_string().starts_with("memif-rs"));
    assert_eq!(at_server.credentials().pid, i32::try_from(std::process::id()).unwrap());
    let mut server_queues = at_server.take_queues().unwrap();
    let mut client_queues = at_client.take_queues().unwrap();
    assert!(at_client.take_queues().is_none());
    assert_eq!((client_queues.tx.len(), client_queues.rx.len()), (2, 3));
    for (tx, rx) in client_queues.tx.iter_mut().zip(&mut server_queues.rx) {
        exchange(tx, rx, b"to the server");
        exchange(tx, rx, &[7; 1500]);
    }
    for (tx, rx) in server_queues.tx.iter_mut().zip(&mut client_queues.rx) {
        exchange(tx, rx, b"to the client");
        exchange(tx, rx, &[9; 1500]);
    }
}

#[test]
fn many_interfaces_share_a_listener() {
    let address = address("ids");
    let mut listener = listener(&address);
    let other = InterfaceId::new(u32::MAX);
    listener.add(InterfaceConfig::new(other)).unwrap();
    assert_eq!(listener.add(InterfaceConfig::new(other)), Err(InterfaceExists(other)));
    let mut first = client(&address);
    let mut second = Client::new(address, ClientConfig::new(other), Instant::now()).unwrap();
    let (first_link, _c) = link(&mut listener, &mut first);
    let (second_link, _d) = link(&mut listener, &mut second);
    assert_eq!((first_link.id(), second_link.id()), (ID, other));
    assert!(listener.is_connected(ID) && listener.is_connected(other));
}

fn refusal(listener: &mut Listener, client: &mut Client) -> (AcceptError, ConnectError) {
    let mut happened = drive(Some(listener), Some(client), |happened| {
        !happened.listener.is_empty() && !happened.client.is_empty()
    });
    let ListenerEvent::Refused { error: at_server, .. } = happened.listener.remove(0) else {
        panic!("{happened:?}")
    };
    let ClientEvent::Failed(at_client) = happened.client.remove(0) else { panic!("{happened:?}") };
    (at_server, at_client)
}

fn once(config: ClientConfig, address: &Address) -> Client {
    let config = ClientConfig { reconnect: Reconnect::Never, ..config };
    Client::new(address.clone(), config, Instant::now()).unwrap()
}

#[test]
fn what_does_not_match_is_refused_in_words() {
    let address = address("refusals");
    let mut listener = Listener::bind(&address, ListenerConfig::default()).unwrap();
    let secret = Secret::new("s3cret").unwrap();
    let config = InterfaceConfig { secret: Some(secret), ..InterfaceConfig::new(ID) };
    listener.add(config).unwrap();
    let good = ClientConfig { secret, ..ClientConfig::new(ID) };
    let cases = [
        (ClientConfig { id: InterfaceId::new(8), ..good }, "there is no interface 8"),
        (ClientConfig { secret: Secret::NONE, ..good }, "incorrect secret"),
        (ClientConfig { mode: Mode::Ip, ..good }, "mode mismatch"),
    ];
    for (config, words) in cases {
        let (at_server, at_client) = refusal(&mut listener, &mut once(config, &address));
        assert!(at_server.to_string().contains(words), "{at_server}");
        assert!(at_client.to_string().contains(words), "{at_client}");
    }
    link(&mut listener, &mut once(good, &address));
}

#[test]
fn memory_above_the_limits_is_refused() {
    let address = address("limits");
    let mut listener = Listener::bind(&address, ListenerConfig::default()).unwrap();
    let mut config = InterfaceConfig::new(ID);
    config.limits.region_bytes = 1 << 20;
    listener.add(config).unwrap();
    let (at_server, _) = refusal(&mut listener, &mut once(ClientConfig::new(ID), &address));
    let expected = HandshakeError::RegionSize { index: 0, size: 0, limit: 1 << 20 };
    let AcceptError::Handshake(error) = at_server else { panic!("{at_server}") };
    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&expected), "{error}");
}

#[test]
fn client_takes_fewer_rings_than_it_wanted() {
    let address = address("fewer");
    let mut listener = Listener::bind(&address, ListenerConfig::default()).unwrap();
    let mut config = InterfaceConfig::new(ID);
    config.limits.rings = 2;
    listener.add(config).unwrap();
    let config = ClientConfig { transmit_queues: 5, ..ClientConfig::new(ID) };
    let mut client = Client::new(address, config, Instant::now()).unwrap();
    let (mut at_server, mut at_client) = link(&mut listener, &mut client);
    assert_eq!(at_client.take_queues().unwrap().tx.len(), 2);
    assert_eq!(at_server.take_queues().unwrap().rx.len(), 2);
}

#[test]
fn second_client_is_refused_until_the_first_is_gone() {
    let address = address("second");
    let mut listener = listener(&address);
    let mut first = client(&address);
    let (_server, at_client) = link(&mut listener, &mut first);
    let (error, _) = refusal(&mut listener, &mut once(ClientConfig::new(ID), &address));
    assert!(matches!(error, AcceptError::Handshake(HandshakeError::Taken(id)) if id == ID));
    assert!(at_client.poll().is_none(), "the first is not disturbed");
    drop(at_client);
    drop(first);
    let mut second = once(ClientConfig::new(ID), &address);
    link(&mut listener, &mut second);
}

fn assert_closed(link: &mut Link, queues: memif::memory::Queues, reason: &DisconnectReason) {
    assert_eq!(link.poll().as_ref(), Some(reason));
    let mut queues = queues;
    assert_eq!(queues.rx[0].batch(8).unwrap_err(), RingFault::Disconnected);
}

#[test]
fn disconnect_of_the_client_reaches_the_server() {
    let address = address("client-leaves");
    let mut listener = listener(&address);
    let mut client = client(&address);
    let (mut at_server, at_client) = link(&mut listener, &mut client);
    let queues = at_server.take_queues().unwrap();
    at_client.disconnect("enough");
    let ListenerEvent::Disconnected { id, reason } = next_of_listener(&mut listener) else {
        panic!("not disconnected")
    };
    assert_eq!(id, ID);
    assert_eq!(reason.to_string(), "ended by the peer: enough");
    assert_closed(&mut at_server, queues, &reason);
}

#[test]
fn disconnect_of_the_server_reaches_the_client_which_comes_back() {
    let address = address("server-leaves");
    let mut listener = listener(&address);
    let mut client = client(&address);
    let (at_server, mut at_client) = link(&mut listener, &mut client);
    let queues = at_client.take_queues().unwrap();
    at_server.disconnect("restart");
    let ClientEvent::Disconnected(reason) = next_of_client(&mut client) else {
        panic!("not disconnected")
    };
    assert_eq!(reason.to_string(), "ended by the peer: restart");
    assert_closed(&mut at_client, queues, &reason);
    drop(at_client);
    link(&mut listener, &mut client);
}

#[test]
fn removed_interface_disconnects_its_client() {
    let address = address("removed");
    let mut listener = listener(&address);
    let mut client = client(&address);
    let (at_server, _at_client) = link(&mut listener, &mut client);
    assert!(listener.remove(ID));
    assert!(!listener.remove(ID));
    assert!(matches!(at_server.poll(), Some(DisconnectReason::Local(_))));
    let ClientEvent::Disconnected(reason) = next_of_client(&mut client) else { panic!() };
    assert_eq!(reason.to_string(), "ended by the peer: the interface was removed");
}

#[test]
fn link_outlives_its_listener() {
    let address = address("outlives");
    let mut listener = listener(&address);
    let mut client = client(&address);
    let (mut at_server, mut at_client) = link(&mut listener, &mut client);
    drop(listener);
    assert_eq!(at_server.poll(), None);
    assert_eq!(at_client.poll(), None);
    let (mut ours, mut theirs) =
        (at_server.take_queues().unwrap(), at_client.take_queues().unwrap());
    exchange(&mut theirs.tx[0], &mut ours.rx[0], b"still here");
}

#[test]
fn sleeping_receiver_is_woken_by_the_end_of_the_link() {
    let address = address("wake");
    let mut listener = listener(&address);
    let mut client = client(&address);
    let (mut at_server, at_client) = link(&mut listener, &mut client);
    let mut queues = at_server.take_queues().unwrap();
    let rx = queues.rx.remove(0);
    let sleeper = std::thread::spawn(move || {
        let mut queues = [rx];
        loop {
            wait_for_frames(&mut queues, None).unwrap();
            if let Err(fault) = queues[0].batch(8) {
                return fault;
            }
        }
    });
    drop(at_client);
    next_of_listener(&mut listener);
    assert_eq!(sleeper.join().unwrap(), RingFault::Disconnected);
}

#[test]
fn fault_of_a_queue_user_ends_the_link_for_both() {
    let address = address("fault");
    let mut listener = listener(&address);
    let mut client = client(&address);
    let (mut at_server, at_client) = link(&mut listener, &mut client);
    at_server.take_queues().unwrap().state.close();
    assert!(matches!(at_server.poll(), Some(DisconnectReason::Local(_))));
    assert!(matches!(next_of_listener(&mut listener), ListenerEvent::Disconnected { .. }));
    assert!(matches!(at_client.poll(), Some(DisconnectReason::Peer { .. })));
}

#[test]
fn client_waits_for_its_server() {
    let directory = tempfile::tempdir().unwrap();
    let address = Address::path(directory.path().join("memif.sock")).unwrap();
    let mut client = client(&address);
    let ClientEvent::Failed(error) = next_of_client(&mut client) else { panic!() };
    assert!(error.to_string().ends_with("is the server running?"), "{error}");
    let mut listener = listener(&address);
    link(&mut listener, &mut client);
}

#[test]
fn blocking_connect_gets_the_link_or_the_reason() {
    let address = address("blocking");
    let nobody = connect(&address, ClientConfig::new(ID), Duration::ZERO).unwrap_err();
    assert!(matches!(nobody, ConnectError::Unreachable { .. }));
    let mut listener = listener(&address);
    let server = std::thread::spawn(move || {
        let refused = next_of_listener(&mut listener);
        assert!(matches!(refused, ListenerEvent::Refused { .. }));
        (next_of_listener(&mut listener), listener)
    });
    let patience = Duration::from_secs(20);
    let wrong = ClientConfig::new(InterfaceId::new(1));
    let refused = connect(&address, wrong, patience).unwrap_err();
    assert!(matches!(refused, ConnectError::Handshake(HandshakeError::Refused { .. })));
    let link = connect(&address, ClientConfig::new(ID), patience).unwrap();
    let (event, _listener) = server.join().unwrap();
    assert!(matches!(event, ListenerEvent::Connected { .. }));
    assert_eq!(link.poll(), None);
}

#[test]
fn listener_in_another_network_namespace() {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo ready; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare of util-linux");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line != "ready\n" {
        eprintln!("skipped: no right to make a network namespace");
        child.wait().unwrap();
        return;
    }
    let namespace = File::open(format!("/proc/{}/ns/net", child.id())).unwrap();
    let address = address("netns");
    let mut listener =
        Listener::bind_in(namespace.as_fd(), &address, ListenerConfig::default()).unwrap();
    listener.add(InterfaceConfig::new(ID)).unwrap();
    let nobody = connect(&address, ClientConfig::new(ID), Duration::ZERO).unwrap_err();
    assert!(matches!(nobody, ConnectError::Unreachable { .. }), "the name is not in our namespace");
    let there = std::thread::spawn(move || {
        memif::netns::within(namespace.as_fd(), || {
            Ok(connect(&address, ClientConfig::new(ID), Duration::from_secs(20)))
        })
    });
    let event = next_of_listener(&mut listener);
    assert!(matches!(event, ListenerEvent::Connected { .. }), "{event:?}");
    there.join().unwrap().unwrap().unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
}
