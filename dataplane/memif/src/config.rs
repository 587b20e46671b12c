//! What a user decides: a listener, its interfaces, a client.

use std::time::Duration;

use crate::handshake::{ClientHello, Terms, Timeouts};
use crate::memory::ClientLayout;
use crate::parameters::{BufferSize, InterfaceId, Limits, Mode, RegionPolicy, RingSize};
use crate::text::{Name, Secret};

/// A listening socket, whatever interfaces are behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerConfig {
    /// What clients are told who this is.
    pub application: Name,
    /// How long a client may take to connect.
    pub timeouts: Timeouts,
    /// Handshakes under way at once.
    pub pending: usize,
    /// Handshakes under way at once for one user id.
    pub pending_per_user: usize,
}

impl Default for ListenerConfig {
    /// This crate's name and version, [`Timeouts::SERVER`], 16 handshakes, 8 of one user.
    fn default() -> Self {
        Self {
            application: this_crate(),
            timeouts: Timeouts::SERVER,
            pending: 16,
            pending_per_user: 8,
        }
    }
}

/// One interface of a listener: what its client must bring. Start from [`InterfaceConfig::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// The number that the client must ask for.
    pub id: InterfaceId,
    /// What frames start with.
    pub mode: Mode,
    /// The secret that the client must know; `None` takes any.
    pub secret: Option<Secret>,
    /// What the client is told as this end's interface.
    pub name: Name,
    /// Whether the client must seal its memory.
    pub policy: RegionPolicy,
    /// How much memory and how many rings the client may bring.
    pub limits: Limits,
}

impl InterfaceConfig {
    /// Interface `id` with Ethernet frames, no secret, sealed memory and default limits.
    pub fn new(id: InterfaceId) -> Self {
        Self {
            id,
            mode: Mode::default(),
            secret: None,
            name: Name::truncated(&format!("memif{id}")),
            policy: RegionPolicy::default(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms { mode: self.mode, secret: self.secret, limits: self.limits }
    }
}

/// When a client tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// Not at all: one attempt, one link.
    Never,
    /// At once after a link that lasted, then after a pause that doubles from `first` to `longest`.
    Backoff {
        /// The first pause.
        first: Duration,
        /// The longest one.
        longest: Duration,
    },
}

impl Default for Reconnect {
    /// Pauses of 20 ms to 1 s.
    fn default() -> Self {
        Self::Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(1) }
    }
}

impl Reconnect {
    /// The pause before attempt number `attempt`, counted from 0, which comes at once.
    pub(crate) fn pause(self, attempt: u32) -> Option<Duration> {
        match self {
            Self::Never => (attempt == 0).then_some(Duration::ZERO),
            Self::Backoff { .. } if attempt == 0 => Some(Duration::ZERO),
            Self::Backoff { first, longest } => {
                let factor = 1 << (attempt - 1).min(16);
                Some(first.saturating_mul(factor).min(longest))
            }
        }
    }
}

/// A client and the memory that it brings. Start from [`ClientConfig::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// The interface behind the server's socket.
    pub id: InterfaceId,
    /// What frames start with.
    pub mode: Mode,
    /// The interface's secret, [`Secret::NONE`] if it has none.
    pub secret: Secret,
    /// What the server is told who this is.
    pub application: Name,
    /// What the server is told as this end's interface.
    pub interface: Name,
    /// Queues to the server, at least 1; the server may allow fewer.
    pub transmit_queues: u16,
    /// Queues from the server, at least 1; the server may allow fewer.
    pub receive_queues: u16,
    /// Slots of each queue; the server may allow fewer.
    pub ring_size: RingSize,
    /// Bytes of each buffer. Frames may be longer: they take several. DPDK servers (from 23.03 on)
    /// write up to 2048 bytes whatever is said here, so less is safe only with other servers.
    pub buffer_size: BufferSize,
    /// How long the server may take.
    pub timeouts: Timeouts,
    /// When to try again.
    pub reconnect: Reconnect,
}

impl ClientConfig {
    /// A client of interface `id`: Ethernet frames, no secret, one queue each way with 1024 slots of
    /// 2048 bytes, [`Timeouts::CLIENT`], reconnecting.
    pub fn new(id: InterfaceId) -> Self {
        Self {
            id,
            mode: Mode::default(),
            secret: Secret::NONE,
            application: this_crate(),
            interface: Name::truncated(&format!("memif{id}")),
            transmit_queues: 1,
            receive_queues: 1,
            ring_size: RingSize::default(),
            buffer_size: BufferSize::default(),
            timeouts: Timeouts::CLIENT,
            reconnect: Reconnect::default(),
        }
    }

    pub(crate) fn hello(&self) -> ClientHello {
        ClientHello {
            id: self.id,
            mode: self.mode,
            secret: self.secret,
            application: self.application,
            interface: self.interface,
            layout: ClientLayout {
                client_to_server: self.transmit_queues,
                server_to_client: self.receive_queues,
                ring_size: self.ring_size,
                buffer_size: self.buffer_size,
            },
        }
    }
}

fn this_crate() -> Name {
    Name::truncated(concat!("memif-rs ", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let millis = |attempt| Reconnect::default().pause(attempt).unwrap().as_millis();
        assert_eq!(
            [0, 1, 2, 3, 6, 7, 8, u32::MAX].map(millis),
            [0, 20, 40, 80, 640, 1000, 1000, 1000]
        );
        assert_eq!(Reconnect::Never.pause(0), Some(Duration::ZERO));
        assert_eq!(Reconnect::Never.pause(1), None);
    }
}
