//! The `dockervpp` command.

use std::process::ExitCode;

use clap::CommandFactory;

fn main() -> ExitCode {
    dockervpp::commands::run(&dockervpp::cli::Cli::command().get_matches())
}
