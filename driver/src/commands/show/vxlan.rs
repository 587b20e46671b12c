//! `dockervpp show vxlan`.

use std::collections::BTreeSet;

use super::counted;
use crate::control::Vxlan;
use crate::table::{Align, Table};

/// A line for each other host, one for frames of nobody who is named, and one for each socket.
pub(super) fn hosts(list: &[Vxlan]) -> Table {
    let mut table = Table::new(&[
        ("NETWORK", Align::Left),
        ("VNI", Align::Right),
        ("LOCAL", Align::Left),
        ("PEER", Align::Left),
        ("RX FRAMES", Align::Right),
        ("RX BYTES", Align::Right),
        ("TX FRAMES", Align::Right),
        ("TX BYTES", Align::Right),
        ("DROPS", Align::Left),
    ]);
    let mut sockets = BTreeSet::new();
    for network in list {
        let begin = || {
            let [id, vni] = [network.network.short().to_owned(), network.vni.to_string()];
            [id, vni, network.local.clone()]
        };
        for peer in &network.peers {
            let [id, vni, local] = begin();
            let counts = [peer.rx_frames, peer.rx_bytes, peer.tx_frames, peer.tx_bytes];
            let [rx_frames, rx_bytes, tx_frames, tx_bytes] = counts.map(|count| count.to_string());
            let drops = counted(&peer.drops);
            let name = peer.peer.clone();
            table.row([id, vni, local, name, rx_frames, rx_bytes, tx_frames, tx_bytes, drops]);
        }
        if !network.drops.is_empty() {
            let [id, vni, local] = begin();
            table.row(dropped([id, vni, local, "(others)".to_owned()], counted(&network.drops)));
        }
        if !network.socket_drops.is_empty() && sockets.insert(&network.local) {
            let start = [String::new(), String::new(), network.local.clone(), "(any)".to_owned()];
            table.row(dropped(start, counted(&network.socket_drops)));
        }
    }
    table
}

fn dropped([network, vni, local, peer]: [String; 4], drops: String) -> [String; 9] {
    let none = String::new;
    [network, vni, local, peer, none(), none(), none(), none(), drops]
}
