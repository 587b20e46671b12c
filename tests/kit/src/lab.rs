//! The frame of a test: one at a time on this machine, a fresh agent, and nothing left behind.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

use crate::agent::{Agent, AgentOptions};
use crate::image::Image;
use crate::leaks::Holdings;
use crate::need::{self, Need};
use crate::{Engine, Network, Vpp, docker, engine, leftovers};

/// What a test works with.
#[derive(Debug)]
pub struct Lab {
    /// The agent.
    pub agent: Agent,
    holdings: Holdings,
    /// What networks are attached by, unless they are told otherwise.
    attach: Option<&'static str>,
}

impl Lab {
    /// A network of the agent under test.
    pub fn network(&self, options: &[&str]) -> Result<Network> {
        let asked = engine::tcp_option();
        // A test that chooses for itself is left alone.
        let free = !options.iter().any(|option| option.starts_with("tcp="));
        let tcp = asked.filter(|_| free).map(|option| ["-o", option]);
        let free = !options.iter().any(|option| option.starts_with("attach="));
        let attach = self.attach.filter(|_| free).map(|option| ["-o", option]);
        let more = tcp.iter().chain(&attach).flatten();
        Network::create(
            self.agent.driver(),
            &options.iter().chain(more).copied().collect::<Vec<_>>(),
        )
    }

    /// The most ordinary image there is.
    pub fn busybox(&self) -> Result<Image> {
        Image::busybox()
    }

    /// Kills the agent, starts it again, and takes its new self as the measure for leaks.
    pub fn crash(&mut self) -> Result<()> {
        self.agent.crash()
    }

    /// Fails when more is there now than when the test began.
    pub fn nothing_left(&self) -> Result<()> {
        self.holdings.nothing_left(&self.agent)?;
        self.agent.vpp.as_ref().map_or(Ok(()), Vpp::bare)
    }
}

/// One for the machine, whatever `TMPDIR` says: who has it takes everything else of the suites for left behind.
const LOCK: &str = "/tmp/dockervpp-suites.lock";

/// Keeps the suites of this machine apart: of all processes and threads one runs a test.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for this test's turn, and clears away what a run that was killed left in Docker.
    pub fn take() -> Result<Self> {
        let file = File::options().create(true).append(true).open(LOCK);
        let file = file.context(LOCK)?;
        flock(&file, FlockOperation::LockExclusive)?;
        // Suites without Docker take turns too.
        if Need::Docker.missing().is_none() {
            leftovers::clear().context("the last run's things are in the way")?;
        }
        Ok(Self { _lock: file })
    }
}

/// Runs one test against a real Docker and a fresh agent; checks afterwards that nothing is left.
///
/// # Panics
/// If the test fails, after writing the agent's log; or under `CI=true` if it cannot run.
pub fn docker_test(more: &[Need], test: impl FnOnce(&mut Lab) -> Result<()>) {
    attached_test(None, more, test);
}

/// The same with an agent that is started otherwise.
///
/// # Panics
/// As [`docker_test`].
pub fn agent_test(options: AgentOptions, more: &[Need], test: impl FnOnce(&mut Lab) -> Result<()>) {
    lab_test(options, None, more, test);
}

/// The same with an option `attach=…` for all networks that have none.
///
/// # Panics
/// As [`docker_test`].
pub fn attached_test(
    attach: Option<&'static str>,
    more: &[Need],
    test: impl FnOnce(&mut Lab) -> Result<()>,
) {
    lab_test(AgentOptions::default(), attach, more, test);
}

fn lab_test(
    options: AgentOptions,
    attach: Option<&'static str>,
    more: &[Need],
    test: impl FnOnce(&mut Lab) -> Result<()>,
) {
    let mut needs = vec![Need::Root, Need::Docker, Need::Tun, Need::Busybox];
    needs.extend(more);
    if Engine::under_test() == Engine::Vpp {
        needs.push(Need::Vpp);
    }
    if !need::met(&needs) {
        return;
    }
    let turn = Turn::take().expect("the lock file can be made");
    let mut lab = prepare(options, attach)
        .unwrap_or_else(|error| panic!("the agent does not start: {error:?}"));
    // The test drops its containers and networks before the look at what is left.
    let outcome = catch_unwind(AssertUnwindSafe(|| test(&mut lab)));
    let outcome = match outcome {
        Ok(Ok(())) => lab.nothing_left(),
        Ok(Err(error)) => Err(error),
        Err(panic) => {
            write_log(&lab.agent);
            resume_unwind(panic);
        }
    };
    if let Err(error) = outcome {
        write_log(&lab.agent);
        panic!("{error:?}");
    }
    drop(lab);
    drop(turn);
}

fn prepare(options: AgentOptions, attach: Option<&'static str>) -> Result<Lab> {
    // Docker makes its own lasting things (a namespace called `default`, bridges) at first use.
    docker::docker(&["info"])?;
    let agent = Agent::start(options)?;
    let holdings = Holdings::settled(&agent)?;
    Ok(Lab { agent, holdings, attach })
}

fn write_log(agent: &Agent) {
    eprintln!("---- the agent wrote ----\n{}\n----", agent.log().join("\n"));
    if let Some(vpp) = &agent.vpp {
        eprintln!("---- VPP wrote ----\n{}\n----", vpp.account());
    }
}
