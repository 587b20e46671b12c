//! The command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::benchmark::Benchmark;
use crate::catalogue::CATALOGUE;
use crate::contest::Plan;
use crate::cores::Cores;
use crate::report::{Method, Report};
use crate::worker::{self, Task};
use crate::{machine, markdown, schedule};

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
    Run(RunArguments),
    /// One process of a contestant; started by `run`.
    #[command(hide = true)]
    Worker {
        /// What to do, as JSON.
        task: String,
    },
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Which benchmarks; all of them by default.
    names: Vec<String>,
    /// Runs of each contestant, interleaved with the others.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Length of one run in seconds (idle benchmarks take twice as long).
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before each run that do not count.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3600))]
    warm_up: u64,
    /// The two CPUs to use, `A,B`; by default the first two that are not siblings.
    #[arg(long, value_parser = parse_cores)]
    cores: Option<(usize, usize)>,
    /// Writes report.json and report.md into this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Does what was asked. The exit code is a failure when a contestant failed.
    pub(crate) fn execute(self) -> Result<ExitCode> {
        match self.command {
            Command::List => {
                list();
                Ok(ExitCode::SUCCESS)
            }
            Command::Run(arguments) => run(&arguments),
            Command::Worker { task } => {
                let task: Task = serde_json::from_str(&task).context("not a worker's task")?;
                worker::run(&task)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn list() {
    for benchmark in CATALOGUE {
        println!("{}: {}", benchmark.name, benchmark.about);
        for contestant in benchmark.contestants {
            println!("    {:<8}{}", contestant.party.label(), contestant.name);
        }
    }
}

fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let chosen = choose(&arguments.names)?;
    // Also keeps the test suites of this machine away while it measures.
    eprintln!("waiting until no other suite runs on this machine");
    let turn = kit::lab::Turn::take()?;
    let plan = Plan {
        cores: Cores::choose(arguments.cores)?,
        warm_up: Duration::from_secs(arguments.warm_up),
        length: Duration::from_secs(arguments.seconds),
    };
    let machine = machine::Machine::describe(plan.cores);
    for warning in &machine.warnings {
        eprintln!("warning: {warning}");
    }
    let mut report = Report::new(Method::new(arguments.runs, &plan), machine);
    for benchmark in chosen {
        report.benchmarks.push(schedule::run(benchmark, arguments.runs, &plan));
    }
    report.machine.load_after = machine::load();
    drop(turn);
    deliver(&report, arguments)?;
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn choose(names: &[String]) -> Result<Vec<&'static Benchmark>> {
    if names.is_empty() {
        return Ok(CATALOGUE.iter().collect());
    }
    let find = |name: &String| match CATALOGUE.iter().find(|it| it.name == name) {
        Some(found) => Ok(found),
        None => bail!("there is no benchmark `{name}`; `dockervpp-bench list` names them"),
    };
    names.iter().map(find).collect()
}

fn deliver(report: &Report, arguments: &RunArguments) -> Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    let table = markdown::render(report);
    if let Some(folder) = &arguments.out {
        write(folder, "report.json", &json)?;
        write(folder, "report.md", &table)?;
    }
    print!("{}", if arguments.json { json } else { table });
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))
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
        assert!(choose(&["no-such".to_owned()]).is_err());
        assert_eq!(choose(&[]).unwrap().len(), CATALOGUE.len());
    }
}
