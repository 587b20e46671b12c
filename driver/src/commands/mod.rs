//! The verbs of the command line, one file each.

pub mod capture;
pub mod completions;
pub mod doctor;
pub mod forget;
pub mod options;
mod output;
pub mod serve;
pub mod show;

use std::process::ExitCode;

use miette::{IntoDiagnostic, Report};

use crate::cli::{Cli, Command};
use crate::control::client::ClientError;
use crate::server::ServerError;
use crate::store::StoreError;
use output::OutputError;

/// The agent is not running; or for `serve`: another one is.
const AGENT: u8 = 3;

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Capture(arguments) => capture::run(&arguments),
        Command::Forget(arguments) => forget::run(&arguments),
        Command::Doctor(arguments) => return doctor::run(&arguments),
        Command::Options(arguments) => options::run(&arguments),
        Command::Completions(arguments) => completions::shell(&arguments),
        Command::Man(arguments) => completions::man(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) if is_broken_pipe(&report) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("{report:?}");
            exit_code(&report)
        }
    }
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
