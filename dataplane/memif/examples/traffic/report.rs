//! Results, for people and for programs.

use std::time::Duration;

use crate::options::Output;
use crate::stream::Findings;

/// What happened on one link.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// From the first frame sent to the last.
    pub(crate) sending: Duration,
    pub(crate) findings: Findings,
    /// From the first frame received to the last.
    pub(crate) receiving: Duration,
    /// Interrupts that we sent.
    pub(crate) kicks: u64,
    /// Frames that the peer had not taken when we left.
    pub(crate) unread: u64,
    pub(crate) round_trips: Option<Latency>,
}

/// Round trips, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) count: usize,
    pub(crate) min: u64,
    pub(crate) median: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Latency {
    /// Of samples in any order; `None` if there are none.
    pub(crate) fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let (min, max) = (*samples.first()?, *samples.last()?);
        let at = |per_mille: usize| samples[(samples.len() - 1) * per_mille / 1000];
        Some(Self { count: samples.len(), min, median: at(500), p99: at(990), p999: at(999), max })
    }
}

impl Report {
    /// Writes it to standard output.
    pub(crate) fn print(&self, output: Output) {
        match output {
            Output::Text => self.print_text(),
            Output::Json => println!("{}", self.json()),
        }
    }

    fn print_text(&self) {
        if self.sent > 0 {
            let rate = rate(self.sent, self.sent_bytes, self.sending);
            println!("sent      {} frames, {rate}, {} interrupts", self.sent, self.kicks);
        }
        if self.unread > 0 {
            println!("          {} of them were not read by the peer", self.unread);
        }
        let found = &self.findings;
        if found.received > 0 {
            let rate = rate(found.received, found.bytes, self.receiving);
            println!("received  {} frames, {rate}", found.received);
            println!(
                "          {} lost, {} out of order, {} damaged, {} foreign",
                found.lost, found.disordered, found.damaged, found.foreign
            );
        }
        if let Some(Latency { count, min, median, p99, p999, max }) = self.round_trips {
            println!(
                "{count} round trips: min {min} ns, median {median}, 99% {p99}, 99.9% {p999}, max {max}"
            );
        }
    }

    fn json(&self) -> String {
        let found = &self.findings;
        let mut fields = vec![
            format!("\"sent\":{}", self.sent),
            format!("\"sent_bytes\":{}", self.sent_bytes),
            format!("\"sending_seconds\":{:.6}", self.sending.as_secs_f64()),
            format!("\"sent_per_second\":{:.0}", per_second(self.sent, self.sending)),
            format!("\"interrupts\":{}", self.kicks),
            format!("\"unread\":{}", self.unread),
            format!("\"received\":{}", found.received),
            format!("\"received_bytes\":{}", found.bytes),
            format!("\"receiving_seconds\":{:.6}", self.receiving.as_secs_f64()),
            format!("\"received_per_second\":{:.0}", per_second(found.received, self.receiving)),
            format!("\"lost\":{}", found.lost),
            format!("\"disordered\":{}", found.disordered),
            format!("\"damaged\":{}", found.damaged),
            format!("\"foreign\":{}", found.foreign),
        ];
        if let Some(Latency { count, min, median, p99, p999, max }) = self.round_trips {
            fields.push(format!(
                "\"round_trips\":{{\"count\":{count},\"min_ns\":{min},\"median_ns\":{median},\
                 \"p99_ns\":{p99},\"p999_ns\":{p999},\"max_ns\":{max}}}"
            ));
        }
        format!("{{{}}}", fields.join(","))
    }
}

fn rate(frames: u64, bytes: u64, time: Duration) -> String {
    format!(
        "{:.3} s, {:.3} Mpps, {:.2} Gbit/s",
        time.as_secs_f64(),
        per_second(frames, time) / 1e6,
        per_second(bytes * 8, time) / 1e9
    )
}

#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}
