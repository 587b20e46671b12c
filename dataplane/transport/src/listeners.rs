//! Where the stack listens on behalf of which listeners of programs. Pure.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use session::broker::core::Local;
use session::broker::{ListenAt, ListenerId};

/// Connections that may wait at most, whatever a program asks for: Linux's `somaxconn`.
const MOST_WAITING: u32 = 4096;

/// One address at which the stack listens.
#[derive(Debug)]
pub(crate) struct Place<L, C> {
    /// Where.
    pub(crate) local: SocketAddr,
    /// The stack's listener.
    pub(crate) listener: L,
    /// A connection that was taken and for which no listener of a program has had room yet.
    pub(crate) held: Option<C>,
    /// Programs' listeners, and how many connections each lets wait.
    behind: HashMap<ListenerId, u32>,
}

impl<L, C> Place<L, C> {
    /// Connections that may wait.
    pub(crate) fn backlog(&self) -> usize {
        let sum = self.behind.values().fold(0, |sum: u32, each| sum.saturating_add(*each));
        sum.clamp(1, MOST_WAITING) as usize
    }
}

/// The addresses at which the stack listens. `L` names the stack's listeners, `C` its connections.
#[derive(Debug)]
pub(crate) struct Listeners<L, C>(Vec<Place<L, C>>);

impl<L, C> Default for Listeners<L, C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What a removal changed.
#[derive(Debug)]
pub(crate) struct Removed<L, C> {
    /// Places where nobody listens any more.
    pub(crate) gone: Vec<Place<L, C>>,
    /// Listeners of the stack that stay, and how many connections may wait there now.
    pub(crate) resized: Vec<(L, usize)>,
}

impl<L: Copy + PartialEq, C> Listeners<L, C> {
    /// Adds a program's listener. `listen` is called for each address that is new, and answers the stack's
    /// listener there. The answer has those that were there already, and how many connections may wait there
    /// now.
    pub(crate) fn add(
        &mut self,
        at: &ListenAt,
        mut listen: impl FnMut(SocketAddr, usize) -> Option<L>,
    ) -> Vec<(L, usize)> {
        let mut resized = Vec::new();
        for local in addresses(at) {
            if let Some(place) = self.0.iter_mut().find(|place| place.local == local) {
                place.behind.insert(at.listener, at.backlog);
                resized.push((place.listener, place.backlog()));
                continue;
            }
            let backlog = at.backlog.clamp(1, MOST_WAITING) as usize;
            if let Some(listener) = listen(local, backlog) {
                let behind = HashMap::from([(at.listener, at.backlog)]);
                self.0.push(Place { local, listener, held: None, behind });
            }
        }
        resized
    }

    /// Removes a program's listener.
    pub(crate) fn remove(&mut self, id: ListenerId) -> Removed<L, C> {
        let mut resized = Vec::new();
        for place in &mut self.0 {
            if place.behind.remove(&id).is_some() && !place.behind.is_empty() {
                resized.push((place.listener, place.backlog()));
            }
        }
        Removed { gone: self.0.extract_if(.., |place| place.behind.is_empty()).collect(), resized }
    }

    /// The place of a listener of the stack.
    pub(crate) fn place(&mut self, listener: L) -> Option<&mut Place<L, C>> {
        self.0.iter_mut().find(|place| place.listener == listener)
    }

    /// The stack's listeners at a port.
    pub(crate) fn at_port(&self, port: u16) -> Vec<L> {
        let there = self.0.iter().filter(|place| place.local.port() == port);
        there.map(|place| place.listener).collect()
    }
}

/// The addresses at which the stack has to listen for a program's listener.
fn addresses(at: &ListenAt) -> impl Iterator<Item = SocketAddr> + use<> {
    let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    let (first, second) = match at.local {
        Local::One(ip) => (ip, None),
        Local::AnyV4 => (v4, None),
        Local::AnyV6 { only: true } => (v6, None),
        Local::AnyV6 { only: false } => (v6, Some(v4)),
    };
    let port = at.port;
    std::iter::once(first).chain(second).map(move |ip| SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use session::wire::Protocol;

    use super::*;

    fn at(number: u64, local: Local, backlog: u32) -> ListenAt {
        let (listener, protocol) = (ListenerId(number), Protocol::Stream);
        ListenAt { listener, protocol, local, port: 80, backlog }
    }

    #[test]
    fn listeners_share_addresses_and_the_last_one_takes_them_away() {
        let mut listeners = Listeners::<u32, ()>::default();
        let mut made = Vec::new();
        let both = at(1, Local::AnyV6 { only: false }, 10);
        let resized = listeners.add(&both, |local, backlog| {
            made.push((local.is_ipv4(), backlog));
            u32::try_from(made.len()).ok()
        });
        assert_eq!((made, resized), (vec![(false, 10), (true, 10)], vec![]));
        let only_v4 = at(2, Local::AnyV4, 5);
        assert_eq!(listeners.add(&only_v4, |_, _| panic!("it is there")), [(2, 15)]);
        assert_eq!(listeners.at_port(80), [1, 2]);
        let Removed { gone, resized } = listeners.remove(ListenerId(1));
        assert_eq!(gone.iter().map(|place| place.listener).collect::<Vec<_>>(), [1]);
        assert_eq!(resized, [(2, 5)]);
        assert!(listeners.place(2).is_some() && listeners.place(1).is_none());
        assert_eq!(listeners.remove(ListenerId(2)).gone.len(), 1);
        assert!(listeners.remove(ListenerId(2)).gone.is_empty());
    }

    #[test]
    fn a_place_where_the_stack_cannot_listen_is_left_out() {
        let mut listeners = Listeners::<u32, ()>::default();
        listeners.add(&at(1, Local::AnyV4, 0), |_, backlog| (backlog != 1).then_some(1));
        assert!(listeners.at_port(80).is_empty());
    }
}
