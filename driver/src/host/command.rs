//! The host's own commands (`nft`, `iptables`): run to their end, with their complaint in the error.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Where administrators' commands are when the path does not say so.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A command did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It is not there.
    #[error("there is no command `{0}`")]
    Missing(String),
    /// It could not be run.
    #[error("cannot run `{program}`")]
    Io {
        /// The command.
        program: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It failed.
    #[error("`{line}` failed: {complaint}")]
    Refused {
        /// The command line.
        line: String,
        /// What it said.
        complaint: String,
    },
}

/// Runs a command with `input` on its standard input; returns what it printed.
pub fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, CommandError> {
    let io = |source| CommandError::Io { program: program.to_owned(), source };
    let mut child = match spawn(program, arguments) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CommandError::Missing(program.to_owned()));
        }
        other => other.map_err(io)?,
    };
    // Some thousand bytes, read by the command before it prints anything. It may end without reading.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        written.transpose().map_err(io)?;
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let complaint = errors.lines().next().unwrap_or("it says nothing").trim();
    Err(CommandError::Refused {
        line: [&[program], arguments].concat().join(" "),
        complaint: format!("{complaint} ({})", output.status),
    })
}

fn spawn(program: &str, arguments: &[&str]) -> io::Result<std::process::Child> {
    let start = |program: &Path| {
        Command::new(program)
            .args(arguments)
            // What they say is read.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    let mut started = start(program.as_ref());
    for folder in FOLDERS {
        match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                started = start(&Path::new(folder).join(program));
            }
            _ => break,
        }
    }
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_is_told() {
        assert_eq!(run("cat", &[], "text").unwrap(), "text");
        assert!(matches!(run("no-such-command", &[], ""), Err(CommandError::Missing(_))));
        let error = run("sh", &["-c", "echo no >&2; exit 3"], "").unwrap_err().to_string();
        assert!(error.contains("no (exit status: 3)"), "{error}");
    }

    #[test]
    fn input_that_nobody_reads_is_no_reason_to_hang() {
        let long = "x".repeat(1 << 20);
        assert!(run("true", &[], &long).is_err());
        assert!(run("false", &[], &long).is_err());
    }
}
