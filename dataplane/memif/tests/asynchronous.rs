//! The tokio wrappers, against each other.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{ID, address};
use memif::tokio::{AsyncClient, AsyncLink, AsyncListener, AsyncRx, QueueError, send};
use memif::{
    ClientConfig, ConnectError, DisconnectReason, HandshakeError, InterfaceId, Link, ListenerEvent,
    Reconnect, RingFault, RingSize,
};

async fn accept(listener: &mut AsyncListener) -> Link {
    loop {
        if let ListenerEvent::Connected { link, .. } = listener.next_event().await.unwrap() {
            return link;
        }
    }
}

async fn pair(name: &str) -> (AsyncListener, AsyncClient, Link, Link) {
    let address = address(name);
    let mut listener = AsyncListener::new(common::listener(&address)).unwrap();
    let config =
        ClientConfig { ring_size: RingSize::from_log2(2).unwrap(), ..ClientConfig::new(ID) };
    let client = memif::Client::new(address, config, std::time::Instant::now()).unwrap();
    let mut client = AsyncClient::new(client).unwrap();
    let (server, link) = tokio::join!(accept(&mut listener), client.connect());
    (listener, client, server, link.unwrap())
}

#[tokio::test]
async fn frames_are_awaited_and_a_full_ring_is_waited_for() {
    let (_listener, _client, mut server, mut client) = pair("async-frames").await;
    let mut tx = client.take_queues().unwrap().tx.remove(0);
    let mut rx = AsyncRx::new(server.take_queues().unwrap().rx.remove(0)).unwrap();
    let sender = tokio::spawn(async move {
        for number in 0..1000_u32 {
            send(&mut tx, &number.to_le_bytes()).await.unwrap();
        }
        tx
    });
    let mut expected = 0_u32;
    while expected < 1000 {
        rx.ready().await.unwrap();
        for frame in rx.get_mut().batch(64).unwrap().frames() {
            assert_eq!(frame.to_vec(), expected.to_le_bytes());
            expected += 1;
        }
    }
    sender.await.unwrap();
}

#[tokio::test]
async fn end_of_a_link_wakes_everyone() {
    let (mut listener, mut client, mut server, at_client) = pair("async-end").await;
    let mut rx = AsyncRx::new(server.take_queues().unwrap().rx.remove(0)).unwrap();
    let server = AsyncLink::new(server).unwrap();
    let sleeper = tokio::spawn(async move { rx.ready().await });
    tokio::task::yield_now().await;
    at_client.disconnect("done");
    let reason = server.closed().await.unwrap();
    assert!(matches!(reason, DisconnectReason::Peer { .. }), "{reason}");
    let woken = sleeper.await.unwrap();
    assert!(matches!(woken, Err(QueueError::Fault(RingFault::Disconnected))), "{woken:?}");
    let again = tokio::join!(accept(&mut listener), client.connect());
    assert!(again.1.is_ok(), "the client came back");
}

#[tokio::test]
async fn refusal_ends_a_client_that_tries_once() {
    let address = address("async-refusal");
    let mut listener = AsyncListener::new(common::listener(&address)).unwrap();
    let config =
        ClientConfig { reconnect: Reconnect::Never, ..ClientConfig::new(InterfaceId::new(8)) };
    let client = memif::Client::new(address, config, std::time::Instant::now()).unwrap();
    let mut client = AsyncClient::new(client).unwrap();
    let (event, outcome) = tokio::join!(listener.next_event(), client.connect());
    assert!(matches!(event.unwrap(), ListenerEvent::Refused { .. }));
    let error = outcome.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::Refused { .. })), "{error}");
}
