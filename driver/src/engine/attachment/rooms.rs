//! Who shares a sandbox, and so who has its plain socket names: the endpoint that joined first, and
//! when it leaves the next one. Pure.

use std::collections::HashMap;

use crate::model::{EndpointId, SandboxKey};

/// The endpoints of each sandbox, in the order in which they joined.
#[derive(Debug, Default)]
pub(in crate::engine) struct Rooms(HashMap<SandboxKey, Vec<EndpointId>>);

impl Rooms {
    /// Adds an endpoint; one that is there keeps its place.
    pub(in crate::engine) fn enter(&mut self, sandbox: &SandboxKey, endpoint: &EndpointId) {
        let endpoints = self.0.entry(sandbox.clone()).or_default();
        if !endpoints.contains(endpoint) {
            endpoints.push(endpoint.clone());
        }
    }

    /// Takes an endpoint out; fine when it is not there.
    pub(in crate::engine) fn leave(&mut self, sandbox: &SandboxKey, endpoint: &EndpointId) {
        if let Some(endpoints) = self.0.get_mut(sandbox) {
            endpoints.retain(|other| other != endpoint);
            if endpoints.is_empty() {
                self.0.remove(sandbox);
            }
        }
    }

    /// The endpoint that has the plain names.
    pub(in crate::engine) fn first(&self, sandbox: &SandboxKey) -> Option<&EndpointId> {
        self.0.get(sandbox).and_then(|endpoints| endpoints.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_endpoint_of_a_sandbox_is_first() {
        let [one, two]: [EndpointId; 2] = ["one", "two"].map(|id| id.parse().unwrap());
        let [here, there] = ["/here", "/there"].map(|path| SandboxKey(path.into()));
        let mut rooms = Rooms::default();
        rooms.enter(&here, &one);
        rooms.enter(&here, &two);
        rooms.enter(&here, &one);
        rooms.enter(&there, &two);
        assert_eq!(rooms.first(&here), Some(&one));
        rooms.leave(&here, &one);
        rooms.leave(&here, &one);
        assert_eq!((rooms.first(&here), rooms.first(&there)), (Some(&two), Some(&two)));
        rooms.leave(&here, &two);
        assert_eq!(rooms.first(&here), None);
        assert_eq!(rooms.0.len(), 1);
    }
}
