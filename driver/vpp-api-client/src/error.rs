//! What can go wrong.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api_error::ApiError;
use crate::frame::FrameError;
use crate::table::Mismatch;
use crate::wire::{DecodeError, EncodeError};

/// Why a call failed.
#[allow(clippy::error_impl_error)]
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers at the socket.
    #[error("cannot connect to VPP at {}: {source}; is VPP running, with `socksvr` in its configuration?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: Arc<io::Error>,
    },
    /// What answers at the socket does not register clients as VPP does.
    #[error("{} does not answer as VPP's API socket does: {what}", path.display())]
    Handshake {
        /// The socket.
        path: PathBuf,
        /// What it did instead.
        what: String,
    },
    /// This VPP has not the message as it is known here.
    #[error("{0}")]
    Unknown(Mismatch),
    /// This VPP lacks messages that it must have.
    #[error("{} needed messages are not as they are known here: {}", .0.len(), list(.0))]
    Missing(Vec<Mismatch>),
    /// VPP refused the request.
    #[error("VPP refused `{message}`: {code}")]
    Refused {
        /// The request.
        message: &'static str,
        /// Its verdict.
        code: ApiError,
    },
    /// The answer did not come in time. VPP may still do what was asked.
    #[error("no answer to `{message}` within {after:?}")]
    Timeout {
        /// The request.
        message: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The request cannot be written.
    #[error("cannot write `{message}`: {source}")]
    Encode {
        /// The request.
        message: &'static str,
        /// Why.
        source: EncodeError,
    },
    /// The answer is not what the definitions say.
    #[error("cannot read `{message}`: {source}")]
    Decode {
        /// The answer.
        message: &'static str,
        /// Why.
        source: DecodeError,
    },
    /// The connection is lost: connect again.
    #[error("the connection to VPP is lost: {0}")]
    Disconnected(Loss),
    /// Events came faster than they were taken. What they said must be asked for again.
    #[error("{count} of `{event}` were lost, because they were not taken in time")]
    EventsLost {
        /// The event.
        event: &'static str,
        /// How many.
        count: u64,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// VPP closed it: it stopped, or crashed.
    #[error("VPP closed it")]
    ByPeer,
    /// The socket failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// VPP sent what is no message.
    #[error("{0}")]
    Frame(FrameError),
    /// VPP did not answer a ping.
    #[error("VPP does not answer: no reply to a ping within {0:?}")]
    Silent(Duration),
    /// It was closed on this side.
    #[error("it was closed here")]
    Here,
}

fn list(mismatches: &[Mismatch]) -> String {
    let texts: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
