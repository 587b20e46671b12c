//! A host behind the host: what containers find outside, and who comes from there.

use std::fmt::Display;
use std::fs;
use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::namespace::{Named, ip};
use crate::process::Process;

/// A network namespace with one interface, at the other end of which is the host. It knows no way to
/// anybody behind the host. Dropping it removes it.
#[derive(Debug)]
pub struct World {
    namespace: Named,
    near: String,
    subnet: u8,
}

impl World {
    /// Makes one; worlds with different numbers can be there at a time.
    ///
    /// # Errors
    /// When the host does not make it.
    pub fn create(subnet: u8) -> Result<Self> {
        let near = format!("dvout{subnet}");
        let world = Self { namespace: Named::create("world")?, near, subnet };
        let Self { namespace, near, .. } = &world;
        let peer = ["type", "veth", "peer", "name", "out0", "netns", namespace.name()];
        ip(&[&["link", "add", near], &peer[..]].concat())?;
        for (address, prefix) in world.host().into_iter().zip(["24", "64"]) {
            ip(&["address", "add", &format!("{address}/{prefix}"), "dev", near, "nodad"])?;
        }
        ip(&["link", "set", near, "up"])?;
        for (address, prefix) in world.addresses().into_iter().zip(["24", "64"]) {
            world.namespace.ip(&[
                "address",
                "add",
                &format!("{address}/{prefix}"),
                "dev",
                "out0",
                "nodad",
            ])?;
        }
        world.namespace.ip(&["link", "set", "out0", "up"])?;
        Ok(world)
    }

    /// Its addresses, of both IP versions.
    pub fn addresses(&self) -> [IpAddr; 2] {
        self.numbered(2)
    }

    /// The host's link to it.
    pub fn near(&self) -> &str {
        &self.near
    }

    /// The host's addresses as it sees them.
    pub fn host(&self) -> [IpAddr; 2] {
        self.numbered(1)
    }

    /// Documentation addresses (RFC 5737, RFC 3849).
    fn numbered(&self, host: u16) -> [IpAddr; 2] {
        let last = u8::try_from(host).unwrap_or(u8::MAX);
        let subnet = u16::from(self.subnet);
        [[198, 51, 100, last].into(), [0x2001, 0xdb8, subnet, 0, 0, 0, 0, host].into()]
    }

    /// Has it send what is for `subnet` to the host.
    ///
    /// # Errors
    /// When the route is not taken.
    pub fn learn(&self, subnet: &str) -> Result<()> {
        let [four, six] = self.host().map(|address| address.to_string());
        let via = if subnet.contains(':') { six } else { four };
        self.namespace.ip(&["route", "add", subnet, "via", &via])
    }

    /// Makes the way there narrower: packets of at most `mtu` bytes.
    ///
    /// # Errors
    /// When a link does not take it.
    pub fn narrow(&self, mtu: u16) -> Result<()> {
        let mtu = mtu.to_string();
        ip(&["link", "set", &self.near, "mtu", &mtu])?;
        self.namespace.ip(&["link", "set", "out0", "mtu", &mtu])
    }

    /// Packets and bytes that the host sent there, as its link counts them: one that is cut later is one.
    ///
    /// # Errors
    /// When the link is gone.
    pub fn sent(&self) -> Result<(u64, u64)> {
        let count = |what: &str| {
            let path = format!("/sys/class/net/{}/statistics/tx_{what}", self.near);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            text.trim().parse::<u64>().with_context(|| format!("{path} says {text:?}"))
        };
        Ok((count("packets")?, count("bytes")?))
    }

    /// A command in there.
    pub fn command(&self, program: impl Display, arguments: &[&str]) -> Command {
        self.namespace.command(program, arguments)
    }

    /// Starts a program in there.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, program: impl Display, arguments: &[&str]) -> Result<Process> {
        self.namespace.start(program, arguments)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What was not made cannot be removed. The link goes with its other end as well, but later than the
        // namespace: until then nobody could make a world of this number.
        let _ = ip(&["link", "delete", &self.near]);
    }
}
