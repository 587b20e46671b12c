//! A running capture: frames of the engine become pcapng in the body of an HTTP answer.
//!
//! Each capture has a thread of its own. It ends when its client asks or goes away, at its limits,
//! when what it watches is gone, and with the agent; except when the client went away, the last
//! block says how many frames were lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::body::{Body, Bytes};
use dataplane::PortId;
use dataplane::control::CapturedFrame;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::engine::{CaptureScope, FrameSource};
use crate::pcapng::{InterfaceId, Writer};

/// How long a frame may wait for others before it is sent, and how soon an idle capture notices
/// that it shall end.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// Bytes that are sent at once when frames come fast.
const CHUNK: usize = 64 << 10;

/// Chunks that wait for a slow client; then frames are lost in the engine's queue, and counted.
const CHUNKS: usize = 64;

/// The captures that run now.
#[derive(Debug, Default)]
pub(super) struct Captures {
    last: AtomicU64,
    running: Mutex<HashMap<u64, Arc<AtomicBool>>>,
}

/// When a capture ends by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// After so many frames.
    pub(super) frames: Option<u64>,
    /// After this time.
    pub(super) duration: Option<Duration>,
}

impl Captures {
    /// Runs a capture on a thread of its own; its number and the body with its file.
    pub(super) fn start(
        self: &Arc<Self>,
        source: Box<dyn FrameSource>,
        scope: &CaptureScope,
        snap_length: u32,
        limits: Limits,
        agent_stops: watch::Receiver<bool>,
    ) -> std::io::Result<(u64, Body)> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let stop = Arc::new(AtomicBool::new(false));
        let (chunks, mut received) = mpsc::channel(CHUNKS);
        let capture = Running {
            source,
            file: CaptureFile::begin(scope, snap_length),
            chunks,
            stop: Arc::clone(&stop),
            agent_stops,
            limits,
        };
        self.running().insert(number, stop);
        let captures = Arc::clone(self);
        let spawned =
            std::thread::Builder::new().name(format!("capture-{number}")).spawn(move || {
                capture.run();
                captures.running().remove(&number);
            });
        if let Err(error) = spawned {
            self.running().remove(&number);
            return Err(error);
        }
        let stream = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
        let body = futures_util::StreamExt::map(stream, Ok::<_, std::convert::Infallible>);
        Ok((number, Body::from_stream(body)))
    }

    /// Asks a capture to end; whether it was running.
    pub(super) fn stop(&self, number: u64) -> bool {
        match self.running().get(&number) {
            Some(stop) => {
                stop.store(true, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<u64, Arc<AtomicBool>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Running {
    source: Box<dyn FrameSource>,
    file: CaptureFile,
    chunks: mpsc::Sender<Bytes>,
    stop: Arc<AtomicBool>,
    agent_stops: watch::Receiver<bool>,
    limits: Limits,
}

impl Running {
    fn run(mut self) {
        let deadline = self.limits.duration.map(|duration| Instant::now() + duration);
        let mut frames = 0;
        while self.flush() && !self.shall_end(frames, deadline) {
            match self.fill(&mut frames, deadline) {
                Ok(()) => {}
                Err(error) => {
                    debug!(%error, "what was captured is gone");
                    break;
                }
            }
        }
        let lost = self.source.lost();
        self.file.end(lost);
        self.flush();
        if lost > 0 {
            warn!(lost, frames, "a capture was too slow and lost frames");
        }
    }

    /// Collects frames until a chunk is full or the first pause.
    fn fill(
        &mut self,
        frames: &mut u64,
        deadline: Option<Instant>,
    ) -> Result<(), crate::engine::EngineError> {
        while self.file.writer.pending() < CHUNK && !self.shall_end(*frames, deadline) {
            let Some(frame) = self.source.next(FLUSH_AFTER)? else { return Ok(()) };
            self.file.frame(&frame, || self.source.label_of(frame.port));
            *frames += 1;
        }
        Ok(())
    }

    fn shall_end(&self, frames: u64, deadline: Option<Instant>) -> bool {
        self.stop.load(Ordering::Relaxed)
            || *self.agent_stops.borrow()
            || self.chunks.is_closed()
            || self.limits.frames.is_some_and(|limit| frames >= limit)
            || deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Sends what is written; whether the client is still there.
    fn flush(&mut self) -> bool {
        let chunk = self.file.writer.take();
        chunk.is_empty() || self.chunks.blocking_send(chunk.into()).is_ok()
    }
}

/// The file: its first interface stands for what is captured and carries the count of lost
/// frames, every port adds one of its own when its first frame comes.
struct CaptureFile {
    writer: Writer,
    scope: InterfaceId,
    ports: HashMap<PortId, (InterfaceId, u64)>,
}

impl CaptureFile {
    fn begin(scope: &CaptureScope, snap_length: u32) -> Self {
        let application = concat!("dockervpp ", env!("CARGO_PKG_VERSION"));
        let mut writer = Writer::new(application, snap_length);
        let scope = match scope {
            CaptureScope::Network(id) => writer.interface(id.short(), &format!("network {id}")),
            CaptureScope::Endpoint(id) => writer.interface(id.short(), &format!("endpoint {id}")),
        };
        Self { writer, scope, ports: HashMap::new() }
    }

    fn frame(&mut self, frame: &CapturedFrame, name: impl FnOnce() -> String) {
        let writer = &mut self.writer;
        let (interface, count) = self
            .ports
            .entry(frame.port)
            .or_insert_with(|| (writer.interface(&name(), "port of the bridge domain"), 0));
        *count += 1;
        writer.frame(*interface, frame.time, frame.direction, frame.length, &frame.data);
    }

    fn end(&mut self, lost: u64) {
        let now = SystemTime::now();
        let total: u64 = self.ports.values().map(|(_, count)| count).sum();
        for (interface, count) in self.ports.values() {
            self.writer.statistics(*interface, now, *count, 0);
        }
        self.writer.statistics(self.scope, now, total.saturating_add(lost), lost);
    }
}
