//! One stream over VPP's VCL by a program that is written for it: both ends poll, and what they exchange goes past
//! VPP (cut-through).

use std::hint::spin_loop;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use vcl_sys::{
    App, CallError, Config, Epoll, ErrorKind, Events, Library, Protocol, Ready, Session,
};

use super::orders::{Meter, tell};
use super::rest::Rest;
use super::{Report, Tally};

/// Bytes of one call, as iperf3 has.
const BUFFER: usize = 128 << 10;
/// Bytes of a FIFO, as with the preload library.
const FIFO: u32 = 4 << 20;
/// Longest time until both ends have each other.
const PATIENCE: Duration = Duration::from_secs(20);

/// One end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VclEnd {
    /// libvppcom.
    pub(crate) library: PathBuf,
    /// VPP's app socket.
    pub(crate) socket: String,
    /// Where the receiver listens.
    pub(crate) address: std::net::SocketAddr,
    pub(crate) cpu: usize,
}

/// Sends until told to stop; counts bytes as sent.
pub(super) fn send(end: &VclEnd) -> Result<()> {
    let mut meter = Meter::start()?;
    let worker = attach(end, "bench-sender")?;
    let epoll = worker.epoll()?;
    let session = worker.session(Protocol::Tcp)?;
    session.connect(end.address)?;
    let mut events = watch(&epoll, &session)?;
    ensure!(epoll.wait(&mut events, Some(PATIENCE))? > 0, "the receiver does not answer");
    if let Some(error) = session.error()? {
        bail!("no connection to {}: {error}", end.address);
    }
    tell(&Report::Linked)?;
    let buffer = vec![0x61; BUFFER];
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        let bytes = unless_blocked(session.write(&buffer))?;
        tally.sent += bytes as u64;
        if bytes == 0 {
            look(&epoll, &mut events)?;
        }
    }
    ensure!(tally.sent > 0, "nothing was sent");
    meter.finish(tally)
}

/// Receives until told to stop, and then what still comes.
pub(super) fn receive(end: &VclEnd) -> Result<()> {
    let mut meter = Meter::start()?;
    let worker = attach(end, "bench-receiver")?;
    let epoll = worker.epoll()?;
    let listener = worker.session(Protocol::Tcp)?;
    listener.bind(end.address)?;
    listener.listen()?;
    let mut events = watch(&epoll, &listener)?;
    tell(&Report::Listening)?;
    ensure!(epoll.wait(&mut events, Some(PATIENCE))? > 0, "no sender comes");
    let (session, _) = listener.accept()?.context("a connection to accept")?;
    let mut events = watch(&epoll, &session)?;
    tell(&Report::Linked)?;
    let mut buffer = vec![0; BUFFER];
    let mut tally = Tally::default();
    let mut take = |tally: &mut Tally| -> Result<bool> {
        let bytes = unless_blocked(session.read(&mut buffer))?;
        tally.received_bytes += bytes as u64;
        if bytes == 0 {
            look(&epoll, &mut events)?;
        }
        Ok(bytes > 0)
    };
    while meter.runs(&tally)? {
        take(&mut tally)?;
    }
    let mut rest = Rest::begins();
    loop {
        let began = Instant::now();
        let found = take(&mut tally)?;
        if rest.is_over(began, found) {
            return meter.finish(tally);
        }
    }
}

fn attach(end: &VclEnd, name: &str) -> Result<vcl_sys::Worker> {
    let library = Library::open(&end.library)?;
    let mut config = Config::new(name, end.socket.clone());
    (config.rx_fifo, config.tx_fifo) = (FIFO, FIFO);
    config.local_scope = true;
    Ok(App::attach(&library, &config)?)
}

fn watch(epoll: &Epoll, session: &Session) -> Result<Events> {
    epoll.add(session, 0, Ready::READ | Ready::WRITE | Ready::PEER_ENDED | Ready::EDGE)?;
    Ok(Events::with_capacity(8))
}

/// Takes the library's messages, without waiting for any.
fn look(epoll: &Epoll, events: &mut Events) -> Result<()> {
    spin_loop();
    epoll.poll(events)?;
    Ok(())
}

/// Zero when nothing can be moved now.
fn unless_blocked(result: Result<usize, CallError>) -> Result<usize> {
    match result {
        Ok(0) => bail!("the peer ended"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => Ok(other?),
    }
}
