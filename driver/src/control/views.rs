//! The state and the engine's answers as the API shows them.

use std::collections::BTreeMap;

use dataplane::control::{VxlanPeer, VxlanStatus};
use dataplane::{DropReason, PortCounters};

use super::{self as view, sessions};
use super::{
    Counters, Endpoint, FdbEntry, Memif, Network, Phase, PublishedPort, Subnet, Vhost, Vxlan,
};
use crate::engine::{EndpointStatus, FdbLine, Lead, PublishedAt, VhostFrontEnd, host_counts};
use crate::model::{NetworkId, NetworkSpec};
use crate::state::{EndpointRecord, NetworkRecord, Standing, State};

pub(super) fn network(record: &NetworkRecord, state: &State) -> Network {
    let spec = &record.spec;
    let ipv4 = spec.ipv4.iter().map(|pool| Subnet {
        subnet: pool.subnet.to_string(),
        gateway: pool.gateway.map(|gateway| gateway.to_string()),
    });
    let ipv6 = spec.ipv6.iter().map(|pool| Subnet {
        subnet: pool.subnet.to_string(),
        gateway: pool.gateway.map(|gateway| gateway.to_string()),
    });
    Network {
        id: spec.id.clone(),
        subnets: ipv4.chain(ipv6).collect(),
        mtu: spec.mtu,
        attach: spec.attach,
        tcp: spec.tcp,
        internal: spec.internal,
        isolation: spec.isolation,
        endpoints: state.endpoints_of(&spec.id).count(),
        vni: spec.vxlan.as_ref().map(|vxlan| vxlan.vni.get()),
    }
}

pub(super) fn endpoint(
    record: &EndpointRecord,
    network: &NetworkSpec,
    status: Option<EndpointStatus>,
) -> Endpoint {
    let spec = &record.spec;
    let tcp = network.tcp_of(spec.attach);
    let phase = match (record.standing, &record.sandbox) {
        (Standing::Unsettled, _) => Phase::Unsettled,
        (Standing::Settled, Some(_)) => Phase::Joined,
        (Standing::Settled, None) => Phase::Idle,
    };
    let mut view = Endpoint {
        id: spec.id.clone(),
        network: spec.network.clone(),
        mac: spec.mac.to_string(),
        ipv4: spec.ipv4,
        ipv6: spec.ipv6,
        attach: spec.attach,
        tcp: tcp.map_or_else(|| "kernel".to_owned(), |tcp| tcp.to_string()),
        phase,
        sandbox: record.sandbox.as_ref().map(ToString::to_string),
        interface: None,
        owner: None,
        memif: None,
        vhost: None,
        sockets: Vec::new(),
        antispoof: None,
        rates: spec.policy.limits().map(|(key, rate)| (key.to_owned(), rate.to_string())).collect(),
        ports: record.ports.clone(),
        external: record.external,
    };
    if let Some(status) = status {
        view.interface = status.interface;
        view.owner = Some(status.owner.to_owned());
        view.antispoof = Some(status.antispoof.to_string());
        view.memif = status.memif.map(|client| Memif {
            name: client.name,
            rx_queues: client.rx_queues,
            tx_queues: client.tx_queues,
            ring_size: client.ring_size,
        });
        view.vhost = status.vhost.map(|device| {
            let front_end = device.front_end;
            let number = |of: fn(&VhostFrontEnd) -> u16| front_end.as_ref().map_or(0, of);
            Vhost {
                socket: device.socket,
                rx_queues: number(|it| it.rx_queues),
                tx_queues: number(|it| it.tx_queues),
                ring_size: front_end.as_ref().map_or(0, |it| it.ring_size),
            }
        });
        view.sockets = status.sockets;
    }
    view
}

pub(super) fn fdb(network: &NetworkId, line: FdbLine) -> FdbEntry {
    FdbEntry {
        network: network.clone(),
        mac: line.mac.to_string(),
        endpoint: line.endpoint,
        peer: line.peer.map(|peer| peer.to_string()),
        pinned: line.pinned,
        age_seconds: line.age.as_secs_f64(),
    }
}

pub(super) fn counters(record: &EndpointRecord, status: &EndpointStatus) -> Counters {
    let counters = &status.counters;
    let drops = DropReason::ALL
        .into_iter()
        .map(|reason| (reason.name(), counters.dropped(reason)))
        .chain(status.engine_drops.iter().map(|(reason, count)| (*reason, *count)))
        .chain(status.host.iter().flat_map(host_counts::dropped));
    Counters {
        network: record.spec.network.clone(),
        endpoint: record.spec.id.clone(),
        rx_frames: counters.rx_frames,
        rx_bytes: counters.rx_bytes,
        tx_frames: counters.tx_frames,
        tx_bytes: counters.tx_bytes,
        drops: some_of(drops),
        names: some_of(status.host.iter().flat_map(host_counts::names_passed)),
        sessions: status.sessions.as_ref().map(sessions::counters).unwrap_or_default(),
    }
}

/// Those that are not zero.
fn some_of(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Drops by reason, those that are not zero.
fn dropped(counters: &PortCounters) -> BTreeMap<String, u64> {
    some_of(DropReason::ALL.into_iter().map(|reason| (reason.name(), counters.dropped(reason))))
}

pub(super) fn vxlan(network: &NetworkSpec, status: &VxlanStatus) -> Vxlan {
    let peers = status.peers.iter().map(|VxlanPeer { peer, counters, .. }| view::VxlanPeer {
        peer: peer.to_string(),
        rx_frames: counters.rx_frames,
        rx_bytes: counters.rx_bytes,
        tx_frames: counters.tx_frames,
        tx_bytes: counters.tx_bytes,
        drops: dropped(counters),
    });
    let file = network.vxlan.as_ref().and_then(|vxlan| vxlan.peers_file.as_ref());
    Vxlan {
        network: network.id.clone(),
        vni: status.vni.get(),
        local: status.local.to_string(),
        mtu: network.mtu,
        peers_file: file.map(|path| path.display().to_string()),
        peers: peers.collect(),
        own: status.own.iter().map(ToString::to_string).collect(),
        drops: dropped(&status.unclaimed),
        socket_drops: dropped(&status.socket),
    }
}

/// Published ports, of which the engine serves `published`.
pub(super) fn ports(record: &EndpointRecord, published: &[PublishedAt]) -> Vec<PublishedPort> {
    let ports = record.ports.iter().map(|mapping| {
        let at = published.iter().find(|at| at.serves(mapping));
        PublishedPort {
            network: record.spec.network.clone(),
            endpoint: record.spec.id.clone(),
            mapping: mapping.clone(),
            served: at.is_some(),
            transport: at.map(|at| match at.lead {
                Lead::Packets => "packets".to_owned(),
                Lead::Splice => "splice".to_owned(),
            }),
        }
    });
    ports.collect()
}
