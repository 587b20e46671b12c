//! A listener and a client in one thread, driven by their descriptors and deadlines.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use memif::{
    Address, Client, ClientConfig, ClientEvent, InterfaceConfig, InterfaceId, Link, Listener,
    ListenerConfig, ListenerEvent, wait_readable,
};

/// Longer than anything here takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ID: InterfaceId = InterfaceId::new(7);

/// An abstract address that no other test uses.
pub(crate) fn address(name: &str) -> Address {
    format!("@memif-test/{}/{name}", std::process::id()).parse().unwrap()
}

pub(crate) fn listener(address: &Address) -> Listener {
    let mut listener = Listener::bind(address, ListenerConfig::default()).unwrap();
    listener.add(InterfaceConfig::new(ID)).unwrap();
    listener
}

pub(crate) fn client(address: &Address) -> Client {
    Client::new(address.clone(), ClientConfig::new(ID), Instant::now()).unwrap()
}

/// What happened at either end, in order.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) listener: Vec<ListenerEvent>,
    pub(crate) client: Vec<ClientEvent>,
}

/// Drives whichever of the two are given until `done` says so.
pub(crate) fn drive(
    mut listener: Option<&mut Listener>,
    mut client: Option<&mut Client>,
    mut done: impl FnMut(&Happened) -> bool,
) -> Happened {
    let end = Instant::now() + PATIENCE;
    let mut happened = Happened::default();
    loop {
        let now = Instant::now();
        if let Some(listener) = &mut listener {
            happened.listener.extend(listener.poll(now).unwrap());
        }
        if let Some(client) = &mut client {
            happened.client.extend(client.poll(now).unwrap());
        }
        if done(&happened) {
            return happened;
        }
        assert!(now < end, "nothing more happens after {happened:?}");
        let deadlines = [
            listener.as_ref().and_then(|listener| listener.next_deadline()),
            client.as_ref().and_then(|client| client.next_deadline()),
            Some(end),
        ];
        let until = deadlines.into_iter().flatten().min().unwrap();
        let fds = [
            listener.as_ref().map(|listener| listener.as_fd()),
            client.as_ref().map(|client| client.as_fd()),
        ];
        let fds: Vec<_> = fds.into_iter().flatten().collect();
        wait_readable(&fds, Some(until.saturating_duration_since(now))).unwrap();
    }
}

/// Both ends of a new link.
pub(crate) fn link(listener: &mut Listener, client: &mut Client) -> (Link, Link) {
    let happened = drive(Some(listener), Some(client), |happened| {
        let accepted =
            happened.listener.iter().any(|it| matches!(it, ListenerEvent::Connected { .. }));
        let connected = happened.client.iter().any(|it| matches!(it, ClientEvent::Connected(_)));
        accepted && connected
    });
    let server = happened.listener.into_iter().find_map(|event| match event {
        ListenerEvent::Connected { link, .. } => Some(link),
        _ => None,
    });
    let client = happened.client.into_iter().find_map(|event| match event {
        ClientEvent::Connected(link) => Some(link),
        _ => None,
    });
    (server.unwrap(), client.unwrap())
}

/// Until the listener reports something.
pub(crate) fn next_of_listener(listener: &mut Listener) -> ListenerEvent {
    drive(Some(listener), None, |happened| !happened.listener.is_empty()).listener.remove(0)
}

/// Until the client reports something.
pub(crate) fn next_of_client(client: &mut Client) -> ClientEvent {
    drive(None, Some(client), |happened| !happened.client.is_empty()).client.remove(0)
}
