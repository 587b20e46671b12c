//! The bridge against a model that keeps a plain map and says the rules in the simplest way.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 0xff, 0xfe]);
const AGEING: u64 = 1000;

fn config() -> BridgeConfig {
    BridgeConfig {
        gateway: Some(GATEWAY),
        learn_limit_per_port: 1024,
        learn_limit: BridgeConfig::DEFAULT_LEARN_LIMIT,
        ageing: Duration::from_millis(AGEING),
        bum_limit: 0,
        seed: 42,
    }
}

fn station(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

fn bridge_with(config: &BridgeConfig, ports: u16, group: PortGroup) -> Bridge {
    let mut bridge = Bridge::new(config);
    for slot in 0..ports {
        let pinned = station(200 + u8::try_from(slot).unwrap());
        bridge.add_port(PortSlot(slot), Some(pinned), group).unwrap();
    }
    bridge
}

fn drop(reason: DropReason) -> Verdict {
    Verdict::Drop(reason)
}

#[test]
fn a_learnt_address_is_found_moves_and_ages() {
    let mut bridge = bridge_with(&config(), 3, PortGroup::Open);
    let (a, b) = (station(1), station(2));
    let flood = Verdict::Flood { to_gateway: false };
    assert_eq!(bridge.forward(PortSlot(0), b, a, Tick(0)), flood);
    let to_a = |bridge: &mut Bridge, now| bridge.forward(PortSlot(1), a, b, Tick(now));
    assert_eq!(to_a(&mut bridge, 0), Verdict::Unicast(PortSlot(0)));
    bridge.forward(PortSlot(2), b, a, Tick(0));
    assert_eq!(to_a(&mut bridge, 0), Verdict::Unicast(PortSlot(2)));
    assert_eq!(to_a(&mut bridge, AGEING - 1), Verdict::Unicast(PortSlot(2)));
    assert_eq!(to_a(&mut bridge, AGEING), flood);
    bridge.age(Tick(AGEING), bridge.cells() * 2);
    assert_eq!(bridge.entries(Tick(AGEING)).filter(|entry| !entry.pinned).count(), 1);
}

#[test]
fn pinned_addresses_cannot_be_claimed() {
    let mut bridge = bridge_with(&config(), 2, PortGroup::Open);
    let own = station(200);
    assert_eq!(bridge.forward(PortSlot(1), own, GATEWAY, Tick(0)), drop(DropReason::Spoofed));
    assert_eq!(bridge.forward(PortSlot(1), GATEWAY, own, Tick(0)), drop(DropReason::Spoofed));
    assert_eq!(bridge.forward(PortSlot(0), GATEWAY, own, Tick(0)), Verdict::Gateway);
    assert_eq!(bridge.forward(PortSlot(1), own, station(1), Tick(0)), {
        Verdict::Unicast(PortSlot(0))
    });
}

#[test]
fn a_pinned_address_comes_home_from_where_it_was_learnt() {
    let mut bridge = bridge_with(&config(), 2, PortGroup::Open);
    bridge.forward(PortSlot(1), GATEWAY, station(9), Tick(0));
    bridge.add_port(PortSlot(5), Some(station(9)), PortGroup::Open).unwrap();
    assert_eq!(bridge.forward(PortSlot(0), station(9), station(200), Tick(0)), {
        Verdict::Unicast(PortSlot(5))
    });
    assert_eq!(
        bridge.forward(PortSlot(1), GATEWAY, station(9), Tick(0)),
        drop(DropReason::Spoofed)
    );
}

#[test]
fn frames_that_no_bridge_forwards() {
    let mut bridge = bridge_with(&config(), 2, PortGroup::Open);
    let mut forward = |dst, src| bridge.forward(PortSlot(0), dst, src, Tick(0));
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    assert_eq!(forward(station(1), group), drop(DropReason::Malformed));
    assert_eq!(forward(station(1), MacAddr([0; 6])), drop(DropReason::Malformed));
    let bpdu = MacAddr([1, 0x80, 0xc2, 0, 0, 0]);
    let lldp = MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e]);
    assert_eq!(forward(bpdu, station(1)), drop(DropReason::Reserved));
    assert_eq!(forward(lldp, station(1)), drop(DropReason::Reserved));
    let gmrp = MacAddr([1, 0x80, 0xc2, 0, 0, 0x20]);
    assert_eq!(forward(gmrp, station(1)), Verdict::Flood { to_gateway: true });
    assert_eq!(forward(station(200), station(1)), drop(DropReason::Hairpin));
    assert_eq!(
        bridge.forward(PortSlot(9), station(1), station(2), Tick(0)),
        drop(DropReason::NotOwner)
    );
}

#[test]
fn isolated_ports_reach_the_gateway_and_open_ports_only() {
    let mut bridge = bridge_with(&config(), 3, PortGroup::Isolated);
    let (zero, one, uplink) = (PortSlot(0), PortSlot(1), PortSlot(9));
    let mut forward = |from, dst, src| bridge.forward(from, dst, src, Tick(0));
    assert_eq!(forward(zero, station(201), station(200)), drop(DropReason::Isolated));
    assert_eq!(forward(zero, station(77), station(200)), drop(DropReason::Isolated));
    assert_eq!(forward(zero, GATEWAY, station(200)), Verdict::Gateway);
    assert_eq!(forward(zero, MacAddr::BROADCAST, station(200)), {
        Verdict::Flood { to_gateway: true }
    });
    assert_eq!(bridge.flood_targets(zero).count(), 0);
    bridge.add_port(uplink, None, PortGroup::Open).unwrap();
    assert_eq!(bridge.flood_targets(zero).collect::<Vec<_>>(), [uplink]);
    assert_eq!(bridge.flood_targets(uplink).count(), 3);
    bridge.forward(uplink, station(200), station(50), Tick(0));
    assert_eq!(bridge.forward(one, station(50), station(201), Tick(0)), Verdict::Unicast(uplink));
}

#[test]
fn what_came_through_a_tunnel_goes_to_stations_of_this_host_only() {
    let mut bridge = Bridge::new(&config());
    let (station_port, host, tunnels) = (PortSlot(0), PortSlot(1), [PortSlot(2), PortSlot(3)]);
    bridge.add_port(station_port, Some(station(200)), PortGroup::Open).unwrap();
    bridge.add_port(host, Some(station(201)), PortGroup::Gateway).unwrap();
    for tunnel in tunnels {
        bridge.add_port(tunnel, None, PortGroup::Tunnel).unwrap();
    }
    let mut forward = |from, dst, src| bridge.forward(from, dst, src, Tick(0));
    let local_flood = Verdict::Flood { to_gateway: false };
    assert_eq!(forward(tunnels[0], MacAddr::BROADCAST, station(1)), local_flood);
    assert_eq!(forward(tunnels[1], station(1), station(2)), drop(DropReason::Isolated));
    assert_eq!(forward(tunnels[0], station(201), station(1)), drop(DropReason::Isolated));
    assert_eq!(forward(tunnels[0], GATEWAY, station(1)), drop(DropReason::Isolated));
    assert_eq!(forward(tunnels[0], station(200), station(1)), Verdict::Unicast(station_port));
    assert_eq!(forward(host, station(1), station(201)), drop(DropReason::Isolated));
    assert_eq!(forward(station_port, station(1), station(200)), Verdict::Unicast(tunnels[0]));
    // An address of this host cannot come from another one.
    assert_eq!(forward(tunnels[1], station(1), station(200)), drop(DropReason::Spoofed));
    assert_eq!(bridge.flood_targets(tunnels[0]).collect::<Vec<_>>(), [station_port]);
    assert_eq!(bridge.flood_targets(host).collect::<Vec<_>>(), [station_port]);
    assert_eq!(bridge.flood_targets(station_port).count(), 3);
}

#[test]
fn the_learn_limits_stop_learning_but_not_forwarding() {
    let config = BridgeConfig { learn_limit_per_port: 3, learn_limit: 5, ..config() };
    let mut bridge = bridge_with(&config, 2, PortGroup::Open);
    for number in 1..=10 {
        assert_eq!(bridge.forward(PortSlot(0), GATEWAY, station(number), Tick(0)), {
            Verdict::Gateway
        });
    }
    assert_eq!(bridge.learn_limited(PortSlot(0)), 7);
    for number in 11..=20 {
        bridge.forward(PortSlot(1), GATEWAY, station(number), Tick(0));
    }
    assert_eq!(bridge.learn_limited(PortSlot(1)), 8);
    assert_eq!(bridge.entries(Tick(0)).count(), 5 + 3);
    // Ageing gives the room back.
    bridge.age(Tick(AGEING), bridge.cells() * 2);
    bridge.forward(PortSlot(0), GATEWAY, station(30), Tick(AGEING));
    assert_eq!(bridge.learn_limited(PortSlot(0)), 7);
}

#[test]
fn flooding_is_limited_per_port() {
    let mut bridge = bridge_with(&BridgeConfig { bum_limit: 1000, ..config() }, 3, PortGroup::Open);
    let mut flooded = |from: u16| {
        let src = station(200 + u8::try_from(from).unwrap());
        let verdicts = (0..200)
            .map(|_| bridge.forward(PortSlot(from), MacAddr::BROADCAST, src, Tick(0)))
            .collect::<Vec<_>>();
        assert_eq!(verdicts.last(), Some(&drop(DropReason::BumLimit)));
        verdicts.iter().filter(|v| **v == Verdict::Flood { to_gateway: true }).count()
    };
    assert_eq!(flooded(0), 100);
    assert_eq!(flooded(1), 100);
    assert_eq!(
        bridge.forward(PortSlot(0), station(202), station(200), Tick(0)),
        Verdict::Unicast(PortSlot(2)),
        "the limit is for flooded frames alone"
    );
}

#[test]
fn ports_that_cannot_be_added() {
    let mut bridge = bridge_with(&config(), 1, PortGroup::Open);
    let mut add = |slot, mac| bridge.add_port(PortSlot(slot), mac, PortGroup::Open);
    assert_eq!(add(0, None), Err(BridgeError::SlotInUse(PortSlot(0))));
    assert_eq!(add(u16::MAX, None), Err(BridgeError::SlotReserved));
    assert_eq!(add(1, Some(GATEWAY)), Err(BridgeError::DuplicateAddress(GATEWAY)));
    assert_eq!(add(1, Some(station(200))), Err(BridgeError::DuplicateAddress(station(200))));
    assert_eq!(add(1, Some(MacAddr::BROADCAST)), Err(BridgeError::NotUnicast(MacAddr::BROADCAST)));
    assert_eq!(add(65_534, Some(station(1))), Ok(()));
}

#[test]
fn a_domain_without_gateway_or_other_ports_has_nowhere_to_flood() {
    let mut bridge = bridge_with(&BridgeConfig { gateway: None, ..config() }, 1, PortGroup::Open);
    let verdict = bridge.forward(PortSlot(0), MacAddr::BROADCAST, station(200), Tick(0));
    assert_eq!(verdict, drop(DropReason::NoDestination));
}

/// One step of the model test. Stations and slots are few, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Add { slot: u16, pinned: Option<u8>, group: PortGroup },
    Remove { slot: u16 },
    Forward { slot: u16, dst: u8, src: u8 },
    Wait { ticks: u64 },
    Sweep { budget: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..4u16, proptest::option::of(0..12u8), proptest::sample::select(&PortGroup::ALL))
            .prop_map(|(slot, pinned, group)| Step::Add { slot, pinned, group }),
        1 => (0..4u16).prop_map(|slot| Step::Remove { slot }),
        16 => (0..5u16, 0..14u8, 0..14u8)
            .prop_map(|(slot, dst, src)| Step::Forward { slot, dst, src }),
        2 => (0..AGEING / 2).prop_map(|ticks| Step::Wait { ticks }),
        1 => (0..80usize).prop_map(|budget| Step::Sweep { budget }),
    ];
    proptest::collection::vec(step, 0..300)
}

/// Number 12 is the gateway's address, 13 is broadcast.
fn address(number: u8) -> MacAddr {
    match number {
        12 => GATEWAY,
        13 => MacAddr::BROADCAST,
        _ => station(number),
    }
}

/// Which groups exchange frames, one line for each.
fn passes(from: PortGroup, to: PortGroup) -> bool {
    match from {
        PortGroup::Open => true,
        PortGroup::Isolated => matches!(to, PortGroup::Open | PortGroup::Gateway),
        PortGroup::Gateway => to != PortGroup::Tunnel,
        PortGroup::Tunnel => to == PortGroup::Open,
    }
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    ports: BTreeMap<u16, PortGroup>,
    pinned: BTreeMap<MacAddr, Option<u16>>,
    learnt: BTreeMap<MacAddr, (u16, u64)>,
    learn_limited: BTreeMap<u16, u64>,
}

impl Model {
    fn is_live(&self, seen: u64) -> bool {
        self.now - seen < AGEING
    }

    fn add(&mut self, slot: u16, pinned: Option<MacAddr>, group: PortGroup) -> bool {
        let refused = self.ports.contains_key(&slot)
            || pinned.is_some_and(|mac| self.pinned.contains_key(&mac));
        if !refused {
            self.ports.insert(slot, group);
            if let Some(mac) = pinned {
                self.learnt.remove(&mac);
                self.pinned.insert(mac, Some(slot));
            }
        }
        !refused
    }

    fn remove(&mut self, slot: u16) -> bool {
        self.pinned.retain(|_, port| *port != Some(slot));
        self.learnt.retain(|_, (port, _)| *port != slot);
        self.learn_limited.remove(&slot);
        self.ports.remove(&slot).is_some()
    }

    fn forward(&mut self, from: u16, dst: MacAddr, src: MacAddr, config: &BridgeConfig) -> Verdict {
        let Some(group) = self.ports.get(&from).copied() else {
            return drop(DropReason::NotOwner);
        };
        if src.is_multicast() {
            return drop(DropReason::Malformed);
        }
        if self.pinned.get(&src).is_some_and(|port| *port != Some(from)) {
            return drop(DropReason::Spoofed);
        }
        if !self.pinned.contains_key(&src) {
            let here = self.learnt.values().filter(|(port, _)| *port == from).count();
            let known = self.learnt.get(&src).map(|(port, _)| *port);
            if known == Some(from)
                || here < config.learn_limit_per_port
                    && (known.is_some() || self.learnt.len() < config.learn_limit)
            {
                self.learnt.insert(src, (from, self.now));
            } else {
                *self.learn_limited.entry(from).or_default() += 1;
            }
        }
        let others = self.ports.iter().filter(|(slot, _)| **slot != from).count();
        let targets = self.ports.iter().filter(|(slot, it)| **slot != from && passes(group, **it));
        let targets = targets.count();
        let place = match self.pinned.get(&dst) {
            Some(place) => Some(*place),
            None => self
                .learnt
                .get(&dst)
                .filter(|(_, seen)| self.is_live(*seen))
                .map(|(port, _)| Some(*port)),
        };
        match place {
            Some(None) if group == PortGroup::Tunnel => drop(DropReason::Isolated),
            Some(None) => Verdict::Gateway,
            Some(Some(port)) if port == from => drop(DropReason::Hairpin),
            Some(Some(port)) if !passes(group, self.ports[&port]) => drop(DropReason::Isolated),
            Some(Some(port)) => Verdict::Unicast(PortSlot(port)),
            None if dst.is_multicast() && group != PortGroup::Tunnel => {
                Verdict::Flood { to_gateway: true }
            }
            None if others == 0 => drop(DropReason::NoDestination),
            None if targets == 0 => drop(DropReason::Isolated),
            None => Verdict::Flood { to_gateway: false },
        }
    }
}

/// A sweep meets an unspecified part of the table, so the model takes over what it forgot, after
/// checking that only aged addresses are gone.
fn follow_sweep(model: &mut Model, bridge: &Bridge) {
    let kept: Vec<_> = bridge.table.records().map(|record| MacAddr::from(record.key)).collect();
    let now = model.now;
    model.learnt.retain(|mac, (_, seen)| {
        let live = kept.contains(mac);
        assert!(live || now - *seen >= AGEING, "{mac} was forgotten too early");
        live
    });
}

fn compare(model: &Model, bridge: &Bridge) {
    let mut entries: Vec<_> = bridge.entries(Tick(model.now)).collect();
    entries.sort_unstable_by_key(|entry| (entry.pinned, entry.mac));
    let learnt = model.learnt.iter().filter(|(_, (_, seen))| model.is_live(*seen));
    let expected: Vec<_> = learnt
        .map(|(mac, (port, seen))| (*mac, Some(*port), false, model.now - seen))
        .chain(model.pinned.iter().map(|(mac, port)| (*mac, *port, true, 0)))
        .map(|(mac, port, pinned, age)| Entry {
            mac,
            port: port.map(PortSlot),
            pinned,
            age: Duration::from_millis(age),
        })
        .collect();
    assert_eq!(entries, expected);
    for slot in model.ports.keys() {
        let limited = model.learn_limited.get(slot).copied().unwrap_or(0);
        assert_eq!(bridge.learn_limited(PortSlot(*slot)), limited);
    }
    assert_eq!(bridge.learnt, model.learnt.len());
    assert_eq!(bridge.pinned, model.pinned.len());
}

proptest! {
    #[test]
    fn behaves_as_the_model(seed: u64, per_port in 0..6usize, all in 0..8usize, steps in steps()) {
        let config = BridgeConfig {
            seed, learn_limit_per_port: per_port, learn_limit: all, ..config()
        };
        let mut bridge = Bridge::new(&config);
        let mut model = Model::default();
        model.pinned.insert(GATEWAY, None);
        for step in steps {
            match step {
                Step::Add { slot, pinned, group } => {
                    let pinned = pinned.map(address);
                    let added = bridge.add_port(PortSlot(slot), pinned, group).is_ok();
                    prop_assert_eq!(added, model.add(slot, pinned, group));
                }
                Step::Remove { slot } => {
                    prop_assert_eq!(bridge.remove_port(PortSlot(slot)), model.remove(slot));
                }
                Step::Forward { slot, dst, src } => {
                    let (dst, src) = (address(dst), address(src));
                    let expected = model.forward(slot, dst, src, &config);
                    let verdict = bridge.forward(PortSlot(slot), dst, src, Tick(model.now));
                    prop_assert_eq!(verdict, expected);
                }
                Step::Wait { ticks } => model.now += ticks,
                Step::Sweep { budget } => {
                    bridge.age(Tick(model.now), budget);
                    follow_sweep(&mut model, &bridge);
                }
            }
            compare(&model, &bridge);
        }
    }
}
