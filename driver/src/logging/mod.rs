//! Where log lines go, and how they look.

mod entry;
mod journal;

use std::io::{IsTerminal as _, stderr};

use miette::{IntoDiagnostic as _, WrapErr as _};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::journal::Journal;
use crate::cli::LogFormat;

/// Starts logging for the whole process.
///
/// # Errors
/// When the filter makes no sense, the journal is asked for and not there, or logging was started before.
pub(crate) fn start(format: LogFormat, filter: &str) -> miette::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .into_diagnostic()
        .wrap_err_with(|| format!("`{filter}` is not a log filter such as `info`"))?;
    let journal =
        match format {
            LogFormat::Journal => Some(Journal::open().into_diagnostic().wrap_err(
                "nobody serves the systemd journal here; choose another `--log-format`",
            )?),
            // Its socket may be out of reach though standard error leads there: text gets there all the same.
            LogFormat::Auto if Journal::has_standard_error() => Journal::open().ok(),
            _ => None,
        };
    let lines = tracing_subscriber::fmt().with_ansi(stderr().is_terminal()).with_writer(stderr);
    let started = match (journal, format) {
        (Some(journal), _) => tracing_subscriber::registry().with(filter).with(journal).try_init(),
        (None, LogFormat::Json) => lines.with_env_filter(filter).json().finish().try_init(),
        (None, _) => lines.with_env_filter(filter).finish().try_init(),
    };
    started.map_err(|error| miette::miette!("cannot start logging: {error}"))
}
