//! Frames at full speed, every byte of which is checked: a generator, a sink, both at once, and
//! round trips with their latencies.
//!
//!     traffic listen:@lab receive --json
//!     traffic connect:@lab send --size 64,1518,9000 --count 100000000
//!
//! Each frame carries its stream (one per queue), its number, its length and a pattern made of
//! them, so the sink knows of every frame that is lost, doubled, out of order or damaged. The
//! sender counts a frame only when the ring took it: on a direct link nothing is ever lost.

#[path = "../common/mod.rs"]
mod common;
mod options;
mod report;
mod run;
mod stream;

use std::process::ExitCode;

use options::{Command, Options};

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", options::help());
            ExitCode::SUCCESS
        }
        Ok(Command::Run(options)) => match run::run(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(2),
            Err(error) => failed(error.as_ref()),
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
