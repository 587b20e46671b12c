//! One end of a memif link, with the asked number of queues each way.

use std::hint::spin_loop;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use memif::{
    Address, BufferSize, ClientConfig, InterfaceConfig, InterfaceId, Link, Listener,
    ListenerConfig, ListenerEvent, RxQueue, TxQueue,
};

use super::orders::tell;
use super::{End, Report, Role};
use crate::benchmark::Waiting;

/// How long the other process may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an adaptive receiver looks before it sleeps: as the workers of the data path.
const SPIN: Duration = Duration::from_micros(50);
/// Longest sleep: orders from the parent wake nobody.
const NAP: Duration = Duration::from_millis(5);
const ID: InterfaceId = InterfaceId::new(0);

/// A connected end: the queues, and what keeps them connected.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) tx: Vec<TxQueue>,
    pub(super) rx: Vec<RxQueue>,
    _link: Link,
    _listener: Option<Listener>,
}

impl Queues {
    /// Interrupts that this end sent.
    pub(super) fn kicks(&self) -> u64 {
        self.tx.iter().map(TxQueue::kicks).sum()
    }
}

/// What a receiver does while nothing comes.
#[derive(Debug)]
pub(super) struct Idle {
    waiting: Waiting,
    /// Since when nothing came; `None` when something came at the last look.
    since: Option<Instant>,
}

impl Idle {
    pub(super) fn new(waiting: Waiting) -> Self {
        Self { waiting, since: None }
    }

    /// After a look at all queues: whether something was there.
    #[inline]
    pub(super) fn looked(&mut self, found: bool, rx: &mut [RxQueue]) -> Result<()> {
        match self.waiting {
            Waiting::Polling | Waiting::Interrupt if found => Ok(()),
            Waiting::Polling => {
                spin_loop();
                Ok(())
            }
            Waiting::Interrupt => sleep(rx),
            Waiting::Adaptive if found => {
                self.since = None;
                Ok(())
            }
            Waiting::Adaptive => {
                if self.since.get_or_insert_with(Instant::now).elapsed() < SPIN {
                    spin_loop();
                    return Ok(());
                }
                sleep(rx)
            }
        }
    }
}

#[cold]
fn sleep(rx: &mut [RxQueue]) -> Result<()> {
    memif::wait_for_frames(rx, Some(NAP)).context("cannot wait for frames")
}

/// Connects, or waits for the client, and tells the parent.
pub(super) fn establish(end: &End) -> Result<Queues> {
    let address = Address::abstract_name(end.socket.as_str())?;
    let queues = match end.role {
        Role::Client => connect(&address, end.queues, end.slot)?,
        Role::Server => accept(&address)?,
    };
    ensure!(queues.tx.len() == usize::from(end.queues), "not {} queues", end.queues);
    tell(&Report::Linked)?;
    Ok(queues)
}

/// A client with rings of 1024 slots of so many bytes.
pub(super) fn connect(address: &Address, queues: u16, slot: u16) -> Result<Queues> {
    let config = ClientConfig {
        transmit_queues: queues,
        receive_queues: queues,
        buffer_size: BufferSize::new(slot).context("slots have at least 64 bytes")?,
        ..ClientConfig::new(ID)
    };
    take_queues(memif::connect(address, config, PATIENCE)?, None)
}

fn accept(address: &Address) -> Result<Queues> {
    let mut listener = Listener::bind(address, ListenerConfig::default())
        .with_context(|| format!("cannot listen on {address}"))?;
    listener.add(InterfaceConfig::new(ID))?;
    tell(&Report::Listening)?;
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
    let (tx, mut rx) = (queues.tx, queues.rx);
    ensure!(!tx.is_empty() && tx.len() == rx.len(), "not as many queues each way");
    rx.iter_mut().for_each(RxQueue::disarm);
    Ok(Queues { tx, rx, _link: link, _listener: listener })
}
