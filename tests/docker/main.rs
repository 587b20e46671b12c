//! The agent behind a real Docker Engine: what users do, and what must not be left behind.
//!
//! Every test has a fresh agent under a driver name of its own, and ends with a look at sockets,
//! namespaces, links, descriptors, threads and state entries (see `kit::lab`).

mod agreement;
mod compose;
mod connectivity;
mod crash;
mod kinds;
mod leftovers;
mod lifecycle;
mod memif;
mod names;
mod outside;
mod policy;
mod session;
mod stress;
mod transfer;
mod veth;
mod vpp;
mod vpp_outside;
mod vxlan;
