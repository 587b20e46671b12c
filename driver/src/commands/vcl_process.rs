//! `dockervpp vcl-process`: what connects sessions of one endpoint with VPP's host stack.

use std::ffi::OsString;
use std::io::{IsTerminal as _, stderr, stdin};
use std::os::fd::AsFd as _;

use miette::IntoDiagnostic;
use tracing_subscriber::EnvFilter;
use transport::vcl::{VclAttach, serve};

/// Serves the agent at the other end of standard input until it or VPP is gone.
pub fn run(arguments: Vec<OsString>) -> miette::Result<()> {
    let attach = VclAttach::from_arguments(arguments).into_diagnostic()?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    logging.try_init().map_err(|error| miette::miette!("cannot start logging: {error}"))?;
    let socket = stdin().as_fd().try_clone_to_owned().into_diagnostic()?;
    serve(socket, &attach).into_diagnostic()
}
