//! The kernel's side of an endpoint: the link that becomes `eth0` in the container.
//!
//! It is made on the host, Docker moves it into the container and gives it another name, and moves
//! it back when the container leaves. Its `ifalias` goes with it and says whose it is, so that a
//! restarted agent finds it again wherever it is.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use dataplane::packet_socket::PacketSocket;
use dataplane::tap::{TapDevice, TapError, TapOptions};

use super::error::{from_link, from_tap};
use super::veth;
use crate::engine::EngineError;
use crate::host::link::{Link, LinkChange, Links};
use crate::model::{EndpointId, EndpointSpec, IfName};

/// All links of endpoints begin so.
const NAME_PREFIX: &str = "dv";

/// Tag of a link that is on the host because Docker has not moved it yet. One that came back from its
/// container looks the same otherwise, but a move takes the tag away.
const NEVER_MOVED: i32 = 0x6476;

/// How often a link is looked for again because it was renamed meanwhile.
const REOPEN_ATTEMPTS: u32 = 5;

/// Who has what the container's kernel sends through an endpoint's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum ServedBy {
    /// The data path, by a TAP: it is the way to the network.
    Port,
    /// The same, by a veth pair.
    Pair,
    /// The endpoint's network stack, for name service alone.
    Names,
    /// Nobody: the link only shows the address.
    Nobody,
}

/// How an endpoint's link is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Mark {
    /// Its name on the host; Docker gives it another one only after it moved it.
    pub(in crate::engine) host_name: IfName,
    /// Its `ifalias`, which it keeps wherever it goes.
    pub(in crate::engine) alias: String,
}

impl Mark {
    fn new(owner: &str, endpoint: &EndpointId) -> Self {
        Self { host_name: link_name(endpoint), alias: format!("{owner}:{endpoint}") }
    }

    fn is_on(&self, link: &Link) -> bool {
        link.alias.as_ref() == Some(&self.alias)
    }
}

/// The name of an endpoint's link while it is on the host.
pub(in crate::engine) fn link_name(endpoint: &EndpointId) -> IfName {
    let name = format!("{NAME_PREFIX}{}", endpoint.short());
    name.parse().expect("an id's first twelve characters are letters, digits, `-` and `_`")
}

/// The name of an endpoint's link in the network namespace of the calling thread, its container's;
/// `None` until the link is there and has its final name.
pub(in crate::engine) fn find_settled(mark: &Mark) -> Result<Option<String>, EngineError> {
    let mut links = Links::open().map_err(from_link)?;
    let link = find_marked(&mut links, mark)?;
    Ok(link.map(|link| link.name).filter(|name| name != mark.host_name.as_str()))
}

fn find_marked(links: &mut Links, mark: &Mark) -> Result<Option<Link>, EngineError> {
    links.find_by_alias(&mark.alias).map_err(from_link)
}

/// The agent's side of a link that is served.
#[derive(Debug)]
pub(in crate::engine) enum KernelEnd {
    /// A TAP.
    Tap(TapDevice),
    /// The host's end of a veth pair.
    Veth(PacketSocket),
}

/// What is left of the link that a former agent made for an endpoint.
#[derive(Debug)]
pub(in crate::engine) enum Former {
    /// The link, found again; with its TAP if it is one that is served. [`LinkMaker::take_up_end`] is next.
    TakenUp(Option<TapDevice>),
    /// The link, back on the host from its container.
    Returned,
    /// Nothing.
    Absent,
}

/// Makes, finds and removes the links of endpoints.
#[derive(Debug)]
pub(in crate::engine) struct LinkMaker {
    owner: String,
    queues: u16,
    dummy: bool,
    /// Why there are links without name service, once there is one.
    nameless: OnceLock<String>,
    /// There is a TAP that nobody serves.
    idle: OnceLock<()>,
}

impl LinkMaker {
    /// `owner` is what the aliases of this agent's links begin with; `queues` are the queues of a TAP that the
    /// data path serves.
    pub(in crate::engine) fn new(owner: String, queues: u16) -> Result<Self, EngineError> {
        let dummy = Links::open().and_then(|mut links| links.dummy_available());
        let dummy = dummy.map_err(from_link)?;
        Ok(Self { owner, queues, dummy, nameless: OnceLock::new(), idle: OnceLock::new() })
    }

    /// What is amiss with the links that were made.
    pub(in crate::engine) fn warnings(&self) -> Vec<String> {
        let idle = self.idle.get().map(|()| NO_DUMMY.to_owned());
        self.nameless.get().cloned().into_iter().chain(idle).collect()
    }

    /// How an endpoint's link is known.
    pub(in crate::engine) fn mark(&self, endpoint: &EndpointId) -> Mark {
        Mark::new(&self.owner, endpoint)
    }

    /// Makes an endpoint's link on the host; a left-over of the same endpoint is replaced. Returns the
    /// agent's side of it if it is to be served. Fails whole.
    pub(in crate::engine) fn make(
        &self,
        endpoint: &EndpointSpec,
        mtu: u32,
        served_by: ServedBy,
    ) -> Result<Option<KernelEnd>, EngineError> {
        self.remove(&endpoint.id)?;
        let name = link_name(&endpoint.id);
        expect_free(&name)?;
        if served_by == ServedBy::Pair {
            expect_free(&veth::host_end(&endpoint.id))?;
        }
        let made = self.make_bare(endpoint, served_by, &name);
        let made = made.and_then(|tap| self.take_up_end(endpoint, mtu, served_by, tap));
        let made = made.and_then(|end| {
            let change = LinkChange {
                mac: Some(endpoint.mac),
                mtu: Some(mtu),
                alias: Some(self.mark(&endpoint.id).alias),
                up: None,
                tag: Some(NEVER_MOVED),
            };
            set_up(&name, &change).map(|()| end)
        });
        if made.is_err() {
            remove_by_name(&name);
        }
        made
    }

    /// Removes an endpoint's link from the host; fine when it is not there. A link that has the name
    /// but is not ours stays.
    pub(in crate::engine) fn remove(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        let mut links = Links::open().map_err(from_link)?;
        for name in [link_name(endpoint), veth::host_end(endpoint)] {
            match links.find(name.as_str()).map_err(from_link)? {
                Some(link) if self.owns(&link, endpoint) => {
                    links.delete(link.index).map_err(from_link)?;
                }
                Some(_) => {
                    tracing::warn!(link = %name, "left a link alone that is not this agent's");
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Removes the links on the host of endpoints that are not `known`, left by an agent that died.
    pub(in crate::engine) fn sweep(
        &self,
        known: impl Fn(&EndpointId) -> bool,
    ) -> Result<usize, EngineError> {
        let mut links = Links::open().map_err(from_link)?;
        let mut removed = BTreeSet::new();
        for link in links.list().map_err(from_link)? {
            let owner = self.owner_of(&link).filter(|endpoint| !known(endpoint));
            if let Some(endpoint) = owner {
                tracing::info!(
                    link = link.name,
                    endpoint = endpoint.short(),
                    "removed the link of a forgotten endpoint"
                );
                links.delete(link.index).map_err(from_link)?;
                removed.insert(endpoint);
            }
        }
        Ok(removed.len())
    }

    /// Takes an endpoint's link up again in the namespace of the calling thread, its container's.
    pub(in crate::engine) fn reopen(
        &self,
        endpoint: &EndpointSpec,
        served_by: ServedBy,
    ) -> Result<Former, EngineError> {
        let mark = self.mark(&endpoint.id);
        let mut links = Links::open().map_err(from_link)?;
        for _ in 0..REOPEN_ATTEMPTS {
            let Some(link) = find_marked(&mut links, &mark)? else { return Ok(Former::Absent) };
            let tap = self.attach_served(served_by, &link.name)?;
            // Docker or the container may have renamed the link since: the kernel then made a new TAP,
            // which goes when it is closed here.
            if find_marked(&mut links, &mark)?.is_some_and(|now| now.name == link.name) {
                return Ok(Former::TakenUp(tap));
            }
            tap.map(|tap| tap.set_persist(false)).transpose().map_err(from_tap)?;
        }
        Err(EngineError::Host {
            what: format!("the container keeps renaming the link of endpoint {}", endpoint.id),
            remedy: "stop that, and restart the agent".to_owned(),
        })
    }

    /// Takes an endpoint's link up again on the host, if it has not been in its container yet.
    pub(in crate::engine) fn resume(
        &self,
        endpoint: &EndpointSpec,
        served_by: ServedBy,
    ) -> Result<Former, EngineError> {
        let name = link_name(&endpoint.id);
        let mut links = Links::open().map_err(from_link)?;
        match links.find(name.as_str()).map_err(from_link)? {
            None => Ok(Former::Absent),
            Some(link) if self.mark(&endpoint.id).is_on(&link) && link.tag == NEVER_MOVED => {
                self.attach_served(served_by, name.as_str()).map(Former::TakenUp)
            }
            Some(_) => Ok(Former::Returned),
        }
    }

    /// The agent's side of a link that is there, if it is served.
    pub(in crate::engine) fn take_up_end(
        &self,
        endpoint: &EndpointSpec,
        mtu: u32,
        served_by: ServedBy,
        tap: Option<TapDevice>,
    ) -> Result<Option<KernelEnd>, EngineError> {
        if served_by == ServedBy::Pair {
            let alias = self.mark(&endpoint.id).alias;
            return veth::open(&alias, &endpoint.id, mtu).map(KernelEnd::Veth).map(Some);
        }
        Ok(tap.map(KernelEnd::Tap))
    }

    fn owns(&self, link: &Link, endpoint: &EndpointId) -> bool {
        // A link without alias is one whose maker died between two system calls.
        link.alias.is_none() || self.mark(endpoint).is_on(link)
    }

    /// The endpoint whose link this is, if it is one of this agent's on the host.
    fn owner_of(&self, link: &Link) -> Option<EndpointId> {
        let alias = link.alias.as_deref()?.strip_prefix(&self.owner)?.strip_prefix(':')?;
        let endpoint = alias.parse().ok()?;
        let names = [link_name(&endpoint), veth::host_end(&endpoint)];
        names.iter().any(|name| name.as_str() == link.name).then_some(endpoint)
    }

    fn make_bare(
        &self,
        endpoint: &EndpointSpec,
        served_by: ServedBy,
        name: &IfName,
    ) -> Result<Option<TapDevice>, EngineError> {
        match served_by {
            ServedBy::Port => attach(name.as_str(), self.queues).map(Some).map_err(from_tap),
            ServedBy::Pair => veth::create(name, &endpoint.id).map(|()| None),
            ServedBy::Names => match attach(name.as_str(), 1) {
                Ok(tap) => Ok(Some(tap)),
                Err(error) if self.dummy => {
                    self.nameless.get_or_init(|| nameless(&error));
                    create_dummy(name)
                }
                Err(error) => Err(from_tap(error)),
            },
            ServedBy::Nobody if self.dummy => create_dummy(name),
            ServedBy::Nobody => {
                self.idle.get_or_init(|| tracing::warn!("{NO_DUMMY}"));
                // Persistent, so it stays when the only descriptor is closed here.
                attach(name.as_str(), 1).map(|_| None).map_err(from_tap)
            }
        }
    }

    /// Attaches to an existing link if it is a TAP that somebody serves.
    fn attach_served(
        &self,
        served_by: ServedBy,
        name: &str,
    ) -> Result<Option<TapDevice>, EngineError> {
        match served_by {
            ServedBy::Port => attach(name, self.queues).map(Some).map_err(from_tap),
            ServedBy::Names => match attach(name, 1) {
                Ok(tap) => Ok(Some(tap)),
                // A `dummy` link.
                Err(error @ TapError::NameInUse { .. }) => {
                    self.nameless.get_or_init(|| nameless(&error));
                    Ok(None)
                }
                Err(error) => Err(from_tap(error)),
            },
            ServedBy::Pair | ServedBy::Nobody => Ok(None),
        }
    }
}

const NO_DUMMY: &str = "this kernel has no `dummy` links: endpoints of kind `userspace` with `tcp=vcl` get a TAP that \
                        nobody serves, which also drops what is sent to it but shows no carrier; `modprobe dummy` and \
                        a restart of the agent help where the module exists";

/// Says, once, that a `userspace` endpoint has a link that leads to no name server.
fn nameless(error: &TapError) -> String {
    let words = format!(
        "an endpoint of kind `userspace` has a `dummy` link in place of a TAP: its programs know the names of \
         containers but none of the outside, until the container starts anew with a TAP ({error})"
    );
    tracing::warn!("{words}");
    words
}

/// Makes a TAP, or attaches to the one of that name.
fn attach(name: &str, queues: u16) -> Result<TapDevice, TapError> {
    TapDevice::create(name, &TapOptions { queues, persist: true })
}

fn create_dummy(name: &IfName) -> Result<Option<TapDevice>, EngineError> {
    let made = Links::open().and_then(|mut links| links.create_dummy(name));
    made.map(|()| None).map_err(from_link)
}

/// Refuses a name that another link has: the kernel would attach us to it if it is a TAP.
fn expect_free(name: &IfName) -> Result<(), EngineError> {
    let found = Links::open().and_then(|mut links| links.find(name.as_str()));
    match found.map_err(from_link)? {
        None => Ok(()),
        Some(_) => Err(EngineError::Host {
            what: format!("a link that is not this agent's has the name {name}"),
            remedy: format!("remove it with `ip link delete {name}`"),
        }),
    }
}

fn set_up(name: &IfName, change: &LinkChange) -> Result<(), EngineError> {
    let mut links = Links::open().map_err(from_link)?;
    let link = find_made(&mut links, name)?;
    links.set(link.index, change).map_err(from_link)
}

/// A link that must be there.
pub(super) fn find_made(links: &mut Links, name: &IfName) -> Result<Link, EngineError> {
    links.find(name.as_str()).map_err(from_link)?.ok_or_else(|| EngineError::Host {
        what: format!("the link {name} vanished while it was set up"),
        remedy: "look for another program that removes links".to_owned(),
    })
}

/// Undoes a creation that went wrong: the first error is the one to report.
fn remove_by_name(name: &IfName) {
    let removed = Links::open().and_then(|mut links| {
        let link = links.find(name.as_str())?;
        link.map_or(Ok(()), |link| links.delete(link.index))
    });
    if let Err(error) = removed {
        tracing::warn!(%error, "a link could not be removed after a failure");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker() -> LinkMaker {
        LinkMaker {
            owner: "dockervpp".to_owned(),
            queues: 1,
            dummy: false,
            nameless: OnceLock::new(),
            idle: OnceLock::new(),
        }
    }

    fn link(name: &str, alias: Option<&str>) -> Link {
        Link {
            index: 7,
            name: name.to_owned(),
            mac: None,
            mtu: 1500,
            alias: alias.map(str::to_owned),
            up: false,
            tag: 0,
        }
    }

    #[test]
    fn the_name_of_the_longest_id_is_fourteen_bytes() {
        let id: EndpointId = "0123456789abcdef".repeat(4).parse().unwrap();
        assert_eq!(link_name(&id).as_str(), "dv0123456789ab");
    }

    #[test]
    fn only_own_links_on_the_host_have_an_owner() {
        let own = Some("one".parse().unwrap());
        let owner = |name, alias| maker().owner_of(&link(name, alias));
        assert_eq!(owner("dvone", Some("dockervpp:one")), own);
        assert_eq!(owner("dvhone", Some("dockervpp:one")), Some("one".parse().unwrap()));
        for (name, alias) in [
            ("dvone", None),
            ("dvone", Some("")),
            ("dvone", Some("other:one")),
            ("dvone", Some("dockervpp2:one")),
            ("dvone", Some("dockervpp:two")),
            ("eth0", Some("dockervpp:one")),
        ] {
            assert_eq!(owner(name, alias), None, "{name} {alias:?}");
        }
    }

    #[test]
    fn what_was_made_in_place_of_something_better_is_warned_about() {
        let maker = maker();
        assert!(maker.warnings().is_empty());
        let source = std::io::ErrorKind::NotFound.into();
        maker.nameless.get_or_init(|| nameless(&TapError::NoDriver(source)));
        maker.idle.get_or_init(|| ());
        let warnings = maker.warnings();
        assert!(warnings[0].contains("modprobe tun") && warnings[1].contains("modprobe dummy"));
    }
}
