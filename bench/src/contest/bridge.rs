//! Memif clients and the bridge between them.

use std::fs;

use anyhow::{Result, ensure};
use kit::unique;
use kit::vpp::{Vpp, VppOptions};

use super::process::{Worker, measure};
use super::{Contest, Placement, Plan, Sample, costs, count, mpps, nanoseconds_each};
use crate::benchmark::{Bridging, Metric, Switch, Traffic};
use crate::cpu_time;
use crate::worker::{PortAddress, Tally, Task};

/// The contestant.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) switch: Switch,
    pub(super) bridging: Bridging,
    pub(super) metric: Metric,
}

/// What one run came to.
struct Outcome {
    /// Frames delivered in the interval, and its length.
    delivered: Tally,
    nanoseconds: u64,
    /// CPU time of the bridge in it.
    cpu_nanoseconds: u64,
    details: Vec<(String, f64)>,
}

impl Contest for Bridge {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        let bridge = match self.switch {
            Switch::Ours => "bridge worker",
            Switch::Vpp => "VPP's main thread",
        };
        vec![
            Placement::on("all clients", plan.cores.first),
            Placement::on(bridge, plan.cores.second),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let outcome = match self.switch {
            Switch::Ours => self.run_ours(plan)?,
            Switch::Vpp => self.run_vpp(plan)?,
        };
        let frames = outcome.delivered.received;
        ensure!(frames > 0, "the bridge delivered nothing");
        let rate = mpps(frames, outcome.nanoseconds);
        let each = nanoseconds_each(outcome.cpu_nanoseconds, frames);
        let value = if self.metric == Metric::NanosecondsPerPacket { each } else { rate };
        let details = outcome.details.iter().map(|(name, it)| (name.as_str(), *it));
        let sample = Sample::new(value, [("Mpps", rate), ("worker ns per frame", each)])?;
        Ok(sample.with(details))
    }
}

impl Bridge {
    fn load(&self, plan: &Plan, address: PortAddress) -> Result<Worker> {
        let task = Task::Load { address, cpu: plan.cores.first, bridging: self.bridging };
        let mut load = Worker::start("load", &task)?;
        load.linked()?;
        Ok(load)
    }

    fn run_ours(&self, plan: &Plan) -> Result<Outcome> {
        let (socket, bridging) = (unique("bridge"), self.bridging);
        let (cpu, name) = (plan.cores.second, socket.clone());
        let mut bridge = Worker::start("bridge", &Task::Bridge { socket: name, cpu, bridging })?;
        bridge.listening()?;
        let mut load = self.load(plan, PortAddress::Abstract(socket))?;
        measure(plan, &mut [&mut load, &mut bridge])?;
        let (delivered, nanoseconds) = load.measured()?;
        let (forwarded, _) = bridge.measured()?;
        let load = load.stop()?;
        let bridge = bridge.stop()?;
        let copies = match bridging.traffic {
            Traffic::Unicast => 1,
            Traffic::Flood => u64::from(bridging.ports) - 1,
        };
        ensure!(
            load.sent == bridge.received
                && bridge.received * copies == bridge.sent + bridge.dropped
                && load.received == bridge.sent,
            "frames are missing: load {load:?}, bridge {bridge:?}"
        );
        let mut details = costs("bridge", &forwarded, forwarded.sent);
        details.push(("frames sent".to_owned(), count(load.sent)));
        details.push(("frames received".to_owned(), count(load.received)));
        details.push(("frames dropped".to_owned(), count(bridge.dropped)));
        Ok(Outcome { delivered, nanoseconds, cpu_nanoseconds: forwarded.cpu_nanoseconds, details })
    }

    fn run_vpp(&self, plan: &Plan) -> Result<Outcome> {
        let options = VppOptions {
            sleeps: false,
            main_cpu: Some(plan.cores.second),
            ..VppOptions::default()
        };
        let vpp = Vpp::start_with(options, &[])?;
        let ports = vpp.folder().join("port");
        let mut commands = String::from("create bridge-domain 1\n");
        for port in 0..self.bridging.ports {
            let (number, socket) = (port + 1, format!("{}-{port}", ports.display()));
            for command in [
                format!("create memif socket id {number} filename {socket}\n"),
                format!("create interface memif id 0 socket-id {number} master\n"),
                format!("set interface l2 bridge memif{number}/0 1\n"),
                format!("set interface state memif{number}/0 up\n"),
            ] {
                commands.push_str(&command);
            }
        }
        // All at once: a client for each command takes seconds with many ports.
        let file = vpp.folder().join("commands");
        fs::write(&file, commands)?;
        vpp.cli(&format!("exec {}", file.display()))?;
        let shown = vpp.cli("show memif")?;
        let listening = shown.matches("yes (1)").count();
        ensure!(listening == usize::from(self.bridging.ports), "VPP does not listen: {shown}");
        let mut load = self.load(plan, PortAddress::Path(ports))?;
        let before = cpu_time::threads(vpp.pid())?;
        measure(plan, &mut [&mut load])?;
        let (delivered, nanoseconds) = load.measured()?;
        let used = cpu_time::used(&before, &cpu_time::threads(vpp.pid())?);
        let load = load.stop()?;
        ensure!(load.received <= load.sent * u64::from(self.bridging.ports), "more came than went");
        // VPP uses its CPU whole, warm-up included; the interval's share of it is the interval.
        let details = vec![
            ("frames sent".to_owned(), count(load.sent)),
            ("frames received".to_owned(), count(load.received)),
            ("CPU seconds, warm-up included".to_owned(), count(used) / 1e9),
        ];
        Ok(Outcome { delivered, nanoseconds, cpu_nanoseconds: nanoseconds, details })
    }
}
