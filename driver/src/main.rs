//! The `dockervpp` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    dockervpp::commands::run(dockervpp::cli::Cli::parse())
}
