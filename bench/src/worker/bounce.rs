//! One frame that goes to and fro, and whoever sends frames back.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use memif::TxQueue;
use memif::queue::TxError;

use super::link::{Idle, Queues, establish};
use super::orders::Meter;
use super::{End, Tally};
use crate::benchmark::Fault;

/// Bytes of the private buffer, as many as a slot has.
const BUFFER: usize = 2048;

/// Sends a frame of `length` bytes, sends back every frame that comes, and keeps it when told to stop.
pub(super) fn ping(end: &End, length: u32) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let mut tally = Tally::default();
    let mut buffer = [0; BUFFER];
    let mut idle = Idle::new(end.waiting);
    queues.tx[0].push(&vec![0x02; length as usize][..])?;
    queues.tx[0].flush()?;
    tally.sent += 1;
    while meter.runs(&tally)? {
        let found = receive(&mut queues, &mut buffer, &mut tally, |_| true)?;
        idle.looked(found, &mut queues.rx)?;
    }
    // Its last flight.
    while tally.received < tally.sent {
        receive(&mut queues, &mut buffer, &mut tally, |_| false)?;
    }
    tally.kicks = queues.kicks();
    meter.finish(tally)
}

/// Sends back every frame until told to stop, but for what the fault wants otherwise.
pub(super) fn reflect(end: &End, fault: Option<Fault>) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let mut tally = Tally::default();
    let mut buffer = [0; BUFFER];
    let mut idle = Idle::new(end.waiting);
    while meter.runs(&tally)? {
        let found = match fault {
            None => receive(&mut queues, &mut buffer, &mut tally, |_| true)?,
            Some(Fault::Delay(nanoseconds)) => {
                receive(&mut queues, &mut buffer, &mut tally, |_| hold_back(nanoseconds))?
            }
            Some(Fault::Loss(one_in)) => {
                receive(&mut queues, &mut buffer, &mut tally, |number| number % one_in != 0)?
            }
        };
        idle.looked(found, &mut queues.rx)?;
    }
    tally.kicks = queues.kicks();
    meter.finish(tally)
}

/// Lets time pass, busily: a sleep would be longer than asked for. Then the frame may go.
fn hold_back(nanoseconds: u64) -> bool {
    let end = Instant::now() + Duration::from_nanos(nanoseconds);
    while Instant::now() < end {
        spin_loop();
    }
    true
}

/// Sends a frame; one that finds no room waits until the other end, which never stops to receive, has made
/// some.
#[inline]
fn send(tx: &mut TxQueue, frame: &[u8]) -> Result<()> {
    loop {
        match tx.push(frame) {
            Ok(()) => return Ok(()),
            Err(TxError::Full) => {
                tx.flush()?;
                spin_loop();
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes what is there and sends back the frames, by their number from 1, that `answer` wants. Whether
/// something was there.
///
/// The answer leaves before the slots of what it answers are given back: a client that makes them
/// empty buffers again writes to a cache line that the other core has just written, and what is
/// published after that waits for it.
#[inline]
fn receive(
    queues: &mut Queues,
    buffer: &mut [u8; BUFFER],
    tally: &mut Tally,
    answer: impl Fn(u64) -> bool,
) -> Result<bool> {
    let (rx, tx) = (&mut queues.rx[0], &mut queues.tx[0]);
    let batch = rx.batch(32)?;
    for frame in batch.frames() {
        ensure!(frame.len() <= buffer.len(), "a frame of {} bytes", frame.len());
        let length = frame.copy_to(buffer);
        tally.received += 1;
        tally.received_bytes += length as u64;
        if answer(tally.received) {
            send(tx, &buffer[..length])?;
            tally.sent += 1;
        }
    }
    tx.flush()?;
    Ok(!batch.is_empty())
}
