//! The connection's two tasks: one writes what is queued, one reads and hands out.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use crate::error::Loss;
use crate::frame::{Deframer, frame};
use crate::pending::Waiting;

/// What calls and the two tasks share.
#[derive(Debug)]
pub(crate) struct Link {
    waiting: Mutex<Waiting>,
    lost: watch::Sender<bool>,
}

impl Link {
    pub(crate) fn new() -> Arc<Self> {
        let waiting = Mutex::new(Waiting::Open(crate::pending::Open::default()));
        Arc::new(Self { waiting, lost: watch::Sender::new(false) })
    }

    /// Everybody who waits. (Nothing that is done under this lock can panic half-way.)
    pub(crate) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection for everybody who waits; the first reason stays.
    pub(crate) fn lose(&self, loss: Loss) {
        let mut waiting = self.waiting();
        if let Waiting::Open(_) = *waiting {
            *waiting = Waiting::Lost(loss);
            drop(waiting);
            self.lost.send_replace(true);
        }
    }

    /// Why the connection was lost, if it was.
    pub(crate) fn loss(&self) -> Option<Loss> {
        match &*self.waiting() {
            Waiting::Open(_) => None,
            Waiting::Lost(loss) => Some(loss.clone()),
        }
    }

    /// Waits until the connection is lost.
    pub(crate) async fn until_lost(&self) -> Loss {
        let mut lost = self.lost.subscribe();
        // The sender is part of `self`, so waiting ends with `true` only.
        let _ = lost.wait_for(|it| *it).await;
        self.loss().expect("`lose` sets the reason first")
    }
}

/// The next message of the stream.
pub(crate) async fn next_message<'a>(
    from: &mut (impl AsyncRead + Unpin),
    stream: &'a mut Deframer,
) -> Result<&'a [u8], Loss> {
    loop {
        if let Some(length) = stream.whole().map_err(Loss::Frame)? {
            return Ok(stream.take(length));
        }
        match from.read_buf(stream.room()).await {
            Ok(0) => return Err(Loss::ByPeer),
            Ok(_) => {}
            Err(error) => return Err(io_loss(error)),
        }
    }
}

/// A peer that went away shows as any of these.
pub(crate) fn io_loss(error: io::Error) -> Loss {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Loss::ByPeer,
        _ => Loss::Io(Arc::new(error)),
    }
}

/// Reads and hands out, until the connection ends.
pub(crate) async fn read(
    mut from: OwnedReadHalf,
    mut stream: Deframer,
    link: Arc<Link>,
    probe: impl Fn(&[u8]),
) {
    let loss = loop {
        match next_message(&mut from, &mut stream).await {
            Ok(message) => {
                let delivered = match &mut *link.waiting() {
                    Waiting::Open(open) => open.deliver(message),
                    Waiting::Lost(_) => return,
                };
                if !delivered {
                    probe(message);
                }
            }
            Err(loss) => break loss,
        }
    };
    link.lose(loss);
}

/// Writes queued messages, until the connection ends.
pub(crate) async fn write(
    mut to: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
    link: Arc<Link>,
) {
    while let Some(message) = queue.recv().await {
        let framed = match frame(&message) {
            Ok(framed) => framed,
            Err(error) => return link.lose(Loss::Frame(error)),
        };
        if let Err(error) = to.write_all(&framed).await {
            return link.lose(io_loss(error));
        }
    }
}
