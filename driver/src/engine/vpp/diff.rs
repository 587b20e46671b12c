//! From what is to what should be, in steps that VPP accepts in their order. Pure.

mod host;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use dataplane::MacAddr;
use ipnet::IpNet;

use self::host::add_to_hosts;

use super::state::{
    Bridged, Bvi, Family, Inside, Outside, Pin, Port, PortTerms, Role, SocketFile, State, Table,
};
use super::tag::Tag;

/// One message to VPP, or two where VPP needs two for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Unpublish(Outside, Inside),
    DeleteNamespace(Tag),
    DeleteRoute(Table, IpAddr),
    DeleteWayOut(Tag),
    SetInside(Tag, bool),
    Unpin(Pin, Tag),
    Unbridge(Tag),
    DeletePort(Tag),
    DeletePipe(Tag),
    DeleteSocket(SocketFile),
    DeleteAddress(Tag, IpNet),
    UnbindTable(Tag, Family),
    DeleteBvi(Tag),
    DeleteDomain(Tag),
    DeleteTable(Table),
    AddTable(Table),
    AddDomain(Tag),
    AddBvi(Tag, MacAddr),
    BindTable(Tag, Family),
    BridgeBvi(Tag),
    SetMtu(Tag, u32),
    SetUp(Tag),
    AddAddress(Tag, IpNet),
    AddSocket(SocketFile),
    AddPort { tag: Tag, socket: SocketFile, role: Role, terms: PortTerms },
    AddPipe(Tag),
    SetPipeUp(Tag),
    BridgePort(Tag, Bridged),
    AddRoute(Table, IpAddr),
    AddNamespace(Tag, String),
    Pin(Pin, Tag),
    Translate,
    AddWayOut(Tag),
    Publish(Outside, Inside),
}

impl Step {
    /// For which network or port it is; sockets belong to none by themselves.
    pub(super) fn tag(&self) -> Option<&Tag> {
        match self {
            Self::Unpin(_, tag)
            | Self::Unbridge(tag)
            | Self::DeletePort(tag)
            | Self::DeletePipe(tag)
            | Self::AddPipe(tag)
            | Self::SetPipeUp(tag)
            | Self::DeleteNamespace(tag)
            | Self::AddNamespace(tag, _)
            | Self::DeleteAddress(tag, _)
            | Self::UnbindTable(tag, _)
            | Self::DeleteBvi(tag)
            | Self::DeleteDomain(tag)
            | Self::AddDomain(tag)
            | Self::AddBvi(tag, _)
            | Self::BindTable(tag, _)
            | Self::BridgeBvi(tag)
            | Self::SetMtu(tag, _)
            | Self::SetUp(tag)
            | Self::AddAddress(tag, _)
            | Self::AddPort { tag, .. }
            | Self::BridgePort(tag, _)
            | Self::DeleteWayOut(tag)
            | Self::SetInside(tag, _)
            | Self::AddWayOut(tag)
            | Self::Pin(_, tag) => Some(tag),
            Self::Publish(_, inside) | Self::Unpublish(_, inside) => Some(&inside.tag),
            Self::DeleteTable(table)
            | Self::AddTable(table)
            | Self::AddRoute(table, _)
            | Self::DeleteRoute(table, _) => Some(&table.network),
            Self::DeleteSocket(_) | Self::AddSocket(_) | Self::Translate => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unpin(pin, _) => write!(f, "take {} out of the FDB", pin.mac),
            Self::DeleteNamespace(_) => f.write_str("delete an app namespace"),
            Self::DeleteRoute(_, hop) => write!(f, "delete the default route by {hop}"),
            Self::DeletePipe(_) => f.write_str("delete a pipe"),
            Self::AddPipe(_) => f.write_str("make a pipe"),
            Self::SetPipeUp(_) => f.write_str("set a pipe up"),
            Self::AddRoute(_, hop) => write!(f, "make a default route by {hop}"),
            Self::AddNamespace(_, socket) => write!(f, "make an app namespace at {socket}"),
            Self::Unbridge(_) => f.write_str("take an interface out of its bridge domain"),
            Self::DeletePort(_) => f.write_str("delete a memif interface"),
            Self::DeleteSocket(file) => write!(f, "forget the memif socket {file}"),
            Self::DeleteAddress(_, address) => write!(f, "take {address} from a loopback"),
            Self::UnbindTable(..) => f.write_str("take a loopback out of its table"),
            Self::DeleteBvi(_) => f.write_str("delete a loopback"),
            Self::DeleteDomain(_) => f.write_str("delete the bridge domain"),
            Self::DeleteTable(_) => f.write_str("delete a FIB table"),
            Self::AddTable(_) => f.write_str("make a FIB table"),
            Self::AddDomain(_) => f.write_str("make a bridge domain"),
            Self::AddBvi(..) => f.write_str("make a loopback"),
            Self::BindTable(..) => f.write_str("put a loopback into its table"),
            Self::BridgeBvi(_) => f.write_str("make a loopback the bridge domain's BVI"),
            Self::SetMtu(_, mtu) => write!(f, "set a loopback's MTU to {mtu}"),
            Self::SetUp(_) => f.write_str("set an interface up"),
            Self::AddAddress(_, address) => write!(f, "give a loopback {address}"),
            Self::AddSocket(file) => write!(f, "name the memif socket {file}"),
            Self::AddPort { socket, role: Role::Server, .. } => {
                write!(f, "make a memif interface that listens on {socket}")
            }
            Self::AddPort { socket, role: Role::Client, .. } => {
                write!(f, "make a memif interface that connects to {socket}")
            }
            Self::BridgePort(..) => f.write_str("put an interface into its bridge domain"),
            Self::Pin(pin, _) => write!(f, "put {} into the FDB", pin.mac),
            Self::Translate => f.write_str("make the outside interface translate addresses"),
            Self::SetInside(_, true) => f.write_str("translate what comes from the gateway"),
            Self::SetInside(_, false) => {
                f.write_str("stop translating what comes from the gateway")
            }
            Self::AddWayOut(_) => f.write_str("give the network's table a way out"),
            Self::DeleteWayOut(_) => f.write_str("take the way out from the network's table"),
            Self::Publish(outside, _) => write!(f, "publish {outside}"),
            Self::Unpublish(outside, _) => write!(f, "stop publishing {outside}"),
        }
    }
}

/// The steps from `is` to `wanted`: first what goes, users before what they use, then what comes.
pub(super) fn diff(is: &State, wanted: &State) -> Vec<Step> {
    let mut steps = Vec::new();
    let doomed = Doomed::between(is, wanted);
    doomed.removals(is, wanted, &mut steps);
    additions(is, wanted, &doomed, &mut steps);
    steps
}

/// What goes, because nobody wants it or because it must be made anew.
struct Doomed<'a> {
    bvis: BTreeSet<&'a Tag>,
    ports: BTreeSet<&'a Tag>,
    pipes: BTreeSet<&'a Tag>,
    namespaces: BTreeSet<&'a Tag>,
    routes: BTreeSet<&'a Table>,
}

impl<'a> Doomed<'a> {
    fn between(is: &'a State, wanted: &State) -> Self {
        let same_port = |tag: &Tag, port: &Port| {
            let like = wanted.ports.get(tag);
            like.is_some_and(|like| like.socket == port.socket && like.role == port.role)
        };
        let same_bvi =
            |tag: &Tag, bvi: &Bvi| wanted.bvis.get(tag).is_some_and(|like| like.mac == bvi.mac);
        let ports = is.ports.iter().filter(|(tag, port)| !same_port(tag, port));
        let bvis = is.bvis.iter().filter(|(tag, it)| !same_bvi(tag, it));
        let pipes = is.pipes.keys().filter(|tag| !wanted.pipes.contains_key(*tag));
        let mut doomed = Self {
            bvis: bvis.map(|(tag, _)| tag).collect(),
            ports: ports.map(|(tag, _)| tag).collect(),
            pipes: pipes.collect(),
            namespaces: BTreeSet::new(),
            routes: BTreeSet::new(),
        };
        doomed.of_hosts(is, wanted);
        doomed
    }

    fn removals(&self, is: &State, wanted: &State, steps: &mut Vec<Step>) {
        for (outside, inside) in &is.published {
            if wanted.published.get(outside) != Some(inside) {
                steps.push(Step::Unpublish(outside.clone(), inside.clone()));
            }
        }
        self.remove_from_hosts(is, steps);
        steps.extend(is.ways_out.difference(&wanted.ways_out).cloned().map(Step::DeleteWayOut));
        for (pin, port) in &is.pins {
            let stays = wanted.pins.get(pin) == Some(port) && !self.goes(port);
            if !stays || self.moves(port, is, wanted) {
                steps.push(Step::Unpin(pin.clone(), port.clone()));
            }
        }
        for (tag, port) in &is.ports {
            let leaves = self.ports.contains(tag) || self.moves(tag, is, wanted);
            if leaves && port.bridged.is_some() {
                steps.push(Step::Unbridge(tag.clone()));
            }
        }
        self.remove_pipes(is, wanted, steps);
        steps.extend(self.ports.iter().map(|&tag| Step::DeletePort(tag.clone())));
        let unused = is.sockets.difference(&wanted.sockets);
        steps.extend(unused.map(|file| Step::DeleteSocket(file.clone())));
        for (tag, bvi) in &is.bvis {
            self.strip_bvi(tag, bvi, wanted, steps);
        }
        steps.extend(is.domains.difference(&wanted.domains).cloned().map(Step::DeleteDomain));
        steps.extend(is.tables.difference(&wanted.tables).cloned().map(Step::DeleteTable));
    }

    /// Takes from a bvi what it should not have. Its tables can only be changed while it has no
    /// address of their family.
    fn strip_bvi(&self, tag: &Tag, bvi: &Bvi, wanted: &State, steps: &mut Vec<Step>) {
        let like = wanted.bvis.get(tag).filter(|_| !self.bvis.contains(tag));
        let rebound = |family: Family| {
            like.is_none_or(|like| like.tables.contains(&family) != bvi.tables.contains(&family))
        };
        if bvi.inside && like.is_none_or(|like| !like.inside) {
            steps.push(Step::SetInside(tag.clone(), false));
        }
        for address in &bvi.addresses {
            let stays = like.is_some_and(|like| like.addresses.contains(address));
            if !stays || rebound(Family::of(address)) {
                steps.push(Step::DeleteAddress(tag.clone(), *address));
            }
        }
        for family in &bvi.tables {
            if like.is_none_or(|like| !like.tables.contains(family)) {
                steps.push(Step::UnbindTable(tag.clone(), *family));
            }
        }
        if bvi.bridged && like.is_none_or(|like| !like.bridged) {
            steps.push(Step::Unbridge(tag.clone()));
        }
        if like.is_none() {
            steps.push(Step::DeleteBvi(tag.clone()));
        }
    }

    /// Whether a port, or a pipe by its outer end, goes.
    fn goes(&self, tag: &Tag) -> bool {
        self.ports.contains(tag) || self.pipes.contains(tag)
    }

    /// Whether a port that stays is bridged somewhere else than it should be.
    fn moves(&self, tag: &Tag, is: &State, wanted: &State) -> bool {
        fn place<'a>(state: &'a State, tag: &Tag) -> Option<&'a Bridged> {
            let port = state.ports.get(tag).map(|port| &port.bridged);
            port.or_else(|| state.pipes.get(tag).map(|pipe| &pipe.outer))?.as_ref()
        }
        let before = place(is, tag);
        !self.goes(tag) && before.is_some() && before != place(wanted, tag)
    }
}

fn additions(is: &State, wanted: &State, doomed: &Doomed<'_>, steps: &mut Vec<Step>) {
    if wanted.translates && !is.translates {
        steps.push(Step::Translate);
    }
    steps.extend(wanted.tables.difference(&is.tables).cloned().map(Step::AddTable));
    steps.extend(wanted.domains.difference(&is.domains).cloned().map(Step::AddDomain));
    for (tag, bvi) in &wanted.bvis {
        let found = is.bvis.get(tag).filter(|_| !doomed.bvis.contains(tag));
        add_bvi(tag, bvi, found, steps);
    }
    let missing = wanted.sockets.difference(&is.sockets);
    steps.extend(missing.map(|file| Step::AddSocket(file.clone())));
    for (tag, port) in &wanted.ports {
        let found = is.ports.get(tag).filter(|_| !doomed.ports.contains(tag));
        if found.is_none() {
            steps.push(Step::AddPort {
                tag: tag.clone(),
                socket: port.socket.clone(),
                role: port.role,
                terms: port.terms.clone(),
            });
        }
        match &port.bridged {
            Some(bridged) if found.and_then(|it| it.bridged.as_ref()) != Some(bridged) => {
                steps.push(Step::BridgePort(tag.clone(), bridged.clone()));
            }
            _ => {}
        }
        if port.up && !found.is_some_and(|it| it.up) {
            steps.push(Step::SetUp(tag.clone()));
        }
    }
    add_to_hosts(is, wanted, doomed, steps);
    for (pin, port) in &wanted.pins {
        let stays = is.pins.get(pin) == Some(port) && !doomed.goes(port);
        if !stays || doomed.moves(port, is, wanted) {
            steps.push(Step::Pin(pin.clone(), port.clone()));
        }
    }
    steps.extend(wanted.ways_out.difference(&is.ways_out).cloned().map(Step::AddWayOut));
    for (outside, inside) in &wanted.published {
        if is.published.get(outside) != Some(inside) {
            steps.push(Step::Publish(outside.clone(), inside.clone()));
        }
    }
}

fn add_bvi(tag: &Tag, bvi: &Bvi, found: Option<&Bvi>, steps: &mut Vec<Step>) {
    if found.is_none() {
        steps.push(Step::AddBvi(tag.clone(), bvi.mac));
    }
    for family in &bvi.tables {
        if !found.is_some_and(|it| it.tables.contains(family)) {
            steps.push(Step::BindTable(tag.clone(), *family));
        }
    }
    if bvi.bridged && !found.is_some_and(|it| it.bridged) {
        steps.push(Step::BridgeBvi(tag.clone()));
    }
    if found.is_none_or(|it| it.mtu != bvi.mtu) {
        steps.push(Step::SetMtu(tag.clone(), bvi.mtu));
    }
    if bvi.up && !found.is_some_and(|it| it.up) {
        steps.push(Step::SetUp(tag.clone()));
    }
    for address in &bvi.addresses {
        let rebound = |it: &Bvi| {
            let family = Family::of(address);
            it.tables.contains(&family) != bvi.tables.contains(&family)
        };
        if !found.is_some_and(|it| it.addresses.contains(address) && !rebound(it)) {
            steps.push(Step::AddAddress(tag.clone(), *address));
        }
    }
    if bvi.inside && !found.is_some_and(|it| it.inside) {
        steps.push(Step::SetInside(tag.clone(), true));
    }
}

#[cfg(test)]
mod tests;
