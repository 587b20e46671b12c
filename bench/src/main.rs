//! The benchmark suite: our data path against what would be used instead, in one run.
//!
//! * [`catalogue`]: every benchmark, as data.
//! * [`benchmark`]: what a benchmark is: contestants, and claims about them.
//! * [`contest`]: how each contestant is run; [`worker`]: the processes of ours among them.
//! * [`schedule`]: interleaved runs; [`statistics`]: what is made of them.
//! * [`cores`], [`machine`]: where it ran.
//! * [`report`], [`markdown`]: the result as JSON and as a table.

mod benchmark;
mod catalogue;
mod cli;
mod contest;
mod cores;
mod cpu_time;
mod machine;
mod markdown;
mod report;
mod schedule;
mod statistics;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Arguments::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
