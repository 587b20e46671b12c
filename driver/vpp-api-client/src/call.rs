//! One call that waits for its answers.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::error::{Error, Loss};
use crate::link::Link;
use crate::pending::{Answer, Arrival, Waiting};

/// A call that waits; dropping it ends the waiting.
#[derive(Debug)]
pub(crate) struct Call {
    link: Arc<Link>,
    context: u32,
    answers: mpsc::UnboundedReceiver<Arrival>,
}

impl Call {
    /// A call that `answers` may come for.
    pub(crate) fn open(link: &Arc<Link>, answers: Vec<Answer>) -> Result<Self, Error> {
        match &mut *link.waiting() {
            Waiting::Lost(loss) => Err(Error::Disconnected(loss.clone())),
            Waiting::Open(open) => {
                let (context, answers) = open.call(answers);
                Ok(Self { link: Arc::clone(link), context, answers })
            }
        }
    }

    /// What the answers repeat.
    pub(crate) fn context(&self) -> u32 {
        self.context
    }

    /// The next answer. It comes from the queue, so a dropped future loses none.
    pub(crate) async fn next(&mut self) -> Result<Arrival, Error> {
        let arrival = self.answers.recv().await;
        arrival.ok_or_else(|| Error::Disconnected(self.link.loss().unwrap_or(Loss::Here)))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Waiting::Open(open) = &mut *self.link.waiting() {
            open.forget(self.context);
        }
    }
}
