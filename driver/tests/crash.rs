//! The agent dies at every step of every operation, before and after the engine did its part, and
//! the next agent on the same state must agree with what Docker was told.
//!
//! Death is a panic inside the engine: it unwinds through the driver without an answer, exactly
//! where a kill would have stopped it. The commits around the engine's calls are the only other
//! steps, so every interleaving of disk and engine is met.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dockervpp::docker::wire;
use dockervpp::driver::{Driver, IDLE_GRACE, RestoreReport};
use dockervpp::engine::Engine;
use dockervpp::engine::fake::{Call, FakeEngine, Fault, World};
use dockervpp::model::{EndpointId, NetworkId, SandboxKey};
use dockervpp::state::Standing;
use dockervpp::store::Store;
use serde_json::json;

/// What Docker does with a container, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    CreateNetwork,
    CreateEndpoint,
    Join,
    Leave,
    DeleteEndpoint,
    DeleteNetwork,
}

const LIFE: [Step; 6] = [
    Step::CreateNetwork,
    Step::CreateEndpoint,
    Step::Join,
    Step::Leave,
    Step::DeleteEndpoint,
    Step::DeleteNetwork,
];

fn network_id() -> NetworkId {
    "n1".parse().unwrap()
}

fn endpoint_id() -> EndpointId {
    "e1".parse().unwrap()
}

fn sandbox() -> SandboxKey {
    SandboxKey("/run/netns/1".into())
}

fn perform(driver: &Driver, step: Step) -> Result<(), dockervpp::driver::DriverError> {
    let (network, endpoint) = (network_id(), endpoint_id());
    match step {
        Step::CreateNetwork => {
            let body = json!({"NetworkID": "n1", "IPv4Data": [{"Pool": "10.1.0.0/24"}]});
            let request: wire::CreateNetworkRequest = serde_json::from_value(body).unwrap();
            driver.create_network(&request.parse()?)
        }
        Step::CreateEndpoint => {
            let body = json!({"NetworkID": "n1", "EndpointID": "e1",
                              "Interface": {"Address": "10.1.0.2/24"}});
            let request: wire::CreateEndpointRequest = serde_json::from_value(body).unwrap();
            driver.create_endpoint(&request.parse()?).map(drop)
        }
        Step::Join => driver.join(&network, &endpoint, &sandbox(), None).map(drop),
        Step::Leave => driver.leave(&network, &endpoint),
        Step::DeleteEndpoint => driver.delete_endpoint(&network, &endpoint),
        Step::DeleteNetwork => driver.delete_network(&network),
    }
}

fn driver(directory: &Path, engine: &Arc<FakeEngine>) -> (Driver, RestoreReport) {
    let (store, state) = Store::open(directory).unwrap();
    let driver = Driver::new(Arc::clone(engine) as Arc<dyn Engine>, store, state);
    let report = driver.restore();
    (driver, report)
}

/// The stored state and the engine say the same, and nothing on the host belongs to nobody.
fn assert_agreement(driver: &Driver, engine: &FakeEngine, world: &World, context: &str) {
    let state = driver.snapshot();
    assert!(state.networks().all(|record| record.standing == Standing::Settled), "{context}");
    assert!(state.endpoints().all(|record| record.standing == Standing::Settled), "{context}");
    let networks: Vec<_> = state.networks().map(|record| record.spec.id.clone()).collect();
    assert_eq!(engine.networks(), networks, "{context}");
    let endpoints =
        state.endpoints().map(|record| (record.spec.id.clone(), record.sandbox.clone())).collect();
    assert_eq!(engine.endpoints(), endpoints, "{context}");
    for link in world.links() {
        assert!(state.find_endpoint(&link).is_some(), "{context}: {link} has a left-over link");
    }
}

/// Runs the life of a container up to `step` and returns how many calls the engine got.
fn calls_before(step: Step) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let engine = Arc::new(FakeEngine::default());
    let (driver, _) = driver(directory.path(), &engine);
    for earlier in LIFE.into_iter().take_while(|earlier| *earlier != step) {
        perform(&driver, earlier).unwrap();
    }
    engine.calls().len()
}

/// Whether the object of `step` exists when the step was never answered: Docker gives up a
/// creation, and forgets after a removal, whatever the answer.
fn exists_after_restart(driver: &Driver, step: Step) -> bool {
    let state = driver.snapshot();
    match step {
        Step::CreateNetwork | Step::DeleteNetwork => state.find_network(&network_id()).is_some(),
        _ => state.find_endpoint(&endpoint_id()).is_some(),
    }
}

#[test]
fn death_at_every_step() {
    for step in LIFE {
        for fault in [Fault::DieBefore, Fault::DieAfter] {
            let context = format!("{step:?} {fault:?}");
            let directory = tempfile::tempdir().unwrap();
            let world = World::default();
            let doomed = FakeEngine::on(&world).with_fault(calls_before(step), fault);
            let doomed = Arc::new(doomed);
            let (first, _) = driver(directory.path(), &doomed);
            for earlier in LIFE.into_iter().take_while(|earlier| *earlier != step) {
                perform(&first, earlier).unwrap();
            }
            let died = catch_unwind(AssertUnwindSafe(|| perform(&first, step)));
            assert!(died.is_err(), "{context} did not die");
            drop(first);

            let engine = Arc::new(FakeEngine::on(&world));
            let (second, report) = driver(directory.path(), &engine);
            assert_eq!(report.failed, 0, "{context}");
            assert_agreement(&second, &engine, &world, &context);
            let exists = exists_after_restart(&second, step);
            let expected = matches!(step, Step::Join | Step::Leave);
            assert_eq!(exists, expected, "{context}");

            // Docker cleans up after a failed start, and then starts the container again.
            perform(&second, Step::Leave).unwrap();
            perform(&second, Step::DeleteEndpoint).unwrap();
            for again in LIFE {
                perform(&second, again).unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            assert_agreement(&second, &engine, &world, &context);
            assert_eq!(second.snapshot().networks().count(), 0, "{context}");
            assert!(world.links().is_empty(), "{context}");
        }
    }
}

#[test]
fn a_failing_engine_leaves_nothing_behind() {
    for step in LIFE {
        let context = format!("{step:?}");
        let directory = tempfile::tempdir().unwrap();
        let world = World::default();
        let engine = FakeEngine::on(&world).with_fault(calls_before(step), Fault::Fail);
        let engine = Arc::new(engine);
        let (driver, _) = driver(directory.path(), &engine);
        for earlier in LIFE.into_iter().take_while(|earlier| *earlier != step) {
            perform(&driver, earlier).unwrap();
        }
        let error = perform(&driver, step).unwrap_err().to_string();
        assert!(error.contains("chosen to fail"), "{context}: {error}");
        let snapshot = driver.snapshot();
        match step {
            Step::CreateNetwork => assert!(snapshot.find_network(&network_id()).is_none()),
            Step::CreateEndpoint => assert!(snapshot.find_endpoint(&endpoint_id()).is_none()),
            Step::Join | Step::Leave => {
                let record = snapshot.find_endpoint(&endpoint_id()).unwrap();
                assert_eq!(record.sandbox, None, "{context}");
            }
            // Still known, so that it can be tried again.
            Step::DeleteEndpoint => {
                let record = snapshot.find_endpoint(&endpoint_id()).unwrap();
                assert_eq!(record.standing, Standing::Unsettled, "{context}");
            }
            Step::DeleteNetwork => {
                let record = snapshot.find_network(&network_id()).unwrap();
                assert_eq!(record.standing, Standing::Unsettled, "{context}");
            }
        }
        // Either Docker asks again, or the next collection finishes what was begun.
        driver.collect(Instant::now());
        for again in LIFE {
            perform(&driver, again).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        assert_agreement(&driver, &engine, &world, &context);
    }
}

#[test]
fn a_restart_takes_running_containers_up_and_forgets_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::default();
    let engine = Arc::new(FakeEngine::on(&world));
    let (first, _) = driver(directory.path(), &engine);
    for step in [Step::CreateNetwork, Step::CreateEndpoint, Step::Join] {
        perform(&first, step).unwrap();
    }
    drop(first);
    let engine = Arc::new(FakeEngine::on(&world));
    let (second, report) = driver(directory.path(), &engine);
    let expected = RestoreReport { networks: 1, running: 1, ..RestoreReport::default() };
    assert_eq!(report, expected);
    assert_eq!(
        engine.calls(),
        [
            Call::CreateNetwork(network_id()),
            Call::CreateEndpoint(endpoint_id()),
            Call::Rejoin(endpoint_id(), sandbox()),
        ]
    );
    drop(second);
    world.kill(&sandbox());
    let engine = Arc::new(FakeEngine::on(&world));
    let (third, report) = driver(directory.path(), &engine);
    let expected = RestoreReport { networks: 1, removed: 1, ..RestoreReport::default() };
    assert_eq!(report, expected);
    assert_agreement(&third, &engine, &world, "container gone");
    assert!(world.links().is_empty());
}

#[test]
fn collection_removes_dead_and_idle_endpoints_only() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::default();
    let engine = Arc::new(FakeEngine::on(&world));
    let (driver, _) = driver(directory.path(), &engine);
    for step in [Step::CreateNetwork, Step::CreateEndpoint, Step::Join] {
        perform(&driver, step).unwrap();
    }
    let start = Instant::now();
    let much_later = start + 10 * IDLE_GRACE;
    assert!(driver.collect(start).endpoints.is_empty());
    assert!(driver.collect(much_later).endpoints.is_empty());
    world.kill(&sandbox());
    assert_eq!(driver.collect(start).endpoints, [endpoint_id()]);

    perform(&driver, Step::CreateEndpoint).unwrap();
    assert!(driver.collect(start).endpoints.is_empty());
    assert!(driver.collect(start + IDLE_GRACE / 2).endpoints.is_empty());
    assert_eq!(driver.collect(start + IDLE_GRACE).endpoints, [endpoint_id()]);
    assert_agreement(&driver, &engine, &world, "collected");
}

#[test]
fn what_cannot_be_restored_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::default();
    let engine = Arc::new(FakeEngine::on(&world));
    let (first, _) = driver(directory.path(), &engine);
    for step in [Step::CreateNetwork, Step::CreateEndpoint, Step::Join] {
        perform(&first, step).unwrap();
    }
    drop(first);
    // The third call of a start is the rejoin, the second the endpoint, the first the network.
    for nth in 0..3 {
        let engine = Arc::new(FakeEngine::on(&world).with_fault(nth, Fault::Fail));
        let (next, report) = driver(directory.path(), &engine);
        assert_eq!(report.failed, 1, "call {nth}");
        next.collect(Instant::now());
        assert_agreement(&next, &engine, &world, &format!("call {nth}"));
    }
}
