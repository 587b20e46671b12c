//! What goes to and comes from other hosts of networks, as metrics.

use std::collections::BTreeMap;
use std::fmt;

use dataplane::control::{VxlanPeer, VxlanStatus};
use dataplane::{DropReason, PortCounters};
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::model::NetworkId;

/// Networks with their other hosts.
pub(super) type Networks = [(NetworkId, VxlanStatus)];

type Encoded = Result<(), fmt::Error>;
type Read = fn(&PortCounters) -> u64;

const FRAMES: [(&str, &str, Read); 4] = [
    ("vxlan_peer_receive_frames", "Frames from the other host, dropped ones included", |it| {
        it.rx_frames
    }),
    ("vxlan_peer_receive_bytes", "Bytes of the frames from the other host", |it| it.rx_bytes),
    ("vxlan_peer_transmit_frames", "Frames sent to the other host", |it| it.tx_frames),
    ("vxlan_peer_transmit_bytes", "Bytes of the frames sent to the other host", |it| it.tx_bytes),
];

/// All of it; nothing when no network has other hosts.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, networks: &Networks) -> Encoded {
    if networks.is_empty() {
        return Ok(());
    }
    for (name, help, read) in FRAMES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (network, VxlanPeer { peer, counters, .. }) in peers(networks) {
            let peer = peer.to_string();
            let labels = [("network", network.as_str()), ("peer", peer.as_str())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&read(counters), None)?;
        }
    }
    let help = "Frames from or to the other host that were dropped, by reason";
    let mut family =
        encoder.encode_descriptor("vxlan_peer_drops", help, None, MetricType::Counter)?;
    for (network, VxlanPeer { peer, counters, .. }) in peers(networks) {
        let peer = peer.to_string();
        for reason in DropReason::ALL {
            let (network, peer) = (("network", network.as_str()), ("peer", peer.as_str()));
            let labels = [network, peer, ("reason", reason.name())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&counters.dropped(reason), None)?;
        }
    }
    let help = "Frames of the network from no host that it has that were dropped, by reason";
    let mut family =
        encoder.encode_descriptor("vxlan_network_drops", help, None, MetricType::Counter)?;
    for (network, status) in networks {
        for reason in [DropReason::Stranger, DropReason::OwnAddress] {
            let labels = [("network", network.as_str()), ("reason", reason.name())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&status.unclaimed.dropped(reason), None)?;
        }
    }
    let help = "Datagrams of no network that were dropped, by reason";
    let mut family =
        encoder.encode_descriptor("vxlan_socket_drops", help, None, MetricType::Counter)?;
    let sockets: BTreeMap<String, &PortCounters> =
        networks.iter().map(|(_, status)| (status.local.to_string(), &status.socket)).collect();
    for (local, counters) in sockets {
        for reason in [DropReason::UnknownVni, DropReason::Malformed] {
            let labels = [("local", local.as_str()), ("reason", reason.name())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&counters.dropped(reason), None)?;
        }
    }
    Ok(())
}

fn peers(networks: &Networks) -> impl Iterator<Item = (&NetworkId, &VxlanPeer)> {
    networks.iter().flat_map(|(network, status)| status.peers.iter().map(move |it| (network, it)))
}
