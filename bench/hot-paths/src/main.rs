//! Small fixed workloads over the hot paths, for counting instructions: the same number of times, they
//! execute the same instructions. There is no clock, no random number and no other thread in them.
//!
//! `hot-paths list` prints the workloads, each with the version of what it does (a count is comparable to
//! one of the same version only) and how many operations one iteration is. `hot-paths NAME ITERATIONS`
//! does it.

mod bridge;
mod codec;
mod policy;
mod ring;
mod session;

use std::process::ExitCode;

/// A workload.
struct Workload {
    name: &'static str,
    /// Raised whenever it does something else.
    version: u32,
    /// Operations of one iteration.
    operations: u32,
    /// Does that many iterations; why it cannot, if so.
    run: fn(u32) -> Result<(), String>,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "memif-ring-publish-consume",
        version: 1,
        operations: ring::BURST,
        run: ring::publish_consume,
    },
    Workload { name: "memif-ring-chained", version: 1, operations: 1, run: ring::chained },
    Workload {
        name: "bridge-forward",
        // Since 2 ports are of four groups, with gateways and ways to other hosts.
        version: 2,
        operations: bridge::STATIONS,
        run: bridge::forward,
    },
    Workload {
        name: "bridge-forward-run",
        version: 1,
        operations: bridge::STATIONS,
        run: bridge::forward_run,
    },
    Workload { name: "bridge-flood", version: 1, operations: bridge::PORTS, run: bridge::flood },
    Workload {
        name: "policy-check-ipv4",
        version: 1,
        operations: policy::FRAMES,
        run: policy::check_ipv4,
    },
    Workload {
        name: "policy-check-ipv6",
        version: 1,
        operations: policy::FRAMES,
        run: policy::check_ipv6,
    },
    Workload { name: "policy-limits", version: 1, operations: policy::FRAMES, run: policy::limits },
    Workload { name: "session-write-read-64", version: 1, operations: 1, run: session::small },
    Workload { name: "session-write-read-64k", version: 1, operations: 1, run: session::large },
    Workload { name: "session-datagram", version: 1, operations: 1, run: session::datagram },
    Workload {
        name: "memif-codec",
        version: 1,
        operations: codec::MEMIF_MESSAGES,
        run: codec::memif,
    },
    Workload {
        name: "session-codec",
        version: 1,
        operations: codec::SESSION_MESSAGES,
        run: codec::session,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match execute(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &[&str]) -> Result<(), String> {
    match *arguments {
        ["list"] => {
            for it in WORKLOADS {
                println!("{} {} {}", it.name, it.version, it.operations);
            }
            Ok(())
        }
        [name, iterations] => {
            let found = WORKLOADS.iter().find(|it| it.name == name);
            let found =
                found.ok_or_else(|| format!("there is no workload `{name}`; see `list`"))?;
            let iterations = iterations.parse().map_err(|_| "ITERATIONS is a number".to_owned())?;
            (found.run)(iterations)
        }
        _ => Err("usage: hot-paths list | hot-paths NAME ITERATIONS".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_runs() {
        for it in WORKLOADS {
            assert_eq!((it.run)(3), Ok(()), "{}", it.name);
            assert!(it.operations > 0);
        }
        assert!(execute(&["no-such", "1"]).is_err());
        assert!(execute(&["bridge-forward", "x"]).is_err());
        assert!(execute(&[]).is_err());
    }
}
