//! What the service manager is told (systemd's `sd_notify` protocol): ready, stopping, that the agent
//! still makes progress, and what it has. Without a manager, that is without `NOTIFY_SOCKET`, nothing is said.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tracing::{error, warn};

use crate::driver::Driver;

/// Says that Docker is served.
pub(super) fn ready(driver: &Driver) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(driver))]);
}

/// What `systemctl status` shows of it.
fn status(driver: &Driver) -> String {
    let state = driver.snapshot();
    let joined = state.endpoints().filter(|record| record.sandbox.is_some());
    format!(
        "engine {}, {} networks, {} endpoints in containers",
        driver.engine().name(),
        state.networks().count(),
        joined.count()
    )
}

/// Says that the agent ends because it was told to.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told how the agent does");
    }
}

/// The thread that feeds the manager's watchdog; dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Watchdog {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts it if the manager has a watchdog for this process (`WATCHDOG_USEC`).
    pub(super) fn start(driver: &Arc<Driver>, runtime: &Handle) -> std::io::Result<Option<Self>> {
        let Some(limit) = sd_notify::watchdog_enabled() else { return Ok(None) };
        let (driver, runtime) = (Arc::clone(driver), runtime.clone());
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || feed(limit / 3, &stopped, &|| progress(&driver, &runtime)))?;
        Ok(Some(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.take();
        // A thread that is stuck is why the manager ends the agent; it is not waited for.
        if let Some(thread) = self.thread.take()
            && thread.is_finished()
            && thread.join().is_err()
        {
            error!("the watchdog's thread panicked");
        }
    }
}

/// Feeds after each proof of progress, which is what the agent has. A part of the agent that is stuck keeps `progress`
/// from returning, and then the manager does what it was told to.
fn feed(
    every: Duration,
    stopped: &mpsc::Receiver<()>,
    progress: &dyn Fn() -> Result<String, String>,
) {
    loop {
        match progress() {
            Ok(status) => tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]),
            Err(what) => error!("the watchdog is not fed: {what}"),
        }
        if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Returns when each part that a call of Docker or a frame needs has done something: the tasks, the threads
/// for calls, the state, of which it tells, the engine's workers.
fn progress(driver: &Arc<Driver>, runtime: &Handle) -> Result<String, String> {
    let (task, tasks) = mpsc::channel();
    runtime.spawn(async move { task.send(()) });
    tasks.recv().map_err(|_| "a task ended without a word".to_owned())?;
    let (call, calls) = mpsc::channel();
    let asked = Arc::clone(driver);
    runtime.spawn_blocking(move || call.send(asked.engine().take_turns()));
    let answer = calls.recv().map_err(|_| "a call ended without a word".to_owned())?;
    answer.map_err(|error| format!("the engine does not answer: {error}"))?;
    Ok(status(driver))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::engine::fake::{FakeEngine, World};
    use crate::store::Store;

    #[test]
    fn progress_is_seen_only_when_tasks_run() {
        let directory = tempfile::tempdir().unwrap();
        let (store, state) = Store::open(directory.path()).unwrap();
        let engine = Arc::new(FakeEngine::on(&World::default()));
        let driver = Arc::new(Driver::new(engine, store, state));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let (release, held) = mpsc::channel::<()>();
        let (running, runs) = mpsc::channel();
        let seen = Arc::clone(&order);
        runtime.spawn(async move {
            running.send(()).unwrap();
            // The only thread of the runtime is stuck here.
            held.recv().unwrap();
            seen.lock().unwrap().push("released");
        });
        runs.recv().unwrap();
        let (handle, seen) = (runtime.handle().clone(), Arc::clone(&order));
        let watching = std::thread::spawn(move || {
            progress(&driver, &handle).unwrap();
            seen.lock().unwrap().push("progress");
        });
        release.send(()).unwrap();
        watching.join().unwrap();
        assert_eq!(*order.lock().unwrap(), ["released", "progress"]);
    }

    #[test]
    fn what_is_stuck_or_fails_does_not_feed_for_ever() {
        let (stop, stopped) = mpsc::channel();
        let turns = Mutex::new(0);
        let stop = Mutex::new(Some(stop));
        feed(Duration::from_millis(1), &stopped, &|| {
            *turns.lock().unwrap() += 1;
            if *turns.lock().unwrap() == 3 {
                stop.lock().unwrap().take();
            }
            Err("broken".to_owned())
        });
        assert_eq!(*turns.lock().unwrap(), 3, "it ends when it is dropped, and not before");
    }
}
