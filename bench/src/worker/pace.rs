//! Frames at a fixed rate, and how long each took to come back.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use memif::queue::TxError;

use super::link::{Queues, establish};
use super::orders::Meter;
use super::stream::{BATCH, LOCAL_A, LOCAL_B, frame};
use super::timing::Timing;
use super::{End, Tally};
use crate::pace::Pace;

/// Where in a frame its number is.
const NUMBER: std::ops::Range<usize> = 14..22;
/// After the end, nothing for so long means that what is not back is lost.
const GRACE: Duration = Duration::from_millis(500);

/// Frames on their way at a fixed rate, from a start.
struct Timed {
    pace: Pace,
    start: Instant,
    frame: Vec<u8>,
    timing: Timing,
    buffer: Vec<u8>,
}

/// Sends and times until told to stop; then takes what still comes.
pub(super) fn run(end: &End, length: u32, rate: u64) -> Result<()> {
    let mut meter = Meter::start()?;
    let mut queues = establish(end)?;
    let pace = Pace::new(rate).context("a rate is at least 1 and at most 10^9 a second")?;
    ensure!(length as usize >= NUMBER.end, "a frame of {length} bytes has no room for a number");
    let mut timed = Timed {
        pace,
        start: Instant::now(),
        frame: frame(length, LOCAL_B, LOCAL_A),
        timing: Timing::default(),
        buffer: vec![0; length as usize],
    };
    let mut tally = Tally::default();
    while meter.runs(&tally)? {
        timed.timing.follow(&meter)?;
        timed.send(&mut queues, &mut tally)?;
        timed.receive(&mut queues, &mut tally)?;
        spin_loop();
    }
    let mut last = Instant::now();
    while tally.received < tally.sent && last.elapsed() < GRACE {
        let before = tally.received;
        timed.receive(&mut queues, &mut tally)?;
        if tally.received != before {
            last = Instant::now();
        }
    }
    tally.kicks = queues.kicks();
    meter.finish(tally)
}

impl Timed {
    /// Nanoseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sends what is due, as far as there is room: what must wait is late, and counted from its due
    /// time all the same.
    #[inline]
    fn send(&mut self, queues: &mut Queues, tally: &mut Tally) -> Result<()> {
        let tx = &mut queues.tx[0];
        let due = self.pace.released(self.now()).min(tally.sent + BATCH as u64);
        while tally.sent < due {
            self.frame[NUMBER].copy_from_slice(&tally.sent.to_le_bytes());
            match tx.push(self.frame.as_slice()) {
                Ok(()) => tally.sent += 1,
                Err(TxError::Full) => break,
                Err(error) => return Err(error.into()),
            }
        }
        tx.flush()?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self, queues: &mut Queues, tally: &mut Tally) -> Result<()> {
        let batch = queues.rx[0].batch(BATCH)?;
        for frame in batch.frames() {
            let length = frame.copy_to(&mut self.buffer);
            let number = self.buffer.get(NUMBER).filter(|_| length >= NUMBER.end);
            let number = number.and_then(|it| it.try_into().ok()).map(u64::from_le_bytes);
            let number =
                number.filter(|&it| it < tally.sent).context("a frame that was not sent")?;
            let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.timing.record(now.saturating_sub(self.pace.due(number)));
            tally.received += 1;
            tally.received_bytes += length as u64;
        }
        Ok(())
    }
}
