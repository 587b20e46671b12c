//! `dockervpp forget`: removes what Docker no longer has.

use std::io::Write;

use miette::IntoDiagnostic;

use crate::cli::ForgetArgs;
use crate::control::client::{Client, escaped};

/// Runs the command.
pub fn run(arguments: &ForgetArgs) -> miette::Result<()> {
    let client = Client::new(&arguments.agent.control_socket);
    let (kind, id) = match (&arguments.network, &arguments.endpoint) {
        (Some(id), _) => ("network", id),
        (None, Some(id)) => ("endpoint", id),
        (None, None) => return Ok(()),
    };
    let path = format!("/v1/{kind}s/{}", escaped(id));
    super::runtime()?.block_on(client.delete(&path))?;
    writeln!(std::io::stdout(), "{kind} {id} is forgotten").into_diagnostic()
}
