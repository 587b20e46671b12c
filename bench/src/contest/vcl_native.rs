//! A program that is written for VPP's VCL, on the host, one end on each CPU.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use kit::vpp::Vpp;

use super::process::{Worker, measure};
use super::vcl;
use super::vcl_ways::ADDRESS;
use super::{Contest, Placement, Plan, Sample, count};
use crate::worker::{Task, VclEnd};

/// The contestant.
#[derive(Debug)]
pub(super) struct VclNative {
    vpp: Vpp,
    /// Of the next run: ports are not used twice.
    port: u16,
}

impl VclNative {
    pub(super) fn prepare() -> Result<Self> {
        Ok(Self { vpp: vcl::start_vpp()?, port: 5000 })
    }
}

impl Contest for VclNative {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("the receiver", plan.cores.first),
            Placement::on("the sender", plan.cores.second),
            Placement::anywhere("VPP, which sleeps between its rounds"),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        self.port += 1;
        let end = |cpu| -> Result<VclEnd> {
            let address = SocketAddr::new(ADDRESS.parse()?, self.port);
            let library = self.vpp.files().library.clone();
            Ok(VclEnd { library, socket: self.vpp.app_socket(), address, cpu })
        };
        let mut receiver =
            Worker::start("receiver", &Task::VclReceive { end: end(plan.cores.first)? })?;
        receiver.listening()?;
        let mut sender = Worker::start("sender", &Task::VclSend { end: end(plan.cores.second)? })?;
        sender.linked()?;
        receiver.linked()?;
        measure(plan, &mut [&mut receiver])?;
        let (tally, nanoseconds) = receiver.measured()?;
        let sent = sender.stop()?;
        let received = receiver.stop()?;
        ensure!(sent.sent == received.received_bytes, "bytes are missing: {sent:?}, {received:?}");
        ensure!(tally.received_bytes > 0, "nothing arrived");
        let gigabits = count(tally.received_bytes) * 8.0 / count(nanoseconds);
        Sample::new(gigabits, [("GiB moved", count(received.received_bytes) / f64::from(1 << 30))])
    }
}
