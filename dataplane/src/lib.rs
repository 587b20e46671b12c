//! The embedded engine: L2 bridge domains whose ports are memif links, vhost-user devices, TAP devices, veth pairs,
//! network stacks and other hosts.
//!
//! Layers, bottom up:
//!
//! * [`mac`], [`packet`]: parsed addresses and header views, no state.
//! * [`bridge`]: the forwarding table and the decision, pure.
//! * [`policy`]: what a port may say about itself, and how much it may send, pure.
//! * [`gateway`]: what the gateway of a domain answers, pure.
//! * [`offload`]: checksums and segmentation in software, pure.
//! * [`tap`]: TAP devices and their batched I/O.
//! * [`packet_socket`]: the host's ends of veth pairs.
//! * [`stack_port`]: queues to a network stack of this process.
//! * [`vxlan`]: other hosts of a segment, over UDP.
//! * `worker`: threads that poll the ports of their domains and move frames, one copy per hop.
//! * [`control`]: the handle that adds, removes and moves ports while traffic runs.
//!
//! There is no async runtime in here: workers run to completion and sleep in `epoll`.

#![cfg_attr(
    not(feature = "vhost-user"),
    allow(dead_code, reason = "without the protocol no front end ever has a ring")
)]

pub mod bridge;
mod bucket;
mod capture;
pub mod config;
pub mod control;
pub mod counters;
pub mod gateway;
pub mod mac;
mod messages;
pub mod offload;
pub mod packet;
pub mod packet_socket;
pub mod policy;
pub mod stack_port;
pub mod tap;
pub mod vxlan;
mod worker;

pub use config::{DomainConfig, GatewayConfig, MemifConfig, PortConfig, VhostConfig, WorkerConfig};
pub use control::{Dataplane, DataplaneError, DomainId, PortId};
pub use counters::{DropReason, PortCounters};
pub use mac::MacAddr;
pub use policy::{Antispoof, PortPolicy, Rate};
