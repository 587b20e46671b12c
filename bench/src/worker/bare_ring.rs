//! Two threads that hand a frame to and fro through rings laid out as memif's are, and do nothing else: the bound for
//! every memif round trip.
//!
//! What a ring cannot do without: the frame is written to its slot, then its descriptor, then the index; the other side
//! sees the index, loads the descriptor, and copies the frame out. There are no checks, nobody sleeps, and no slot is ever
//! given back, since one frame is under way at a time.

use std::hint::{black_box, spin_loop};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use shm::{Cells, Mapping, SharedU16};

use super::orders::{Meter, tell};
use super::{Report, Tally};
use crate::cores;

/// Slots of a ring, as many as the links beside it have.
const SLOTS: u16 = 1024;
/// Bytes of a frame: one cache line.
const FRAME: usize = 64;
/// From one slot's buffer to the next: slots of 2048 bytes and a line, as memif-rs lays them out.
const STRIDE: usize = 2048 + 64;
/// Where descriptors begin: after a header with one index in each of two lines (VPP 26.06 `memif.h`).
const DESCRIPTORS: usize = 128;
/// Where buffers begin.
const BUFFERS: usize = DESCRIPTORS + SLOTS as usize * 16;
/// Bytes of a ring with its buffers.
const BYTES: usize = BUFFERS + SLOTS as usize * STRIDE;
/// Slots ahead of which the sender has its lines fetched, as memif-rs does.
const AHEAD: u16 = 16;

/// One way.
struct Way {
    memory: Mapping,
    index: SharedU16,
    cells: Cells,
}

impl Way {
    fn new() -> Result<Self> {
        let memory = shm::memfd::create_sealed("dockervpp-bench", BYTES as u64)?;
        let memory = Mapping::map(memory.as_fd(), BYTES)?;
        memory.populate()?;
        let index = SharedU16::new(&memory, 0)?;
        let cells = Cells::new(&memory, DESCRIPTORS, SLOTS.into())?;
        Ok(Self { memory, index, cells })
    }

    #[inline]
    fn buffer(slot: u16) -> usize {
        BUFFERS + usize::from(slot % SLOTS) * STRIDE
    }

    /// Sends the frame as number `slot`.
    #[inline]
    fn send(&self, slot: u16, frame: &[u8; FRAME]) -> Result<()> {
        let later = slot.wrapping_add(AHEAD);
        self.memory.prefetch_write(Self::buffer(later));
        self.cells.prefetch_write(later);
        let at = Self::buffer(slot);
        self.memory.write(at, frame).context("inside the ring")?;
        self.cells.store(slot, [FRAME as u64, at as u64]);
        self.index.store_release(slot.wrapping_add(1));
        Ok(())
    }

    /// Takes frame number `slot` if it is there.
    #[inline]
    fn take(&self, slot: u16) -> Result<Option<[u8; FRAME]>> {
        if self.index.load_acquire() == slot {
            return Ok(None);
        }
        self.memory.prefetch(Self::buffer(slot));
        let [_, at] = self.cells.load(slot);
        let at = usize::try_from(at).context("an offset in the ring")?;
        Ok(Some(self.memory.read_array(at).context("inside the ring")?))
    }
}

pub(super) fn run(first: usize, second: usize) -> Result<()> {
    let mut meter = Meter::start()?;
    let (there, back) = (Way::new()?, Way::new()?);
    let (rounds, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let tally = || {
        let rounds = rounds.load(Ordering::Relaxed);
        Tally { sent: rounds, received: rounds, ..Tally::default() }
    };
    thread::scope(|scope| -> Result<()> {
        let begins = scope.spawn(|| -> Result<()> {
            cores::pin(first)?;
            there.send(0, &[0x5a; FRAME])?;
            hand_on(&back, &there, 1, &stop, |round| rounds.store(round, Ordering::Relaxed))
        });
        let answers = scope.spawn(|| -> Result<()> {
            cores::pin(second)?;
            hand_on(&there, &back, 0, &stop, |_| ())
        });
        let told = tell(&Report::Linked).and_then(|()| meter.wait(|| Ok(tally())));
        stop.store(true, Ordering::Relaxed);
        for thread in [begins, answers] {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        told
    })?;
    meter.finish(tally())
}

/// Sends on `outward` what comes on `inward`; `ahead` frames were sent before the first came.
fn hand_on(
    inward: &Way,
    outward: &Way,
    ahead: u16,
    stop: &AtomicBool,
    done: impl Fn(u64),
) -> Result<()> {
    let (mut slot, mut count) = (0_u16, 0_u64);
    while !stop.load(Ordering::Relaxed) {
        let Some(frame) = inward.take(slot)? else {
            spin_loop();
            continue;
        };
        outward.send(slot.wrapping_add(ahead), &black_box(frame))?;
        slot = slot.wrapping_add(1);
        count += 1;
        done(count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_there_once_it_was_sent_and_as_it_was_sent() {
        let way = Way::new().expect("memory");
        for number in [0, 1, SLOTS - 1, SLOTS, u16::MAX] {
            way.index.store_release(number);
            assert_eq!(way.take(number).expect("inside"), None);
            let frame = [number.to_le_bytes()[0]; FRAME];
            way.send(number, &frame).expect("inside");
            assert_eq!(way.take(number).expect("inside"), Some(frame));
        }
    }
}
