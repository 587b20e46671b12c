//! Two threads that copy through one ring in shared memory, and do nothing else: the bound for every
//! stream between two processes.

use std::hint::{black_box, spin_loop};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use shm::Mapping;

use super::orders::{Meter, tell};
use super::{Report, Tally};
use crate::cores;

/// Bytes of the ring: it and both sides' buffers stay in the second-level cache, as those of a session.
const RING: usize = 256 << 10;
/// Bytes between two publications.
const CHUNK: usize = 32 << 10;
/// Bytes of either side's own buffer, as iperf3 has.
const BUFFER: usize = 128 << 10;

/// Positions, each on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Position(AtomicU64);

pub(super) fn run(into: usize, out: usize) -> Result<()> {
    let mut meter = Meter::start()?;
    let memory = shm::memfd::create_sealed("dockervpp-bench", RING as u64)?;
    let memory = Mapping::map(memory.as_fd(), RING)?;
    memory.populate()?;
    let (written, read, stop) = (Position::default(), Position::default(), AtomicBool::new(false));
    let tally = || Tally {
        sent: written.0.load(Ordering::Relaxed) / CHUNK as u64,
        received: read.0.load(Ordering::Relaxed) / CHUNK as u64,
        received_bytes: read.0.load(Ordering::Relaxed),
        ..Tally::default()
    };
    thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| -> Result<()> {
            cores::pin(into)?;
            copy(&written.0, &read.0, RING as u64, &stop, |at, from| {
                memory.write(at, &from[..CHUNK]).context("inside the ring")
            })
        });
        let reader = scope.spawn(|| -> Result<()> {
            cores::pin(out)?;
            copy(&read.0, &written.0, 0, &stop, |at, to| {
                memory.read(at, &mut to[..CHUNK]).context("inside the ring")
            })
        });
        let told = tell(&Report::Linked).and_then(|()| meter.wait(|| Ok(tally())));
        stop.store(true, Ordering::Relaxed);
        for thread in [writer, reader] {
            thread.join().map_err(|_| anyhow!("a copying thread panicked"))??;
        }
        told
    })?;
    meter.finish(tally())
}

/// Moves `own` on, chunk by chunk, while it stays behind `other` by less than `ahead` bytes.
fn copy(
    own: &AtomicU64,
    other: &AtomicU64,
    ahead: u64,
    stop: &AtomicBool,
    mut chunk: impl FnMut(usize, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0x5a_u8; BUFFER];
    let mut at = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        if at == other.load(Ordering::Acquire) + ahead {
            spin_loop();
            continue;
        }
        let place = usize::try_from(at % RING as u64).context("a place in the ring")?;
        let part = usize::try_from(at % BUFFER as u64).context("a place in the buffer")?;
        chunk(place, &mut buffer[part..part + CHUNK])?;
        black_box(&mut buffer);
        at += CHUNK as u64;
        own.store(at, Ordering::Release);
    }
    Ok(())
}
