//! What flows move bytes to and from.

use std::time::Instant;

use session::Closed;
use shm::Mapping;
use stack::{ConnectionId, Stack};

/// A connection of a network stack, as a flow sees it.
pub(crate) trait Connection {
    /// Sends bytes of `memory`, as many as there is room for, and answers how many.
    fn send_from(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize;

    /// Puts bytes that were received into `memory`, and answers how many.
    fn read_into(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize;

    /// Bytes that were received and wait.
    fn readable(&self) -> usize;

    /// Whether nothing will come after these.
    fn peer_ended(&self) -> bool;

    /// Whether the connection is lost.
    fn failed(&self) -> bool;

    /// Tells the peer that nothing follows what was sent.
    fn end(&mut self);
}

/// Connections by their names.
pub(crate) trait Connections<K> {
    /// One of them.
    type One<'a>: Connection
    where
        Self: 'a;

    /// One of them, which is there.
    fn one(&mut self, id: K) -> Self::One<'_>;

    /// Ends one.
    fn close(&mut self, id: K, how: Closed);
}

/// The connections of a [`Stack`], now.
pub(crate) struct StackNow<'a> {
    pub(crate) stack: &'a mut Stack,
    pub(crate) now: Instant,
}

/// A connection of a [`Stack`], now.
pub(crate) struct StackConnection<'a> {
    stack: &'a mut Stack,
    now: Instant,
    id: ConnectionId,
}

impl Connections<ConnectionId> for StackNow<'_> {
    type One<'b>
        = StackConnection<'b>
    where
        Self: 'b;

    fn one(&mut self, id: ConnectionId) -> StackConnection<'_> {
        StackConnection { stack: self.stack, now: self.now, id }
    }

    fn close(&mut self, id: ConnectionId, how: Closed) {
        match how {
            Closed::Orderly => self.stack.close(self.now, id),
            Closed::Reset => self.stack.abort(self.now, id),
        }
    }
}

impl Connection for StackConnection<'_> {
    fn send_from(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize {
        let fill = |room: &mut [u8]| {
            let len = len.min(room.len());
            // The place is within the mapping: the ring says so.
            let copied = memory.read(offset, &mut room[..len]).is_ok();
            if copied { (len, len) } else { (0, 0) }
        };
        self.stack.send(self.id, fill).unwrap_or(0)
    }

    fn read_into(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize {
        let take = |bytes: &[u8]| {
            let len = len.min(bytes.len());
            let copied = memory.write(offset, &bytes[..len]).is_ok();
            if copied { (len, len) } else { (0, 0) }
        };
        self.stack.read(self.now, self.id, take).unwrap_or(0)
    }

    fn readable(&self) -> usize {
        self.stack.readable(self.id)
    }

    fn peer_ended(&self) -> bool {
        self.stack.peer_closed(self.id)
    }

    fn failed(&self) -> bool {
        self.stack.error(self.id).is_some()
    }

    fn end(&mut self) {
        // It is not open only when it is over already.
        let _ = self.stack.shutdown(self.id);
    }
}
