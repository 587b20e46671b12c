//! Fixtures for the suites against real peers: the agent, Docker, DPDK, images made of host files.
//!
//! Layers, bottom up:
//!
//! * [`need`]: what a test needs from the machine; absence skips it, and fails it under `CI=true`.
//! * [`namespace`]: a network of a test's own.
//! * [`wait`]: waiting for a condition with a limit; nothing in the suites sleeps blindly.
//! * [`process`]: a child whose output is kept and can be waited for.
//! * [`programs`]: the programs of this workspace, built on demand.
//! * [`image`]: container images made of the host's own files; no registry is asked.
//! * [`docker`]: containers and networks that remove themselves.
//! * [`engine`]: the engine of the agents under test.
//! * [`agent`]: a private `dockervpp serve` beside any real one.
//! * [`proxy`]: between Docker and the agent, to kill the agent at an exact step.
//! * [`leaks`]: what a test must not leave behind, on the host and in the agent.
//! * [`leftovers`]: what a run that was killed left behind.
//! * [`testpmd`]: DPDK's `dpdk-testpmd` as memif peer.
//! * [`guest`]: a virtual machine on a vhost-user socket.
//! * [`vpp`], [`vpp_link`]: a VPP of the test's own, and the kernel as its neighbour.
//! * [`vpp_script`]: a VPP that answers from recorded exchanges, and what records them.
//! * [`frame`], [`peer`]: a memif peer of our own that checks every byte.
//! * [`world`]: a host behind the host; [`beyond`]: one behind a VPP.
//! * [`lab`]: all of it together: the frame of a test.

pub mod agent;
pub mod beyond;
pub mod docker;
pub mod engine;
pub mod frame;
pub mod guest;
pub mod image;
pub mod lab;
pub mod leaks;
pub mod leftovers;
pub mod namespace;
pub mod need;
pub mod peer;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod testpmd;
pub mod vpp;
pub mod vpp_link;
pub mod vpp_script;
pub mod wait;
pub mod world;

pub use agent::Agent;
pub use beyond::Beyond;
pub use docker::{Container, Network};
pub use engine::Engine;
pub use guest::Guest;
pub use image::Image;
pub use lab::Lab;
pub use peer::Peer;
pub use testpmd::Testpmd;
pub use vpp::Vpp;
pub use vpp_script::ScriptedVpp;
pub use world::World;

/// How all names of the suites begin.
const OWN: &str = "dvt-";

/// A name that no other test of this or another run uses; `what` says what it is for.
pub fn unique(what: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{OWN}{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
