//! A pair of interfaces between the kernel and a VPP.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::vpp::Vpp;

/// A pair of interfaces: one is the kernel's, one VPP's. Dropping it removes both.
#[derive(Debug)]
pub struct Link {
    near: String,
    far: String,
    own: Ipv4Addr,
    prefix: u8,
}

impl Link {
    /// Joins VPP, at `own`, and the kernel.
    ///
    /// # Errors
    /// When one of them does not take its interface.
    pub fn join(vpp: &Vpp, own: Ipv4Addr, kernel: Ipv4Addr, prefix: u8) -> Result<Self> {
        let end = |which: char| format!("vpp{}{which}", std::process::id() % 1_000_000);
        let link = Self { near: end('k'), far: end('v'), own, prefix };
        let Self { near, far, .. } = &link;
        ip(&["link", "add", near, "type", "veth", "peer", "name", far])?;
        ip(&["address", "add", &format!("{kernel}/{prefix}"), "dev", near])?;
        ip(&["link", "set", near, "up"])?;
        ip(&["link", "set", far, "up"])?;
        link.join_again(vpp)?;
        Ok(link)
    }

    /// Gives VPP its end once more, after a new start.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn join_again(&self, vpp: &Vpp) -> Result<()> {
        let Self { far, own, prefix, .. } = self;
        let interface = vpp.cli(&format!("create host-interface name {far}"))?;
        for command in [
            format!("set interface state {interface} up"),
            format!("set interface ip address {interface} {own}/{prefix}"),
        ] {
            // VPP's command line always succeeds, and has words only for what went wrong.
            let said = vpp.cli(&command)?;
            ensure!(said.is_empty(), "{said}");
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = ip(&["link", "delete", &self.near]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {error}", arguments.join(" "));
    Ok(())
}
