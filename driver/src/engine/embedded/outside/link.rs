//! A network's gateway on the host: a TAP of its bridge domain that has the gateway's addresses.
//!
//! It stays when the agent ends, with its addresses and routes, and is taken up again by the next one.

use dataplane::MacAddr;
use dataplane::tap::{TapDevice, TapOptions};

use super::plan::Gateway;
use crate::engine::EngineError;
use crate::engine::attachment::{from_link, from_tap};
use crate::host::address::{AddressError, Addresses};
use crate::host::link::{Link, LinkChange, Links};
use crate::host::sysctl::{Settings, SysctlError};
use crate::model::{IfName, NetworkId};

/// All gateways of all agents begin so; no link of an endpoint does, whose ids are hexadecimal.
const NAME_PREFIX: &str = "dvg";

/// Makes, takes up and removes gateways.
#[derive(Debug)]
pub(super) struct GatewayLinks {
    owner: String,
    settings: Settings,
}

/// The name of a network's gateway link.
pub(super) fn link_name(network: &NetworkId) -> IfName {
    let name = format!("{NAME_PREFIX}{}", network.short());
    name.parse().expect("an id's first twelve characters are letters, digits, `-` and `_`")
}

impl GatewayLinks {
    /// `owner` is what the aliases of this agent's links begin with, `settings` are the host's.
    pub(super) fn new(owner: String, settings: Settings) -> Self {
        Self { owner, settings }
    }

    /// Makes the link, or takes up the one that a former agent made. Fails whole.
    pub(super) fn make(
        &self,
        network: &NetworkId,
        gateway: &Gateway,
        mac: MacAddr,
        mtu: u32,
    ) -> Result<TapDevice, EngineError> {
        let name = &gateway.link;
        let found = Links::open().and_then(|mut links| links.find(name.as_str()));
        let found = found.map_err(from_link)?;
        if found.as_ref().is_some_and(|link| !self.owns(link, network)) {
            return Err(EngineError::Host {
                what: format!("a link that is not this agent's has the name {name}"),
                remedy: format!("remove it with `ip link delete {name}`"),
            });
        }
        expect_no_overlap(gateway, found.as_ref().map(|link| link.index))?;
        let options = TapOptions { queues: 1, persist: true };
        let tap = TapDevice::create(name.as_str(), &options).map_err(from_tap)?;
        let change = LinkChange {
            mac: Some(mac),
            mtu: Some(mtu),
            alias: Some(self.alias(network)),
            ..LinkChange::default()
        };
        if let Err(error) = set_up(&self.settings, gateway, &change) {
            if found.is_none()
                && let Err(error) = self.remove(network)
            {
                tracing::warn!(%error, "a link could not be removed after a failure");
            }
            return Err(error);
        }
        Ok(tap)
    }

    /// Removes the link; fine when it is not there. One that is not ours stays.
    pub(super) fn remove(&self, network: &NetworkId) -> Result<(), EngineError> {
        let mut links = Links::open().map_err(from_link)?;
        match links.find(link_name(network).as_str()).map_err(from_link)? {
            Some(link) if self.owns(&link, network) => links.delete(link.index).map_err(from_link),
            _ => Ok(()),
        }
    }

    /// Removes the links of networks that are not `known`, left by an agent that died; says how many.
    pub(super) fn sweep(&self, known: impl Fn(&NetworkId) -> bool) -> Result<usize, EngineError> {
        let mut links = Links::open().map_err(from_link)?;
        let mut removed = 0;
        for link in links.list().map_err(from_link)? {
            if let Some(network) = self.owner_of(&link).filter(|network| !known(network)) {
                tracing::info!(link = link.name, %network, "removed the gateway of a forgotten network");
                links.delete(link.index).map_err(from_link)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Has the host forward packets of the families that the gateway has.
    pub(super) fn forward(&self, gateway: &Gateway) -> Result<(), EngineError> {
        let sysctl = &self.settings;
        if !gateway.ipv4.is_empty()
            && sysctl.set("net/ipv4/ip_forward", "1").map_err(from_sysctl)?
        {
            tracing::info!("this host forwards IPv4 packets now (net.ipv4.ip_forward)");
        }
        if gateway.ipv6.is_empty() {
            return Ok(());
        }
        if sysctl.get("net/ipv6/conf/all/forwarding").map_err(from_sysctl)?.as_deref() == Some("0")
        {
            // A router takes no router advertisements unless told to: who has its routes from them keeps them.
            for link in sysctl.names("net/ipv6/conf") {
                let setting = format!("net/ipv6/conf/{link}/accept_ra");
                if sysctl.get(&setting).map_err(from_sysctl)?.as_deref() == Some("1") {
                    sysctl.set(&setting, "2").map_err(from_sysctl)?;
                }
            }
        }
        if sysctl.set("net/ipv6/conf/all/forwarding", "1").map_err(from_sysctl)? {
            tracing::info!("this host forwards IPv6 packets now (net.ipv6.conf.all.forwarding)");
        }
        Ok(())
    }

    fn alias(&self, network: &NetworkId) -> String {
        format!("{}:gateway:{network}", self.owner)
    }

    fn owns(&self, link: &Link, network: &NetworkId) -> bool {
        // A link without alias is one whose maker died between two system calls.
        link.alias.is_none() || link.alias.as_ref() == Some(&self.alias(network))
    }

    /// The network whose gateway this is, if it is one of this agent's.
    fn owner_of(&self, link: &Link) -> Option<NetworkId> {
        let network =
            link.alias.as_deref()?.strip_prefix(&self.owner)?.strip_prefix(":gateway:")?;
        let network = network.parse().ok()?;
        (link_name(&network).as_str() == link.name).then_some(network)
    }
}

/// Refuses subnets in which another link has an address: the host would lose its way to them.
fn expect_no_overlap(gateway: &Gateway, own: Option<u32>) -> Result<(), EngineError> {
    let mut addresses = Addresses::open().map_err(from_address)?;
    for held in addresses.list().map_err(from_address)?.iter().filter(|it| Some(it.link) != own) {
        let overlapping = gateway.addresses().find(|net| {
            net.trunc().contains(&held.net.addr()) || held.net.trunc().contains(&net.addr())
        });
        if let Some(net) = overlapping {
            return Err(EngineError::Host {
                what: format!(
                    "the subnet {} overlaps with the address {} of this host (link {})",
                    net.trunc(),
                    held.net,
                    held.link
                ),
                remedy: "choose another `--subnet`, or create the network with `--internal`"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

fn set_up(sysctl: &Settings, gateway: &Gateway, change: &LinkChange) -> Result<(), EngineError> {
    let name = gateway.link.as_str();
    let mut links = Links::open().map_err(from_link)?;
    let link = links.find(name).map_err(from_link)?.ok_or_else(|| EngineError::Host {
        what: format!("the link {name} vanished while it was set up"),
        remedy: "look for another program that removes links".to_owned(),
    })?;
    links.set(link.index, change).map_err(from_link)?;
    settings(sysctl, gateway).map_err(from_sysctl)?;
    links
        .set(link.index, &LinkChange { up: Some(true), ..LinkChange::default() })
        .map_err(from_link)?;
    let mut addresses = Addresses::open().map_err(from_address)?;
    for net in gateway.addresses() {
        addresses.assign(link.index, net).map_err(from_address)?;
    }
    Ok(())
}

/// The kernel's settings of the link: it routes, answers under the address that neighbours know, and
/// takes no advice from containers.
fn settings(sysctl: &Settings, gateway: &Gateway) -> Result<(), SysctlError> {
    let name = &gateway.link;
    for (setting, value) in
        [("forwarding", "1"), ("send_redirects", "0"), ("accept_redirects", "0")]
    {
        sysctl.set(&format!("net/ipv4/conf/{name}/{setting}"), value)?;
    }
    let ipv6 = |setting: &str| format!("net/ipv6/conf/{name}/{setting}");
    if sysctl.get(&ipv6("disable_ipv6"))?.is_none() {
        // A kernel without IPv6; a network that needs it is refused when it gets its address.
        return Ok(());
    }
    let disabled = if gateway.ipv6.is_empty() { "1" } else { "0" };
    for (setting, value) in [
        ("accept_ra", "0"),
        ("accept_redirects", "0"),
        // The link-local address that follows from the Ethernet address (RFC 4291, appendix A).
        ("addr_gen_mode", "0"),
        ("accept_dad", "0"),
        ("forwarding", "1"),
        ("disable_ipv6", disabled),
    ] {
        sysctl.set(&ipv6(setting), value)?;
    }
    Ok(())
}

fn from_address(error: AddressError) -> EngineError {
    EngineError::Io { what: error.to_string(), source: error.into_source() }
}

fn from_sysctl(error: SysctlError) -> EngineError {
    EngineError::Io { what: error.to_string(), source: error.into_source() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_links_have_an_owner() {
        let links = GatewayLinks::new("dockervpp".to_owned(), Settings::default());
        let link = |name: &str, alias: Option<&str>| Link {
            index: 7,
            name: name.to_owned(),
            mac: None,
            mtu: 1500,
            alias: alias.map(str::to_owned),
            up: false,
            tag: 0,
        };
        let one = Some("one".parse().unwrap());
        assert_eq!(links.owner_of(&link("dvgone", Some("dockervpp:gateway:one"))), one);
        for (name, alias) in [
            ("dvgone", None),
            ("dvgone", Some("dockervpp:one")),
            ("dvgone", Some("other:gateway:one")),
            ("dvgone", Some("dockervpp:gateway:two")),
            ("dvone", Some("dockervpp:gateway:one")),
        ] {
            assert_eq!(links.owner_of(&link(name, alias)), None, "{name} {alias:?}");
        }
        assert_eq!(link_name(&"0123456789abcdef".parse().unwrap()).as_str(), "dvg0123456789ab");
    }
}
