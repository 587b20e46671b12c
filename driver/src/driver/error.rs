//! Why a call of Docker's failed.

use crate::docker::request::RequestError;
use crate::engine::EngineError;
use crate::state::StateError;
use crate::store::StoreError;

/// Why a call failed, in words for the person at the `docker` command.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The request makes no sense by itself.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It does not fit to what exists.
    #[error(transparent)]
    State(#[from] StateError),
    /// It could not be made durable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine could not do it.
    #[error("cannot {doing}: {source}")]
    Engine {
        /// What was tried.
        doing: String,
        /// The engine's reason.
        source: EngineError,
    },
    /// The driver does not take part in swarm-wide networks.
    #[error(
        "dockervpp networks are local to their host: create the network without `--scope swarm` \
         on each host"
    )]
    LocalScope,
}

pub(super) fn failed(doing: &str, source: EngineError) -> DriverError {
    DriverError::Engine { doing: doing.to_owned(), source }
}
