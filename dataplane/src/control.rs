//! The handle of the running engine: domains and ports come, go and move while traffic runs.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::tap::TapDevice;
use crate::{DomainConfig, MacAddr, MemifConfig, PortConfig, PortCounters, WorkerConfig};

/// A bridge domain of this engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(pub u32);

/// A port of this engine; never used again after its removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u32);

/// Which device owns the endpoint's address now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortOwner {
    /// No device: frames to it are dropped.
    None,
    /// The TAP.
    Tap,
    /// A memif client.
    Memif,
}

/// The memif link of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemifStatus {
    /// What the client calls itself.
    pub peer: String,
    /// Queues from the client, queues to the client.
    pub queues: (u16, u16),
    /// Slots of each ring.
    pub ring_size: u32,
}

/// What a port looks like now.
#[derive(Debug, Clone)]
pub struct PortStatus {
    /// Its id.
    pub id: PortId,
    /// Its domain.
    pub domain: DomainId,
    /// Its name.
    pub name: String,
    /// Its pinned address.
    pub mac: Option<MacAddr>,
    /// The device that owns the address now.
    pub owner: PortOwner,
    /// The memif client, while one is connected.
    pub memif: Option<MemifStatus>,
    /// Name of the TAP, when there is one.
    pub tap: Option<String>,
    /// Its counters.
    pub counters: PortCounters,
}

/// One line of a domain's FDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdbEntry {
    /// The address.
    pub mac: MacAddr,
    /// Where it is; `None` is the gateway.
    pub port: Option<PortId>,
    /// Configured with the port, not learnt.
    pub pinned: bool,
    /// Time since the last frame from it; zero for pinned addresses.
    pub age: Duration,
}

/// What to capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureScope {
    /// Each frame once, as it enters the domain.
    Domain(DomainId),
    /// Each frame from or to one port.
    Port(PortId),
}

/// Direction of a captured frame, seen from the endpoint's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the endpoint into the domain.
    Ingress,
    /// From the domain to the endpoint.
    Egress,
}

/// A copy of a frame.
#[derive(Debug, Clone)]
pub struct CapturedFrame {
    /// When the worker handled it.
    pub time: SystemTime,
    /// The port.
    pub port: PortId,
    /// The direction.
    pub direction: Direction,
    /// Its length on the wire, in bytes.
    pub length: u32,
    /// Its first bytes, at most the snap length.
    pub data: Box<[u8]>,
}

/// A running capture; dropping it ends the capture. A reader that is too slow loses frames, it
/// never delays a worker: [`Capture::lost`] counts them.
#[derive(Debug)]
pub struct Capture {
    _private: (),
}

impl Capture {
    /// The next frame; `None` when `timeout` passed first.
    ///
    /// # Errors
    /// [`DataplaneError::Stopped`] when the captured port or domain is gone.
    pub fn next(&self, timeout: Duration) -> Result<Option<CapturedFrame>, DataplaneError> {
        let _ = timeout;
        todo!()
    }

    /// Frames that did not fit into the queue so far.
    pub fn lost(&self) -> u64 {
        todo!()
    }
}

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataplaneError {
    /// The domain does not exist.
    #[error("bridge domain {0:?} does not exist")]
    NoDomain(DomainId),
    /// The port does not exist.
    #[error("port {0:?} does not exist")]
    NoPort(PortId),
    /// The domain still has ports.
    #[error("bridge domain {0:?} still has {1} ports")]
    DomainInUse(DomainId, usize),
    /// The address is already pinned in this domain.
    #[error("address {0} already belongs to another port of this bridge domain")]
    DuplicateAddress(MacAddr),
    /// A value is out of its range.
    #[error("{what} must be {expected}, not {found}")]
    BadConfig {
        /// The value's name.
        what: &'static str,
        /// What is accepted.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The engine, or the object that a capture watches, is gone.
    #[error("the data path has stopped")]
    Stopped,
}

/// The running engine. Cheap to clone; the last clone stops the threads.
#[derive(Debug, Clone)]
pub struct Dataplane {
    _inner: Arc<()>,
}

#[allow(clippy::unused_self, unused_variables, clippy::needless_pass_by_value)]
impl Dataplane {
    /// Starts the worker threads and the memif control thread.
    pub fn start(config: WorkerConfig) -> Result<Self, DataplaneError> {
        todo!()
    }

    /// Creates a bridge domain.
    pub fn create_domain(&self, config: DomainConfig) -> Result<DomainId, DataplaneError> {
        todo!()
    }

    /// Removes an empty bridge domain.
    pub fn delete_domain(&self, domain: DomainId) -> Result<(), DataplaneError> {
        todo!()
    }

    /// Adds a port without a device.
    pub fn create_port(
        &self,
        domain: DomainId,
        config: PortConfig,
    ) -> Result<PortId, DataplaneError> {
        todo!()
    }

    /// Removes a port with all its devices; returns when the worker has let go of them.
    pub fn delete_port(&self, port: PortId) -> Result<(), DataplaneError> {
        todo!()
    }

    /// Moves a port, with its devices and counters, to another domain.
    pub fn move_port(&self, port: PortId, domain: DomainId) -> Result<(), DataplaneError> {
        todo!()
    }

    /// Gives the port its TAP; replaces the one it had.
    pub fn attach_tap(&self, port: PortId, tap: TapDevice) -> Result<(), DataplaneError> {
        todo!()
    }

    /// Takes the port's TAP away and closes it.
    pub fn detach_tap(&self, port: PortId) -> Result<(), DataplaneError> {
        todo!()
    }

    /// Serves memif clients for this port on sockets that are bound and listening (`SOCK_SEQPACKET`).
    /// Called again it adds sockets: one port may listen on several names. At most one client at a
    /// time owns the port; a second is refused.
    pub fn listen_memif(
        &self,
        port: PortId,
        listeners: Vec<OwnedFd>,
        config: MemifConfig,
    ) -> Result<(), DataplaneError> {
        todo!()
    }

    /// Closes the memif listeners and the connected client of this port; returns when no
    /// descriptor of theirs is left open.
    pub fn unlisten_memif(&self, port: PortId) -> Result<(), DataplaneError> {
        todo!()
    }

    /// All ports.
    pub fn ports(&self) -> Result<Vec<PortStatus>, DataplaneError> {
        todo!()
    }

    /// The FDB of a domain, sorted by address.
    pub fn fdb(&self, domain: DomainId) -> Result<Vec<FdbEntry>, DataplaneError> {
        todo!()
    }

    /// Starts a capture of at most `snap_length` bytes of each frame.
    pub fn capture(
        &self,
        scope: CaptureScope,
        snap_length: u32,
    ) -> Result<Capture, DataplaneError> {
        todo!()
    }
}
