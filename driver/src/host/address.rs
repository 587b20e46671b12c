//! IP addresses of network devices, over rtnetlink.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Route;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// The link's index.
    pub link: u32,
    /// The address with the length of its subnet's prefix.
    pub net: IpNet,
}

/// The kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct AddressError {
    action: String,
    source: io::Error,
}

impl AddressError {
    /// The kernel's answer.
    pub fn into_source(self) -> io::Error {
        self.source
    }
}

/// The addresses of one network namespace.
#[derive(Debug)]
pub struct Addresses {
    route: Route,
}

impl Addresses {
    /// Those of the calling thread's namespace.
    pub fn open() -> Result<Self, AddressError> {
        let route = Route::open();
        let route = route.map_err(|source| failed("open a rtnetlink socket", source))?;
        Ok(Self { route })
    }

    /// All addresses.
    pub fn list(&mut self) -> Result<Vec<Assigned>, AddressError> {
        let asked = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.route.dump(&asked);
        let answers = answers.map_err(|source| failed("list the addresses", source))?;
        Ok(answers.into_iter().filter_map(assigned).collect())
    }

    /// Gives a link an address; fine when it has it. Nobody else is asked first whether they have it.
    pub fn assign(&mut self, link: u32, net: IpNet) -> Result<(), AddressError> {
        let mut message = AddressMessage::default();
        message.header.index = link;
        message.header.prefix_len = net.prefix_len();
        message.attributes.push(AddressAttribute::Local(net.addr()));
        message.attributes.push(AddressAttribute::Address(net.addr()));
        message.header.family = match net.addr() {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => {
                message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
                AddressFamily::Inet6
            }
        };
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        let outcome = self.route.change(RouteNetlinkMessage::NewAddress(message), flags);
        outcome.map_err(|source| failed(&format!("give link {link} the address {net}"), source))
    }
}

fn failed(action: &str, source: io::Error) -> AddressError {
    AddressError { action: action.to_owned(), source }
}

fn assigned(message: RouteNetlinkMessage) -> Option<Assigned> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    // `Address` is the far end of a link between two; `Local` is the own one where they differ.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let net = IpNet::new(local.or(any)?, message.header.prefix_len).ok()?;
    Some(Assigned { link: message.header.index, net })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_address() {
        let list = Addresses::open().unwrap().list().unwrap();
        let loopback = Assigned { link: 1, net: "127.0.0.1/8".parse().unwrap() };
        assert!(list.contains(&loopback), "{list:?}");
    }
}
