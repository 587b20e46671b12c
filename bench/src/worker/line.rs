//! Two threads that hand one cache line to and fro: the bound for every round trip through shared memory.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, anyhow};

use super::orders::{Meter, tell};
use super::{Report, Tally};
use crate::cores;

/// A count on cache lines of its own: even while the first thread has it, odd while the second has.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

pub(super) fn run(first: usize, second: usize) -> Result<()> {
    let mut meter = Meter::start()?;
    let (line, stop) = (Line::default(), AtomicBool::new(false));
    let tally = || {
        let rounds = line.0.load(Ordering::Relaxed) / 2;
        Tally { sent: rounds, received: rounds, ..Tally::default() }
    };
    thread::scope(|scope| -> Result<()> {
        let hand = |cpu, own| hand_on(cpu, &line.0, own, &stop);
        let threads = [scope.spawn(move || hand(first, 0)), scope.spawn(move || hand(second, 1))];
        let told = tell(&Report::Linked).and_then(|()| meter.wait(|| Ok(tally())));
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        told
    })?;
    meter.finish(tally())
}

/// Adds one whenever the count's last bit is `own`.
fn hand_on(cpu: usize, line: &AtomicU64, own: u64, stop: &AtomicBool) -> Result<()> {
    cores::pin(cpu)?;
    while !stop.load(Ordering::Relaxed) {
        let count = line.load(Ordering::Acquire);
        if count & 1 == own {
            line.store(count + 1, Ordering::Release);
        } else {
            spin_loop();
        }
    }
    Ok(())
}
