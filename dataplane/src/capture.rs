//! Copies of frames for somebody who watches. A slow reader loses copies; it never delays a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::control::{DataplaneError, DomainId, PortId};

/// What to capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureScope {
    /// Each frame once: as it enters the domain, or, sent by the gateway, as it leaves it.
    Domain(DomainId),
    /// Each frame from or to one port.
    Port(PortId),
}

/// Direction of a captured frame, seen from the endpoint's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the endpoint into the domain.
    Ingress,
    /// From the domain to the endpoint.
    Egress,
}

/// A copy of a frame.
#[derive(Debug, Clone)]
pub struct CapturedFrame {
    /// When the worker handled it.
    pub time: SystemTime,
    /// The port.
    pub port: PortId,
    /// The direction.
    pub direction: Direction,
    /// Its length on the wire, in bytes. A frame that is still to be segmented counts as one.
    pub length: u32,
    /// Its first bytes, at most the snap length.
    pub data: Box<[u8]>,
}

/// Frames that may wait for a reader.
const QUEUE: usize = 8192;

/// A running capture; dropping it ends the capture.
#[derive(Debug)]
pub struct Capture {
    frames: Receiver<CapturedFrame>,
    lost: Arc<AtomicU64>,
}

impl Capture {
    /// The next frame; `None` when `timeout` passed first.
    ///
    /// # Errors
    /// [`DataplaneError::Stopped`] when the captured port or domain is gone.
    pub fn next(&self, timeout: Duration) -> Result<Option<CapturedFrame>, DataplaneError> {
        match self.frames.recv_timeout(timeout) {
            Ok(frame) => Ok(Some(frame)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(DataplaneError::Stopped),
        }
    }

    /// Frames that did not fit into the queue so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The worker's end of a capture.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) scope: CaptureScope,
    snap_length: usize,
    frames: Sender<CapturedFrame>,
    lost: Arc<AtomicU64>,
    ended: bool,
}

/// Both ends of a new capture of at most `snap_length` bytes of each frame.
pub(crate) fn channel(scope: CaptureScope, snap_length: u32) -> (Sink, Capture) {
    let (sender, receiver) = crossbeam_channel::bounded(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let sink = Sink {
        scope,
        snap_length: snap_length as usize,
        frames: sender,
        lost: Arc::clone(&lost),
        ended: false,
    };
    (sink, Capture { frames: receiver, lost })
}

impl Sink {
    /// Whether the reader is gone.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether a frame crossing `port` of `domain` is to be captured. `from_gateway` frames are part
    /// of a domain's capture although they leave it.
    pub(crate) fn wants(
        &self,
        domain: DomainId,
        port: PortId,
        direction: Direction,
        from_gateway: bool,
    ) -> bool {
        match self.scope {
            CaptureScope::Domain(captured) => {
                captured == domain && (direction == Direction::Ingress || from_gateway)
            }
            CaptureScope::Port(captured) => captured == port,
        }
    }

    /// Hands a frame over; `copy` fills a buffer with the frame's first bytes.
    pub(crate) fn record(
        &mut self,
        port: PortId,
        direction: Direction,
        length: usize,
        copy: impl FnOnce(&mut [u8]) -> usize,
    ) {
        let mut data = vec![0; length.min(self.snap_length)];
        let copied = copy(&mut data);
        data.truncate(copied);
        let frame = CapturedFrame {
            time: SystemTime::now(),
            port,
            direction,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            data: data.into_boxed_slice(),
        };
        match self.frames.try_send(frame) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => self.ended = true,
        }
    }
}
