//! A child process whose output lines are kept and can be waited for.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::wait;

/// Output of both streams so far, in order of arrival.
#[derive(Debug, Default)]
struct Lines {
    written: Mutex<Written>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    /// Streams that are still open.
    open: usize,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Written> {
        // A reader that panicked while pushing leaves complete lines.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let lines = Arc::clone(self);
        lines.lock().open += 1;
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                lines.lock().lines.push(line);
                lines.grown.notify_all();
            }
            lines.lock().open -= 1;
            lines.grown.notify_all();
        });
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Arc<Lines>,
}

impl Process {
    /// Starts `command` with all three streams piped.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Result<Self> {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let lines = Arc::new(Lines::default());
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        lines.collect(output.context("the output is piped")?);
        lines.collect(errors.context("the errors are piped")?);
        Ok(Self { name, input: child.stdin.take(), child, lines })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub fn output(&self) -> Vec<String> {
        self.lines.lock().lines.clone()
    }

    /// The number of lines so far: a mark to wait from.
    pub fn mark(&self) -> usize {
        self.lines.lock().lines.len()
    }

    /// Waits for the first line after `mark` for which `found` gives a value.
    ///
    /// # Errors
    /// When `limit` passed or the process ended first, with the output so far.
    pub fn line_after<T>(
        &self,
        mark: usize,
        limit: Duration,
        what: &str,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut next = mark;
        let mut written = self.lines.lock();
        loop {
            while let Some(line) = written.lines.get(next) {
                next += 1;
                if let Some(value) = found(line) {
                    return Ok(value);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || written.open == 0 {
                let why = if written.open == 0 { "ended before" } else { "not in time" };
                let (name, text) = (&self.name, written.lines.join("\n"));
                bail!("{name}: {why}: {what} (limit {limit:?}); it wrote:\n{text}");
            }
            let waited = self.lines.grown.wait_timeout(written, left);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes one line to its input.
    pub fn send(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("the input is closed")?;
        writeln!(input, "{line}")
            .and_then(|()| input.flush())
            .map_err(|error| anyhow!("{} does not take `{line}`: {error}", self.name))
    }

    /// Its input, for a thread of its own; [`Self::send`] has none any more.
    pub fn take_input(&mut self) -> Result<ChildStdin> {
        self.input.take().context("the input is closed")
    }

    /// Closes its input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("process ids are positive")?;
        rustix::process::kill_process(pid, signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Its exit status, once it ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        let status = wait::until(limit, &what, || Ok(self.child.try_wait()?));
        status.with_context(|| format!("it wrote:\n{}", self.output().join("\n")))
    }

    /// Kills it at once and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// When it cannot start or does not succeed, with what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let (said, errors) = (&output.stdout, &output.stderr);
        let (said, errors) = (String::from_utf8_lossy(said), String::from_utf8_lossy(errors));
        bail!("{command:?}: {}: {} {}", output.status, errors.trim(), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
