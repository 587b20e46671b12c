//! Frames one way: the sender and the receiver.

use std::hint::{black_box, spin_loop};

use anyhow::{Result, ensure};
use memif::queue::TxError;
use memif::{RxQueue, TxQueue};

use super::link::establish;
use super::orders::Meter;
use super::{End, Tally};

/// Frames between two publications of the ring's index, as in testpmd.
pub(super) const BATCH: usize = 32;

/// Bytes of a private buffer; larger than any frame here.
const BUFFER: usize = 2048;

/// Private memory that received frames are copied to: a batch of buffers, used again and again, as
/// DPDK's packet pool does with its cache.
#[derive(Debug)]
pub(super) struct Buffers(Vec<[u8; BUFFER]>);

impl Buffers {
    pub(super) fn new() -> Self {
        Self(vec![[0; BUFFER]; BATCH])
    }

    /// Receives at most a batch.
    #[inline]
    pub(super) fn receive(&mut self, rx: &mut RxQueue, tally: &mut Tally) -> Result<()> {
        let batch = rx.batch(BATCH)?;
        for (at, frame) in batch.frames().enumerate() {
            let buffer = &mut self.0[at % BATCH];
            let length = frame.copy_to(buffer);
            black_box(&mut buffer[..length]);
            tally.received += 1;
            tally.received_bytes += length as u64;
        }
        Ok(())
    }
}

/// A batch of frames in private memory, ready to be sent.
#[derive(Debug)]
pub(super) struct Source(Vec<Vec<u8>>);

impl Source {
    /// Frames of `length` bytes between two local addresses.
    pub(super) fn new(length: u16, destination: [u8; 6], source: [u8; 6]) -> Self {
        let mut frame = vec![0; usize::from(length)];
        frame[..6].copy_from_slice(&destination);
        frame[6..12].copy_from_slice(&source);
        // An ethertype for local experiments (IEEE 802).
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        Self(vec![frame; BATCH])
    }

    /// Pushes at most a batch and publishes it; whether there was room for all of it.
    #[inline]
    pub(super) fn send(&self, tx: &mut TxQueue, tally: &mut Tally) -> Result<bool> {
        let mut room = true;
        for frame in &self.0 {
            match tx.push(black_box(frame.as_slice())) {
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

/// Sends as fast as the ring takes it; a full ring is tried again, so nothing is lost.
pub(super) fn send(end: &End, length: u16) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let source = Source::new(length, LOCAL_B, LOCAL_A);
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        if !source.send(&mut queues.tx, &mut tally)? {
            spin_loop();
        }
    }
    tally.kicks = queues.tx.kicks();
    meter.finish(tally)
}

/// Receives until told to stop, which must come after the sender has stopped; then takes the rest.
pub(super) fn receive(end: &End, length: u16) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let mut buffers = Buffers::new();
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        buffers.receive(&mut queues.rx, &mut tally)?;
    }
    while queues.rx.has_frames() {
        buffers.receive(&mut queues.rx, &mut tally)?;
    }
    ensure!(
        tally.received_bytes == tally.received * u64::from(length),
        "{} frames of {length} bytes had {} bytes",
        tally.received,
        tally.received_bytes
    );
    meter.finish(tally)
}

/// Locally administered addresses.
pub(super) const LOCAL_A: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
pub(super) const LOCAL_B: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];
