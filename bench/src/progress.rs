//! What a session shows while it runs: bars on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, stderr};

/// The display of a session.
#[derive(Debug)]
pub(crate) struct Progress {
    /// `None` where nobody watches.
    bars: Option<Bars>,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    /// Runs of the whole session.
    session: ProgressBar,
    /// What runs now.
    now: ProgressBar,
}

impl Progress {
    /// For so many runs in all.
    pub(crate) fn of(runs: u64) -> Self {
        Self { bars: stderr().is_terminal().then(|| Bars::new(runs)) }
    }

    /// Says what runs now.
    pub(crate) fn begin(&self, benchmark: &str, contestant: &str, round: u32) {
        if let Some(bars) = &self.bars {
            bars.now.set_message(format!("{benchmark} | {contestant} | round {round}"));
        }
    }

    /// So many runs are done, or need not be done.
    pub(crate) fn done(&self, runs: u64) {
        if let Some(bars) = &self.bars {
            bars.session.inc(runs);
        }
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        match &self.bars {
            // A terminal that cannot be written to is no reason to stop.
            Some(bars) => drop(bars.all.println(line)),
            None => eprintln!("{line}"),
        }
    }
}

impl Bars {
    fn new(runs: u64) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let style = |template| {
            ProgressStyle::with_template(template).expect("the template has known fields")
        };
        let session = all.add(ProgressBar::new(runs));
        session.set_style(style("{bar:40} {pos}/{len} runs, {elapsed} gone, {eta} to go"));
        let now = all.add(ProgressBar::new_spinner());
        now.set_style(style("{spinner} {msg}"));
        now.enable_steady_tick(Duration::from_millis(200));
        Self { all, session, now }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.now.finish_and_clear();
        self.session.finish_and_clear();
    }
}
