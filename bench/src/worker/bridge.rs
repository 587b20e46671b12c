//! The bridge between memif ports: our engine with one worker.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use dataplane::{Dataplane, DomainConfig, MacAddr, MemifConfig, PortConfig, PortId, WorkerConfig};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

use super::orders::{Meter, tell};
use super::stations::Stations;
use super::{Report, Tally};
use crate::benchmark::Bridging;
use crate::cpu_time;

/// Frames of 1518 bytes, which on a wire include a checksum, carry 1504 bytes here.
const MTU: u32 = 1504;

/// Serves `socket-0`, `socket-1` … and answers orders with what the engine counted.
///
/// Where each port has one station, its address is pinned, as those of endpoints are; more are learnt.
pub(super) fn serve(socket: &str, bridging: Bridging) -> Result<()> {
    let mut meter = Meter::start()?;
    let stations = Stations::new(bridging);
    let dataplane = Dataplane::start(WorkerConfig::default())?;
    let domain = dataplane.create_domain(DomainConfig {
        mtu: MTU,
        learn_limit_per_port: usize::try_from(stations.behind())?,
        // What is unknown or for all is to be forwarded, not limited.
        bum_limit: 0,
        ..DomainConfig::new("bench")
    })?;
    // It has its name by now: it created the domain.
    let worker = cpu_time::thread_named("worker-0")?;
    let mut ports = Vec::new();
    for number in 0..bridging.ports {
        let pinned = (stations.behind() == 1).then(|| stations.address(number.into(), 0));
        let config = PortConfig::new(format!("port-{number}"), pinned.map(MacAddr));
        let port = dataplane.create_port(domain, config)?;
        let listener = listen_abstract(&format!("{socket}-{number}"))?;
        dataplane.listen_memif(port, vec![listener], &MemifConfig::default())?;
        ports.push(port);
    }
    tell(&Report::Listening)?;
    meter.wait(|| read(&dataplane, &ports, worker))?;
    meter.finish(read(&dataplane, &ports, worker)?)
}

fn read(dataplane: &Dataplane, ports: &[PortId], worker: u32) -> Result<Tally> {
    let mut tally = Tally::default();
    for &port in ports {
        let counters = dataplane.port(port)?.counters;
        tally.received += counters.rx_frames;
        tally.received_bytes += counters.rx_bytes;
        tally.sent += counters.tx_frames;
        tally.dropped += counters.dropped_total();
    }
    tally.cpu_nanoseconds = cpu_time::thread(worker)?;
    Ok(tally)
}

fn listen_abstract(name: &str) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)
        .and_then(|()| listen(&socket, 4))
        .with_context(|| format!("cannot listen on @{name}"))?;
    Ok(socket)
}
