//! Links: made, changed, moved, found again, deleted.

use dockervpp::host::link::{LinkChange, Links};
use dockervpp::model::IfName;

use crate::fixture::{Sandbox, eventually, root_or_skip, run};

const ALIAS: &str = "dockervpp-test:links";

#[test]
fn asking_for_kinds_of_links_makes_nothing() {
    if !root_or_skip("asking_for_kinds_of_links_makes_nothing") {
        return;
    }
    let sandbox = Sandbox::mounted();
    sandbox
        .open()
        .run(|| {
            let mut links = Links::open().unwrap();
            let before = links.list().unwrap();
            links.dummy_available().unwrap();
            links.veth_available().unwrap();
            assert_eq!(links.list().unwrap(), before);
        })
        .unwrap();
}

#[test]
fn a_link_keeps_its_alias_through_a_move_and_a_new_name() {
    if !root_or_skip("a_link_keeps_its_alias_through_a_move_and_a_new_name") {
        return;
    }
    let mut host = Links::open().unwrap();
    let name = format!("dvtest{}", std::process::id() % 1_000_000);
    run("ip", &["tuntap", "add", "dev", &name, "mode", "tap"]);
    let made = host.find(&name).unwrap().expect("the link just made");
    let mac = "02:11:22:33:44:55".parse().unwrap();
    let change = LinkChange {
        mac: Some(mac),
        mtu: Some(1400),
        alias: Some(ALIAS.to_owned()),
        up: Some(true),
        tag: Some(4711),
    };
    host.set(made.index, &change).unwrap();
    let set = host.find(&name).unwrap().unwrap();
    assert_eq!((set.mac, set.mtu, set.up, set.tag), (Some(mac), 1400, true, 4711));

    let sandbox = Sandbox::mounted();
    sandbox.adopt(&name, "eth7");
    assert_eq!(host.find(&name).unwrap(), None);
    assert_eq!(host.find_by_alias(ALIAS).unwrap(), None);
    let inside = sandbox.open();
    let mut within = inside.run(Links::open).unwrap().unwrap();
    let found = within.find_by_alias(ALIAS).unwrap().expect("the link in its new place");
    assert_eq!((found.name.as_str(), found.mac, found.mtu), ("eth7", Some(mac), 1400));
    assert_eq!(found.tag, 0, "the tag stays behind");

    within.delete(found.index).unwrap();
    within.delete(found.index).unwrap();
    assert_eq!(within.find("eth7").unwrap(), None);
}

#[test]
fn a_dummy_link_is_made_where_the_kernel_has_the_kind() {
    if !root_or_skip("a_dummy_link_is_made_where_the_kernel_has_the_kind") {
        return;
    }
    let name: IfName = "dvtestdummy".parse().unwrap();
    Sandbox::mounted()
        .open()
        .run(|| {
            let mut links = Links::open().unwrap();
            let available = links.dummy_available().unwrap();
            assert_eq!(links.create_dummy(&name).is_ok(), available);
            assert_eq!(links.find(name.as_str()).unwrap().is_some(), available);
        })
        .unwrap();
}

/// What arrives at a secluded link is answered by nobody; both ends of a pair go together.
#[test]
fn a_secluded_link_is_no_station() {
    if !root_or_skip("a_secluded_link_is_no_station") {
        return;
    }
    let mut host = Links::open().unwrap();
    let names = ["a", "b"].map(|end| format!("dvl{}{end}", std::process::id() % 1_000_000));
    let [here, there] = names.each_ref().map(|name| name.parse::<IfName>().unwrap());
    if !host.veth_available().unwrap() {
        assert!(host.create_veth(&here, &there).is_err());
        return;
    }
    host.create_veth(&here, &there).unwrap();
    let (station, asker) = (Sandbox::mounted(), Sandbox::mounted());
    station.adopt(here.as_str(), "here");
    asker.adopt(there.as_str(), "there");
    for command in ["link set lo up", "address add 10.98.0.1/32 dev lo", "link set here up"] {
        station.command(&[&["ip"][..], &command.split(' ').collect::<Vec<_>>()].concat());
    }
    for command in ["link set there up", "address add 10.98.0.2/24 dev there"] {
        asker.command(&[&["ip"][..], &command.split(' ').collect::<Vec<_>>()].concat());
    }
    station.command(&["ip", "route", "add", "10.98.0.2", "dev", "here"]);
    let answers = || {
        let namespace = format!("--net={}", asker.path().display());
        let ping = ["ping", "-c", "1", "-W", "1", "10.98.0.1"];
        let mut command = std::process::Command::new("nsenter");
        command.arg(namespace).args(ping).output().unwrap().status.success()
    };
    eventually("the address is found", answers);
    let mut links = station.open().run(Links::open).unwrap().unwrap();
    let end = links.find("here").unwrap().unwrap();
    for _ in 0..2 {
        links.seclude(end.index).unwrap();
    }
    assert!(!answers());
    links.delete(end.index).unwrap();
    let mut others = asker.open().run(Links::open).unwrap().unwrap();
    assert_eq!(others.find("there").unwrap(), None, "a pair goes together");
}
