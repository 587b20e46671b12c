//! The verbs of the command line, one file each.

pub mod capture;
pub mod cdi;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod forget;
pub mod options;
mod output;
pub mod run;
pub mod serve;
pub mod show;
pub mod vcl_process;

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};
use miette::{IntoDiagnostic, Report};

use crate::cli::{Cli, Command};
use crate::control::client::ClientError;
use crate::server::ServerError;
use crate::store::StoreError;
use output::OutputError;

/// The agent is not running; or for `serve`: another one is.
const AGENT: u8 = 3;

/// Does what the command line says, which [`Cli`] describes.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let cli = Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
    let result = match cli.command {
        Command::Serve(_) => serve::run_as(verb(matches)),
        Command::Run(arguments) => run::run(&arguments),
        Command::Cdi(arguments) => cdi::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Capture(arguments) => capture::run(&arguments),
        Command::Forget(arguments) => forget::run(&arguments),
        Command::Doctor(arguments) => return doctor::run(&arguments),
        Command::Options(arguments) => options::run(&arguments),
        Command::Config(arguments) => {
            return config::run(&arguments, verb(matches)).unwrap_or_else(|report| failed(&report));
        }
        Command::Completions(arguments) => completions::shell(&arguments),
        Command::Man(arguments) => completions::man(&arguments),
        Command::VclProcess { arguments } => vcl_process::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => failed(&report),
    }
}

/// What was said behind the verb.
fn verb(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().expect("a verb is required").1
}

fn failed(report: &Report) -> ExitCode {
    if is_broken_pipe(report) {
        return ExitCode::SUCCESS;
    }
    eprintln!("{report:?}");
    exit_code(report)
}

fn exit_code(report: &Report) -> ExitCode {
    let no_agent = matches!(report.downcast_ref(), Some(ClientError::NotRunning { .. }));
    let second_agent = matches!(report.downcast_ref(), Some(ServerError::Live { .. }))
        || matches!(report.downcast_ref(), Some(StoreError::InUse { .. }));
    if no_agent || second_agent { ExitCode::from(AGENT) } else { ExitCode::FAILURE }
}

fn is_broken_pipe(report: &Report) -> bool {
    report.downcast_ref().is_some_and(OutputError::is_broken_pipe)
}

/// The runtime of a command that talks to the agent.
fn runtime() -> miette::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().into_diagnostic()
}
