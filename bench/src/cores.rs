//! Which CPUs are used, and staying on them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The two CPUs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Cores {
    /// Servers, and the load of the bridge benchmarks.
    pub(crate) first: usize,
    /// Clients, and the worker of the bridge benchmarks.
    pub(crate) second: usize,
}

impl Cores {
    /// The asked ones, or the first two that this process may use and that are not siblings of one
    /// core.
    ///
    /// # Errors
    /// When there are no two CPUs, or an asked one may not be used.
    pub(crate) fn choose(asked: Option<(usize, usize)>) -> Result<Self> {
        let allowed = allowed()?;
        if let Some((first, second)) = asked {
            for cpu in [first, second] {
                ensure!(allowed.contains(&cpu), "CPU {cpu} cannot be used here, only {allowed:?}");
            }
            return Ok(Self { first, second });
        }
        let &first = allowed.first().context("no CPU may be used")?;
        let siblings = siblings(first);
        let others = || allowed.iter().copied().filter(|&cpu| cpu != first);
        let second = others().find(|cpu| !siblings.contains(cpu)).or_else(|| others().next());
        let second = second.context("two CPUs are needed, this process may use one")?;
        Ok(Self { first, second })
    }

    /// Whether both are hardware threads of one core, which changes every figure.
    pub(crate) fn are_siblings(self) -> bool {
        siblings(self.first).contains(&self.second)
    }
}

/// Binds the calling thread, and the threads that it starts from now on, to one CPU.
///
/// # Errors
/// When the kernel does not do so.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    pin_thread(None, cpu)
}

fn pin_thread(thread: Option<Pid>, cpu: usize) -> Result<()> {
    ensure!(cpu < CpuSet::MAX_CPU, "there is no CPU {cpu}");
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(thread, &set).with_context(|| format!("cannot be bound to CPU {cpu}"))?;
    ensure!(sched_getaffinity(thread)? == set, "was not bound to CPU {cpu}");
    Ok(())
}

fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// The hardware threads of a CPU's core, itself included; nothing where the kernel does not say.
fn siblings(cpu: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    parse_list(fs::read_to_string(path).unwrap_or_default().trim())
}

/// The kernel's list format: `0-3,8`.
fn parse_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse::<usize>().ok()?..=to.parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!(parse_list("0"), [0]);
        assert_eq!(parse_list("0-2,8"), [0, 1, 2, 8]);
        assert!(parse_list("").is_empty());
    }
}
