//! Where commands write their results.

use std::io::{self, Write};
use std::path::Path;

use miette::Diagnostic;

/// A result cannot be written.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write to {target}")]
pub(crate) struct OutputError {
    target: String,
    source: io::Error,
}

impl OutputError {
    /// Writing to a file failed.
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self { target: path.display().to_string(), source }
    }

    /// Writing to the standard output failed.
    pub(crate) fn stdout(source: io::Error) -> Self {
        Self { target: "the standard output".to_owned(), source }
    }

    /// The reader of the output, such as `head`, has seen enough.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.source.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes to the standard output.
pub(crate) fn print(text: &str) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(OutputError::stdout)
}
