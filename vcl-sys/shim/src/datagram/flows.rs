//! Where the datagrams of one socket go: which peers have a session (a flow), and which were asked about
//! in vain a moment ago. No I/O, no clock.
//!
//! However many peers there are, few flows are looked at: those that are *awake*. A flow that has been
//! quiet is put to *rest* while others wait to be looked at; it has been told to make itself known, and
//! whoever hears of it wakes it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::SocketAddr;

/// The way to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route<F> {
    /// Through this flow.
    Flow(F),
    /// Through the kernel.
    Kernel,
    /// Nowhere: nobody is there.
    Nobody,
    /// The broker is to be asked.
    Unknown,
}

/// Why a peer has no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// The kernel is to reach it.
    Kernel,
    /// Nobody is there.
    Nobody,
}

/// Peers without a flow that are remembered at most.
pub(crate) const MOST_WITHOUT: usize = 256;

/// Flows that stay awake although they are quiet.
pub(crate) const MOST_AWAKE: usize = 16;

/// See the module. Flows have numbers that grow. Points in time are nanoseconds of any clock that does
/// not go back.
#[derive(Debug)]
pub(crate) struct Flows<F> {
    all: BTreeMap<u64, Place<F>>,
    /// What is sent through: of several flows to a peer the oldest.
    to: BTreeSet<(SocketAddr, u64)>,
    without: BTreeMap<SocketAddr, (Without, u64)>,
    /// Who is looked at, in the order of their turns.
    awake: VecDeque<u64>,
    /// The sum of what flows had received when they went to rest.
    rested: u64,
    /// None may rest.
    restless: bool,
}

#[derive(Debug)]
struct Place<F> {
    peer: SocketAddr,
    flow: F,
    /// While it rests: what it had received before.
    rests: Option<u64>,
}

impl<F: Clone> Flows<F> {
    pub(crate) const fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            to: BTreeSet::new(),
            without: BTreeMap::new(),
            awake: VecDeque::new(),
            rested: 0,
            restless: false,
        }
    }

    /// The way to `peer`.
    pub(crate) fn route(&self, peer: SocketAddr, now: u64) -> Route<F> {
        if let Some(place) = self.first_to(peer).and_then(|number| self.all.get(&number)) {
            return Route::Flow(place.flow.clone());
        }
        match self.without.get(&peer) {
            Some((Without::Kernel, until)) if now < *until => Route::Kernel,
            Some((Without::Nobody, until)) if now < *until => Route::Nobody,
            _ => Route::Unknown,
        }
    }

    fn first_to(&self, peer: SocketAddr) -> Option<u64> {
        self.to.range((peer, 0)..=(peer, u64::MAX)).next().map(|(_, number)| *number)
    }

    /// Adds a flow, awake. When both peers made one at the same time, the first stays the one to send
    /// through, so that datagrams keep their order.
    pub(crate) fn add(&mut self, number: u64, peer: SocketAddr, flow: F) {
        self.without.remove(&peer);
        self.to.insert((peer, number));
        self.all.insert(number, Place { peer, flow, rests: None });
        self.awake.push_back(number);
    }

    /// The flow with this number.
    pub(crate) fn get(&self, number: u64) -> Option<&F> {
        self.all.get(&number).map(|place| &place.flow)
    }

    /// A flow is over.
    pub(crate) fn remove(&mut self, number: u64) {
        self.wake(number);
        if let Some(place) = self.all.remove(&number) {
            self.to.remove(&(place.peer, number));
            self.awake.retain(|it| *it != number);
        }
    }

    /// Nothing is sent through a flow any more, but what it holds is still to be read.
    pub(crate) fn divert(&mut self, number: u64) {
        if let Some(place) = self.all.get(&number) {
            self.to.remove(&(place.peer, number));
        }
    }

    /// There is no flow to `peer`, and asking again before `until` would be in vain.
    pub(crate) fn note(&mut self, peer: SocketAddr, why: Without, now: u64, until: u64) {
        if self.first_to(peer).is_some() {
            return;
        }
        if self.without.len() >= MOST_WITHOUT {
            self.without.retain(|_, (_, until)| now < *until);
        }
        if self.without.len() >= MOST_WITHOUT {
            self.without.clear();
        }
        self.without.insert(peer, (why, until));
    }

    /// The first flow in turn for which `job` answers something; the next round starts behind it, or
    /// with it if the turn is to `keep`. Of those that it answers nothing for, while too many are awake,
    /// those may rest for which `rest` answers what they have received.
    pub(crate) fn find<T>(
        &mut self,
        keep: bool,
        mut job: impl FnMut(&F) -> Option<T>,
        mut rest: impl FnMut(&F) -> Option<u64>,
    ) -> Option<T> {
        let mut at = 0;
        while let Some(number) = self.awake.get(at).copied() {
            let Some(place) = self.all.get_mut(&number) else {
                self.awake.remove(at);
                continue;
            };
            if let Some(found) = job(&place.flow) {
                if !keep {
                    self.awake.remove(at);
                    self.awake.push_back(number);
                }
                return Some(found);
            }
            let crowded = !self.restless && self.awake.len() > MOST_AWAKE;
            if crowded && let Some(received) = rest(&place.flow) {
                place.rests = Some(received);
                self.rested = self.rested.wrapping_add(received);
                self.awake.remove(at);
            } else {
                at += 1;
            }
        }
        None
    }

    /// A flow is to be looked at again.
    pub(crate) fn wake(&mut self, number: u64) {
        let Some(place) = self.all.get_mut(&number) else { return };
        if let Some(received) = place.rests.take() {
            self.rested = self.rested.wrapping_sub(received);
            self.awake.push_back(number);
        }
    }

    /// All are looked at from now on: another process takes away what would wake them.
    pub(crate) fn keep_awake(&mut self) {
        self.restless = true;
        self.rested = 0;
        for (number, place) in &mut self.all {
            if place.rests.take().is_some() {
                self.awake.push_back(*number);
            }
        }
    }

    /// Whether none may rest.
    pub(crate) fn is_restless(&self) -> bool {
        self.restless
    }

    /// Those that are awake.
    pub(crate) fn awake(&self) -> impl Iterator<Item = &F> {
        self.awake.iter().filter_map(|number| self.get(*number))
    }

    /// What those have received together that rest.
    pub(crate) fn rested(&self) -> u64 {
        self.rested
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All flows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &F)> {
        self.all.values().map(|place| (place.peer, &place.flow))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn peer(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 7))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8),
        Remove(usize),
        Divert(usize),
        Note(u8, bool),
        Pass,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5u8).prop_map(Step::Add),
            any::<usize>().prop_map(Step::Remove),
            any::<usize>().prop_map(Step::Divert),
            (0..5u8, any::<bool>()).prop_map(|(at, nobody)| Step::Note(at, nobody)),
            Just(Step::Pass),
        ]
    }

    proptest! {
        /// A peer is reached through its oldest flow that is neither over nor diverted, and asked about
        /// when it has none and the last answer is old.
        #[test]
        fn the_route_is_what_happened_last(steps in prop::collection::vec(step(), 0..80)) {
            const LASTS: u64 = 3;
            let mut flows = Flows::new();
            let mut alive: Vec<(SocketAddr, u64, bool)> = Vec::new();
            let mut notes: BTreeMap<SocketAddr, (Without, u64)> = BTreeMap::new();
            for (now, step) in (0u64..).zip(steps) {
                match step {
                    Step::Add(at) => {
                        flows.add(now, peer(at), now);
                        alive.push((peer(at), now, true));
                        notes.remove(&peer(at));
                    }
                    Step::Remove(at) if !alive.is_empty() => {
                        let (_, number, _) = alive.remove(at % alive.len());
                        flows.remove(number);
                    }
                    Step::Divert(at) if !alive.is_empty() => {
                        let at = at % alive.len();
                        alive[at].2 = false;
                        flows.divert(alive[at].1);
                    }
                    Step::Note(at, nobody) => {
                        let why = if nobody { Without::Nobody } else { Without::Kernel };
                        flows.note(peer(at), why, now, now + LASTS);
                        if alive.iter().all(|(it, _, sends)| *it != peer(at) || !sends) {
                            notes.insert(peer(at), (why, now + LASTS));
                        }
                    }
                    Step::Remove(_) | Step::Divert(_) | Step::Pass => {}
                }
                for at in 0..5 {
                    let sends = alive.iter().find(|(it, _, sends)| *it == peer(at) && *sends);
                    let expected = match sends {
                        Some((_, flow, _)) => Route::Flow(*flow),
                        None => match notes.get(&peer(at)) {
                            Some((Without::Kernel, until)) if now < *until => Route::Kernel,
                            Some((Without::Nobody, until)) if now < *until => Route::Nobody,
                            _ => Route::Unknown,
                        },
                    };
                    prop_assert_eq!(flows.route(peer(at), now), expected);
                }
                let left: Vec<_> = flows.iter().map(|(peer, flow)| (peer, *flow)).collect();
                let expected: Vec<_> = alive.iter().map(|(peer, flow, _)| (*peer, *flow)).collect();
                prop_assert_eq!(left, expected);
            }
        }

        #[test]
        fn every_flow_has_its_turn(count in 1..50u64) {
            let mut flows = Flows::new();
            for flow in 0..count {
                flows.add(flow, peer(1), flow);
            }
            let turn = |_| flows.find(false, |flow| Some(*flow), |_| None);
            let mut seen: Vec<u64> = (0..count).filter_map(turn).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }

        /// Whoever has something is found, and few of those that have nothing are looked at.
        #[test]
        fn what_has_come_is_found_and_the_quiet_rest(
            comes in prop::collection::vec((0..200u64, any::<bool>()), 1..200),
        ) {
            let mut flows = Flows::new();
            let mut received = [0u64; 200];
            let mut waiting = [0u64; 200];
            for flow in 0..200 {
                flows.add(flow, peer(1), flow);
            }
            for (flow, takes) in comes {
                let at = usize::try_from(flow).expect("few flows");
                received[at] += 1;
                waiting[at] += 1;
                flows.wake(flow);
                if takes {
                    let has = |flow: &u64| {
                        let at = usize::try_from(*flow).expect("few flows");
                        (waiting[at] > 0).then_some(at)
                    };
                    let rest = |flow: &u64| {
                        let at = usize::try_from(*flow).expect("few flows");
                        (waiting[at] == 0).then_some(received[at])
                    };
                    let found = flows.find(false, has, rest);
                    waiting[found.expect("something waits")] -= 1;
                }
                let awake: u64 =
                    flows.awake().map(|it| received[usize::try_from(*it).expect("few flows")]).sum();
                prop_assert_eq!(awake + flows.rested(), received.iter().sum::<u64>());
            }
            let rest = |flow: &u64| {
                let at = usize::try_from(*flow).expect("few flows");
                (waiting[at] == 0).then_some(received[at])
            };
            flows.find(false, |_| None::<()>, rest);
            let busy = waiting.iter().filter(|it| **it > 0).count();
            prop_assert!(flows.awake().count() <= MOST_AWAKE.max(busy));
            flows.keep_awake();
            prop_assert_eq!((flows.awake().count(), flows.rested()), (200, 0));
        }

        #[test]
        fn what_is_remembered_is_bounded(peers in prop::collection::vec(any::<[u8; 4]>(), 0..600)) {
            let mut flows: Flows<u32> = Flows::new();
            for (now, ip) in (0u64..).zip(peers) {
                flows.note(SocketAddr::from((ip, 1)), Without::Kernel, now, now + 10);
                prop_assert!(flows.without.len() <= MOST_WITHOUT);
            }
        }
    }
}
