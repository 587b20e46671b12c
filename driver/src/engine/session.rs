//! The sessions and listeners of an engine's broker, with the names that the driver uses.

use session::broker::{ListenerView, SessionView};

use crate::model::EndpointId;

/// A session. An endpoint that was removed meanwhile has no name, nor has a peer that is no endpoint's
/// session.
#[derive(Debug, Clone)]
pub struct SessionStatus {
    /// The endpoint that connected.
    pub client: Option<EndpointId>,
    /// The endpoint that accepted.
    pub server: Option<EndpointId>,
    /// The session.
    pub session: SessionView,
}

/// A listener.
#[derive(Debug, Clone)]
pub struct ListenerStatus {
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// The listener.
    pub listener: ListenerView,
}
