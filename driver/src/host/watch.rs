//! One thread that tries jobs again until what they wait for is there.
//!
//! It serves waits that no kernel event ends: a mount over a file gives none, nor does a device that
//! is moved into a namespace without us. A job is tried at once, then every few milliseconds, then
//! ever more slowly; a new file in the directory that it names makes all jobs brisk again. With no
//! job the thread sleeps and costs nothing.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;

/// What a job says after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It is finished; the job is dropped.
    Done,
    /// Not yet.
    Again,
}

/// A job of a [`Watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(u64);

/// The thread and its jobs. Dropping it drops the jobs and ends the thread.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { wake, jobs: Mutex::new(Jobs::default()) });
        let runner = Runner { shared: Arc::clone(&shared), hints: None };
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(|| runner.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Tries `job` now and until it is done. `directory` is where a new file is a sign that it may
    /// soon be; it need not exist. Jobs run one after another: a job must not block.
    pub fn add(&self, directory: &Path, job: impl FnMut() -> Attempt + Send + 'static) -> JobId {
        let now = Instant::now();
        let job =
            Job { directory: directory.to_owned(), since: now, due: now, attempt: Box::new(job) };
        let mut jobs = self.shared.lock();
        jobs.next += 1;
        let id = JobId(jobs.next);
        jobs.pending.insert(id, job);
        drop(jobs);
        self.shared.wake();
        id
    }

    /// Forgets a job. One that is being tried at this moment is not tried again.
    pub fn cancel(&self, id: JobId) {
        let mut jobs = self.shared.lock();
        let job = jobs.pending.remove(&id);
        if jobs.running == Some(id) {
            jobs.running = None;
        }
        drop(jobs);
        drop(job);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake();
        let Some(thread) = self.thread.take() else { return };
        // A job may hold the last reference to the owner of the watch: the thread cannot join itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("a job of the watch thread panicked");
        }
    }
}

#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    next: u64,
    pending: BTreeMap<JobId, Job>,
    /// The job that is being tried, unless it was cancelled meanwhile.
    running: Option<JobId>,
    closed: bool,
}

struct Job {
    directory: PathBuf,
    /// When it was last likely to succeed soon.
    since: Instant,
    due: Instant,
    attempt: Box<dyn FnMut() -> Attempt + Send>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // No code of a job runs under this lock, so it cannot be left half-changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Fails only when it was written 2^64 times and never read: then the thread is awake.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// The pause before the next try of a job that has been likely to succeed for `age`.
fn pause(age: Duration) -> Duration {
    match age.as_secs() {
        0..2 => Duration::from_millis(5),
        2..60 => Duration::from_millis(50),
        _ => Duration::from_millis(500),
    }
}

/// What the thread does when no job is due.
enum Step {
    End,
    /// For at most so long; without a limit until it is woken.
    Sleep(Option<Duration>),
}

struct Runner {
    shared: Arc<Shared>,
    hints: Option<Hints>,
}

impl Runner {
    fn run(mut self) {
        loop {
            self.try_due_jobs();
            match self.next_step() {
                Step::End => return,
                Step::Sleep(timeout) => self.sleep(timeout),
            }
        }
    }

    fn try_due_jobs(&self) {
        let started = Instant::now();
        while let Some((id, mut job)) = self.take_due_job(started) {
            let attempt = (job.attempt)();
            let now = Instant::now();
            job.due = now + pause(now.duration_since(job.since));
            let mut jobs = self.shared.lock();
            let cancelled = jobs.running.take() != Some(id);
            if attempt == Attempt::Again && !cancelled {
                jobs.pending.insert(id, job);
            }
        }
    }

    fn take_due_job(&self, now: Instant) -> Option<(JobId, Job)> {
        let mut jobs = self.shared.lock();
        let due = |(id, job): (&JobId, &Job)| (job.due <= now).then_some(*id);
        let id = if jobs.closed { None } else { jobs.pending.iter().find_map(due) }?;
        jobs.running = Some(id);
        jobs.pending.remove_entry(&id)
    }

    fn next_step(&mut self) -> Step {
        let jobs = self.shared.lock();
        if jobs.closed {
            return Step::End;
        }
        let Some(due) = jobs.pending.values().map(|job| job.due).min() else {
            self.hints = None;
            return Step::Sleep(None);
        };
        let hints = self.hints.get_or_insert_with(Hints::new);
        jobs.pending.values().for_each(|job| hints.watch(&job.directory));
        Step::Sleep(Some(due.saturating_duration_since(Instant::now())))
    }

    fn sleep(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let hints = self.hints.as_ref().and_then(|hints| hints.inotify.as_ref());
        let mut sources = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        sources.extend(hints.map(|hints| PollFd::new(hints, PollFlags::IN)));
        // An interrupted sleep is only shorter.
        let _ = poll(&mut sources, timeout.as_ref());
        drop(sources);
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.wake, &mut count);
        if self.hints.as_mut().is_some_and(Hints::drain) {
            self.hurry();
        }
    }

    /// Something new was seen: every job is likely to succeed soon.
    fn hurry(&self) {
        let now = Instant::now();
        for job in self.shared.lock().pending.values_mut() {
            (job.since, job.due) = (now, now);
        }
    }
}

/// New files in the directories of the jobs. Where the kernel refuses, trying again is enough.
struct Hints {
    inotify: Option<OwnedFd>,
    watched: HashSet<PathBuf>,
}

impl Hints {
    fn new() -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags)
            .inspect_err(|error| tracing::debug!(%error, "inotify is not available"))
            .ok();
        Self { inotify, watched: HashSet::new() }
    }

    fn watch(&mut self, directory: &Path) {
        let Some(inotify) = &self.inotify else { return };
        if self.watched.contains(directory) {
            return;
        }
        let events = inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::ONLYDIR;
        // The directory may not exist yet: it is tried again before the next sleep.
        if inotify::add_watch(inotify, directory, events).is_ok() {
            self.watched.insert(directory.to_owned());
        }
    }

    /// Reads all events; whether there were any.
    fn drain(&mut self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut seen = false;
        while let Ok(event) = reader.next() {
            seen = true;
            if event.events().contains(inotify::ReadFlags::IGNORED) {
                // A watched directory went away; whichever it was, all are looked at anew.
                self.watched.clear();
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn report_when_there(path: PathBuf, found: Sender<PathBuf>) -> impl FnMut() -> Attempt + Send {
        move || {
            if path.exists() {
                found.send(path.clone()).unwrap();
                return Attempt::Done;
            }
            Attempt::Again
        }
    }

    /// A job that counts its tries and waits for `path`.
    fn counted(path: PathBuf) -> (impl FnMut() -> Attempt + Send, Receiver<()>) {
        let (tried, tries) = mpsc::channel();
        let job = move || {
            let _ = tried.send(());
            if path.exists() { Attempt::Done } else { Attempt::Again }
        };
        (job, tries)
    }

    #[test]
    fn the_pause_grows_and_stays_bounded() {
        let pauses = [0, 1, 5, 59, 60, 86_400].map(|age| pause(Duration::from_secs(age)));
        assert!(pauses.is_sorted());
        assert!(pauses[0] <= Duration::from_millis(10) && pauses[5] <= Duration::from_secs(1));
    }

    #[test]
    fn a_directory_that_comes_later_is_found_and_so_is_the_file() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("netns");
        let watch = Watch::start().unwrap();
        let (found, finds) = mpsc::channel();
        let path = directory.join("sandbox");
        watch.add(&directory, report_when_there(path.clone(), found));
        assert!(finds.try_recv().is_err());
        fs::create_dir(&directory).unwrap();
        File::create(&path).unwrap();
        assert_eq!(finds.recv_timeout(LONG).unwrap(), path);
    }

    #[test]
    fn jobs_do_not_wait_for_each_other() {
        let root = tempfile::tempdir().unwrap();
        let watch = Watch::start().unwrap();
        let (found, finds) = mpsc::channel();
        watch.add(root.path(), report_when_there(root.path().join("never"), found.clone()));
        let path = root.path().join("here");
        File::create(&path).unwrap();
        watch.add(root.path(), report_when_there(path.clone(), found));
        assert_eq!(finds.recv_timeout(LONG).unwrap(), path);
    }

    #[test]
    fn a_cancelled_job_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let watch = Watch::start().unwrap();
        let (job, tries) = counted(root.path().join("never"));
        let id = watch.add(root.path(), job);
        tries.recv_timeout(LONG).unwrap();
        watch.cancel(id);
        // The channel ends when the job, and with it the sender, is dropped.
        while tries.recv_timeout(LONG).is_ok() {}
        assert_eq!(tries.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn dropping_the_watch_drops_its_jobs() {
        let root = tempfile::tempdir().unwrap();
        let watch = Watch::start().unwrap();
        let (job, tries) = counted(root.path().join("never"));
        watch.add(root.path(), job);
        drop(watch);
        while tries.try_recv().is_ok() {}
        assert_eq!(tries.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
