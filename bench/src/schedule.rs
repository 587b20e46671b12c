//! Runs a session: benchmark after benchmark, in each all contestants in turn, A B C A B C …, so that
//! whatever changes on the machine meanwhile changes for all. After each round what there is is saved; an
//! interrupted session goes on with the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Error, Result, anyhow};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::benchmark::{Benchmark, Contestant, Party};
use crate::contest::{Contest, Fixtures, Plan, Sample};
use crate::latency::Latencies;
use crate::progress::Progress;
use crate::result::{BenchmarkResult, ContestantResult, Outcome, Results};
use crate::store::Store;

/// Runs of a peer that may fail: DPDK's server crashes now and then, which says nothing about its
/// other runs. Ours may not fail at all.
const FORGIVEN: usize = 2;

/// Whether the user wants it to end. A second signal ends it at once.
#[derive(Debug, Clone)]
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    /// From now on signals are asked for, not obeyed.
    ///
    /// # Errors
    /// When the kernel does not take the handlers.
    pub(crate) fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
            flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a session works with.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) plan: Plan,
    /// Rounds of each benchmark.
    pub(crate) rounds: u32,
    pub(crate) progress: Progress,
    pub(crate) interrupted: Interrupted,
    /// Where it is saved, if anywhere.
    pub(crate) store: Option<&'a Store>,
}

/// A contestant under way.
struct Entry<'a> {
    contestant: &'a Contestant,
    result: ContestantResult,
    /// `None` when it is absent or has failed.
    contest: Option<Box<dyn Contest>>,
    samples: Vec<Sample>,
    latencies: Latencies,
    /// Why runs failed that were forgiven.
    forgiven: Vec<String>,
}

impl Session<'_> {
    /// Runs what is not complete in `results`.
    ///
    /// # Errors
    /// When the results cannot be saved. What goes wrong with contestants is in the results: one that
    /// fails does not keep the others from running.
    pub(crate) fn run(&self, benchmarks: &[Benchmark], results: &mut Results) -> Result<()> {
        let mut fixtures = Fixtures::on(self.plan.cores);
        for benchmark in benchmarks {
            let earlier = results.benchmark(&benchmark.name).cloned();
            if earlier.as_ref().is_some_and(|it| it.complete) {
                self.progress.done(u64::from(self.rounds) * benchmark.contestants.len() as u64);
                continue;
            }
            self.run_benchmark(benchmark, earlier.as_ref(), &mut fixtures, results)?;
            if self.interrupted.is() {
                break;
            }
        }
        Ok(())
    }

    fn run_benchmark(
        &self,
        benchmark: &Benchmark,
        earlier: Option<&BenchmarkResult>,
        fixtures: &mut Fixtures,
        results: &mut Results,
    ) -> Result<()> {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for contestant in &benchmark.contestants {
            let before = earlier.and_then(|it| it.contestant(&contestant.name)).cloned();
            entries.push(self.prepare(benchmark, contestant, before, fixtures));
        }
        for round in 1..=self.rounds {
            for entry in &mut entries {
                self.run_one(benchmark, entry, round);
                self.progress.done(1);
                if self.interrupted.is() {
                    break;
                }
            }
            let complete = round == self.rounds && !self.interrupted.is();
            self.keep(benchmark, &entries, complete, results)?;
            if self.interrupted.is() {
                return Ok(());
            }
        }
        for entry in entries.iter().filter(|it| it.never_worked()) {
            fixtures.give_up(&entry.contestant.setup, &benchmark.name);
        }
        self.keep(benchmark, &entries, true, results)
    }

    fn keep(
        &self,
        benchmark: &Benchmark,
        entries: &[Entry<'_>],
        complete: bool,
        results: &mut Results,
    ) -> Result<()> {
        let contestants = entries.iter().map(Entry::result).collect();
        let intervals = results.method.intervals;
        results.put(BenchmarkResult::new(benchmark, contestants, complete, &intervals));
        self.store.map_or(Ok(()), |store| store.save(results))
    }

    fn prepare<'a>(
        &self,
        benchmark: &Benchmark,
        contestant: &'a Contestant,
        before: Option<ContestantResult>,
        fixtures: &mut Fixtures,
    ) -> Entry<'a> {
        let mut entry = Entry::new(contestant);
        if let Some(before) = before {
            entry.go_on(before);
        }
        if matches!(&entry.result.outcome, Outcome::Failed { error } if error != NOT_RUN) {
            return entry;
        }
        let hopeless = fixtures.hopeless(&contestant.setup).map(str::to_owned);
        if let Some(place) = hopeless {
            let error = anyhow!("it never worked in {place}, so it is not tried again");
            self.fail(benchmark, &mut entry, &error);
            return entry;
        }
        if let Some(reason) = contestant.setup.absent() {
            self.say(benchmark, contestant, &format!("absent: {reason}"));
            entry.result.outcome = Outcome::Absent { reason };
            return entry;
        }
        match contestant.setup.prepare(benchmark.metric, fixtures) {
            Ok(ready) => {
                entry.result.placement = ready.placement(&self.plan);
                entry.contest = Some(ready);
            }
            Err(error) => self.fail(benchmark, &mut entry, &error),
        }
        entry
    }

    fn run_one(&self, benchmark: &Benchmark, entry: &mut Entry<'_>, round: u32) {
        // An earlier session may have been interrupted in the middle of a round.
        let Some(contest) = entry.contest.as_mut().filter(|_| !has(&entry.samples, round)) else {
            return;
        };
        self.progress.begin(&benchmark.name, &entry.contestant.name, round);
        match contest.run(&self.plan) {
            // A run that a signal cut short, if one did, is no run.
            _ if self.interrupted.is() => {}
            Ok(mut sample) => {
                let (rounds, unit) = (self.rounds, benchmark.metric.unit());
                let text = format!("{round}/{rounds}: {:.3} {unit}", sample.value);
                self.say(benchmark, entry.contestant, &text);
                sample.round = Some(round);
                entry.latencies = entry.latencies.merged(&sample.latencies);
                entry.samples.push(sample);
            }
            Err(error) if entry.is_forgiven() => {
                let error = format!("{error:#}");
                let text = format!("this run failed: {error}");
                self.say(benchmark, entry.contestant, &text);
                entry.forgiven.push(error);
            }
            Err(error) => self.fail(benchmark, entry, &error),
        }
    }

    fn fail(&self, benchmark: &Benchmark, entry: &mut Entry<'_>, error: &Error) {
        let error = format!("{error:#}");
        self.say(benchmark, entry.contestant, &format!("failed: {error}"));
        entry.contest = None;
        entry.result.outcome = Outcome::Failed { error };
    }

    fn say(&self, benchmark: &Benchmark, contestant: &Contestant, text: &str) {
        self.progress.say(&format!("{} | {} | {text}", benchmark.name, contestant.name));
    }
}

fn has(samples: &[Sample], round: u32) -> bool {
    samples.iter().any(|it| it.round == Some(round))
}

const NOT_RUN: &str = "it was not run";

impl<'a> Entry<'a> {
    fn new(contestant: &'a Contestant) -> Self {
        let outcome = Outcome::Failed { error: NOT_RUN.to_owned() };
        let (name, party) = (contestant.name.clone(), contestant.party);
        Self {
            contestant,
            result: ContestantResult { name, party, placement: Vec::new(), outcome },
            contest: None,
            samples: Vec::new(),
            latencies: Latencies::default(),
            forgiven: Vec::new(),
        }
    }

    /// Takes over what an earlier session measured.
    fn go_on(&mut self, before: ContestantResult) {
        match before.outcome {
            Outcome::Measured { samples, failed_runs, latencies, .. } => {
                (self.samples, self.forgiven, self.latencies) = (samples, failed_runs, latencies);
            }
            outcome @ Outcome::Failed { .. } => self.result.outcome = outcome,
            Outcome::Absent { .. } => {}
        }
    }

    /// Whether it is a peer that failed again and again and never gave a figure: trying it in every
    /// benchmark would take longer than all the rest.
    fn never_worked(&self) -> bool {
        let failed = matches!(self.result.outcome, Outcome::Failed { .. });
        failed && self.samples.is_empty() && self.contestant.party == Party::Peer
    }

    fn is_forgiven(&self) -> bool {
        self.contestant.party == Party::Peer && self.forgiven.len() < FORGIVEN
    }

    fn result(&self) -> ContestantResult {
        let mut result = self.result.clone();
        if self.contest.is_some() {
            let (samples, forgiven) = (self.samples.clone(), self.forgiven.clone());
            result.outcome = Outcome::of(samples, forgiven, self.latencies.clone());
        }
        result
    }
}
