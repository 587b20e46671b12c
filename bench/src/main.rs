//! The benchmark suite: our data path against what would be used instead, in one run.
//!
//! * [`catalogue`]: every benchmark, as data.
//! * [`benchmark`]: what a benchmark is: contestants, and claims about them.
//! * [`contest`]: how each contestant is run; [`worker`]: the processes of ours among them.
//! * [`schedule`]: interleaved runs; [`progress`]: what is shown of them meanwhile.
//! * [`statistics`], [`latency`], [`pace`]: what is made of figures, and how load is timed; pure.
//! * [`cores`], [`machine`], [`counters`], [`cpu_time`]: where it ran, and what it took.
//! * [`result`], [`judgement`], [`targets`], [`schema`], [`store`]: the result and what it says.
//! * [`markdown`], [`compare`], [`figure`]: the result as text.
//! * [`guard`]: instructions of the hot paths at two commits.
//! * [`html`], [`gallery`], [`picture`]: the result as a page with pictures.

mod benchmark;
mod catalogue;
mod cli;
mod compare;
mod contest;
mod cores;
mod counters;
mod cpu_time;
mod figure;
#[cfg(test)]
mod fixture;
mod gallery;
mod guard;
mod html;
mod judgement;
mod latency;
mod machine;
mod markdown;
mod pace;
mod picture;
mod progress;
mod result;
mod schedule;
mod schema;
mod statistics;
mod store;
mod targets;
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
