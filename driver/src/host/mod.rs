//! The Linux host under the engines: network namespaces, links, and things that appear later.
//!
//! * [`root`]: where the host's files are, for an agent with another root directory.
//! * [`netns`]: enter a namespace for the time of one closure, never on a pooled thread.
//! * [`socket`]: abstract unix sockets, which belong to the namespace they are bound in.
//! * [`link`]: network devices, over rtnetlink.
//! * [`address`]: their IP addresses; [`sysctl`]: the kernel's settings.
//! * [`nft`], [`iptables`]: the packet filter, by the host's own commands ([`command`]).
//! * [`conntrack`]: the kernel's table of flows.
//! * [`file_watch`]: one thread that is told when files change.
//! * [`watch`]: one thread that tries jobs again until what they wait for is there.
//!
//! Nothing in here knows Docker or an engine, and every call blocks for milliseconds at most.

pub mod address;
pub mod command;
pub mod conntrack;
pub mod file_watch;
pub mod iptables;
pub mod link;
mod netlink;
pub mod netns;
pub mod nft;
pub mod root;
mod seclusion;
pub mod socket;
pub mod sysctl;
pub mod watch;
