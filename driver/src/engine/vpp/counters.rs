//! What VPP counts of the memif interfaces that containers' clients have.
//!
//! VPP counts a frame as sent before the memif plugin looks for room in the client's ring; those that found
//! none are counted by the interface's own node (`src/plugins/memif/device.c` of VPP 26.06). Both together
//! say what was delivered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vpp_api_client::api::interface_types::InterfaceIndex;
use vpp_api_client::stats::{InterfaceCounters, Stats, StatsError};

use crate::engine::EndpointStatus;

/// Readings are used again for this long: one command asks for every endpoint.
const FRESH: Duration = Duration::from_millis(100);

/// Frames that VPP dropped on their way from the client.
const DROPPED: &str = "vpp-dropped";

/// Frames to the client that did not get into its ring.
const UNSENT: &str = "vpp-unsent";

/// All interfaces at one time.
#[derive(Debug, Default)]
pub(super) struct Reading {
    interfaces: BTreeMap<InterfaceIndex, InterfaceCounters>,
    /// What the nodes of interfaces counted, as `/err/NODE/WHAT`.
    errors: Vec<(String, u64)>,
}

impl Reading {
    fn of(stats: &Stats) -> Result<Self, StatsError> {
        let interfaces = stats.interfaces()?.into_iter();
        let interfaces = interfaces.map(|it| (InterfaceIndex(it.sw_if_index), it)).collect();
        Ok(Self { interfaces, errors: stats.errors()? })
    }

    /// Adds what an interface counted to what the agent counted of the endpoint.
    pub(super) fn add(&self, index: InterfaceIndex, status: &mut EndpointStatus) {
        let Some(counted) = self.interfaces.get(&index) else { return };
        let unsent = self.unsent(counted);
        let counters = &mut status.counters;
        counters.rx_frames += counted.rx.packets;
        counters.rx_bytes += counted.rx.bytes;
        counters.tx_frames += counted.tx.packets.saturating_sub(unsent);
        counters.tx_bytes += counted.tx.bytes;
        self.add_drops(index, status);
    }

    /// Adds what VPP lost on the link to the agent, which itself counts what crossed that.
    pub(super) fn add_drops(&self, index: InterfaceIndex, status: &mut EndpointStatus) {
        let Some(counted) = self.interfaces.get(&index) else { return };
        for (reason, count) in [(DROPPED, counted.drops), (UNSENT, self.unsent(counted))] {
            if count > 0 {
                *status.engine_drops.entry(reason).or_default() += count;
            }
        }
    }

    /// Frames that found no room in the ring of an interface.
    fn unsent(&self, counted: &InterfaceCounters) -> u64 {
        // Its other error, `rollback`, is the cause of some of these.
        let error = format!("/err/{}-tx/no_free_slots", counted.name);
        let unsent = self.errors.iter().find(|(name, _)| *name == error);
        unsent.map_or(0, |(_, count)| *count)
    }
}

impl Reading {
    /// Adds what crossed the pipe of an endpoint in VPP's host stack: VPP counts what is sent into an end, and not
    /// what comes out.
    pub(super) fn add_pipe(
        &self,
        inner: InterfaceIndex,
        outer: InterfaceIndex,
        status: &mut EndpointStatus,
    ) {
        let counters = &mut status.counters;
        if let Some(from) = self.interfaces.get(&inner) {
            counters.rx_frames += from.tx.packets;
            counters.rx_bytes += from.tx.bytes;
        }
        if let Some(to) = self.interfaces.get(&outer) {
            counters.tx_frames += to.tx.packets;
            counters.tx_bytes += to.tx.bytes;
        }
    }
}

/// Reads VPP's counters.
#[derive(Debug)]
pub(super) struct Counters {
    socket: PathBuf,
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    at: Instant,
    reading: Result<Arc<Reading>, String>,
}

impl Counters {
    /// From the VPP that gives its memory away at `socket`.
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, last: Mutex::default() }
    }

    /// The counters now, or a moment ago. Each reading asks for the memory anew: it may be another VPP.
    pub(super) fn read(&self) -> Result<Arc<Reading>, String> {
        // Replaced as a whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.at.elapsed() < FRESH) {
            return last.reading.clone();
        }
        let stats = Stats::connect(&self.socket);
        let reading = stats.and_then(|stats| Reading::of(&stats)).map(Arc::new);
        let reading = reading.map_err(|error| error.to_string());
        *last = Some(Last { at: Instant::now(), reading: reading.clone() });
        reading
    }
}

#[cfg(test)]
mod tests {
    use dataplane::PortCounters;

    use super::*;

    #[test]
    fn what_did_not_get_into_the_ring_was_not_sent() {
        let mut counted = InterfaceCounters::default();
        counted.name = "memif1/0".to_owned();
        counted.rx.packets = 7;
        counted.tx.packets = 10;
        counted.drops = 2;
        let errors =
            [("/err/memif1/0-tx/no_free_slots", 3), ("/err/memif11/0-tx/no_free_slots", 9)];
        let reading = Reading {
            interfaces: BTreeMap::from([(InterfaceIndex(4), counted)]),
            errors: errors.map(|(name, count)| (name.to_owned(), count)).to_vec(),
        };
        let mut status = EndpointStatus {
            owner: "memif",
            antispoof: crate::model::Antispoof::None,
            interface: None,
            memif: None,
            vhost: None,
            sockets: Vec::new(),
            counters: PortCounters { rx_frames: 1, ..PortCounters::default() },
            engine_drops: BTreeMap::new(),
            host: None,
            sessions: None,
        };
        reading.add(InterfaceIndex(5), &mut status);
        assert_eq!(status.counters.rx_frames, 1, "another's are not this endpoint's");
        reading.add(InterfaceIndex(4), &mut status);
        assert_eq!((status.counters.rx_frames, status.counters.tx_frames), (8, 7));
        assert_eq!(status.engine_drops, BTreeMap::from([(DROPPED, 2), (UNSENT, 3)]));
        reading.add_drops(InterfaceIndex(4), &mut status);
        assert_eq!((status.counters.rx_frames, status.counters.tx_frames), (8, 7));
        let twice = BTreeMap::from([(DROPPED, 4), (UNSENT, 6)]);
        assert_eq!(status.engine_drops, twice, "what a link lost, and not what crossed it");
    }
}
