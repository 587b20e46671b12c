//! The sessions there are.

use std::collections::HashMap;

use super::broker::Grant;
use super::key::EndpointKey;
use crate::layout::Side;

/// A session: what was granted, and what its owner keeps of it.
#[derive(Debug, Clone)]
pub struct Record<M> {
    /// What was granted.
    pub grant: Grant,
    /// Cookies of the two sockets: that of the connecting side, which a program claims, and that of
    /// the accepting side. Zero for a side that is a network stack of the agent.
    pub cookies: [u64; 2],
    /// The owner's.
    pub memory: M,
}

/// The sessions, by number and by the cookies of their sockets.
#[derive(Debug)]
pub struct Registry<M> {
    slots: Vec<Option<Record<M>>>,
    free: Vec<usize>,
    by_cookie: HashMap<(EndpointKey, u64), (usize, Side)>,
    next: usize,
}

impl<M> Default for Registry<M> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_cookie: HashMap::new(), next: 0 }
    }
}

impl<M> Registry<M> {
    /// Adds a session.
    pub fn add(&mut self, record: Record<M>) {
        let names = names(&record);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        for (name, side) in names {
            // Cookies are never used twice by the kernel: an older claim is stale or a lie.
            self.by_cookie.insert(name, (slot, side));
        }
        self.slots[slot] = Some(record);
    }

    /// The session that has a socket with this cookie on a side of `endpoint`, and that side.
    pub fn find(&self, endpoint: EndpointKey, cookie: u64) -> Option<(&Record<M>, Side)> {
        let (slot, side) = self.by_cookie.get(&(endpoint, cookie))?;
        Some((self.slots.get(*slot)?.as_ref()?, *side))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many places [`sweep`](Self::sweep) has to look at to see all.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sessions.
    pub fn iter(&self) -> impl Iterator<Item = &Record<M>> {
        self.slots.iter().flatten()
    }

    /// Looks at the next `count` places in turn and takes out the sessions that are `over`.
    pub fn sweep(
        &mut self,
        count: usize,
        mut over: impl FnMut(&Record<M>) -> bool,
        mut ended: impl FnMut(Record<M>),
    ) {
        for _ in 0..count.min(self.slots.len()) {
            let slot = if self.next < self.slots.len() { self.next } else { 0 };
            self.next = slot + 1;
            if self.slots[slot].as_ref().is_some_and(&mut over)
                && let Some(record) = self.take(slot)
            {
                ended(record);
            }
        }
        // All gone: a burst leaves no long table behind.
        if self.is_empty() {
            self.slots = Vec::new();
            self.free = Vec::new();
        }
    }

    /// Takes out the sessions that are `over`, wherever they are.
    pub fn sweep_all(
        &mut self,
        over: impl FnMut(&Record<M>) -> bool,
        ended: impl FnMut(Record<M>),
    ) {
        self.sweep(self.slots.len(), over, ended);
    }

    fn take(&mut self, slot: usize) -> Option<Record<M>> {
        let record = self.slots[slot].take()?;
        self.free.push(slot);
        for (name, side) in names(&record) {
            if self.by_cookie.get(&name) == Some(&(slot, side)) {
                self.by_cookie.remove(&name);
            }
        }
        Some(record)
    }
}

/// The names of a session's sockets; a cookie of zero is none.
fn names<M>(record: &Record<M>) -> impl Iterator<Item = ((EndpointKey, u64), Side)> + use<M> {
    let Grant { client, server, .. } = record.grant;
    let [first, second] = record.cookies;
    let both = [(client, first, Side::First), (server, second, Side::Second)];
    let named = both.into_iter().filter(|(_, cookie, _)| *cookie != 0);
    named.filter_map(|(endpoint, cookie, side)| Some(((endpoint?, cookie), side)))
}
