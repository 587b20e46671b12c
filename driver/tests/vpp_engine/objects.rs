//! Networks and endpoints: made, taken up, told again, mended, removed.

use std::collections::BTreeSet;

use dockervpp::engine::{Engine as _, EngineError};
use dockervpp::model::EndpointId;
use kit::vpp_script::Scene;
use kit::wait;

use crate::fixture::{
    LIMIT, assert_addresses, endpoint, engine, fresh, inventory, network, until_connected,
};

pub(crate) fn all_that_was_made_is_removed_and_what_was_there_stays(scene: &mut Scene) {
    for command in ["create loopback interface", "create bridge-domain 1", "ip table add 7"] {
        scene.cli(command).unwrap();
    }
    let before = inventory(scene);
    let engine = fresh(scene);
    let networks = [1, 2, 3].map(network);
    for network in &networks {
        engine.create_network(network).unwrap();
        engine.create_network(network).unwrap();
    }
    let endpoints = [(2, 0), (3, 0), (4, 1)].map(|(number, at)| endpoint(number, &networks[at]));
    for endpoint in &endpoints {
        engine.create_endpoint(endpoint).unwrap();
        engine.create_endpoint(endpoint).unwrap();
    }
    until_connected(scene, 3);
    assert_addresses(scene, &["10.1.0.1/24", "fd00:1::1/64", "10.3.0.1/24"], &[]);
    assert_eq!(engine.warnings().iter().filter(|it| it.contains("VPP")).count(), 0);
    let fdb = engine.fdb(&networks[0].id).unwrap();
    let pinned: BTreeSet<Option<EndpointId>> =
        fdb.iter().filter(|line| line.pinned).map(|line| line.endpoint.clone()).collect();
    let expected = [None, Some(endpoints[0].id.clone()), Some(endpoints[1].id.clone())];
    assert_eq!(pinned, BTreeSet::from(expected));
    for endpoint in &endpoints {
        engine.delete_endpoint(&endpoint.id).unwrap();
        engine.delete_endpoint(&endpoint.id).unwrap();
    }
    for network in &networks {
        engine.delete_network(&network.id).unwrap();
        engine.delete_network(&network.id).unwrap();
    }
    assert_eq!(inventory(scene), before);
    assert_eq!(std::fs::read_dir(scene.folder().join("links")).unwrap().count(), 0);
}

pub(crate) fn the_next_agent_takes_up_what_it_remembers_and_removes_the_rest(scene: &mut Scene) {
    let [one, two] = [1, 2].map(network);
    let (stays, goes) = (endpoint(2, &one), endpoint(3, &two));
    {
        let engine = fresh(scene);
        for network in [&one, &two] {
            engine.create_network(network).unwrap();
        }
        for endpoint in [&stays, &goes] {
            engine.create_endpoint(endpoint).unwrap();
        }
        until_connected(scene, 2);
        scene.settle().unwrap();
    }
    scene.until_engine_is_gone().unwrap();
    let before = inventory(scene);
    let engine = engine(scene);
    engine.create_network(&one).unwrap();
    engine.create_endpoint(&stays).unwrap();
    let now = inventory(scene);
    assert!(before.is_subset(&now), "before all is known nothing goes: {before:?} {now:?}");
    wait::until(LIMIT, "VPP is there", || {
        Ok((!engine.warnings().iter().any(|it| it.contains("away"))).then_some(()))
    })
    .unwrap();
    engine.sweep(&|id| *id == stays.id).unwrap();
    until_connected(scene, 1);
    let after = inventory(scene);
    assert!(after.is_subset(&before), "what stays is not made anew: {before:?} {after:?}");
    assert_addresses(scene, &["10.1.0.1/24"], &["10.2.0.1/24"]);
}

pub(crate) fn vpp_is_told_again_what_it_forgot(scene: &mut Scene) {
    let engine = fresh(scene);
    let network = network(1);
    engine.create_network(&network).unwrap();
    for number in 2..5 {
        engine.create_endpoint(&endpoint(number, &network)).unwrap();
    }
    until_connected(scene, 3);
    let before = inventory(scene);
    for _ in 0..2 {
        scene.kill().unwrap();
        scene.start_again(&[]).unwrap();
        until_connected(scene, 3);
        assert_addresses(scene, &["10.1.0.1/24"], &[]);
        assert_eq!(inventory(scene).len(), before.len());
    }
}

pub(crate) fn while_vpp_is_away_new_things_are_refused_and_old_ones_go(scene: &mut Scene) {
    let engine = fresh(scene);
    let [one, two] = [1, 3].map(network);
    engine.create_network(&one).unwrap();
    let endpoint = endpoint(2, &one);
    engine.create_endpoint(&endpoint).unwrap();
    scene.kill().unwrap();
    let refusal =
        wait::until(LIMIT, "the loss is noticed", || Ok(engine.create_network(&two).err()));
    assert!(matches!(refusal.unwrap(), EngineError::VppAway { .. }));
    engine.delete_endpoint(&endpoint.id).unwrap();
    engine.delete_network(&one.id).unwrap();
    scene.start_again(&[]).unwrap();
    scene.settle().unwrap();
    wait::until_ok(LIMIT, "VPP is back", || Ok(engine.create_network(&two)?)).unwrap();
    assert_addresses(scene, &["10.3.0.1/24"], &["10.1.0.1/24"]);
}

pub(crate) fn what_an_operator_breaks_is_mended(scene: &mut Scene) {
    let engine = fresh(scene);
    let network = network(1);
    engine.create_network(&network).unwrap();
    engine.create_endpoint(&endpoint(2, &network)).unwrap();
    until_connected(scene, 1);
    scene.cli("delete loopback interface intfc loop0").unwrap();
    scene.cli("delete interface memif memif1/0").unwrap();
    // The next change, or the next look, finds it.
    engine.create_endpoint(&endpoint(3, &network)).unwrap();
    assert_addresses(scene, &["10.1.0.1/24"], &[]);
}
