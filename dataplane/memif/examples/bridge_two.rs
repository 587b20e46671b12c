//! Joins two memif links: what arrives on one leaves on the other, in order, copied once from slot
//! to slot. A frame that the far end has no room for is dropped and counted, as on any wire.
//!
//!     bridge_two listen:@left listen:@right
//!     bridge_two listen:@left connect:/run/vpp/memif.sock,id=1

mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{ENDPOINT_HELP, Endpoint, Links, Usage};
use memif::memory::Queues;
use memif::queue::TxError;
use memif::{RingFault, RxQueue, TxQueue, wait_for_frames};

/// Descriptors taken in one go.
const BURST: usize = 64;
/// Empty polls before sleeping: a busy link is not interrupted for every frame.
const SPINS: u32 = 2_000;
/// How long a receiver may take to read the last frames.
const DRAIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let usage = || Usage(format!("usage: bridge_two ENDPOINT ENDPOINT\n{ENDPOINT_HELP}"));
    let mut arguments = std::env::args().skip(1);
    let mut endpoint =
        || -> Result<Endpoint, Usage> { arguments.next().ok_or_else(usage)?.parse() };
    let (left, right) = (endpoint()?, endpoint()?);
    let (left, right) = (Links::open(left)?, Links::open(right)?);
    while let (Some(mut left), Some(mut right)) = (left.next(), right.next()) {
        let (Some(a), Some(b)) = (left.take_queues(), right.take_queues()) else { continue };
        let [there, back] = join(a, b);
        eprintln!("left to right: {there}");
        eprintln!("right to left: {back}");
        // Dropping the links here disconnects the end that is still up.
    }
    Ok(())
}

/// Moves frames both ways, a thread for each, until one link ends.
fn join(left: Queues, right: Queues) -> [Count; 2] {
    let over = Arc::new(AtomicBool::new(false));
    let pump = |rx: Vec<RxQueue>, tx: Vec<TxQueue>, states| {
        let over = Arc::clone(&over);
        thread::spawn(move || {
            let count = Pump { rx, tx, count: Count::default() }.run(&over);
            over.store(true, Ordering::Relaxed);
            // Wakes the other direction, which may sleep.
            let [a, b]: [Arc<memif::queue::LinkState>; 2] = states;
            a.close();
            b.close();
            count
        })
    };
    let states = [left.state, right.state];
    let there = pump(left.rx, right.tx, states.clone());
    let back = pump(right.rx, left.tx, states);
    [there, back].map(|thread| thread.join().unwrap_or_default())
}

#[derive(Debug, Default)]
struct Count {
    forwarded: u64,
    no_room: u64,
    too_long: u64,
}

impl std::fmt::Display for Count {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { forwarded, no_room, too_long } = self;
        write!(formatter, "{forwarded} forwarded, {no_room} dropped (no room), {too_long} too long")
    }
}

/// One direction.
struct Pump {
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    count: Count,
}

impl Pump {
    fn run(mut self, over: &AtomicBool) -> Count {
        let mut idle = 0;
        while !over.load(Ordering::Relaxed) {
            match self.turn() {
                Ok(true) => idle = 0,
                Ok(false) if idle < SPINS => {
                    idle += 1;
                    std::hint::spin_loop();
                }
                Ok(false) => {
                    idle = 0;
                    // The other direction may end the link: look up now and then.
                    let patience = Some(Duration::from_millis(200));
                    if wait_for_frames(&mut self.rx, patience).is_err() {
                        break;
                    }
                }
                Err(fault) => {
                    eprintln!("{fault}");
                    break;
                }
            }
        }
        self.drain();
        self.count
    }

    /// One link is over. What it sent last is still on its way to the other, whose end must not take
    /// it along.
    fn drain(&mut self) {
        let end = Instant::now() + DRAIN;
        while self.tx.iter_mut().any(|tx| matches!(tx.in_flight(), Ok(1..))) && Instant::now() < end
        {
            thread::yield_now();
        }
    }

    /// Forwards a batch of each queue; whether there was any.
    fn turn(&mut self) -> Result<bool, RingFault> {
        let mut busy = false;
        let queues = self.tx.len();
        for (index, rx) in self.rx.iter_mut().enumerate() {
            let tx = &mut self.tx[index % queues];
            let batch = rx.batch(BURST)?;
            busy |= !batch.is_empty();
            for frame in batch.frames() {
                match tx.push(&frame) {
                    Ok(()) => self.count.forwarded += 1,
                    Err(TxError::Full) => self.count.no_room += 1,
                    Err(TxError::Fault(fault)) => return Err(fault),
                    Err(_) => self.count.too_long += 1,
                }
            }
            tx.flush()?;
        }
        Ok(busy)
    }
}
