//! Who asked which name server, and when.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::packet::Protocol;

use super::PORT;
use crate::packet::Packet;

/// Conversations with name servers. The one that was silent longest gives way to a new one.
pub(super) const MOST: usize = 512;

/// How long an answer over UDP is waited for: Docker's name server gives one up after four seconds, glibc after
/// five (resolv.conf(5), `timeout`).
pub(super) const DATAGRAM: Duration = Duration::from_secs(10);

/// How long a TCP connection may be silent (RFC 7766, 6.2.3: "a few seconds" in general).
pub(super) const STREAM: Duration = Duration::from_mins(2);

/// A socket of the kernel and a name server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NameFlow {
    pub(crate) protocol: Protocol,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl NameFlow {
    /// The flow that a packet from the network belongs to, if it comes from a name server's port.
    pub(super) fn of_answer(packet: &Packet<'_>) -> Option<Self> {
        let protocol = packet.info.protocol;
        let &[high, low, to_high, to_low] = packet.payload().first_chunk::<4>()?;
        let from = u16::from_be_bytes([high, low]);
        if from != PORT || !matches!(protocol, Protocol::UDP | Protocol::TCP) {
            return None;
        }
        let local = SocketAddr::new(packet.dst(), u16::from_be_bytes([to_high, to_low]));
        Some(Self { protocol, local, remote: SocketAddr::new(packet.src(), from) })
    }

    fn patience(&self) -> Duration {
        if self.protocol == Protocol::TCP { STREAM } else { DATAGRAM }
    }
}

/// The flows that are alive, with the time when the kernel spoke last. Those that are over are forgotten when
/// their place is needed: nothing has to be done for them meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    spoken: HashMap<NameFlow, Instant>,
}

impl Flows {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.spoken.is_empty()
    }

    /// The kernel speaks.
    pub(crate) fn note(&mut self, flow: NameFlow, now: Instant) {
        if let Some(spoken) = self.spoken.get_mut(&flow) {
            *spoken = now;
            return;
        }
        if self.spoken.len() >= MOST {
            self.spoken.retain(|flow, spoken| is_alive(flow, *spoken, now));
        }
        if self.spoken.len() >= MOST {
            let oldest = self.spoken.iter().min_by_key(|(_, spoken)| **spoken);
            if let Some(oldest) = oldest.map(|(flow, _)| *flow) {
                self.spoken.remove(&oldest);
            }
        }
        self.spoken.insert(flow, now);
    }

    /// Whether the kernel spoke so lately that an answer is its.
    pub(super) fn knows(&self, flow: &NameFlow, now: Instant) -> bool {
        self.spoken.get(flow).is_some_and(|spoken| is_alive(flow, *spoken, now))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.spoken.len()
    }
}

fn is_alive(flow: &NameFlow, spoken: Instant, now: Instant) -> bool {
    now.saturating_duration_since(spoken) < flow.patience()
}
