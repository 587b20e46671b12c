//! Programs in two containers of one network, and a third container that means harm.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane::MacAddr;
use kit::namespace::Named;
use kit::process::Process;
use kit::wait;
use serde_json::Value;

use super::driven::{Attached, Driven, Endpoint};
use super::hosts::{raise, serve_streams, stream};
use super::process::Worker;
use super::{Contest, Placement, Plan, Sample, count};
use crate::benchmark::Overlay;
use crate::cores::Cores;
use crate::worker::{Mischief, Order, Task};

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);
const NETWORK: &str = "neighbours";
const SUBNET: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const PREFIX: u8 = 16;
/// Where packet programs of a container find the memif link.
const SOCKET: &str = "dockervpp/memif";
/// Frames a second that it must not send; the quiet one is awake as often.
const RATE: u64 = 100_000;

/// The containers: what for, the endpoint's id, and the address.
const CONTAINERS: [(&str, &str, Ipv4Addr); 3] = [
    ("server", "server0", Ipv4Addr::new(198, 18, 1, 1)),
    ("client", "client0", Ipv4Addr::new(198, 18, 1, 2)),
    ("hostile", "hostile0", Ipv4Addr::new(198, 18, 1, 3)),
];

/// The contestant.
#[derive(Debug)]
pub(super) struct Neighbours {
    overlay: Overlay,
    cores: Cores,
    hostile: bool,
    worker: Worker,
    _server: Process,
    containers: Vec<Named>,
    /// To be dropped before the host that it is on.
    driven: Driven,
    _host: Named,
}

impl Neighbours {
    /// Makes the network with its containers, and waits until two reach each other and the third has its link.
    pub(super) fn prepare(shim: bool, hostile: bool, cores: Cores) -> Result<Self> {
        let overlay = Overlay::Ours { attach: "auto", shim };
        let host = Named::create("host")?;
        let driven = Driven::start(Some(&host))?;
        driven.create_network(NETWORK, SUBNET, PREFIX, &[("attach", "auto")])?;
        let (mut containers, mut attached) = (Vec::new(), Vec::new());
        for (what, id, address) in CONTAINERS {
            let container = Named::create(what)?;
            let endpoint = Endpoint { network: NETWORK, id, address, prefix: PREFIX };
            let there = driven.add(&endpoint, &container)?;
            there.hand_over(Some(&host), &container)?;
            raise(&container, "eth0", &format!("{address}/{PREFIX}"))?;
            containers.push(container);
            attached.push(there);
        }
        let server = serve_streams(overlay, &containers[0], cores.first)?;
        let task = Task::Disturb {
            socket: SOCKET.to_owned(),
            mischief: mischief(&attached)?,
            quiet: !hostile,
        };
        let mut worker = Worker::start_in(&containers[2], "the third container", &task)?;
        worker.linked()?;
        let contestant = Self {
            overlay,
            cores,
            hostile,
            worker,
            _server: server,
            containers,
            driven,
            _host: host,
        };
        wait::until_ok(LIMIT, "the server answers", || contestant.drive(Duration::from_secs(1)))?;
        Ok(contestant)
    }

    /// Has the client work for about `length`; gigabits per second.
    fn drive(&self, length: Duration) -> Result<f64> {
        stream(self.overlay, &self.containers[1], self.cores.second, CONTAINERS[0].2, length)
    }

    /// What the agent has counted of the third container's frames.
    fn counted(&self) -> Result<Counted> {
        let all = self.driven.agent().list("counters")?;
        let own = all.iter().find(|it| it["endpoint"] == CONTAINERS[2].1);
        let own = own.with_context(|| format!("no counters of {}: {all:?}", CONTAINERS[2].1))?;
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let drops = own["drops"].as_object().into_iter().flatten();
        Ok(Counted {
            received: number(&own["rx_frames"]),
            drops: drops.map(|(reason, it)| (reason.clone(), number(it))).collect(),
        })
    }
}

/// Frames of one endpoint so far.
#[derive(Debug)]
struct Counted {
    received: u64,
    drops: BTreeMap<String, u64>,
}

impl Counted {
    fn dropped(&self) -> u64 {
        self.drops.values().sum()
    }
}

fn mischief(attached: &[Attached]) -> Result<Mischief> {
    let mac = |at: usize| attached[at].mac.parse::<MacAddr>().map(|mac| mac.0);
    Ok(Mischief {
        mac: mac(2)?,
        ip: CONTAINERS[2].2,
        to: mac(0)?,
        to_ip: CONTAINERS[0].2,
        other_mac: mac(1)?,
        other_ip: CONTAINERS[1].2,
        rate: RATE,
    })
}

impl Contest for Neighbours {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("server", plan.cores.first),
            Placement::on("client", plan.cores.second),
            Placement::anywhere("the third container"),
            Placement::anywhere("the agent"),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let before = self.counted()?;
        self.worker.order(Order::Measure)?;
        let figure = self.drive(plan.warm_up + plan.length)?;
        self.worker.order(Order::Rest)?;
        let (tally, nanoseconds) = self.worker.measured()?;
        let after = self.counted()?;
        let sample = Sample::new(figure, [])?;
        let (received, dropped) =
            (after.received - before.received, after.dropped() - before.dropped());
        if !self.hostile {
            ensure!(tally.sent == 0, "the quiet one sent: {tally:?}");
            return Ok(sample);
        }
        ensure!(dropped > 0 && received > 0, "no harm was seen: {before:?}, {after:?}");
        Ok(sample.with([
            ("thousand hostile frames/s", count(tally.sent) * 1e6 / count(nanoseconds)),
            ("% of them dropped", count(dropped) * 100.0 / count(received)),
        ]))
    }
}
