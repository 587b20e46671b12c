//! One end of a memif link, with one polling queue each way.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use memif::{
    Address, ClientConfig, InterfaceConfig, InterfaceId, Link, Listener, ListenerConfig,
    ListenerEvent, RxQueue, TxQueue,
};

use super::orders::tell;
use super::{End, Report, Role};

/// How long the other process may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);
const ID: InterfaceId = InterfaceId::new(0);

/// A connected end: the queues, and what keeps them connected.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) tx: TxQueue,
    pub(super) rx: RxQueue,
    _link: Link,
    _listener: Option<Listener>,
}

/// Connects, or waits for the client, and tells the parent.
pub(super) fn establish(end: &End) -> Result<Queues> {
    let address = Address::abstract_name(end.socket.as_str())?;
    let queues = match end.role {
        Role::Client => connect(&address)?,
        Role::Server => accept(&address)?,
    };
    tell(Report::Linked)?;
    Ok(queues)
}

/// A client with the default rings: 1024 slots of 2048 bytes.
pub(super) fn connect(address: &Address) -> Result<Queues> {
    let link = memif::connect(address, ClientConfig::new(ID), PATIENCE)?;
    take_queues(link, None)
}

fn accept(address: &Address) -> Result<Queues> {
    let mut listener = Listener::bind(address, ListenerConfig::default())
        .with_context(|| format!("cannot listen on {address}"))?;
    listener.add(InterfaceConfig::new(ID))?;
    tell(Report::Listening)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let now = Instant::now();
        ensure!(now < end, "no client came to {address}");
        for event in listener.poll(now)? {
            match event {
                ListenerEvent::Connected { link, .. } => return take_queues(link, Some(listener)),
                ListenerEvent::Refused { error, .. } => bail!("a client was refused: {error}"),
                _ => {}
            }
        }
        let next = listener.next_deadline().map_or(end, |next| next.min(end));
        memif::wait_readable(&[listener.as_fd()], Some(next.saturating_duration_since(now)))?;
    }
}

fn take_queues(mut link: Link, listener: Option<Listener>) -> Result<Queues> {
    let queues = link.take_queues().context("a new link has its queues")?;
    let (mut tx, mut rx) = (queues.tx, queues.rx);
    ensure!(tx.len() == 1 && rx.len() == 1, "not one queue each way");
    let (tx, mut rx) = (tx.remove(0), rx.remove(0));
    rx.disarm();
    Ok(Queues { tx, rx, _link: link, _listener: listener })
}
