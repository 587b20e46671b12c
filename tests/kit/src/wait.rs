//! Waiting for a condition, with a limit and a sentence for the failure.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `probe` gives a value, at most for `limit`.
///
/// # Errors
/// When `limit` passed, naming `what` was awaited; or the first error of `probe`.
pub fn until<T>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe().with_context(|| format!("while waiting: {what}"))? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("not within {limit:?}: {what}");
        }
        thread::sleep(PAUSE);
    }
}

/// Looks until `probe` succeeds; its last error is the failure.
///
/// # Errors
/// When `limit` passed: the last error of `probe`.
pub fn until_ok<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("not within {limit:?}: {what}")));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
