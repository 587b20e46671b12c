//! Counters of interfaces, put together from the vectors that have them. Pure.

use super::{Traffic, Value};

/// What an interface has counted since it is there, or since its counters were cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceCounters {
    /// VPP's number of the interface.
    pub sw_if_index: u32,
    /// Its name.
    pub name: String,
    /// Received.
    pub rx: Traffic,
    /// Sent.
    pub tx: Traffic,
    /// Received for one receiver.
    pub rx_unicast: Traffic,
    /// Received for several.
    pub rx_multicast: Traffic,
    /// Received for all.
    pub rx_broadcast: Traffic,
    /// Sent to one receiver.
    pub tx_unicast: Traffic,
    /// Sent to several.
    pub tx_multicast: Traffic,
    /// Sent to all.
    pub tx_broadcast: Traffic,
    /// Packets that were dropped, in whichever node.
    pub drops: u64,
    /// Packets that were handed to the host.
    pub punts: u64,
    /// Packets of IPv4.
    pub ip4: u64,
    /// Packets of IPv6.
    pub ip6: u64,
    /// Packets that found no buffer.
    pub rx_no_buffer: u64,
    /// Packets that the device missed.
    pub rx_missed: u64,
    /// Packets that were received with an error.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
}

/// The interfaces that `/if/names` has.
pub(super) fn assemble(counters: &[(String, Value)]) -> Vec<InterfaceCounters> {
    let names = counters.iter().find_map(|(name, value)| match value {
        Value::Names(names) if name == "/if/names" => Some(names.as_slice()),
        _ => None,
    });
    let named = names.unwrap_or_default().iter().zip(0..);
    let there = named.filter_map(|(name, at)| Some((name.clone()?, at)));
    let mut interfaces: Vec<_> = there
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, sw_if_index)| InterfaceCounters { sw_if_index, name, ..Default::default() })
        .collect();
    for interface in &mut interfaces {
        for (name, value) in counters {
            interface.take(name, value);
        }
    }
    interfaces
}

impl InterfaceCounters {
    fn take(&mut self, name: &str, value: &Value) {
        let column = self.sw_if_index as usize;
        match value {
            Value::Combined(rows) => {
                if let Some(traffic) = self.traffic(name) {
                    for it in rows.iter().filter_map(|row| row.get(column)) {
                        traffic.packets = traffic.packets.wrapping_add(it.packets);
                        traffic.bytes = traffic.bytes.wrapping_add(it.bytes);
                    }
                }
            }
            Value::Simple(rows) => {
                if let Some(count) = self.count(name) {
                    let column = rows.iter().filter_map(|row| row.get(column));
                    *count = column.fold(*count, |sum, it| sum.wrapping_add(*it));
                }
            }
            _ => {}
        }
    }

    fn traffic(&mut self, name: &str) -> Option<&mut Traffic> {
        Some(match name {
            "/if/rx" => &mut self.rx,
            "/if/tx" => &mut self.tx,
            "/if/rx-unicast" => &mut self.rx_unicast,
            "/if/rx-multicast" => &mut self.rx_multicast,
            "/if/rx-broadcast" => &mut self.rx_broadcast,
            "/if/tx-unicast" => &mut self.tx_unicast,
            "/if/tx-multicast" => &mut self.tx_multicast,
            "/if/tx-broadcast" => &mut self.tx_broadcast,
            _ => return None,
        })
    }

    fn count(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "/if/drops" => &mut self.drops,
            "/if/punt" => &mut self.punts,
            "/if/ip4" => &mut self.ip4,
            "/if/ip6" => &mut self.ip6,
            "/if/rx-no-buf" => &mut self.rx_no_buffer,
            "/if/rx-miss" => &mut self.rx_missed,
            "/if/rx-error" => &mut self.rx_errors,
            "/if/tx-error" => &mut self.tx_errors,
            _ => return None,
        })
    }
}
