//! Names that mark objects of VPP as this agent's. Pure.
//!
//! VPP keeps a text of at most 63 bytes with interfaces, bridge domains and tables. The agent writes
//! there what the object is for, and touches nothing that has no such text:
//!
//! | object | text |
//! |---|---|
//! | of a network | `OWNER:net:ID` |
//! | port of an endpoint | `OWNER:ep:ID:link`, `…:plain` or `…:named` |
//! | of an endpoint in VPP's host stack | `OWNER:ep:ID:host`; its pipe `…:inner` and `…:outer` |
//! | published port of an endpoint | `OWNER:pub:ID:any` or `…:one` |
//!
//! `ID` is the start of Docker's id: 24 characters of it tell any two objects of a host apart.

use std::fmt;

use crate::model::{EndpointId, NetworkId};

/// Characters of an id that are part of a tag.
const ID_LENGTH: usize = 24;

/// Longest name of an agent: what 63 bytes leave beside `:ep:`, an id and `:plain`.
const OWNER_LENGTH: usize = 63 - 4 - ID_LENGTH - 6;

/// The agent whose objects these are: the name of its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner(String);

impl Owner {
    /// The agent called `name`; a longer one than tags can hold is cut and made unique by a hash.
    pub(super) fn new(name: &str) -> Self {
        if name.len() <= OWNER_LENGTH && !name.contains(':') {
            return Self(name.to_owned());
        }
        // FNV-1a, 32 bit: only evenly spread.
        let hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let plain = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
        let kept: String = plain.take(OWNER_LENGTH - 9).collect();
        Self(format!("{kept}-{hash:08x}"))
    }

    /// The text on an object.
    pub(super) fn text(&self, tag: &Tag) -> String {
        match tag {
            Tag::Network(id) => format!("{}:net:{id}", self.0),
            Tag::Port(id, side) => format!("{}:ep:{id}:{}", self.0, side.text()),
            Tag::Published(id, reach) => format!("{}:pub:{id}:{}", self.0, reach.text()),
        }
    }

    /// The tag in a text, if it is one of this agent's.
    pub(super) fn read(&self, text: &str) -> Option<Tag> {
        let rest = text.strip_prefix(&self.0)?.strip_prefix(':')?;
        match *rest.split(':').collect::<Vec<_>>() {
            ["net", id] => Some(Tag::Network(IdStart::read(id)?)),
            ["ep", id, side] => Some(Tag::Port(IdStart::read(id)?, Side::read(side)?)),
            ["pub", id, reach] => Some(Tag::Published(IdStart::read(id)?, Reach::read(reach)?)),
            _ => None,
        }
    }
}

/// The start of one of Docker's ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct IdStart(String);

impl IdStart {
    fn of(id: &str) -> Self {
        // Ids are ASCII.
        Self(id[..id.len().min(ID_LENGTH)].to_owned())
    }

    fn read(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let fits = (1..=ID_LENGTH).contains(&text.len()) && text.chars().all(plain);
        fits.then(|| Self(text.to_owned()))
    }
}

impl From<&NetworkId> for IdStart {
    fn from(id: &NetworkId) -> Self {
        Self::of(id.as_str())
    }
}

impl From<&EndpointId> for IdStart {
    fn from(id: &EndpointId) -> Self {
        Self::of(id.as_str())
    }
}

impl fmt::Display for IdStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of an endpoint's ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Side {
    /// To the agent, which has the container's link or the endpoint's network stack.
    Link,
    /// The memif socket under the plain name.
    Plain,
    /// The memif socket under the interface's name.
    Named,
    /// The endpoint's own station in VPP's host stack: a loopback, with a bridge domain, tables and an app
    /// namespace of its own.
    Host,
    /// The end of its pipe that is in its own bridge domain.
    Inner,
    /// The end of its pipe that is in the network's bridge domain.
    Outer,
}

impl Side {
    const ALL: [Self; 6] =
        [Self::Link, Self::Plain, Self::Named, Self::Host, Self::Inner, Self::Outer];

    fn text(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Plain => "plain",
            Self::Named => "named",
            Self::Host => "host",
            Self::Inner => "inner",
            Self::Outer => "outer",
        }
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.text() == text)
    }
}

/// On which addresses of the host a port is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Whichever the outside interface has.
    Any,
    /// One that was named.
    One,
}

impl Reach {
    fn text(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::One => "one",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Any, Self::One].into_iter().find(|reach| reach.text() == text)
    }
}

/// What an object is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Tag {
    /// Bridge domain, tables and gateway of a network.
    Network(IdStart),
    /// A port of an endpoint.
    Port(IdStart, Side),
    /// Published ports of an endpoint.
    Published(IdStart, Reach),
}

impl Tag {
    /// The tag of a network's objects.
    pub(super) fn network(id: &NetworkId) -> Self {
        Self::Network(id.into())
    }

    /// The tag of an endpoint's port.
    pub(super) fn port(id: &EndpointId, side: Side) -> Self {
        Self::Port(id.into(), side)
    }

    /// The ports at which an endpoint's memif clients come in.
    pub(super) fn client_ports(id: &EndpointId) -> [Self; 2] {
        [Side::Plain, Side::Named].map(|side| Self::port(id, side))
    }

    /// Another side of the same endpoint; networks have none.
    pub(super) fn beside(&self, side: Side) -> Option<Self> {
        match self {
            Self::Port(id, _) => Some(Self::Port(id.clone(), side)),
            Self::Network(_) | Self::Published(..) => None,
        }
    }

    /// Whether it is this side of an endpoint.
    pub(super) fn is_side(&self, wanted: Side) -> bool {
        matches!(self, Self::Port(_, side) if *side == wanted)
    }

    /// The network or endpoint.
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Network(id) => Subject::Network(id.clone()),
            Self::Port(id, _) | Self::Published(id, _) => Subject::Endpoint(id.clone()),
        }
    }
}

/// The network or endpoint for which an object is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Subject {
    /// A network.
    Network(IdStart),
    /// An endpoint.
    Endpoint(IdStart),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(id) => write!(f, "network {id}"),
            Self::Endpoint(id) => write!(f, "endpoint {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag(id: &str, side: Option<Side>) -> Tag {
        match side {
            None => Tag::network(&id.parse().unwrap()),
            Some(side) => Tag::port(&id.parse().unwrap(), side),
        }
    }

    proptest! {
        #[test]
        fn a_tag_is_read_back_by_its_owner_alone(
            id in "[A-Za-z0-9_-]{1,64}",
            side in proptest::option::of(proptest::sample::select(&Side::ALL)),
            names in proptest::collection::hash_set("[a-z0-9:._-]{1,40}", 2),
        ) {
            let owners: Vec<Owner> = names.iter().map(|name| Owner::new(name)).collect();
            let tag = tag(&id, side);
            let text = owners[0].text(&tag);
            prop_assert!(text.len() <= 63, "{text}");
            prop_assert_eq!(owners[0].read(&text), Some(tag));
            prop_assert_eq!(owners[1].read(&text), None);
        }

        #[test]
        fn what_others_write_is_not_ours(text in "\\PC{0,63}") {
            prop_assume!(!text.starts_with("dockervpp:"));
            prop_assert_eq!(Owner::new("dockervpp").read(&text), None);
        }
    }

    #[test]
    fn the_text_is_part_of_the_running_state_and_must_not_change() {
        let owner = Owner::new("dockervpp");
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(owner.text(&tag(id, None)), "dockervpp:net:0123456789abcdef01234567");
        let port = tag(id, Some(Side::Plain));
        assert_eq!(owner.text(&port), "dockervpp:ep:0123456789abcdef01234567:plain");
        for other in [
            "dockervpp:net:",
            "dockervpp:ep:x",
            "dockervpp:ep:x:y",
            "dockervpp",
            "",
            "dockervpp:net:a:b",
        ] {
            assert_eq!(owner.read(other), None, "{other}");
        }
    }
}
