//! What is beyond the interface of a VPP that `--vpp-outside` names: a host, and the operator's interface to it.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::Vpp;
use crate::namespace::{Named, ip};
use crate::process::Process;

/// What the host beyond sends: its kernel leaves checksums to whoever is next in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sends {
    /// Large segments of TCP too, to be cut by whoever is next.
    Large,
    /// Packets that fit.
    Packets,
}

/// The end of the veth pair that VPP has, by a packet socket.
const NEAR: &str = "dvtuplink";

/// Its Ethernet address: VPP would have another one after each start, and the kernel beyond would find out late.
const MAC: &str = "02:fe:cb:00:71:01";

/// A network namespace with one interface, `out0`, at the other end of which is VPP. It knows no way to anybody behind
/// VPP. Dropping it removes it.
#[derive(Debug)]
pub struct Beyond {
    namespace: Named,
}

impl Beyond {
    /// Its address (RFC 5737).
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
    /// VPP's address.
    pub const VPP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    /// Another one of VPP's.
    pub const SECOND: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 3);
    /// The length of their prefix, in bits.
    pub const PREFIX: u8 = 29;
    /// What VPP calls its interface.
    pub const INTERFACE: &str = "host-dvtuplink";

    /// Makes one; VPP does not have its interface yet.
    ///
    /// # Errors
    /// When the host does not make it.
    pub fn create(sends: Sends) -> Result<Self> {
        let beyond = Self { namespace: Named::create("beyond")? };
        // A run that was killed may have left one, and only one test runs at a time.
        let _ = ip(&["link", "delete", NEAR]);
        let peer = ["peer", "name", "out0", "netns", beyond.namespace.name()];
        ip(&[&["link", "add", NEAR, "type", "veth"], &peer[..]].concat())?;
        ip(&["link", "set", NEAR, "up"])?;
        let address = format!("{}/{}", Self::ADDRESS, Self::PREFIX);
        beyond.namespace.ip(&["address", "add", &address, "dev", "out0"])?;
        if sends == Sends::Packets {
            beyond.namespace.ip(&["link", "set", "out0", "gso_max_segs", "1"])?;
        }
        beyond.namespace.ip(&["link", "set", "out0", "up"])?;
        Ok(beyond)
    }

    /// Gives VPP its interface; also after VPP was started again.
    ///
    /// # Errors
    /// When VPP does not take it.
    pub fn join(&self, vpp: &Vpp) -> Result<()> {
        let made = vpp.cli(&format!("create host-interface name {NEAR} hw-addr {MAC}"))?;
        ensure!(made == Self::INTERFACE, "{made}");
        let interface = Self::INTERFACE;
        let address = |own| format!("set interface ip address {interface} {own}/{}", Self::PREFIX);
        quietly(vpp, &format!("set interface state {interface} up"))?;
        quietly(vpp, &address(Self::VPP))?;
        quietly(vpp, &address(Self::SECOND))
    }

    /// Takes the interface from VPP.
    ///
    /// # Errors
    /// When VPP does not give it.
    pub fn leave(&self, vpp: &Vpp) -> Result<()> {
        quietly(vpp, &format!("delete host-interface name {NEAR}"))
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

impl Drop for Beyond {
    fn drop(&mut self) {
        // What was not made cannot be removed. It goes with its other end as well, but later than the namespace.
        let _ = ip(&["link", "delete", NEAR]);
    }
}

/// Has VPP do it. VPP's command line always succeeds, and has words only for what went wrong.
fn quietly(vpp: &Vpp, command: &str) -> Result<()> {
    let said = vpp.cli(command)?;
    ensure!(said.is_empty(), "VPP, told to {command}: {said}");
    Ok(())
}
