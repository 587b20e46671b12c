//! The state machine against the plainest model of what Docker may ask.
//!
//! Random operations on few ids, addresses and names collide often. The model keeps flat lists and
//! says for each operation whether it must succeed; then both must hold the same things.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

use std::sync::Arc;

use dockervpp::docker::wire;
use dockervpp::driver::{Driver, DriverError};
use dockervpp::engine::fake::{FakeEngine, World};
use dockervpp::model::SandboxKey;
use dockervpp::store::Store;
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone)]
enum Operation {
    CreateNetwork { id: u8, subnet: u8, mtu: u16 },
    DeleteNetwork { id: u8 },
    CreateEndpoint { network: u8, id: u8, host: u8, mac: Option<u8> },
    Join { network: u8, id: u8, sandbox: u8 },
    Leave { network: u8, id: u8 },
    DeleteEndpoint { network: u8, id: u8 },
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    let network = 0..3u8;
    let id = 0..5u8;
    prop_oneof![
        2 => (network.clone(), 0..4u8, prop_oneof![Just(1500u16), Just(9000)])
            .prop_map(|(id, subnet, mtu)| Operation::CreateNetwork { id, subnet, mtu }),
        1 => network.clone().prop_map(|id| Operation::DeleteNetwork { id }),
        4 => (network.clone(), id.clone(), 1..5u8, proptest::option::of(0..3u8)).prop_map(
            |(network, id, host, mac)| Operation::CreateEndpoint { network, id, host, mac }
        ),
        3 => (network.clone(), id.clone(), 0..3u8)
            .prop_map(|(network, id, sandbox)| Operation::Join { network, id, sandbox }),
        2 => (network.clone(), id.clone()).prop_map(|(network, id)| Operation::Leave { network, id }),
        2 => (network, id).prop_map(|(network, id)| Operation::DeleteEndpoint { network, id }),
        1 => Just(Operation::Restart),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelEndpoint {
    id: u8,
    network: u8,
    host: u8,
    mac: Option<u8>,
    sandbox: Option<u8>,
}

/// Subnet `s` is 10.(s/2).(s%2*128).0/17 for s < 3, and subnet 3 is 10.0.0.0/16: it overlaps 0, 1.
const SUBNETS: [&str; 4] = ["10.0.0.0/17", "10.0.128.0/17", "10.1.0.0/17", "10.0.0.0/16"];

fn address(subnet: u8, host: u8) -> String {
    let base = ["10.0.0", "10.0.128", "10.1.0", "10.0.0"][usize::from(subnet)];
    format!("{base}.{host}")
}

fn subnets_overlap(one: u8, other: u8) -> bool {
    one == other || (one.max(other) == 3 && one.min(other) < 2)
}

#[derive(Debug, Default)]
struct Model {
    networks: Vec<(u8, u8, u16)>,
    endpoints: Vec<ModelEndpoint>,
}

impl Model {
    /// Applies the operation; whether it must succeed.
    fn apply(&mut self, operation: &Operation) -> bool {
        match *operation {
            Operation::CreateNetwork { id, subnet, mtu } => {
                if let Some(known) = self.networks.iter().find(|network| network.0 == id) {
                    return *known == (id, subnet, mtu);
                }
                if self.networks.iter().any(|network| subnets_overlap(network.1, subnet)) {
                    return false;
                }
                self.networks.push((id, subnet, mtu));
                true
            }
            Operation::DeleteNetwork { id } => {
                self.networks.retain(|network| network.0 != id);
                self.endpoints.retain(|endpoint| endpoint.network != id);
                true
            }
            Operation::CreateEndpoint { network, id, host, mac } => {
                self.create_endpoint(network, id, host, mac)
            }
            Operation::Join { network, id, sandbox } => {
                let known = self.endpoints.iter_mut().find(|endpoint| endpoint.id == id);
                let Some(known) = known.filter(|known| known.network == network) else {
                    return false;
                };
                if known.sandbox.is_some_and(|held| held != sandbox) {
                    return false;
                }
                known.sandbox = Some(sandbox);
                true
            }
            Operation::Leave { network, id } => {
                match self.endpoints.iter_mut().find(|endpoint| endpoint.id == id) {
                    Some(known) if known.network != network => false,
                    Some(known) => {
                        known.sandbox = None;
                        true
                    }
                    None => true,
                }
            }
            Operation::DeleteEndpoint { network, id } => {
                if self.endpoints.iter().any(|known| known.id == id && known.network != network) {
                    return false;
                }
                self.endpoints.retain(|endpoint| endpoint.id != id);
                true
            }
            Operation::Restart => true,
        }
    }

    fn create_endpoint(&mut self, network: u8, id: u8, host: u8, mac: Option<u8>) -> bool {
        if !self.networks.iter().any(|known| known.0 == network) {
            return false;
        }
        if let Some(known) = self.endpoints.iter().find(|endpoint| endpoint.id == id) {
            return (known.network, known.host, known.mac) == (network, host, mac);
        }
        let same_address =
            |endpoint: &ModelEndpoint| endpoint.network == network && endpoint.host == host;
        // Host 1 is the gateway.
        if host == 1 || self.endpoints.iter().any(|e| same_address(e) && e.sandbox.is_some()) {
            return false;
        }
        // Docker hands an address out again only after it has forgotten the idle holder.
        self.endpoints.retain(|endpoint| !same_address(endpoint));
        let same_mac = |endpoint: &&ModelEndpoint| {
            endpoint.network == network && mac.is_some() && endpoint.mac == mac
        };
        if self.endpoints.iter().any(|endpoint| same_mac(&endpoint)) {
            return false;
        }
        self.endpoints.push(ModelEndpoint { id, network, host, mac, sandbox: None });
        true
    }
}

fn perform(driver: &Driver, model: &Model, operation: &Operation) -> Result<(), DriverError> {
    let network_id = |id: u8| format!("n{id}").parse().unwrap();
    let endpoint_id = |id: u8| format!("e{id}").parse().unwrap();
    match *operation {
        Operation::CreateNetwork { id, subnet, mtu } => {
            let gateway = address(subnet, 1);
            let body = json!({
                "NetworkID": format!("n{id}"),
                "Options": {"com.docker.network.generic": {"mtu": mtu}},
                "IPv4Data": [{"Pool": SUBNETS[usize::from(subnet)], "Gateway": gateway}],
            });
            let request: wire::CreateNetworkRequest = serde_json::from_value(body).unwrap();
            driver.create_network(&request.parse()?)
        }
        Operation::DeleteNetwork { id } => driver.delete_network(&network_id(id)),
        Operation::CreateEndpoint { network, id, host, mac } => {
            let subnet =
                model.networks.iter().find(|known| known.0 == network).map_or(0, |known| known.1);
            let mac = mac.map(|last| format!("02:00:00:00:00:0{last}"));
            let body = json!({
                "NetworkID": format!("n{network}"),
                "EndpointID": format!("e{id}"),
                "Interface": {"Address": format!("{}/16", address(subnet, host)), "MacAddress": mac},
            });
            let request: wire::CreateEndpointRequest = serde_json::from_value(body).unwrap();
            driver.create_endpoint(&request.parse()?).map(drop)
        }
        Operation::Join { network, id, sandbox } => {
            let sandbox = SandboxKey(format!("/run/netns/{sandbox}").into());
            driver.join(&network_id(network), &endpoint_id(id), &sandbox, None).map(drop)
        }
        Operation::Leave { network, id } => driver.leave(&network_id(network), &endpoint_id(id)),
        Operation::DeleteEndpoint { network, id } => {
            driver.delete_endpoint(&network_id(network), &endpoint_id(id))
        }
        Operation::Restart => Ok(()),
    }
}

/// Networks; and endpoints with their network and sandbox.
type Held = (Vec<String>, Vec<(String, String, Option<String>)>);

/// What the driver holds, in the model's words.
fn held(driver: &Driver) -> Held {
    let state = driver.snapshot();
    let networks = state.networks().map(|record| record.spec.id.to_string()).collect();
    let endpoints = state.endpoints().map(|record| {
        let sandbox = record.sandbox.as_ref().map(ToString::to_string);
        (record.spec.id.to_string(), record.spec.network.to_string(), sandbox)
    });
    (networks, endpoints.collect())
}

fn modelled(model: &Model) -> Held {
    let mut networks: Vec<_> =
        model.networks.iter().map(|network| format!("n{}", network.0)).collect();
    networks.sort();
    let mut endpoints: Vec<_> = model
        .endpoints
        .iter()
        .map(|endpoint| {
            let sandbox = endpoint.sandbox.map(|sandbox| format!("/run/netns/{sandbox}"));
            (format!("e{}", endpoint.id), format!("n{}", endpoint.network), sandbox)
        })
        .collect();
    endpoints.sort();
    (networks, endpoints)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_driver_does_what_the_model_says(
        operations in proptest::collection::vec(operation(), 1..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let world = World::default();
        let start = || {
            let engine = Arc::new(FakeEngine::on(&world));
            let (store, state) = Store::open(directory.path()).unwrap();
            let driver = Driver::new(Arc::clone(&engine) as _, store, state);
            driver.restore();
            (driver, engine)
        };
        let mut model = Model::default();
        let (mut driver, mut engine) = start();
        for operation in &operations {
            if matches!(operation, Operation::Restart) {
                drop(driver);
                (driver, engine) = start();
            }
            let done = perform(&driver, &model, operation);
            let expected = model.apply(operation);
            prop_assert_eq!(done.is_ok(), expected, "{:?}: {:?}", operation, done);
            prop_assert_eq!(held(&driver), modelled(&model), "after {:?}", operation);
            let state = driver.snapshot();
            let networks: Vec<_> = state.networks().map(|record| record.spec.id.clone()).collect();
            prop_assert_eq!(engine.networks(), networks);
            let endpoints = state
                .endpoints()
                .map(|record| (record.spec.id.clone(), record.sandbox.clone()))
                .collect();
            prop_assert_eq!(engine.endpoints(), endpoints);
            let mut macs: Vec<_> =
                state.endpoints().map(|record| (&record.spec.network, record.spec.mac)).collect();
            macs.sort();
            let count = macs.len();
            macs.dedup();
            prop_assert_eq!(macs.len(), count, "an Ethernet address is used twice in a network");
        }
    }
}
