//! `dockervpp capture`: frames of a network or an endpoint as a pcapng file.
//!
//! The first interrupt asks the agent to end the file properly, a second one gives up at once.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use miette::{IntoDiagnostic, miette};
use tokio::signal::unix::{SignalKind, signal};

use super::output::OutputError;
use crate::cli::CaptureArgs;
use crate::control::client::{CaptureStream, Client, escaped};

/// Runs the command.
pub fn run(arguments: &CaptureArgs) -> miette::Result<()> {
    let client = Client::new(&arguments.agent.control_socket);
    super::runtime()?.block_on(async {
        let stream = client.capture(&query(arguments)).await?;
        // Opened only now, so that a mistake does not empty an earlier file.
        let output = open(&arguments.write)?;
        copy(&client, stream, output, &arguments.write).await
    })
}

fn query(arguments: &CaptureArgs) -> String {
    let mut query = format!("snaplen={}", arguments.snaplen);
    let texts = [("network", &arguments.network), ("endpoint", &arguments.endpoint)];
    for (name, value) in texts {
        if let Some(value) = value {
            let _ = write!(query, "&{name}={}", escaped(value));
        }
    }
    let duration = arguments.duration.map(|duration| duration.as_millis().to_string());
    let count = arguments.count.map(|count| count.to_string());
    for (name, value) in [("count", count), ("duration_ms", duration)] {
        if let Some(value) = value {
            let _ = write!(query, "&{name}={value}");
        }
    }
    query
}

fn open(path: &Path) -> miette::Result<Box<dyn Write>> {
    if path != Path::new("-") {
        let file = File::create(path);
        return Ok(Box::new(file.map_err(|error| OutputError::file(path, error))?));
    }
    if io::stdout().is_terminal() {
        return Err(miette!(
            help = "name a file with -w, or pipe it: dockervpp capture … | tcpdump -nr -",
            "a capture is not text and does not go to a terminal"
        ));
    }
    Ok(Box::new(io::stdout().lock()))
}

async fn copy(
    client: &Client,
    mut stream: CaptureStream,
    mut output: Box<dyn Write>,
    target: &Path,
) -> miette::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut stopping = false;
    loop {
        tokio::select! {
            chunk = stream.chunk() => match chunk? {
                Some(chunk) => {
                    // A reader that has gone ends the capture: the agent notices the lost
                    // connection.
                    let written = output.write_all(&chunk).and_then(|()| output.flush());
                    written.map_err(|error| OutputError::file(target, error))?;
                }
                None => return Ok(()),
            },
            _ = interrupt.recv() => match stream.number {
                Some(number) if !stopping => {
                    stopping = true;
                    client.stop_capture(number).await?;
                }
                _ => return Ok(()),
            },
            _ = terminate.recv() => match stream.number {
                Some(number) if !stopping => {
                    stopping = true;
                    client.stop_capture(number).await?;
                }
                _ => return Ok(()),
            },
        }
    }
}
