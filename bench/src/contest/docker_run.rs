//! How long `docker run` takes.

use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, ensure};
use kit::{Agent, Image, Network};

use super::{Contest, Fixtures, Placement, Plan, Sample};
use crate::benchmark::Attachment;

/// The contestant.
#[derive(Debug)]
pub(super) struct DockerRun {
    image: Image,
    /// Dropped before the agent that serves it.
    network: Option<Network>,
    _agent: Option<Rc<Agent>>,
}

impl DockerRun {
    /// Makes image and network, and runs one container that does not count.
    pub(super) fn prepare(attachment: Attachment, fixtures: &mut Fixtures) -> Result<Self> {
        let image = Image::busybox()?;
        let (network, agent) = match attachment {
            Attachment::Nothing => (None, None),
            Attachment::Bridge => (Some(Network::create("bridge", &[])?), None),
            Attachment::Ours(kind) => {
                let agent = fixtures.agent()?;
                let option = format!("attach={kind}");
                (Some(Network::create(agent.driver(), &["-o", &option])?), Some(agent))
            }
        };
        let contestant = Self { image, network, _agent: agent };
        contestant.time()?;
        Ok(contestant)
    }

    /// Seconds for one container.
    fn time(&self) -> Result<f64> {
        let network = self.network.as_ref().map_or("none", Network::name);
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network", network, self.image.name(), "true"]);
        command.stdin(Stdio::null());
        let start = Instant::now();
        let output = command.output()?;
        let seconds = start.elapsed().as_secs_f64();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "docker run: {}: {}", output.status, errors.trim());
        Ok(seconds)
    }
}

impl Contest for DockerRun {
    fn placement(&self, _plan: &Plan) -> Vec<Placement> {
        vec![Placement::anywhere("docker, its daemons and the agent")]
    }

    fn run(&mut self, _plan: &Plan) -> Result<Sample> {
        Sample::new(self.time()?, [])
    }
}
