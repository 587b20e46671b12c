//! A session whose peer is none: the container of one side is of kind `userspace` and has the preload library, the other's
//! has neither, and between them stands the network stack of the agent or, with `tcp=vcl`, VPP's.
//!
//! Each side has its turn to be the one with sessions. Both are compared with the kernel's TCP between two containers, the
//! kernel's side as well: what a peer sees of a session's container has to be what it sees of any other.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use kit::docker::RunOptions;
use kit::lab::{Lab, docker_test};
use kit::need::Need;
use kit::{Container, Engine, Image, Network};

use super::compare::{Comparison, compare};
use super::differences::{ACROSS, DIFFERENCES, Difference, LEFT_OUT};
use super::record::{Over, PATIENCE, Record, Side, Stage};
use super::{keep, wanted};

/// The network of all runs.
const NETWORK: [&str; 7] =
    ["-o", "attach=userspace", "--ipv6", "--subnet", "10.98.0.0/24", "--subnet", "fd98::/64"];

/// What stands between a session and the kernel's TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    /// The network stack of the agent.
    Stack,
    /// That of VPP.
    Vcl,
}

impl Between {
    const fn option(self) -> &'static str {
        match self {
            Self::Stack => "tcp=stack",
            Self::Vcl => "tcp=vcl",
        }
    }
}

/// Which side of the program has sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    /// The one that listens in most cases.
    One,
    /// The one that connects.
    Two,
}

/// Two containers with the kernel's TCP, and one with sessions.
struct Cast {
    kernels: [Container; 2],
    sessions: Container,
    /// Dropped last: a network with containers cannot be removed.
    network: Network,
}

impl Cast {
    fn start(lab: &Lab, between: Between) -> Result<Self> {
        let network = lab.network(&[&NETWORK[..], &["-o", between.option()]].concat())?;
        let image = Image::conformance()?;
        let auto = format!("name={},driver-opt=attach=auto", network.name());
        let auto = RunOptions::default().flags(&["--network", &auto]);
        let kernels = [Container::run(&image, &auto)?, Container::run(&image, &auto)?];
        let sessions = Container::idle(&image, &network)?;
        // Who has met before answers at once.
        for to in [&kernels[1], &sessions] {
            for address in [to.address(&network)?, to.address6(&network)?] {
                for from in &kernels {
                    from.pings(address, PATIENCE)?;
                }
            }
        }
        Ok(Self { kernels, sessions, network })
    }

    /// One run, and its record under that name.
    fn run(&self, name: &str, sides: [(&Container, Over); 2], cases: &[String]) -> Result<Record> {
        let [one, two] = sides.map(|(container, over)| Side { container, over });
        let record = Stage { network: &self.network, one, two }.run(cases)?;
        keep(name, &record)?;
        Ok(record)
    }
}

fn conform(lab: &Lab, between: Between) -> Result<()> {
    let wanted = wanted();
    let cast = Cast::start(lab, between)?;
    let [first, second] = [0, 1].map(|at| (&cast.kernels[at], Over::Kernel));
    let sessions = (&cast.sessions, Over::Sessions);
    let kernel = cast.run("across-kernel", [first, second], &wanted)?;
    let here = ACROSS.iter().filter(|it| it.between.contains(&between));
    let differences: Vec<&Difference> = DIFFERENCES.iter().chain(here).collect();
    let mut met = vec![false; differences.len()];
    let mut trouble = String::new();
    for (with, sides) in [(With::One, [sessions, second]), (With::Two, [first, sessions])] {
        let left_out = left_out(between, with);
        let words = left_out.iter().map(|case| format!("-{case}"));
        let cases: Vec<_> = wanted.iter().cloned().chain(words).collect();
        let record = cast.run(&format!("across-{with:?}").to_lowercase(), sides, &cases)?;
        let found = compare(&kernel.without(&left_out), &record, &differences);
        eprintln!("sessions on side {with:?}: {} lines alike", found.alike);
        for (met, now) in met.iter_mut().zip(found.met) {
            *met |= now;
        }
        if found.count > 0 {
            let Comparison { count, unexpected, .. } = found;
            write!(trouble, "sessions on side {with:?}, {count} lines differ:\n{unexpected}")?;
        }
    }
    ensure!(trouble.is_empty(), "{trouble}");
    if wanted.is_empty() {
        for (difference, met) in differences.iter().zip(met).skip(DIFFERENCES.len()) {
            ensure!(met, "no longer a difference: {}", difference.what);
        }
    }
    Ok(())
}

/// Parts of the names of cases that are not run.
fn left_out(between: Between, with: With) -> Vec<&'static str> {
    let here =
        LEFT_OUT.iter().filter(|it| it.between.contains(&between) && it.with.contains(&with));
    here.flat_map(|it| it.cases).copied().collect()
}

#[test]
fn sessions_answer_the_kernel_through_the_stack_as_the_kernel_does() {
    docker_test(&[], |lab| conform(lab, Between::Stack));
}

#[test]
fn sessions_answer_the_kernel_through_vpp_as_the_kernel_does() {
    if Engine::Vpp.needed("tcp=vcl is VPP's own TCP") {
        docker_test(&[Need::Vpp], |lab| conform(lab, Between::Vcl));
    }
}
