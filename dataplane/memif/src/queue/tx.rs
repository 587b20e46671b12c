//! Sending.

/// Frames to the peer.
#[derive(Debug)]
pub struct TxQueue {
    _private: (),
}
