//! Frames as fast as they go: the sender, the receiver, and both in one.

use std::hint::{black_box, spin_loop};

use anyhow::{Result, ensure};
use memif::queue::TxError;
use memif::{RxQueue, TxQueue};

use super::link::{Idle, establish};
use super::orders::Meter;
use super::pool::Pool;
use super::{End, Tally};

/// Frames between two publications of the ring's index, as in testpmd.
pub(super) const BATCH: usize = 32;

/// Private memory that received frames are copied to.
#[derive(Debug)]
pub(super) struct Buffers(Pool);

impl Buffers {
    /// For frames of up to `length` bytes.
    pub(super) fn new(length: u32) -> Self {
        Self(Pool::new(length as usize))
    }

    /// Receives at most a batch; whether something was there.
    #[inline]
    pub(super) fn receive(&mut self, rx: &mut RxQueue, tally: &mut Tally) -> Result<bool> {
        let batch = rx.batch(BATCH)?;
        for (at, frame) in batch.frames().enumerate() {
            let buffer = self.0.buffer_mut(at);
            let length = frame.copy_to(buffer);
            black_box(&mut buffer[..length]);
            tally.received += 1;
            tally.received_bytes += length as u64;
        }
        Ok(!batch.is_empty())
    }
}

/// A batch of frames in private memory, ready to be sent.
#[derive(Debug)]
pub(super) struct Source {
    pool: Pool,
    length: usize,
}

impl Source {
    /// Frames of `length` bytes between two local addresses.
    pub(super) fn new(length: u32, destination: [u8; 6], source: [u8; 6]) -> Self {
        let frame = frame(length, destination, source);
        let mut pool = Pool::new(frame.len());
        for at in 0..BATCH {
            pool.buffer_mut(at)[..frame.len()].copy_from_slice(&frame);
        }
        Self { pool, length: frame.len() }
    }

    /// Pushes at most a batch and publishes it; whether there was room for all of it.
    #[inline]
    pub(super) fn send(&self, tx: &mut TxQueue, tally: &mut Tally) -> Result<bool> {
        let mut room = true;
        for at in 0..BATCH {
            match tx.push(black_box(&self.pool.buffer(at)[..self.length])) {
                Ok(()) => tally.sent += 1,
                Err(TxError::Full) => {
                    room = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        tx.flush()?;
        Ok(room)
    }
}

/// A frame with a header and nothing in it.
pub(super) fn frame(length: u32, destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    let mut frame = vec![0; length as usize];
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    // An ethertype for local experiments (IEEE 802).
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// Sends as fast as the rings take it; a full ring is tried again, so nothing is lost.
pub(super) fn send(end: &End, length: u32) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let source = Source::new(length, LOCAL_B, LOCAL_A);
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        for tx in &mut queues.tx {
            if !source.send(tx, &mut tally)? {
                spin_loop();
            }
        }
    }
    tally.kicks = queues.kicks();
    meter.finish(tally)
}

/// Receives until told to stop, which must come after the sender has stopped; then takes the rest.
pub(super) fn receive(end: &End, length: u32) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let mut buffers = Buffers::new(length);
    let mut idle = Idle::new(end.waiting);
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        let mut found = false;
        for rx in &mut queues.rx {
            found |= buffers.receive(rx, &mut tally)?;
        }
        idle.looked(found, &mut queues.rx)?;
    }
    take_rest(&mut queues.rx, &mut buffers, &mut tally, length)?;
    meter.finish(tally)
}

/// Sends and receives on all queues in turn. Both ends must have been quietened before one is stopped.
pub(super) fn exchange(end: &End, length: u32) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let source = Source::new(length, LOCAL_B, LOCAL_A);
    let mut buffers = Buffers::new(length);
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        for (tx, rx) in queues.tx.iter_mut().zip(&mut queues.rx) {
            if meter.may_begin() {
                source.send(tx, &mut tally)?;
            }
            buffers.receive(rx, &mut tally)?;
        }
    }
    take_rest(&mut queues.rx, &mut buffers, &mut tally, length)?;
    tally.kicks = queues.kicks();
    meter.finish(tally)
}

fn take_rest(
    rx: &mut [RxQueue],
    buffers: &mut Buffers,
    tally: &mut Tally,
    length: u32,
) -> Result<()> {
    for rx in rx {
        while rx.has_frames() {
            buffers.receive(rx, tally)?;
        }
    }
    ensure!(
        tally.received_bytes == tally.received * u64::from(length),
        "{} frames of {length} bytes had {} bytes",
        tally.received,
        tally.received_bytes
    );
    Ok(())
}

/// Locally administered addresses.
pub(super) const LOCAL_A: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
pub(super) const LOCAL_B: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];
