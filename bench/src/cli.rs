//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::benchmark::{Benchmark, Party, PeerKind, Suite};
use crate::catalogue::catalogue;
use crate::contest::Plan;
use crate::cores::Cores;
use crate::progress::Progress;
use crate::result::{Method, Results};
use crate::schedule::{Interrupted, Session};
use crate::store::{self, Store};
use crate::worker::{self, Task};
use crate::{compare, gallery, guard, html, machine, markdown, schema};

/// Measures the dockervpp data path beside what would be used instead.
#[derive(Debug, Parser)]
#[command(name = "dockervpp-bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the benchmarks.
    List,
    /// Runs benchmarks; prints a Markdown report.
    Run(Box<RunArguments>),
    /// Makes the report of a result again: `report.html`, `report.md`, and `pictures/` as SVG.
    Report {
        /// The folder of a result, or a result.
        result: PathBuf,
        /// Where to; by default the folder of the result.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Shows what changed from one result to another.
    Compare {
        /// A result, or the folder of one.
        before: PathBuf,
        /// Another.
        after: PathBuf,
    },
    /// Compares the instructions of the hot paths at two commits; fails when one grew too much.
    Guard {
        /// The commit to compare to.
        #[arg(default_value = "HEAD~1")]
        base: String,
        /// The commit to judge.
        #[arg(default_value = "HEAD")]
        head: String,
        /// Growth of a workload that is still allowed, in per cent.
        #[arg(long, default_value_t = 3.0)]
        allowed: f64,
    },
    /// Prints the schema of results.
    Schema,
    /// One process of a contestant; started by `run`.
    #[command(hide = true)]
    Worker {
        /// What to do, as JSON.
        task: String,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct RunArguments {
    /// Which benchmarks, by name or family; all of the suite by default.
    names: Vec<String>,
    /// The claims, and the ends of each curve: 3 runs of 0.4 s (the default).
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Everything: 10 runs of 0.4 s.
    #[arg(long)]
    full: bool,
    /// Only these peers; all of them by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    peer: Vec<PeerKind>,
    /// Runs of each contestant, interleaved with the others.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: Option<u32>,
    /// Length of one run in seconds (idle benchmarks take twice as long).
    #[arg(long, value_parser = parse_seconds)]
    seconds: Option<Duration>,
    /// Seconds before each run that do not count.
    #[arg(long, value_parser = parse_seconds)]
    warm_up: Option<Duration>,
    /// The two CPUs to use, `A,B`; by default the first two that are not siblings.
    #[arg(long, value_parser = parse_cores)]
    cores: Option<(usize, usize)>,
    /// Keeps the result in this folder, with its report; a session that was interrupted goes on.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
    /// Does not wait until the test suites of this machine are done: they disturb the figures.
    #[arg(long)]
    no_wait: bool,
}

impl Arguments {
    /// Does what was asked. The exit code is a failure when a contestant failed.
    pub(crate) fn execute(self) -> Result<ExitCode> {
        match self.command {
            Command::List => list(),
            Command::Run(arguments) => return run(&arguments),
            Command::Compare { before, after } => {
                print!("{}", compare::render(&store::read(&before)?, &store::read(&after)?));
            }
            Command::Report { result, out } => return report(&result, out.as_deref()),
            Command::Guard { base, head, allowed } => return guard(&base, &head, allowed),
            Command::Schema => print!("{}", schema::text()?),
            Command::Worker { task } => {
                let task: Task = serde_json::from_str(&task).context("not a worker's task")?;
                worker::run(&task)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list() {
    for benchmark in catalogue() {
        let suite = if benchmark.suite == Suite::Quick { "" } else { " (full)" };
        println!("{}{suite}: {}", benchmark.name, benchmark.about);
        for contestant in &benchmark.contestants {
            println!("    {:<8}{}", contestant.party.label(), contestant.name);
        }
    }
}

impl RunArguments {
    fn suite(&self) -> Suite {
        if self.full { Suite::Full } else { Suite::Quick }
    }

    /// Rounds, and the plan of one run.
    fn plan(&self) -> Result<(u32, Plan)> {
        let (seconds, warm_up) = (0.4, 0.1);
        let runs = match self.suite() {
            Suite::Quick => 3,
            Suite::Full => 10,
        };
        let plan = Plan {
            cores: Cores::choose(self.cores)?,
            warm_up: self.warm_up.unwrap_or(Duration::from_secs_f64(warm_up)),
            length: self.seconds.unwrap_or(Duration::from_secs_f64(seconds)),
        };
        Ok((self.runs.unwrap_or(runs), plan))
    }

    /// The asked benchmarks, with the asked peers.
    fn choose(&self) -> Result<Vec<Benchmark>> {
        let mut chosen = catalogue();
        for name in &self.names {
            if !chosen.iter().any(|it| it.name == *name || it.family == name) {
                bail!("there is no benchmark `{name}`; `dockervpp-bench list` names them");
            }
        }
        let named = |it: &Benchmark| self.names.contains(&it.name);
        let family = |it: &Benchmark| self.names.iter().any(|name| it.family == name);
        let in_suite = |it: &Benchmark| it.suite <= self.suite();
        chosen.retain(|it| named(it) || in_suite(it) && (self.names.is_empty() || family(it)));
        if chosen.is_empty() {
            bail!("all of {} are in the full suite: add --full", self.names.join(", "));
        }
        for benchmark in chosen.iter_mut().filter(|_| !self.peer.is_empty()) {
            benchmark.contestants.retain(|it| {
                let wanted = it.setup.kind().is_some_and(|kind| self.peer.contains(&kind));
                it.party == Party::Subject || wanted
            });
        }
        Ok(chosen)
    }
}

fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let chosen = arguments.choose()?;
    let (rounds, plan) = arguments.plan()?;
    let store = arguments.out.as_deref().map(Store::open).transpose()?;
    let interrupted = Interrupted::listen()?;
    let turn = if arguments.no_wait { None } else { Some(take_turn()?) };
    let method = Method::new(arguments.suite(), rounds, &plan);
    let fresh = Results::new(method, machine::Machine::describe(plan.cores));
    let mut results = match &store {
        Some(store) => store.resume(&fresh)?.unwrap_or(fresh),
        None => fresh,
    };
    for warning in &results.machine.warnings {
        eprintln!("warning: {warning}");
    }
    let runs: u64 = chosen.iter().map(|it| it.contestants.len() as u64 * u64::from(rounds)).sum();
    let progress = Progress::of(runs);
    let session = Session { plan, rounds, progress, interrupted, store: store.as_ref() };
    session.run(&chosen, &mut results)?;
    results.machine.load_after = machine::load();
    let interrupted = session.interrupted.is();
    drop((session, turn));
    deliver(&results, store.as_ref(), arguments.json)?;
    if interrupted {
        eprintln!("interrupted; the same command with the same --out goes on");
        return Ok(ExitCode::from(130));
    }
    Ok(if results.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Keeps the test suites of this machine away while it measures.
fn take_turn() -> Result<kit::lab::Turn> {
    eprintln!("waiting until no other suite runs on this machine");
    kit::lab::Turn::take()
}

/// Writes page, table and pictures; returns the table.
fn write_report(results: &Results, store: &Store) -> Result<String> {
    let table = markdown::render(results);
    store.write("report.md", &table)?;
    store.write("report.html", &html::render(results))?;
    let bars = results.benchmarks.iter().map(gallery::throughput);
    let percentiles = results.benchmarks.iter().filter_map(gallery::percentiles);
    let pictures = gallery::overview(results).into_iter().chain(bars).chain(percentiles);
    for picture in pictures.chain(gallery::curves(results)) {
        store.write(&format!("pictures/{}.svg", picture.name), &picture.svg)?;
    }
    Ok(table)
}

fn report(result: &Path, out: Option<&Path>) -> Result<ExitCode> {
    let results = store::read(result)?;
    let own = if result.is_dir() { Some(result) } else { result.parent() };
    let folder = out.or(own).context("a file is in a folder")?;
    write_report(&results, &Store::open(folder)?)?;
    println!("{}", folder.join("report.html").display());
    Ok(ExitCode::SUCCESS)
}

fn guard(base: &str, head: &str, allowed: f64) -> Result<ExitCode> {
    let table = match guard::compare(base, head, allowed / 100.0)? {
        guard::Outcome::Compared(table) => table,
        guard::Outcome::Nothing(why) => {
            println!("guard: skipped: {why}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    print!("{}", table.render());
    let worse = table.regressions();
    if worse.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: more instructions than allowed: {}", worse.join(", "));
    Ok(ExitCode::FAILURE)
}

fn deliver(results: &Results, store: Option<&Store>, json: bool) -> Result<()> {
    let table = match store {
        Some(store) => {
            store.save(results)?;
            write_report(results, store)?
        }
        None => markdown::render(results),
    };
    if json {
        println!("{}", serde_json::to_string_pretty(results)?);
    } else {
        print!("{table}");
    }
    Ok(())
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds, as in 0.5".to_owned())?;
    if (0.0..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("seconds from 0 to 3600".to_owned())
    }
}

fn parse_cores(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once(',').ok_or("two numbers with a comma between, `0,1`")?;
    let number = |part: &str| part.trim().parse::<usize>().map_err(|error| error.to_string());
    let (first, second) = (number(parts.0)?, number(parts.1)?);
    if first == second { Err("two different CPUs".to_owned()) } else { Ok((first, second)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &[&str]) -> RunArguments {
        let line = ["dockervpp-bench", "run"].iter().chain(line);
        match Arguments::try_parse_from(line).unwrap().command {
            Command::Run(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    fn chosen(line: &[&str]) -> Vec<String> {
        arguments(line).choose().unwrap().into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn cores_are_two_different_numbers() {
        assert_eq!(parse_cores("0,1"), Ok((0, 1)));
        assert_eq!(parse_cores("2, 3"), Ok((2, 3)));
        for bad in ["", "1", "1,1", "a,b", "1,2,3"] {
            assert!(parse_cores(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_benchmarks_are_refused() {
        assert!(arguments(&["no-such"]).choose().is_err());
        assert_eq!(chosen(&["--full"]).len(), catalogue().len());
        assert!(chosen(&[]).len() < catalogue().len());
    }

    #[test]
    fn a_family_names_its_points_of_the_suite_and_a_name_one_point() {
        let names = ["bridge-ports-2", "bridge-ports-64"];
        assert_eq!(chosen(&["bridge-ports"]), names);
        assert_eq!(chosen(&["bridge-ports", "--full"]).len(), 4);
        assert_eq!(chosen(&["bridge-ports-16"]), ["bridge-ports-16"]);
    }

    #[test]
    fn only_the_asked_peers_take_part() {
        let chosen = arguments(&["memif-one-way-64", "--peer", "vpp"]).choose().unwrap();
        assert!(chosen[0].contestants.iter().all(|it| it.party == Party::Subject));
        let chosen = arguments(&["memif-one-way-64", "--peer", "vpp,testpmd"]).choose().unwrap();
        assert_eq!(chosen[0].contestants.len(), 4);
    }

    #[test]
    fn a_full_session_has_ten_rounds_at_least() {
        assert!(arguments(&["--full"]).plan().unwrap().0 >= 10);
        assert_eq!(arguments(&["--runs", "2", "--seconds", "0.1"]).plan().unwrap().0, 2);
        assert!(
            Arguments::try_parse_from(["dockervpp-bench", "run", "--quick", "--full"]).is_err()
        );
    }
}
