//! Receiving.

/// Frames from the peer.
#[derive(Debug)]
pub struct RxQueue {
    _private: (),
}
