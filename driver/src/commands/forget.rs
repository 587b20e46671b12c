//! `dockervpp forget`: removes what Docker no longer has.

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
    Ok(super::output::print(&format!("{kind} {id} is forgotten\n"))?)
}
