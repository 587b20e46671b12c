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
    // Standard error leads to the journal, but its own socket may be out of reach: text gets there all the same.
    let format = match format {
        LogFormat::Auto if Journal::has_standard_error() && Journal::open().is_ok() => {
            LogFormat::Journal
        }
        LogFormat::Auto => LogFormat::Text,
        other => other,
    };
    let lines = tracing_subscriber::fmt().with_ansi(stderr().is_terminal()).with_writer(stderr);
    let started = match format {
        LogFormat::Journal => {
            let journal = Journal::open().into_diagnostic().wrap_err(
                "nobody serves the systemd journal here; choose another `--log-format`",
            )?;
            tracing_subscriber::registry().with(filter).with(journal).try_init()
        }
        LogFormat::Json => lines.with_env_filter(filter).json().finish().try_init(),
        LogFormat::Auto | LogFormat::Text => lines.with_env_filter(filter).finish().try_init(),
    };
    started.map_err(|error| miette::miette!("cannot start logging: {error}"))
}
