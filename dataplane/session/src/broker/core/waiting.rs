//! Connects that wait for room in a backlog.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::broker::Ask;
use super::key::EndpointKey;
use crate::wire::Protocol;

/// How long a connect waits: as long as Linux repeats a SYN with its default of six repetitions.
pub const PATIENCE: Duration = Duration::from_secs(127);

/// What is waited for: any listener of this endpoint and port.
pub type Door = (EndpointKey, Protocol, u16);

/// A connect that waits.
#[derive(Debug)]
pub struct Waiter<A> {
    /// Who asks.
    pub client: EndpointKey,
    /// For what.
    pub ask: Ask,
    /// The cookie that came with it.
    pub cookie: u64,
    /// What the process said of itself: see [`crate::wire::Request::Connect`].
    pub sharing: u64,
    /// Where the answer goes.
    pub answer: A,
    /// When it gives up.
    pub deadline: Duration,
}

/// The connects that wait, in the order in which they came. Points in time are durations since some
/// fixed moment.
#[derive(Debug)]
pub struct Waiting<A> {
    waiters: BTreeMap<u64, (Door, Waiter<A>)>,
    doors: HashMap<Door, VecDeque<u64>>,
    last: u64,
}

impl<A> Default for Waiting<A> {
    fn default() -> Self {
        Self { waiters: BTreeMap::new(), doors: HashMap::new(), last: 0 }
    }
}

impl<A> Waiting<A> {
    /// Adds one at the end. Deadlines never go back.
    pub fn push(&mut self, door: Door, waiter: Waiter<A>) {
        self.last += 1;
        self.waiters.insert(self.last, (door, waiter));
        self.doors.entry(door).or_default().push_back(self.last);
    }

    /// Whether somebody waits at the door.
    pub fn has(&self, door: &Door) -> bool {
        self.doors.contains_key(door)
    }

    /// The first at a door.
    pub fn first(&self, door: &Door) -> Option<&Waiter<A>> {
        let first = self.doors.get(door)?.front()?;
        self.waiters.get(first).map(|(_, waiter)| waiter)
    }

    /// Takes the first at a door.
    pub fn pop(&mut self, door: &Door) -> Option<Waiter<A>> {
        let queue = self.doors.get_mut(door)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.doors.remove(door);
        }
        self.waiters.remove(&first?).map(|(_, waiter)| waiter)
    }

    /// When the first gives up.
    pub fn deadline(&self) -> Option<Duration> {
        self.waiters.values().next().map(|(_, waiter)| waiter.deadline)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Door, &Waiter<A>)> {
        self.waiters.values().map(|(door, waiter)| (door, waiter))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Takes one whose time is up.
    pub fn pop_late(&mut self, now: Duration) -> Option<Waiter<A>> {
        let (number, _) =
            self.waiters.iter().next().filter(|(_, (_, waiter))| waiter.deadline <= now)?;
        let number = *number;
        self.take(number)
    }

    /// Takes out all that an endpoint asked for.
    pub fn drop_of(&mut self, client: EndpointKey) -> Vec<Waiter<A>> {
        let own = self.waiters.iter().filter(|(_, (_, waiter))| waiter.client == client);
        let own: Vec<_> = own.map(|(number, _)| *number).collect();
        own.into_iter().filter_map(|number| self.take(number)).collect()
    }

    /// The doors at which somebody waits.
    pub fn doors(&self) -> impl Iterator<Item = Door> {
        self.doors.keys().copied()
    }

    /// The doors of an endpoint at which somebody waits.
    pub fn doors_of(&self, server: EndpointKey) -> Vec<Door> {
        self.doors.keys().filter(|(endpoint, ..)| *endpoint == server).copied().collect()
    }

    fn take(&mut self, number: u64) -> Option<Waiter<A>> {
        let (door, waiter) = self.waiters.remove(&number)?;
        if let Some(queue) = self.doors.get_mut(&door) {
            queue.retain(|other| *other != number);
            if queue.is_empty() {
                self.doors.remove(&door);
            }
        }
        Some(waiter)
    }
}
