//! Network devices: made, changed, found and deleted over rtnetlink.
//!
//! A [`Links`] works on the network namespace of the thread that opened it; to look into a
//! container open it with [`NetNs::run`](super::netns::NetNs::run). It keeps that namespace alive.

use std::io;

use dataplane::MacAddr;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InetDevConf, InfoData, InfoKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use rustix::io::Errno;

use super::netlink::Route;
use super::seclusion;
use crate::model::IfName;

/// A network device as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index, unique in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, when it has one.
    pub mac: Option<MacAddr>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its `ifalias`, which follows it from namespace to namespace.
    pub alias: Option<String>,
    /// Whether it is administratively up.
    pub up: bool,
    /// A number without meaning to the kernel (`net.ipv4.conf.NAME.tag`), which is forgotten when
    /// the link moves to another namespace.
    pub tag: i32,
}

/// What [`Links::set`] changes; a `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Ethernet address.
    pub mac: Option<MacAddr>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// `ifalias`, at most 255 bytes.
    pub alias: Option<String>,
    /// Administratively up or down.
    pub up: Option<bool>,
    /// The tag; not 0.
    pub tag: Option<i32>,
}

/// The kernel refused to do something with a link.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct LinkError {
    action: String,
    source: io::Error,
}

impl LinkError {
    /// The kernel's answer.
    pub fn into_source(self) -> io::Error {
        self.source
    }

    fn is(&self, errno: Errno) -> bool {
        is(&self.source, errno)
    }

    /// Whether the kernel does not have what was asked for: a kind of device, a queueing discipline, a filter.
    pub fn is_unknown_kind(&self) -> bool {
        self.is(Errno::NOENT) || self.is(Errno::OPNOTSUPP)
    }
}

/// The devices of one network namespace.
#[derive(Debug)]
pub struct Links {
    route: Route,
}

impl Links {
    /// The devices of the calling thread's namespace.
    pub fn open() -> Result<Self, LinkError> {
        let route = failing(Route::open(), || "open a rtnetlink socket".to_owned())?;
        Ok(Self { route })
    }

    /// Whether the kernel can make `dummy` devices.
    pub fn dummy_available(&mut self) -> Result<bool, LinkError> {
        self.is_available(dummy(PROBE), "dummy links")
    }

    /// Whether the kernel can make veth pairs.
    pub fn veth_available(&mut self) -> Result<bool, LinkError> {
        self.is_available(of_kind(PROBE, InfoKind::Veth), "veth pairs")
    }

    /// Whether the kernel knows a kind of device. Its module is loaded, nothing is made: the request
    /// names an impossible Ethernet address, which only a known kind gets to look at.
    fn is_available(&mut self, mut message: LinkMessage, what: &str) -> Result<bool, LinkError> {
        message.attributes.push(LinkAttribute::Address(MacAddr::BROADCAST.0.to_vec()));
        match self.create(message, || format!("ask for {what}")) {
            Err(error) if error.is(Errno::ADDRNOTAVAIL) => Ok(true),
            Err(error) if error.is(Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error),
            Ok(()) => {
                let made = self.find(PROBE)?;
                made.map_or(Ok(()), |link| self.delete(link.index))?;
                Ok(true)
            }
        }
    }

    /// Makes a `dummy` device, which drops what is sent to it.
    pub fn create_dummy(&mut self, name: &IfName) -> Result<(), LinkError> {
        self.create(dummy(name.as_str()), || format!("create the dummy link {name}"))
    }

    /// Makes a pair of devices: what is sent by one arrives at the other. Both go with either.
    pub fn create_veth(&mut self, name: &IfName, peer: &IfName) -> Result<(), LinkError> {
        let mut message = of_kind(name.as_str(), InfoKind::Veth);
        let mut other = LinkMessage::default();
        other.attributes.push(LinkAttribute::IfName(peer.as_str().to_owned()));
        for attribute in &mut message.attributes {
            if let LinkAttribute::LinkInfo(info) = attribute {
                info.push(LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other.clone()))));
            }
        }
        self.create(message, || format!("create the veth pair {name} and {peer}"))
    }

    /// Leaves a device to packet sockets: what arrives at it goes to them and no further, and the kernel says
    /// nothing by it on its own account. May be repeated. Before the device is up for the first time, it holds
    /// for every frame.
    ///
    /// Frames are dropped by a filter at the queueing discipline `ingress`, which the kernel asks after packet
    /// sockets (`__netif_receive_skb_core`); it goes with the device. Without an IPv6 address of its own the
    /// device sends no solicitations and no reports either, and an IPv4 address it never had.
    pub fn seclude(&mut self, index: u32) -> Result<(), LinkError> {
        let failed = |what: &'static str| move || format!("{what} link {index}");
        match self.route.change(RouteNetlinkMessage::SetLink(seclusion::without_ipv6(index)), 0) {
            // A kernel without IPv6.
            Err(error) if is(&error, Errno::AFNOSUPPORT) => {}
            outcome => failing(outcome, failed("keep IPv6 from"))?,
        }
        let discipline = RouteNetlinkMessage::NewQueueDiscipline(seclusion::ingress(index));
        match self.route.change(discipline, NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if is(&error, Errno::EXIST) => {}
            outcome => failing(outcome, failed("set the queueing discipline `ingress` of"))?,
        }
        let filter = RouteNetlinkMessage::NewTrafficFilter(seclusion::drop_all(index));
        failing(self.route.change(filter, NLM_F_CREATE), failed("set the filter `bpf` of"))
    }

    /// The device with this name.
    pub fn find(&mut self, name: &str) -> Result<Option<Link>, LinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(without_statistics());
        match self.route.ask(RouteNetlinkMessage::GetLink(message)) {
            Ok(answers) => Ok(answers.into_iter().find_map(link)),
            Err(error) if no_device(&error) => Ok(None),
            Err(source) => Err(LinkError { action: format!("look for the link {name}"), source }),
        }
    }

    /// The device with this alias.
    pub fn find_by_alias(&mut self, alias: &str) -> Result<Option<Link>, LinkError> {
        Ok(self.list()?.into_iter().find(|link| link.alias.as_deref() == Some(alias)))
    }

    /// All devices.
    pub fn list(&mut self) -> Result<Vec<Link>, LinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(without_statistics());
        let answers = self.route.dump(&RouteNetlinkMessage::GetLink(message));
        let answers = failing(answers, || "list the links".to_owned())?;
        Ok(answers.into_iter().filter_map(link).collect())
    }

    /// Changes a device.
    pub fn set(&mut self, index: u32, change: &LinkChange) -> Result<(), LinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let attributes = &mut message.attributes;
        attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(change.mtu.map(LinkAttribute::Mtu));
        attributes.extend(change.alias.clone().map(LinkAttribute::IfAlias));
        attributes.extend(change.tag.map(tag_attribute));
        if let Some(up) = change.up {
            message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
            message.header.change_mask = LinkFlags::Up;
        }
        let outcome = self.route.change(RouteNetlinkMessage::SetLink(message), 0);
        failing(outcome, || format!("set {change:?} on link {index}"))
    }

    /// Deletes a device; fine when it is not there.
    pub fn delete(&mut self, index: u32) -> Result<(), LinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.route.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if no_device(&error) => Ok(()),
            outcome => failing(outcome, || format!("delete link {index}")),
        }
    }

    fn create(
        &mut self,
        message: LinkMessage,
        action: impl FnOnce() -> String,
    ) -> Result<(), LinkError> {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        failing(self.route.change(RouteNetlinkMessage::NewLink(message), flags), action)
    }
}

fn failing<T>(outcome: io::Result<T>, action: impl FnOnce() -> String) -> Result<T, LinkError> {
    outcome.map_err(|source| LinkError { action: action(), source })
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn no_device(error: &io::Error) -> bool {
    is(error, Errno::NODEV)
}

/// The name of a device that is asked for and never made.
const PROBE: &str = "dvprobe";

fn dummy(name: &str) -> LinkMessage {
    of_kind(name, InfoKind::Dummy)
}

fn of_kind(name: &str, kind: InfoKind) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
    message
}

fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn tag_attribute(tag: i32) -> LinkAttribute {
    let mut configuration = InetDevConf::default();
    configuration.tag = tag;
    let inet = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(configuration)]);
    LinkAttribute::AfSpecUnspec(vec![inet])
}

fn tag_of(families: &[AfSpecUnspec]) -> Option<i32> {
    families.iter().find_map(|family| match family {
        AfSpecUnspec::Inet(attributes) => attributes.iter().find_map(|attribute| match attribute {
            AfSpecInet::DevConf(configuration) => Some(configuration.tag),
            _ => None,
        }),
        _ => None,
    })
}

fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        alias: None,
        up: message.header.flags.contains(LinkFlags::Up),
        tag: 0,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(address) => link.mac = address.try_into().ok().map(MacAddr),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::AfSpecUnspec(families) => link.tag = tag_of(&families).unwrap_or(0),
            _ => {}
        }
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_has_a_loopback() {
        let mut links = Links::open().unwrap();
        let loopback = links.find("lo").unwrap().expect("the loopback link");
        assert_eq!((loopback.index, loopback.name.as_str()), (1, "lo"));
        assert!(links.list().unwrap().contains(&loopback));
    }

    #[test]
    fn a_link_that_is_not_there_is_no_error() {
        let mut links = Links::open().unwrap();
        assert_eq!(links.find("dv-absent").unwrap(), None);
        assert_eq!(links.find_by_alias("no such alias").unwrap(), None);
    }
}
