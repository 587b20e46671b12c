//! The load of a bridge: clients that send to each other, driven by one thread.

use anyhow::{Result, ensure};
use memif::queue::TxError;
use memif::{Address, TxQueue};

use super::link::{Queues, connect};
use super::orders::{Meter, tell};
use super::stations::Stations;
use super::stream::{BATCH, Buffers, frame};
use super::{PortAddress, Report, Tally};
use crate::benchmark::Bridging;

/// Turns of the loop without a frame, once the bridge has read everything, after which nothing comes
/// any more: the bridge may give slots back just before it publishes what it made of them. A turn
/// takes some tens of nanoseconds.
const QUIET_TURNS: u32 = 1_000_000;

/// Bytes of a slot, as memif clients have by default.
const SLOT: u16 = 2048;

/// One port's client.
struct Client {
    queues: Queues,
    port: u32,
    turn: u64,
    frame: Vec<u8>,
}

/// Sends and receives on all links; stops sending when told to stop, and takes the rest.
pub(super) fn run(address: &PortAddress, bridging: Bridging) -> Result<()> {
    let mut meter = Meter::start()?;
    let (stations, length) = (Stations::new(bridging), u32::from(bridging.length));
    let mut clients = Vec::new();
    for port in 0..bridging.ports {
        let queues = connect(&at_port(address, port)?, 1, SLOT)?;
        let frame = frame(length, [0; 6], [0; 6]);
        clients.push(Client { queues, port: port.into(), turn: 0, frame });
    }
    tell(&Report::Linked)?;
    let mut buffers = Buffers::new(length);
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        for client in &mut clients {
            if meter.may_begin() {
                client.send(stations, &mut tally)?;
            }
            buffers.receive(&mut client.queues.rx[0], &mut tally)?;
        }
    }
    let turns = QUIET_TURNS / u32::from(bridging.ports);
    let mut quiet = 0;
    while quiet < turns {
        let before = tally.received;
        let mut unread = 0;
        for client in &mut clients {
            buffers.receive(&mut client.queues.rx[0], &mut tally)?;
            unread += client.queues.tx[0].in_flight()?;
        }
        quiet = if unread == 0 && tally.received == before { quiet + 1 } else { 0 };
    }
    ensure!(
        tally.received_bytes == tally.received * u64::from(length),
        "frames of another length than {length} came"
    );
    tally.kicks = clients.iter().map(|it| it.queues.kicks()).sum();
    meter.finish(tally)
}

impl Client {
    /// Pushes at most a batch and publishes it.
    #[inline]
    fn send(&mut self, stations: Stations, tally: &mut Tally) -> Result<()> {
        let tx: &mut TxQueue = &mut self.queues.tx[0];
        for _ in 0..BATCH {
            let Some((destination, source)) = stations.frame(self.port, self.turn) else { break };
            self.frame[..6].copy_from_slice(&destination);
            self.frame[6..12].copy_from_slice(&source);
            match tx.push(self.frame.as_slice()) {
                Ok(()) => (tally.sent, self.turn) = (tally.sent + 1, self.turn + 1),
                Err(TxError::Full) => break,
                Err(error) => return Err(error.into()),
            }
        }
        tx.flush()?;
        Ok(())
    }
}

fn at_port(address: &PortAddress, port: u16) -> Result<Address> {
    Ok(match address {
        PortAddress::Abstract(name) => Address::abstract_name(format!("{name}-{port}"))?,
        PortAddress::Path(path) => Address::path(format!("{}-{port}", path.display()))?,
    })
}
