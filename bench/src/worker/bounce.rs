//! One frame that goes to and fro.

use anyhow::{Result, ensure};

use super::link::{Queues, establish};
use super::orders::Meter;
use super::{End, Tally};

/// Copies every frame out and sends the copy back. With `first` it begins, with a frame of that
/// length, and keeps the frame when told to stop; without, it answers until told to stop.
pub(super) fn run(end: &End, first: Option<u16>) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let mut tally = Tally::default();
    if let Some(length) = first {
        queues.tx.push(&vec![0x02; usize::from(length)][..])?;
        queues.tx.flush()?;
        tally.sent += 1;
    }
    while meter.runs(&tally)? {
        if receive(&mut queues, &mut tally, true)? {
            continue;
        }
        std::hint::spin_loop();
    }
    if first.is_some() {
        // Its last flight.
        while tally.received < tally.sent {
            receive(&mut queues, &mut tally, false)?;
        }
    }
    tally.kicks = queues.tx.kicks();
    meter.finish(tally)
}

/// Takes what is there, and sends it back if asked to. Whether something was there.
#[inline]
fn receive(queues: &mut Queues, tally: &mut Tally, answer: bool) -> Result<bool> {
    let mut buffer = [0; 2048];
    let batch = queues.rx.batch(32)?;
    for frame in batch.frames() {
        ensure!(frame.len() <= buffer.len(), "a frame of {} bytes", frame.len());
        let length = frame.copy_to(&mut buffer);
        tally.received += 1;
        tally.received_bytes += length as u64;
        if answer {
            queues.tx.push(&buffer[..length])?;
            tally.sent += 1;
        }
    }
    let some = !batch.is_empty();
    drop(batch);
    queues.tx.flush()?;
    Ok(some)
}
