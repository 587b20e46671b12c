//! CPU time of threads, in nanoseconds, as the scheduler counts it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of each thread of a process, by thread id.
///
/// # Errors
/// When the process is gone.
pub(crate) fn threads(process: u32) -> Result<BTreeMap<u32, u64>> {
    let folder = PathBuf::from(format!("/proc/{process}/task"));
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut times = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let id = path.file_name().and_then(|it| it.to_str()).and_then(|it| it.parse().ok());
        // A thread that ends in between has no file any more.
        if let (Some(id), Ok(text)) = (id, fs::read_to_string(path.join("schedstat"))) {
            times.insert(id, on_cpu(&text)?);
        }
    }
    Ok(times)
}

/// CPU seconds that the threads of a process have used so far.
///
/// # Errors
/// When the process is gone.
pub(crate) fn seconds(process: u32) -> Result<f64> {
    let used: u64 = threads(process)?.values().sum();
    Ok(Duration::from_nanos(used).as_secs_f64())
}

/// CPU time that a process used between two readings. What a thread used that ended in between
/// after the first is not seen.
pub(crate) fn used(before: &BTreeMap<u32, u64>, after: &BTreeMap<u32, u64>) -> u64 {
    let one = |(id, time): (&u32, &u64)| time.saturating_sub(before.get(id).copied().unwrap_or(0));
    after.iter().map(one).sum()
}

/// The thread of this process with this name.
///
/// # Errors
/// When there is none.
pub(crate) fn thread_named(name: &str) -> Result<u32> {
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if fs::read_to_string(path.join("comm")).is_ok_and(|it| it.trim_end() == name) {
            let id = path.file_name().and_then(|it| it.to_str()).and_then(|it| it.parse().ok());
            return id.context("thread ids are numbers");
        }
    }
    anyhow::bail!("this process has no thread `{name}`")
}

/// CPU time of one thread of this process.
///
/// # Errors
/// When it is gone.
pub(crate) fn thread(id: u32) -> Result<u64> {
    let path = format!("/proc/self/task/{id}/schedstat");
    on_cpu(&fs::read_to_string(&path).with_context(|| path.clone())?)
}

/// CPU time of this process, all of its threads, those that ended included.
pub(crate) fn this_process() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let of = |it: i64| u64::try_from(it).unwrap_or_default();
    of(time.tv_sec) * 1_000_000_000 + of(time.tv_nsec)
}

/// The first number of a schedstat file (Linux `Documentation/scheduler/sched-stats.rst`).
fn on_cpu(schedstat: &str) -> Result<u64> {
    let first = schedstat.split_whitespace().next().context("schedstat is empty")?;
    first.parse().context("schedstat holds numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_threads_count_whole_and_ended_ones_not() {
        let before = BTreeMap::from([(1, 100), (2, 50)]);
        let after = BTreeMap::from([(1, 130), (3, 7)]);
        assert_eq!(used(&before, &after), 37);
    }

    #[test]
    fn this_process_has_used_some() {
        let own = threads(std::process::id()).unwrap();
        assert!(own.values().any(|&time| time > 0));
        assert!(this_process() > 0);
    }
}
