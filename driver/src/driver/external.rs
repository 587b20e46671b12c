//! The way out of a container: Docker names the endpoint that is it, and the ports to publish.

use tracing::warn;

use super::error::failed;
use super::{Driver, DriverError};
use crate::engine::with_chosen_ports;
use crate::model::{EndpointId, NetworkId, PortMapping};
use crate::state::{Change, EndpointRecord, Standing};

impl Driver {
    /// Notes that Docker made this endpoint its container's way out.
    pub fn program_external(
        &self,
        network: &NetworkId,
        id: &EndpointId,
        ports: Option<Vec<PortMapping>>,
    ) -> Result<(), DriverError> {
        let _network = self.gate.share_network(network);
        let _endpoint = self.gate.take_endpoint(id);
        let ports = self.transact(|state| {
            let mut record = state.endpoint(network, id)?.clone();
            record.external = true;
            if let Some(ports) = ports {
                record.ports = ports;
            }
            let ports = record.ports.clone();
            Ok((vec![Change::PutEndpoint(record)], ports))
        })?;
        let published = self.publish(network, id, &ports);
        if published.is_err() {
            // Docker gives the container up; a restart of the agent must not publish for it.
            let record = self.state().endpoint(network, id).cloned();
            if let Ok(record) = record {
                self.forget(Change::PutEndpoint(EndpointRecord { external: false, ..record }));
            }
        }
        published
    }

    /// Has the engine serve the ports, says which it does not, and remembers those that it chose.
    pub(super) fn publish(
        &self,
        network: &NetworkId,
        id: &EndpointId,
        ports: &[PortMapping],
    ) -> Result<(), DriverError> {
        let unserved = self.engine.publish(id, ports);
        let unserved = unserved.map_err(|source| failed("publish ports", source))?;
        let chosen = with_chosen_ports(ports, &self.engine.published(id));
        if chosen != ports {
            self.transact(|state| {
                let record = state.endpoint(network, id)?.clone();
                let record = EndpointRecord { ports: chosen, ..record };
                Ok((vec![Change::PutEndpoint(record)], ()))
            })?;
        }
        if !unserved.is_empty() {
            let ports = unserved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            warn!(
                network = network.short(),
                endpoint = id.short(),
                ports,
                "published ports are recorded but not served"
            );
        }
        Ok(())
    }

    /// Notes that the endpoint is no longer its container's way out; fine when it is unknown.
    pub fn revoke_external(&self, network: &NetworkId, id: &EndpointId) -> Result<(), DriverError> {
        let _network = self.gate.share_network(network);
        let _endpoint = self.gate.take_endpoint(id);
        match self.known_endpoint(network, id)? {
            Some(record) if record.external && record.standing == Standing::Settled => {
                let record = EndpointRecord { external: false, ..record };
                self.put(vec![Change::PutEndpoint(record)])?;
                self.publish(network, id, &[])
            }
            _ => Ok(()),
        }
    }
}
