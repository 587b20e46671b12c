//! What follows from networks and endpoints.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::state::TCP;
use super::*;
use crate::model::{
    AttachKind, MemifOptions, PolicyOptions, Pool, SessionOptions, TcpStack, VhostOptions,
};

fn network(number: u8, gateways: (bool, bool), mtu: u32, isolation: bool) -> NetworkSpec {
    NetworkSpec {
        id: format!("net{number}").parse().unwrap(),
        ipv4: vec![Pool {
            subnet: format!("10.{number}.0.0/24").parse().unwrap(),
            gateway: gateways.0.then(|| format!("10.{number}.0.1").parse().unwrap()),
        }],
        ipv6: vec![Pool {
            subnet: format!("fd00:{number}::/64").parse().unwrap(),
            gateway: gateways.1.then(|| format!("fd00:{number}::1").parse().unwrap()),
        }],
        mtu,
        internal: number == 3,
        isolation,
        attach: AttachKind::Auto,
        tcp: TcpStack::default(),
        session: SessionOptions::default(),
        policy: PolicyOptions::default(),
        vxlan: None,
    }
}

pub(in crate::engine::vpp) fn endpoint(
    number: u8,
    network: u8,
    sides: &[Side],
    settled: bool,
) -> EndpointPlan {
    let id: EndpointId = format!("end{number}").parse().unwrap();
    let sandbox = SandboxKey(PathBuf::from(format!("/run/netns/{number}")));
    let name = |side: &Side| {
        let text = if *side == Side::Plain { "dockervpp/memif" } else { "dockervpp/eth0/memif" };
        AbstractName::new(text).unwrap()
    };
    EndpointPlan {
        spec: EndpointSpec {
            id: id.clone(),
            network: format!("net{network}").parse().unwrap(),
            mac: dataplane::MacAddr([2, 0x42, 10, network, 0, number]),
            ipv4: format!("10.{network}.0.{number}/24").parse().ok(),
            ipv6: None,
            attach: AttachKind::Auto,
            memif: MemifOptions::default(),
            vhost: VhostOptions::default(),
            session: SessionOptions::default(),
            policy: PolicyOptions::default(),
        },
        link: link_socket(Path::new("/run/dockervpp/vpp"), &id),
        rest: Rest::Link,
        memif: sides.iter().map(|side| (*side, container_socket(&sandbox, &name(side)))).collect(),
        front_end: FrontEnd::Absent,
        published: BTreeMap::new(),
        settled,
    }
}

/// The same endpoint in VPP's host stack, with an IPv6 address too.
pub(in crate::engine::vpp) fn hosted_endpoint(mut plan: EndpointPlan) -> EndpointPlan {
    let [.., network, _, number] = plan.spec.mac.0;
    plan.spec.attach = AttachKind::Userspace;
    plan.spec.ipv6 = format!("fd00:{network}::{number}/64").parse().ok();
    plan.rest = Rest::Host(app_socket(Path::new("/run/dockervpp/vpp"), &plan.spec.id));
    plan
}

prop_compose! {
    fn networks()(
        which in proptest::collection::btree_map(
            0u8..4,
            (any::<(bool, bool)>(), prop_oneof![Just(1500u32), Just(9000)], any::<bool>()),
            0..4,
        ),
    ) -> BTreeMap<NetworkId, NetworkSpec> {
        let networks = which.into_iter().map(|(number, (gateways, mtu, isolation))| {
            let network = network(number, gateways, mtu, isolation);
            (network.id.clone(), network)
        });
        networks.collect()
    }
}

prop_compose! {
    /// Inventories over few ids, so that any two have much in common.
    pub(in crate::engine::vpp) fn inventories()(
        networks in networks(),
        endpoints in proptest::collection::btree_map(2u8..8, (0u8..4, 0usize..3), 0..6),
        published in proptest::collection::btree_map(2u8..8, (8000u16..8004, any::<bool>()), 0..4),
        hosted in proptest::collection::btree_set(2u8..8, 0..4),
        front_ends in proptest::collection::btree_map(
            2u8..8,
            prop_oneof![Just(FrontEnd::Asks), Just(FrontEnd::Owns)],
            0..4,
        ),
        way_out: bool,
    ) -> Inventory {
        let endpoints = endpoints.into_iter().map(|(number, (network, sides_used))| {
            let sides = [Side::Plain, Side::Named];
            let mut plan = endpoint(number, network, &sides[..sides_used], true);
            if hosted.contains(&number) {
                plan = hosted_endpoint(plan);
            }
            plan.front_end = front_ends.get(&number).copied().unwrap_or(FrontEnd::Absent);
            if let Some((port, named)) = published.get(&number) {
                let address = named.then_some(std::net::Ipv4Addr::new(192, 0, 2, 1));
                let outside = Outside { address, protocol: TCP, port: *port };
                plan.published.insert(outside, 80);
            }
            (plan.spec.id.clone(), plan)
        });
        let endpoints: BTreeMap<_, _> = endpoints.collect();
        Inventory { networks, endpoints, way_out, whole: true }
    }
}

/// Ports that have a client.
pub(in crate::engine::vpp) fn some_tags() -> impl Strategy<Value = BTreeSet<Tag>> {
    let side = prop_oneof![Just(Side::Link), Just(Side::Plain), Just(Side::Named)];
    let tag = (2u8..8, side)
        .prop_map(|(number, side)| Tag::port(&format!("end{number}").parse().unwrap(), side));
    proptest::collection::btree_set(tag, 0..6)
}

fn inventory(networks: &[NetworkSpec], endpoints: &[EndpointPlan]) -> Inventory {
    Inventory {
        networks: networks.iter().map(|it| (it.id.clone(), it.clone())).collect(),
        endpoints: endpoints.iter().map(|it| (it.spec.id.clone(), it.clone())).collect(),
        way_out: false,
        whole: true,
    }
}

fn pin_of(state: &State) -> &Tag {
    assert_eq!(state.pins.len(), 1);
    state.pins.values().next().unwrap()
}

#[test]
fn a_network_is_a_domain_with_its_gateway_in_tables_of_its_own() {
    let network = network(1, (true, true), 9000, false);
    let wanted =
        inventory(std::slice::from_ref(&network), &[]).wanted(&State::default(), &BTreeSet::new());
    let tag = Tag::network(&network.id);
    assert!(wanted.domains.contains(&tag));
    assert_eq!(wanted.tables.len(), 2);
    let gateway = &wanted.bvis[&tag];
    assert_eq!((gateway.mtu, gateway.bridged, gateway.up), (9000, true, true));
    let addresses: Vec<String> = gateway.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.1.0.1/24", "fd00:1::1/64"]);
}

#[test]
fn a_network_without_gateway_addresses_is_a_bare_domain() {
    let network = network(1, (false, false), 1500, false);
    let wanted = inventory(&[network], &[]).wanted(&State::default(), &BTreeSet::new());
    assert_eq!((wanted.domains.len(), wanted.tables.len(), wanted.bvis.len()), (1, 0, 0));
}

#[test]
fn ports_of_an_isolated_network_share_a_split_horizon_group() {
    for isolation in [false, true] {
        let plan = endpoint(2, 1, &[Side::Plain], true);
        let network = network(1, (true, false), 1500, isolation);
        let wanted = inventory(&[network], &[plan]).wanted(&State::default(), &BTreeSet::new());
        let groups: BTreeSet<u8> = wanted
            .ports
            .values()
            .map(|port| port.bridged.as_ref().unwrap().split_horizon)
            .collect();
        assert_eq!(groups, BTreeSet::from([u8::from(isolation)]));
    }
}

#[test]
fn only_networks_that_are_not_internal_lead_out_and_publish() {
    let outside = Outside { address: None, protocol: TCP, port: 8080 };
    for (number, leads_out) in [(1, true), (3, false)] {
        let network = network(number, (true, true), 1500, false);
        let mut plan = endpoint(2, number, &[], true);
        plan.published.insert(outside.clone(), 80);
        let mut inventory = inventory(std::slice::from_ref(&network), &[plan]);
        inventory.way_out = true;
        let wanted = inventory.wanted(&State::default(), &BTreeSet::new());
        assert_eq!(wanted.translates, leads_out);
        assert_eq!(wanted.bvis[&Tag::network(&network.id)].inside, leads_out);
        let count = usize::from(leads_out);
        assert_eq!((wanted.ways_out.len(), wanted.published.len()), (count, count));
        inventory.way_out = false;
        let wanted = inventory.wanted(&State::default(), &BTreeSet::new());
        assert_eq!((wanted.translates, wanted.published.len()), (false, 0));
    }
}

#[test]
fn the_address_belongs_to_the_client_while_it_is_connected() {
    let network = network(1, (true, false), 1500, false);
    let plan = endpoint(2, 1, &[Side::Plain, Side::Named], true);
    let [link, plain, named] =
        [Side::Link, Side::Plain, Side::Named].map(|side| Tag::port(&plan.spec.id, side));
    let inventory = inventory(&[network], &[plan]);
    let mut is = State::default();
    let mut next = |connected: &[&Tag]| {
        let connected = connected.iter().map(|&tag| tag.clone()).collect();
        is = inventory.wanted(&is, &connected);
        pin_of(&is).clone()
    };
    assert_eq!(next(&[&link]), link);
    assert_eq!(next(&[&link, &named]), named);
    assert_eq!(next(&[&link, &plain, &named]), named, "who came first stays");
    assert_eq!(next(&[&link, &plain]), plain);
    assert_eq!(next(&[]), link);
}

#[test]
fn an_endpoint_in_vpps_host_stack_is_a_station_of_its_own() {
    let network = network(1, (true, true), 9000, true);
    let plan = hosted_endpoint(endpoint(2, 1, &[Side::Plain], true));
    let [host, outer, plain] =
        [Side::Host, Side::Outer, Side::Plain].map(|side| Tag::port(&plan.spec.id, side));
    let inventory = inventory(std::slice::from_ref(&network), &[plan]);
    let wanted = inventory.wanted(&State::default(), &BTreeSet::new());
    assert!(!wanted.ports.keys().any(|tag| tag.is_side(Side::Link)), "no port of the agent");
    let bvi = &wanted.bvis[&host];
    let addresses: Vec<String> = bvi.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.1.0.2/24", "fd00:1::2/64"]);
    assert_eq!((bvi.mtu, bvi.inside), (9000, false));
    let hops: Vec<String> = wanted.routes.values().map(ToString::to_string).collect();
    assert_eq!(hops, ["10.1.0.1", "fd00:1::1"]);
    assert_eq!(wanted.tables.iter().filter(|table| table.network == host).count(), 2);
    let place = wanted.pipes[&outer].outer.as_ref().unwrap();
    assert_eq!((&place.network, place.split_horizon), (&Tag::network(&network.id), 1));
    assert_eq!(wanted.namespaces[&host].socket, "/run/dockervpp/vpp/end2.app");
    assert_eq!(pin_of(&wanted), &outer);
    let wanted = inventory.wanted(&wanted, &BTreeSet::from([plain.clone()]));
    assert_eq!(pin_of(&wanted), &plain);
}

fn with(plan: &EndpointPlan, front_end: FrontEnd) -> Inventory {
    let plan = EndpointPlan { front_end, ..plan.clone() };
    inventory(&[network(1, (true, false), 1500, false)], &[plan])
}

/// With the agent's network stack and with VPP's.
#[test]
fn while_a_front_end_has_the_address_there_is_nothing_for_memif_clients() {
    let plan = endpoint(2, 1, &[Side::Plain, Side::Named], true);
    for plan in [plan.clone(), hosted_endpoint(plan)] {
        let [link, named] = [Side::Link, Side::Named].map(|side| Tag::port(&plan.spec.id, side));
        let clients = BTreeSet::from([named.clone()]);
        let rest = plan.rest.tag(&plan.spec.id);
        let is = with(&plan, FrontEnd::Absent).wanted(&State::default(), &BTreeSet::new());
        assert_eq!((pin_of(&is), is.ports.contains_key(&link)), (&rest, rest == link));
        for (front_end, connected) in [
            (FrontEnd::Asks, &BTreeSet::new()),
            (FrontEnd::Owns, &BTreeSet::new()),
            // VPP was away, or slow to say it: who has it keeps it.
            (FrontEnd::Owns, &clients),
        ] {
            let wanted = with(&plan, front_end).wanted(&is, connected);
            assert_eq!(pin_of(&wanted), &link);
            assert_eq!(wanted.ports.keys().collect::<Vec<_>>(), [&link]);
            assert_eq!(wanted.sockets, BTreeSet::from([plan.link.clone()]));
            assert_eq!(wanted.pipes, is.pipes);
        }
        // A memif client that is there already keeps it.
        let wanted = with(&plan, FrontEnd::Asks).wanted(&is, &clients);
        assert_eq!(wanted, with(&plan, FrontEnd::Absent).wanted(&is, &clients));
        assert_eq!(pin_of(&wanted), &named);
    }
}

#[test]
fn what_a_former_agent_had_vpp_serve_goes_when_a_front_end_comes_first() {
    let is = with(&endpoint(2, 1, &[Side::Plain, Side::Named], true), FrontEnd::Absent);
    let is = is.wanted(&State::default(), &BTreeSet::new());
    let plan = endpoint(2, 1, &[], false);
    let ports = |front_end, connected: &BTreeSet<Tag>| {
        with(&plan, front_end).wanted(&is, connected).ports.len()
    };
    assert_eq!(ports(FrontEnd::Absent, &BTreeSet::new()), 3);
    assert_eq!(ports(FrontEnd::Asks, &BTreeSet::new()), 1);
    let client = BTreeSet::from([Tag::port(&plan.spec.id, Side::Plain)]);
    assert_eq!(ports(FrontEnd::Asks, &client), 3);
}

#[test]
fn an_interface_is_known_by_its_socket_whoever_has_the_address() {
    let plan = endpoint(2, 1, &[Side::Plain], true);
    let tags = [Side::Link, Side::Plain].map(|side| Tag::port(&plan.spec.id, side));
    for plan in [plan.clone(), hosted_endpoint(plan)] {
        for front_end in [FrontEnd::Absent, FrontEnd::Owns] {
            let known: BTreeSet<Tag> =
                with(&plan, front_end).sockets().map(|(_, tag)| tag).collect();
            assert_eq!(known, BTreeSet::from(tags.clone()));
        }
    }
}

#[test]
fn names_from_a_former_agent_stay_until_the_endpoint_has_settled() {
    let network = network(1, (true, false), 1500, false);
    let former = inventory(std::slice::from_ref(&network), &[endpoint(2, 1, &[Side::Plain], true)]);
    let is = former.wanted(&State::default(), &BTreeSet::new());
    let ports = |settled| {
        let plan = endpoint(2, 1, &[], settled);
        inventory(std::slice::from_ref(&network), &[plan]).wanted(&is, &BTreeSet::new()).ports.len()
    };
    assert_eq!((ports(false), ports(true)), (2, 1));
}

#[test]
fn the_names_of_sockets_are_part_of_the_running_state_and_must_not_change() {
    let plan = endpoint(2, 1, &[Side::Plain], true);
    let text = plan.memif[&Side::Plain].to_string();
    assert_eq!(text, "abstract:dockervpp/memif,netns_name=/run/netns/2");
    let directory = Path::new("/run/dockervpp/vpp");
    assert_eq!(plan.link, SocketFile("/run/dockervpp/vpp/end2.memif".to_owned()));
    assert_eq!(app_socket(directory, &plan.spec.id), "/run/dockervpp/vpp/end2.app");
    let own =
        |text: &str| is_own_socket(&SocketFile(text.to_owned()), Path::new("/run/dockervpp/vpp"));
    assert!(own(&text) && own("/run/dockervpp/vpp/end2.memif"));
    for other in
        ["/run/vpp/memif.sock", "abstract:mine,netns_name=/run/netns/2", "/run/dockervpp/vpp/x"]
    {
        assert!(!own(other), "{other}");
    }
}
