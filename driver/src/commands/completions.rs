//! `dockervpp completions` and `dockervpp man`: what packages install.

use clap::CommandFactory;
use miette::{Context, IntoDiagnostic};

use crate::cli::{Cli, CompletionsArgs, ManArgs};

/// Prints the completion script of a shell.
pub fn shell(arguments: &CompletionsArgs) -> miette::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "dockervpp", &mut script);
    Ok(super::output::print(&String::from_utf8_lossy(&script))?)
}

/// Writes one manual page for the command and one for each verb.
pub fn man(arguments: &ManArgs) -> miette::Result<()> {
    clap_mangen::generate_to(Cli::command(), &arguments.directory)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot write to {}", arguments.directory.display()))
}
