//! What the agent remembers of the process's work: connects that wait, and listeners. Pure.

use std::collections::HashMap;

use session::broker::{ListenAt, ListenerId};

use super::wire::ConnectionId;

/// Connects that wait for the process, and where it listens. `A` is a connect.
#[derive(Debug)]
pub(crate) struct Desk<A> {
    attempts: HashMap<ConnectionId, A>,
    listeners: HashMap<ListenerId, ListenAt>,
    last: u64,
}

impl<A> Desk<A> {
    pub(crate) fn new() -> Self {
        Self { attempts: HashMap::new(), listeners: HashMap::new(), last: 0 }
    }

    /// Names a connect.
    pub(crate) fn name(&mut self) -> ConnectionId {
        self.last += 2;
        ConnectionId(self.last)
    }

    /// A connect waits.
    pub(crate) fn wait(&mut self, id: ConnectionId, attempt: A) {
        self.attempts.insert(id, attempt);
    }

    /// It waits no more.
    pub(crate) fn take(&mut self, id: ConnectionId) -> Option<A> {
        self.attempts.remove(&id)
    }

    /// None waits any more.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = A> + '_ {
        self.attempts.drain().map(|(_, attempt)| attempt)
    }

    /// A program listens.
    pub(crate) fn listen(&mut self, at: ListenAt) {
        self.listeners.insert(at.listener, at);
    }

    /// It listens no more.
    pub(crate) fn unlisten(&mut self, listener: ListenerId) {
        self.listeners.remove(&listener);
    }

    /// What a process that was started has to be told.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = ListenAt> + '_ {
        self.listeners.values().copied()
    }
}

#[cfg(test)]
mod tests {
    use session::broker::core::Local;
    use session::wire::Protocol;

    use super::*;

    #[test]
    fn names_are_even_and_each_connect_is_taken_once() {
        let mut desk = Desk::new();
        let (one, two) = (desk.name(), desk.name());
        assert_ne!(one, two);
        assert!(one.0.is_multiple_of(2) && two.0.is_multiple_of(2));
        desk.wait(one, "one");
        desk.wait(two, "two");
        assert_eq!(desk.take(one), Some("one"));
        assert_eq!(desk.take(one), None);
        assert_eq!(desk.take_all().collect::<Vec<_>>(), ["two"]);
        assert_eq!(desk.take(two), None);
    }

    #[test]
    fn listeners_are_told_to_the_next_process() {
        let mut desk = Desk::<()>::new();
        let at = |number, port| {
            let listener = ListenerId(number);
            ListenAt { listener, protocol: Protocol::Stream, local: Local::AnyV4, port, backlog: 1 }
        };
        desk.listen(at(1, 80));
        desk.listen(at(2, 81));
        desk.unlisten(ListenerId(1));
        assert_eq!(desk.listeners().collect::<Vec<_>>(), [at(2, 81)]);
    }
}
