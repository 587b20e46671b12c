//! What a container costs: its control group.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// CPU time of all processes in the control group of a process, in seconds.
pub(super) fn cpu_seconds(process: u32) -> Result<f64> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup"))?;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next(), parts.next());
        let path = path.context("the kernel lists control groups")?.trim_start_matches('/');
        match controllers.unwrap_or_default() {
            "" => {
                let file = Path::new("/sys/fs/cgroup").join(path).join("cpu.stat");
                let Ok(text) = fs::read_to_string(file) else { continue };
                let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
                return Ok(usage.context("cpu.stat counts")?.parse::<f64>()? / 1e6);
            }
            list if list.split(',').any(|it| it == "cpuacct") => {
                for folder in [list, "cpuacct"] {
                    let file = Path::new("/sys/fs/cgroup").join(folder).join(path);
                    if let Ok(text) = fs::read_to_string(file.join("cpuacct.usage")) {
                        return Ok(text.trim().parse::<f64>()? / 1e9);
                    }
                }
            }
            _ => {}
        }
    }
    bail!("no control group of process {process} counts CPU time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_some() {
        assert!(cpu_seconds(std::process::id()).unwrap() > 0.0);
    }
}
