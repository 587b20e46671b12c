//! The data path: one type to send, one to receive, the same on both ends of a link.

mod rx;
mod tx;

pub use rx::RxQueue;
pub use tx::TxQueue;

/// Whether a link is up; shared by the link and its queues.
#[derive(Debug, Default)]
pub struct LinkState {
    _private: (),
}

#[allow(clippy::unused_self)]
impl LinkState {
    /// Marks the link as down; queues return [`RingFault::Disconnected`] from now on.
    pub fn close(&self) {
        todo!()
    }

    /// Whether the link is still up.
    pub fn is_open(&self) -> bool {
        todo!()
    }
}

/// What the peer did wrong, or that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingFault {
    /// The link is down.
    #[error("the link is down")]
    Disconnected,
}
