//! What VPP sends by itself.

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::error::{Error, Loss};
use crate::link::Link;
use crate::message::{Event, decode};

/// Events of one kind, from [`Client::events`](crate::Client::events).
#[derive(Debug)]
pub struct Events<E> {
    from: broadcast::Receiver<Arc<[u8]>>,
    link: Arc<Link>,
    kind: PhantomData<fn() -> E>,
}

impl<E: Event> Events<E> {
    pub(crate) fn new(from: broadcast::Receiver<Arc<[u8]>>, link: Arc<Link>) -> Self {
        Self { from, link, kind: PhantomData }
    }

    /// The next event. A future that is dropped loses none.
    ///
    /// # Errors
    /// [`Error::EventsLost`] when events came faster than they were taken: listening goes on, but the state
    /// that they tell of must be asked for again. [`Error::Disconnected`], [`Error::Decode`].
    pub async fn recv(&mut self) -> Result<E, Error> {
        match self.from.recv().await {
            Ok(bytes) => {
                decode(&bytes).map_err(|source| Error::Decode { message: E::NAME, source })
            }
            Err(RecvError::Lagged(count)) => Err(Error::EventsLost { event: E::NAME, count }),
            Err(RecvError::Closed) => {
                Err(Error::Disconnected(self.link.loss().unwrap_or(Loss::Here)))
            }
        }
    }
}
