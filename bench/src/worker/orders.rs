//! Orders from the parent, and the reports that answer them.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{Report, Tally};
use crate::counters::Counters;
use crate::cpu_time;

/// What a worker is told, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Nothing yet: work that does not count.
    WarmUp,
    /// Count from now on.
    Measure,
    /// Report what was counted; keep working.
    Rest,
    /// Begin nothing new; report when that is so, and go on taking what comes.
    Quieten,
    /// Bring it to an end and report all.
    Stop,
}

impl Order {
    const ALL: [Self; 5] = [Self::WarmUp, Self::Measure, Self::Rest, Self::Quieten, Self::Stop];

    /// The line that is this order.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Measure => "measure",
            Self::Rest => "rest",
            Self::Quieten => "quieten",
            Self::Stop => "stop",
        }
    }
}

/// Follows the orders: a busy loop asks [`Meter::runs`] at each turn, which costs one load.
#[derive(Debug)]
pub(super) struct Meter {
    latest: Arc<AtomicU8>,
    queue: Receiver<Order>,
    seen: Order,
    start: Option<(Instant, Tally)>,
    /// `None` where the kernel does not count cycles.
    counters: Option<Counters>,
}

impl Meter {
    /// Starts to listen for orders. When the parent closes its end, this process exits.
    pub(super) fn start() -> Result<Self> {
        let latest = Arc::new(AtomicU8::new(Order::WarmUp as u8));
        let (sender, queue) = channel();
        let shared = Arc::clone(&latest);
        let reader = move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let order = Order::ALL.into_iter().find(|it| it.line() == line);
                if let Some(order) = order {
                    // The worker's loop may have ended with an error, which it reports itself.
                    let _ = sender.send(order);
                    shared.store(order as u8, Ordering::Relaxed);
                }
            }
            std::process::exit(0);
        };
        thread::Builder::new().name("orders".to_owned()).spawn(reader)?;
        let counters = Counters::start().ok();
        Ok(Self { latest, queue, seen: Order::WarmUp, start: None, counters })
    }

    /// Whether to go on; takes note of `tally` where an interval begins or ends.
    #[inline]
    pub(super) fn runs(&mut self, tally: &Tally) -> Result<bool> {
        if self.latest.load(Ordering::Relaxed) == self.seen as u8 {
            return Ok(true);
        }
        self.follow(|| Ok(*tally))
    }

    /// Whether the interval that counts has begun and not ended.
    #[inline]
    pub(super) fn counts(&self) -> bool {
        self.seen == Order::Measure
    }

    /// Whether something new may begin.
    #[inline]
    pub(super) fn may_begin(&self) -> bool {
        self.seen < Order::Quieten
    }

    /// Sleeps until [`Order::Stop`], taking note of `tally` where an interval begins or ends.
    pub(super) fn wait(&mut self, mut tally: impl FnMut() -> Result<Tally>) -> Result<()> {
        while self.follow(&mut tally)? {}
        Ok(())
    }

    /// Takes the next order, waiting for it if need be. Whether to go on.
    #[cold]
    fn follow(&mut self, tally: impl FnOnce() -> Result<Tally>) -> Result<bool> {
        self.seen = self.queue.recv().context("the orders ended")?;
        match self.seen {
            Order::Measure => {
                let tally = self.costed(tally()?);
                self.start = Some((Instant::now(), tally));
            }
            Order::Rest => {
                let (start, before) = self.start.context("told to rest before it measured")?;
                let nanoseconds = u64::try_from(start.elapsed().as_nanos())?;
                let tally = self.costed(tally()?).since(before);
                tell(&Report::Measured { tally, nanoseconds })?;
            }
            Order::Quieten => tell(&Report::Quiet)?,
            Order::WarmUp | Order::Stop => {}
        }
        Ok(self.seen != Order::Stop)
    }

    /// A tally with this process's CPU time, unless it has that of a thread, and what the kernel counts.
    fn costed(&mut self, mut tally: Tally) -> Tally {
        if tally.cpu_nanoseconds == 0 {
            tally.cpu_nanoseconds = cpu_time::this_process();
        }
        let counted = self.counters.as_mut().and_then(Counters::read);
        tally.cycles = counted.map(|it| it.0);
        tally.instructions = counted.map(|it| it.1);
        tally
    }

    /// Reports everything and stays until the parent is gone, so that links stay up for the peer.
    pub(super) fn finish(self, tally: Tally) -> Result<()> {
        tell(&Report::Total { tally })?;
        while self.queue.recv().is_ok() {}
        Ok(())
    }
}

/// Writes one report.
pub(super) fn tell(report: &Report) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(report)?)?;
    output.flush().context("the parent does not listen")
}
