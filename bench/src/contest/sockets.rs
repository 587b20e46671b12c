//! A program of this suite over stream sockets: in two containers, or twice on the host.

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::{Agent, Container, Image, Network, unique};

use super::containers::Joined;
use super::process::{Worker, measure};
use super::{Contest, Fixtures, Placement, Plan, Sample, count, nanoseconds_each};
use crate::benchmark::{Joint, Rhythm, SocketLoad};
use crate::cores::Cores;
use crate::cpu_time;
use crate::worker::{Place, Tally, Task};

/// Where this program is in the containers.
const PROGRAM: &str = "/bench-program";

/// Two containers that contestants of one joint use one after the other.
#[derive(Debug)]
pub(super) struct Pair {
    client: Container,
    server: Container,
    address: std::net::IpAddr,
    /// Dropped after the containers and before the agent that serves it.
    _network: Network,
    agent: Option<Rc<Agent>>,
}

/// The pairs that there are, and how many contestants were made.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pairs: Vec<(Joint, Rc<Pair>)>,
    contestants: u16,
}

impl Fixtures {
    fn pair(&mut self, joint: Joint) -> Result<Rc<Pair>> {
        if let Some((_, pair)) = self.pairs.pairs.iter().find(|it| it.0 == joint) {
            return Ok(Rc::clone(pair));
        }
        let pair = Rc::new(Pair::start(self.join(joint)?, self.cores)?);
        self.pairs.pairs.push((joint, Rc::clone(&pair)));
        Ok(pair)
    }
}

impl Pair {
    fn start(joined: Joined, cores: Cores) -> Result<Self> {
        let image = Image::session_programs()?;
        let Joined { network, agent, server_has_shim, client_has_shim } = joined;
        let program = std::env::current_exe()?;
        let mount = format!("{}:{PROGRAM}:ro", program.display());
        let run = |shim: bool, cpu: usize| -> Result<Container> {
            let cpu = cpu.to_string();
            let flags = ["--cpuset-cpus", &cpu, "-v", &mount];
            let options = RunOptions::default().flags(&flags).on(&network);
            Container::run(&image, &if shim { options.shimmed()? } else { options })
        };
        let server = run(server_has_shim, cores.first)?;
        let client = run(client_has_shim, cores.second)?;
        let address = server.address(&network)?;
        Ok(Self { client, server, address, _network: network, agent })
    }
}

/// The contestant.
#[derive(Debug)]
pub(super) struct Sockets {
    load: SocketLoad,
    joint: Joint,
    pair: Option<Rc<Pair>>,
    /// Of the next run: ports are not used twice.
    port: u16,
    folder: tempfile::TempDir,
}

impl Sockets {
    pub(super) fn prepare(joint: Joint, load: SocketLoad, fixtures: &mut Fixtures) -> Result<Self> {
        let pair = match joint {
            Joint::Loopback | Joint::UnixSocket => None,
            _ => Some(fixtures.pair(joint)?),
        };
        // Contestants that share containers must not meet the other's connections either.
        let port = 12_000 + fixtures.pairs.contestants % 300 * 64;
        fixtures.pairs.contestants += 1;
        Ok(Self { load, joint, pair, port, folder: tempfile::tempdir()? })
    }

    fn start(&mut self, plan: &Plan) -> Result<(Worker, Worker)> {
        self.port = self.port / 64 * 64 + (self.port + 1) % 64;
        let (load, cores) = (self.load, plan.cores);
        let tcp = |address: std::net::IpAddr| Place::Tcp((address, self.port).into());
        let unix = Place::Unix(self.folder.path().join(unique("s")));
        let Some(pair) = &self.pair else {
            let localhost = std::net::Ipv4Addr::LOCALHOST.into();
            let place = if self.joint == Joint::Loopback { tcp(localhost) } else { unix };
            let cpu = Some(cores.first);
            let serve = Task::Serve { place: place.clone(), load, cpu };
            let mut server = Worker::start("server", &serve)?;
            server.listening()?;
            let task = Task::Use { place, load, cpu: Some(cores.second) };
            return Ok((server, Worker::start("client", &task)?));
        };
        let begin = |container: &Container, task: &Task| -> Result<Worker> {
            let task = serde_json::to_string(task)?;
            Ok(Worker::over(container.exec_start(&[PROGRAM, "worker", &task])?))
        };
        let any = std::net::Ipv4Addr::UNSPECIFIED.into();
        let serve = Task::Serve { place: tcp(any), load, cpu: None };
        let mut server = begin(&pair.server, &serve)?;
        server.listening()?;
        let task = Task::Use { place: tcp(pair.address), load, cpu: None };
        Ok((server, begin(&pair.client, &task)?))
    }

    /// CPU time of the agent between a reading and now, in nanoseconds.
    fn agent_time(&self) -> Result<u64> {
        let agent = self.pair.as_ref().and_then(|it| it.agent.as_ref());
        let Some(agent) = agent else { return Ok(0) };
        Ok(cpu_time::threads(agent.pid()?)?.values().sum())
    }
}

impl Contest for Sockets {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        let mut all = vec![
            Placement::on("server", plan.cores.first),
            Placement::on("client", plan.cores.second),
        ];
        if matches!(self.joint, Joint::Ours { .. }) {
            all.push(Placement::anywhere("the agent"));
        }
        all
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let (mut server, mut client) = self.start(plan)?;
        client.linked()?;
        let before = self.agent_time()?;
        measure(plan, &mut [&mut client, &mut server])?;
        let (used, nanoseconds) = client.measured()?;
        let (served, serving) = server.measured()?;
        let agent = self.agent_time()? - before;
        let latencies = client.latencies()?;
        client.quieten()?;
        let total = client.stop()?;
        let taken = server.stop()?;
        self.complete(&total, &taken)?;
        let bytes = served.received_bytes;
        let gigabits = count(bytes) * 8.0 / count(serving);
        let cpu = used.cpu_nanoseconds + served.cpu_nanoseconds + agent;
        let (value, messages) = match self.load.rhythm {
            Rhythm::Stream => (gigabits, served.received),
            Rhythm::RoundTrip => (count(used.received) * 1e6 / count(nanoseconds), used.received),
            Rhythm::Fixed(_) => {
                let median = latencies.microseconds_at(&[0.5]);
                (*median.first().context("no message came back")?, used.received)
            }
        };
        ensure!(messages > 0, "no message arrived");
        let gibibytes = count(bytes) / f64::from(1 << 30);
        let details = [
            ("Gbit/s", gigabits),
            ("thousand messages/s", count(messages) * 1e6 / count(nanoseconds)),
            ("CPU seconds per GiB", count(cpu) / 1e9 / gibibytes),
            ("CPU ns per message", nanoseconds_each(cpu, messages)),
        ];
        Ok(Sample::new(value, details)?.timed(latencies))
    }
}

impl Sockets {
    /// All that was written must have been read, and answered where the rhythm wants answers.
    fn complete(&self, client: &Tally, server: &Tally) -> Result<()> {
        let message = u64::from(self.load.message);
        if self.load.rhythm != Rhythm::Stream {
            let answered = client.received == client.sent && server.received == client.sent;
            ensure!(answered, "messages are missing: client {client:?}, server {server:?}");
            return Ok(());
        }
        let least = client.sent * message;
        // Of each connection a part of a message may be on its way.
        let most = least + u64::from(self.load.connections) * message;
        ensure!(
            (least..=most).contains(&server.received_bytes),
            "bytes are missing: client {client:?}, server {server:?}"
        );
        Ok(())
    }
}
