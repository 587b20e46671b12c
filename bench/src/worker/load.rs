//! The load of a bridge: two clients that send to each other, driven by one thread.

use anyhow::{Result, ensure};
use memif::Address;

use super::link::connect;
use super::orders::{Meter, tell};
use super::stream::{Buffers, LOCAL_A, LOCAL_B, Source};
use super::{Report, Tally};

/// Turns of the loop without a frame, once the bridge has read everything, after which nothing comes
/// any more: the bridge may give slots back just before it publishes what it made of them. A turn
/// takes some tens of nanoseconds.
const QUIET_TURNS: u32 = 1_000_000;

/// Sends and receives on both links; stops sending when told to stop, and takes the rest.
pub(super) fn run(socket: &str, length: u16) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut ends = Vec::new();
    for (port, (destination, source)) in [(LOCAL_B, LOCAL_A), (LOCAL_A, LOCAL_B)].iter().enumerate()
    {
        let queues = connect(&Address::abstract_name(format!("{socket}-{port}"))?)?;
        ends.push((queues, Source::new(length, *destination, *source)));
    }
    tell(Report::Linked)?;
    let mut buffers = Buffers::new();
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        for (queues, source) in &mut ends {
            source.send(&mut queues.tx, &mut tally)?;
            buffers.receive(&mut queues.rx, &mut tally)?;
        }
    }
    let mut quiet = 0;
    while quiet < QUIET_TURNS {
        let before = tally.received;
        let mut unread = 0;
        for (queues, _) in &mut ends {
            buffers.receive(&mut queues.rx, &mut tally)?;
            unread += queues.tx.in_flight()?;
        }
        quiet = if unread == 0 && tally.received == before { quiet + 1 } else { 0 };
    }
    ensure!(
        tally.received_bytes == tally.received * u64::from(length),
        "frames of another length than {length} came"
    );
    tally.kicks = ends.iter().map(|(queues, _)| queues.tx.kicks()).sum();
    meter.finish(tally)
}
