//! Namespaces: entered and left again, watched for, let go.

use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use dockervpp::host::link::Links;
use dockervpp::host::netns::NetNs;
use dockervpp::host::root::HostRoot;
use dockervpp::host::socket::{AbstractName, SocketKind, listen_abstract};
use dockervpp::host::watch::{Attempt, Watch};

use crate::fixture::{Sandbox, eventually, listening, root_or_skip};

fn name(text: &str) -> AbstractName {
    AbstractName::new(text).unwrap()
}

#[test]
fn a_socket_bound_inside_is_seen_inside_only() {
    if !root_or_skip("a_socket_bound_inside_is_seen_inside_only") {
        return;
    }
    let sandbox = Sandbox::mounted();
    let socket = name("dockervpp-test/inside");
    let inside = sandbox.open();
    let listener = inside.run(|| listen_abstract(&socket, SocketKind::SeqPacket)).unwrap().unwrap();
    assert_eq!(sandbox.sockets(), ["@dockervpp-test/inside"]);
    assert!(!listening().contains(&socket.to_string()));
    drop(listener);
    assert!(sandbox.sockets().is_empty());
}

#[test]
fn the_caller_stays_where_it_is() {
    if !root_or_skip("the_caller_stays_where_it_is") {
        return;
    }
    let here = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let sandbox = Sandbox::mounted();
    let (before, inside) = (here(), sandbox.open().run(here).unwrap());
    assert_ne!(before, inside);
    assert_eq!(before, here());
}

#[test]
fn a_panic_inside_reaches_the_caller() {
    if !root_or_skip("a_panic_inside_reaches_the_caller") {
        return;
    }
    let sandbox = Sandbox::mounted();
    let outcome = std::panic::catch_unwind(|| sandbox.open().run(|| panic!("inside")));
    assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&"inside"));
}

#[test]
fn a_listener_pins_its_namespace_until_it_is_closed() {
    if !root_or_skip("a_listener_pins_its_namespace_until_it_is_closed") {
        return;
    }
    let (mut held, mut free) = (Sandbox::mounted(), Sandbox::mounted());
    let (held_witness, free_witness) = (held.witness("a"), free.witness("b"));
    let listen = || listen_abstract(&name("dockervpp-test/pin"), SocketKind::Stream);
    let listener = held.open().run(listen).unwrap().unwrap();
    held.remove();
    free.remove();
    let mut links = Links::open().unwrap();
    // Namespaces are torn down in the order in which they were let go.
    eventually("the namespace without a listener is gone", || {
        links.find(&free_witness).unwrap().is_none()
    });
    assert!(links.find(&held_witness).unwrap().is_some());
    drop(listener);
    eventually("the namespace is gone after the listener", || {
        links.find(&held_witness).unwrap().is_none()
    });
}

#[test]
fn a_watch_sees_a_namespace_that_is_mounted_later() {
    if !root_or_skip("a_watch_sees_a_namespace_that_is_mounted_later") {
        return;
    }
    let mut sandbox = Sandbox::absent();
    let watch = Watch::start().unwrap();
    let (seen, sightings) = mpsc::channel();
    let path = sandbox.path().to_owned();
    watch.add(sandbox.directory(), move || {
        let opened = NetNs::open(&HostRoot::own(), &path).unwrap();
        let attempt = if opened.is_some() { Attempt::Done } else { Attempt::Again };
        seen.send(opened.map(|netns| netns.run(listening).unwrap())).unwrap();
        attempt
    });
    assert!(sightings.recv().unwrap().is_none(), "before there is a file");
    sandbox.create_file();
    // One look that surely began after the file was there.
    for _ in 0..2 {
        assert!(sightings.recv().unwrap().is_none(), "while the file is empty");
    }
    sandbox.mount();
    eventually("the namespace is seen", || {
        sightings.recv_timeout(Duration::from_secs(20)).unwrap().is_some()
    });
}

#[test]
fn a_client_inside_reaches_the_listener() {
    if !root_or_skip("a_client_inside_reaches_the_listener") {
        return;
    }
    let sandbox = Sandbox::mounted();
    let inside = sandbox.open();
    let listen = || listen_abstract(&name("dockervpp-test/hello"), SocketKind::Stream);
    let listener = inside.run(listen).unwrap().unwrap();
    let mut client = inside
        .run(|| {
            let address =
                std::os::unix::net::SocketAddr::from_abstract_name("dockervpp-test/hello").unwrap();
            UnixStream::connect_addr(&address).unwrap()
        })
        .unwrap();
    let served = rustix::net::accept(&listener).unwrap();
    rustix::io::write(&served, b"hello").unwrap();
    drop(served);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}
