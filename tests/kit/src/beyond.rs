//! What is beyond the interface of a VPP that `--vpp-outside` names: a host, and the operator's interface to it.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::Vpp;
use crate::namespace::{Named, ip};
use crate::process::Process;

/// What the operator's interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uplink {
    /// A packet socket at one end of a veth pair. The kernel at the other end leaves checksums and segmentation to it.
    PacketSocket,
    /// A TAP, which has whole packets.
    Tap,
}

impl Uplink {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PacketSocket, Self::Tap];

    /// What VPP calls it.
    pub fn interface(self) -> &'static str {
        match self {
            Self::PacketSocket => "host-dvtuplink",
            Self::Tap => "tap77",
        }
    }
}

/// The host's end of the veth pair.
const NEAR: &str = "dvtuplink";

/// A network namespace with one interface, `out0`, at the other end of which is VPP. It knows no way to anybody behind
/// VPP. Dropping it removes it.
#[derive(Debug)]
pub struct Beyond {
    namespace: Named,
    uplink: Uplink,
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

    /// Makes one; VPP does not have its interface yet.
    ///
    /// # Errors
    /// When the host does not make it.
    pub fn create(uplink: Uplink) -> Result<Self> {
        let beyond = Self { namespace: Named::create("beyond")?, uplink };
        if uplink == Uplink::PacketSocket {
            // A run that was killed may have left one, and only one test runs at a time.
            let _ = ip(&["link", "delete", NEAR]);
            let peer = ["peer", "name", "out0", "netns", beyond.namespace.name()];
            ip(&[&["link", "add", NEAR, "type", "veth"], &peer[..]].concat())?;
            ip(&["link", "set", NEAR, "up"])?;
            beyond.address()?;
        }
        Ok(beyond)
    }

    fn address(&self) -> Result<()> {
        let address = format!("{}/{}", Self::ADDRESS, Self::PREFIX);
        self.namespace.ip(&["address", "add", &address, "dev", "out0"])?;
        self.namespace.ip(&["link", "set", "out0", "up"])
    }

    /// Gives VPP its interface; also after VPP was started again.
    ///
    /// # Errors
    /// When VPP does not take it.
    pub fn join(&self, vpp: &Vpp) -> Result<()> {
        let interface = self.uplink.interface();
        match self.uplink {
            Uplink::PacketSocket => quietly(vpp, &format!("create host-interface name {NEAR}"))?,
            Uplink::Tap => {
                let place = format!("host-ns {} host-if-name out0", self.namespace.name());
                quietly(vpp, &format!("create tap id 77 {place}"))?;
                self.address()?;
            }
        }
        for command in [
            format!("set interface state {interface} up"),
            format!("set interface ip address {interface} {}/{}", Self::VPP, Self::PREFIX),
            format!("set interface ip address {interface} {}/{}", Self::SECOND, Self::PREFIX),
        ] {
            quietly(vpp, &command)?;
        }
        Ok(())
    }

    /// Takes the interface from VPP.
    ///
    /// # Errors
    /// When VPP does not give it.
    pub fn leave(&self, vpp: &Vpp) -> Result<()> {
        match self.uplink {
            Uplink::PacketSocket => quietly(vpp, &format!("delete host-interface name {NEAR}")),
            Uplink::Tap => quietly(vpp, &format!("delete tap {}", self.uplink.interface())),
        }
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
        if self.uplink == Uplink::PacketSocket {
            // What was not made cannot be removed. It goes with its other end as well, but later than the namespace.
            let _ = ip(&["link", "delete", NEAR]);
        }
    }
}

/// Has VPP do it. VPP's command line always succeeds: it says the name of what it has made, and words for what went
/// wrong.
fn quietly(vpp: &Vpp, command: &str) -> Result<()> {
    let said = vpp.cli(command)?;
    let made = Uplink::ALL.iter().any(|it| it.interface() == said);
    ensure!(said.is_empty() || made || said == "deleted.", "VPP, told to {command}: {said}");
    Ok(())
}
