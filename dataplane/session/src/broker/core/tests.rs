//! Properties of the port table and of the broker.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::broker::{Ask, Broker, Grant, ListenVerdict, Verdict, Way};
use super::endpoint::{Endpoint, Limits};
use super::key::{EndpointKey, ListenerId, NetworkKey, SessionId};
use super::ports::{Binding, Choice, Local, PortTable, Room};
use super::rate::Rate;
use super::registry::{Record, Registry};
use super::tuples::{EPHEMERAL, Tuple, Tuples};
use super::waiting::{Waiter, Waiting};
use crate::layout::{RingSize, Side};
use crate::wire::{Protocol, Refusal, Reuse};

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn v6(last: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into()
}

fn local() -> impl Strategy<Value = Local> {
    prop_oneof![
        (0u8..2).prop_map(|last| Local::One(v4(last))),
        (0u8..2).prop_map(|last| Local::One(v6(last))),
        Just(Local::AnyV4),
        any::<bool>().prop_map(|only| Local::AnyV6 { only }),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Stream), Just(Protocol::Datagram)]
}

fn binding() -> impl Strategy<Value = Binding> {
    (protocol(), local(), 1u16..3, any::<[bool; 2]>(), 0u64..4).prop_map(
        |(protocol, local, port, [address, reuse_port], cookie)| Binding {
            protocol,
            local,
            port,
            reuse: Reuse { address, port: reuse_port, v6_only: false },
            cookie,
        },
    )
}

const DESTINATIONS: [fn(u8) -> IpAddr; 2] = [v4, v6];

/// What the rules say, address by address.
fn serves(local: Local, ip: IpAddr) -> bool {
    match local {
        Local::One(own) => own == ip,
        Local::AnyV4 => ip.is_ipv4(),
        Local::AnyV6 { only } => ip.is_ipv6() || !only,
    }
}

fn may_share(a: &Binding, b: &Binding) -> bool {
    let common = DESTINATIONS
        .iter()
        .flat_map(|ip| [ip(0), ip(1)])
        .any(|ip| serves(a.local, ip) && serves(b.local, ip));
    let same = a.cookie == b.cookie && a.local == b.local;
    let datagrams = a.protocol == Protocol::Datagram && a.reuse.address && b.reuse.address;
    !common || same || (a.reuse.port && b.reuse.port) || datagrams
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn listeners_share_as_linux_has_it(bindings in prop::collection::vec(binding(), 1..12)) {
        let mut table = PortTable::default();
        let mut there: Vec<(ListenerId, Binding)> = Vec::new();
        for (number, binding) in bindings.into_iter().enumerate() {
            let expected: HashSet<_> = there
                .iter()
                .filter(|(_, other)| {
                    (other.protocol, other.port) == (binding.protocol, binding.port)
                        && !may_share(other, &binding)
                })
                .map(|(id, _)| *id)
                .collect();
            let found: HashSet<_> = table.in_the_way(&binding).collect();
            prop_assert_eq!(&found, &expected);
            if found.is_empty() {
                let id = ListenerId(number as u64);
                table.add(id, binding);
                there.push((id, binding));
            }
        }
        for (id, binding) in &there {
            table.remove(*id, binding);
        }
        prop_assert!(!table.has(Protocol::Stream, 1) && !table.has(Protocol::Datagram, 2));
    }

    #[test]
    fn a_connection_goes_to_who_serves_its_address(
        bindings in prop::collection::vec(binding(), 1..12),
        states in prop::collection::vec(0u8..3, 12),
        protocol in protocol(), port in 1u16..3, family in 0usize..2, last in 0u8..2,
    ) {
        let mut table = PortTable::default();
        let mut there = HashMap::new();
        for (number, binding) in bindings.into_iter().enumerate() {
            if table.in_the_way(&binding).next().is_none() {
                table.add(ListenerId(number as u64), binding);
                there.insert(ListenerId(number as u64), binding);
            }
        }
        let ip = DESTINATIONS[family](last);
        let destination = SocketAddr::new(ip, port);
        let room = |id: ListenerId| match states[usize::try_from(id.0).expect("small")] {
            0 => Room::Free,
            1 => Room::Full,
            _ => Room::Gone,
        };
        let fits = |binding: &Binding| {
            (binding.protocol, binding.port) == (protocol, port) && serves(binding.local, ip)
        };
        match table.choose(protocol, destination, room) {
            Choice::Listener(id) => {
                prop_assert!(fits(&there[&id]));
                prop_assert_eq!(room(id), Room::Free);
                let exact = there.iter().any(|(other, binding)| {
                    fits(binding) && matches!(binding.local, Local::One(_))
                        && room(*other) != Room::Gone
                });
                prop_assert!(!exact || matches!(there[&id].local, Local::One(_)));
            }
            Choice::Full => {
                prop_assert!(there.iter().any(|(id, it)| fits(it) && room(*id) == Room::Full));
            }
            Choice::Nobody => {
                prop_assert!(there.iter().all(|(id, it)| !fits(it) || room(*id) == Room::Gone));
            }
        }
    }

    #[test]
    fn a_group_takes_turns(members in 1u64..8, rounds in 1usize..5) {
        let mut table = PortTable::default();
        let reuse = Reuse { port: true, ..Reuse::default() };
        for id in 0..members {
            table.add(
                ListenerId(id),
                Binding {
                    protocol: Protocol::Stream, local: Local::AnyV4, port: 80, reuse, cookie: id,
                },
            );
        }
        let mut taken: HashMap<ListenerId, usize> = HashMap::new();
        for _ in 0..rounds * usize::try_from(members).expect("small") {
            let destination = SocketAddr::new(v4(1), 80);
            match table.choose(Protocol::Stream, destination, |_| Room::Free) {
                Choice::Listener(id) => *taken.entry(id).or_default() += 1,
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(taken.values().all(|count| *count == rounds));
    }

    #[test]
    fn source_ports_are_free_and_of_the_two_ranges(taken in prop::collection::vec(any::<bool>(), 1..200)) {
        let mut tuples = Tuples::default();
        let destination = SocketAddr::new(v4(1), 80);
        let mut live = HashSet::new();
        for give_back in taken {
            let tuple = tuples
                .take_any(Protocol::Stream, v4(2), destination, |port| port % 7 == 0)
                .expect("some are free");
            let port = tuple.source.port();
            prop_assert!(EPHEMERAL.iter().any(|range| range.contains(&port)) && port % 7 != 0);
            prop_assert!(live.insert(tuple));
            if give_back {
                tuples.give_back(&tuple);
                live.remove(&tuple);
            }
        }
        for tuple in &live {
            prop_assert!(!tuples.take(*tuple));
        }
    }
}

#[test]
fn all_source_ports_to_one_destination_can_be_had_once() {
    let mut tuples = Tuples::default();
    let [here, there] = [SocketAddr::new(v4(1), 80), SocketAddr::new(v4(1), 81)];
    let ports: usize = EPHEMERAL.iter().map(ExactSizeIterator::len).sum();
    let any = |_| false;
    let all: HashSet<_> =
        std::iter::from_fn(|| tuples.take_any(Protocol::Stream, v4(2), here, any)).collect();
    assert_eq!(all.len(), ports);
    assert!(tuples.take_any(Protocol::Stream, v4(2), there, any).is_some());
    assert!(tuples.take_any(Protocol::Datagram, v4(2), here, any).is_some());
    let first = *all.iter().next().expect("there are some");
    tuples.give_back(&first);
    assert_eq!(tuples.take_any(Protocol::Stream, v4(2), here, any), Some(first));
}

fn spec(network: u64, last: u8, kernel: bool) -> Endpoint {
    let IpAddr::V4(ipv4) = v4(last) else { unreachable!() };
    let IpAddr::V6(ipv6) = v6(last) else { unreachable!() };
    Endpoint {
        network: NetworkKey(network),
        ipv4: Some(ipv4),
        ipv6: Some(ipv6),
        kernel,
        isolated: false,
        ring_size: RingSize::DEFAULT,
        limits: Limits::default(),
    }
}

fn ask(destination: SocketAddr) -> Ask {
    Ask { protocol: Protocol::Stream, source: None, destination }
}

fn listen(
    broker: &mut Broker,
    key: EndpointKey,
    address: SocketAddr,
    cookie: u64,
) -> ListenVerdict {
    broker.listen(key, Protocol::Stream, address, Reuse::default(), cookie)
}

#[test]
fn what_has_no_listener_goes_where_its_kind_says() {
    let mut broker = Broker::default();
    let [user, other, auto] = [1, 2, 3].map(EndpointKey);
    broker.add_endpoint(user, spec(1, 1, false));
    broker.add_endpoint(other, spec(1, 2, false));
    broker.add_endpoint(auto, spec(1, 3, true));
    let free = |_| Room::Free;
    let at = |last| ask(SocketAddr::new(v4(last), 80));
    assert_eq!(broker.connect(user, &at(2), free), Verdict::Refuse(Refusal::Refused));
    assert_eq!(broker.connect(user, &at(3), free), Verdict::Stack);
    assert_eq!(broker.connect(user, &at(9), free), Verdict::Stack);
    assert_eq!(broker.connect(auto, &at(2), free), Verdict::UseKernel);
    broker.set_packet_client(other, true);
    assert_eq!(broker.connect(user, &at(2), free), Verdict::Stack);
    let local = ask("127.0.0.1:80".parse().expect("an address"));
    assert_eq!(broker.connect(user, &local, free), Verdict::UseKernel);
    let unspecified = ask("[::]:80".parse().expect("an address"));
    assert_eq!(broker.connect(user, &unspecified, free), Verdict::UseKernel);
    // A listener wins over the packet client.
    assert!(matches!(
        listen(&mut broker, other, SocketAddr::new(v4(2), 80), 1),
        ListenVerdict::Listening(_)
    ));
    assert!(matches!(broker.connect(user, &at(2), free), Verdict::Place(..)));
    let mapped = ask("[::ffff:10.0.0.2]:80".parse().expect("an address")).canonical();
    assert!(matches!(broker.connect(user, &mapped, free), Verdict::Place(..)));
}

/// A network stack answers for streams; nobody would for a datagram to a port that is closed.
#[test]
fn datagrams_are_no_business_of_a_network_stack() {
    let mut broker = Broker::default();
    let [one, two] = [1, 2].map(EndpointKey);
    for (key, last) in [(one, 1), (two, 2)] {
        broker.add_endpoint(key, spec(1, last, false));
        broker.set_stack(key);
    }
    let at = |last| SocketAddr::new(v4(last), 7);
    let datagram = |last| Ask { protocol: Protocol::Datagram, ..ask(at(last)) };
    let free = |_| Room::Free;
    assert_eq!(broker.connect(one, &ask(at(2)), free), Verdict::Stack);
    assert_eq!(broker.connect(one, &datagram(2), free), Verdict::Refuse(Refusal::Refused));
    broker.set_packet_client(two, true);
    assert_eq!(broker.connect(one, &datagram(2), free), Verdict::Stack);
}

#[test]
fn a_program_speaks_from_its_own_addresses_only() {
    let mut broker = Broker::default();
    let [client, server] = [1, 2].map(EndpointKey);
    broker.add_endpoint(client, spec(1, 1, false));
    broker.add_endpoint(server, spec(1, 2, false));
    listen(&mut broker, server, SocketAddr::new(v4(2), 80), 1);
    let free = |_| Room::Free;
    let from = |source: &str| Ask {
        source: Some(source.parse().expect("an address")),
        ..ask(SocketAddr::new(v4(2), 80))
    };
    let own = broker.connect(client, &from("10.0.0.1:4000"), free);
    assert!(matches!(own, Verdict::Place(Grant { tuple, .. }, _) if tuple.source.port() == 4000));
    let not_available = Verdict::Refuse(Refusal::AddressNotAvailable);
    assert_eq!(broker.connect(client, &from("10.0.0.1:4000"), free), not_available);
    assert_eq!(broker.connect(client, &from("10.0.0.2:4000"), free), not_available);
    assert_eq!(broker.connect(client, &from("127.0.0.1:4000"), free), Verdict::UseKernel);
    assert!(matches!(broker.connect(client, &from("0.0.0.0:0"), free), Verdict::Place(..)));
}

#[test]
fn an_isolated_endpoint_reaches_itself_only() {
    let mut broker = Broker::default();
    let [client, server] = [1, 2].map(EndpointKey);
    broker.add_endpoint(client, Endpoint { isolated: true, ..spec(1, 1, false) });
    broker.add_endpoint(server, Endpoint { isolated: true, ..spec(1, 2, false) });
    for (key, last) in [(client, 1), (server, 2)] {
        listen(&mut broker, key, SocketAddr::new(v4(last), 80), key.0);
    }
    let mut connect =
        |last| broker.connect(client, &ask(SocketAddr::new(v4(last), 80)), |_| Room::Free);
    assert_eq!(connect(2), Verdict::Stack);
    assert!(matches!(connect(1), Verdict::Place(..)));
}

#[test]
fn limits_hold_on_both_sides() {
    let mut broker = Broker::default();
    let [client, server, other] = [1, 2, 3].map(EndpointKey);
    let limits = Limits { sessions: 2, listeners: 1, ..Limits::default() };
    broker.add_endpoint(client, Endpoint { limits, ..spec(1, 1, false) });
    broker.add_endpoint(server, spec(1, 2, false));
    broker.add_endpoint(other, spec(1, 3, false));
    listen(&mut broker, server, SocketAddr::new(v4(2), 80), 1);
    listen(&mut broker, client, SocketAddr::new(v4(1), 80), 1);
    let over = listen(&mut broker, client, SocketAddr::new(v4(1), 81), 2);
    assert_eq!(over, ListenVerdict::Refuse(Refusal::Limit));
    let free = |_| Room::Free;
    let outward = ask(SocketAddr::new(v4(2), 80));
    let Verdict::Place(first, _) = broker.connect(client, &outward, free) else { panic!() };
    assert!(matches!(broker.connect(client, &outward, free), Verdict::Place(..)));
    assert_eq!(broker.connect(client, &outward, free), Verdict::Refuse(Refusal::Limit));
    // Who wants to reach a full endpoint waits.
    let inward = ask(SocketAddr::new(v4(1), 80));
    assert_eq!(broker.connect(other, &inward, free), Verdict::Wait(client));
    broker.end(&first);
    assert!(matches!(broker.connect(other, &inward, free), Verdict::Place(..)));
}

#[test]
fn a_rate_is_paid_for_sessions_only_and_what_it_refuses_is_taken_back() {
    let mut broker = Broker::default();
    let [client, server] = [1, 2].map(EndpointKey);
    let new_sessions = Some(Rate { per_second: 1, burst: 1 });
    let limits = Limits { new_sessions, ..Limits::default() };
    broker.add_endpoint(client, Endpoint { limits, ..spec(1, 1, false) });
    broker.add_endpoint(server, spec(1, 2, false));
    listen(&mut broker, server, SocketAddr::new(v4(2), 80), 1);
    let mut connect = |room, now| {
        let verdict = broker.connect(client, &ask(SocketAddr::new(v4(2), 80)), |_| room);
        let admitted = broker.admit_rate(client, &verdict, Duration::from_secs(now));
        let counters = *broker.counters(client).unwrap();
        (admitted, counters.sessions, counters.over_rate)
    };
    assert_eq!(connect(Room::Free, 100), (true, 1, 0));
    assert_eq!(connect(Room::Free, 100), (false, 1, 1));
    assert_eq!(connect(Room::Full, 100), (false, 1, 2), "who would wait pays too");
    assert_eq!(connect(Room::Free, 101), (true, 2, 2));
    for verdict in [Verdict::UseKernel, Verdict::Refuse(Refusal::Refused)] {
        assert!(broker.admit_rate(client, &verdict, Duration::from_secs(101)));
    }
}

/// One step of a life of a broker.
#[derive(Debug, Clone)]
enum Step {
    Listen { endpoint: u64, local: Local, port: u16, cookie: u64 },
    Unlisten(usize),
    Connect { endpoint: u64, last: u8, six: bool, port: u16, source: u16 },
    End(usize),
    Remove(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u64..4, local(), 1u16..3, 0u64..3).prop_map(|(endpoint, local, port, cookie)| {
            Step::Listen { endpoint, local, port, cookie }
        }),
        1 => (0usize..8).prop_map(Step::Unlisten),
        6 => (0u64..4, 0u8..2, any::<bool>(), 1u16..3, 0u16..3).prop_map(
            |(endpoint, last, six, port, source)| Step::Connect { endpoint, last, six, port, source }
        ),
        2 => (0usize..8).prop_map(Step::End),
        1 => (0u64..4).prop_map(Step::Remove),
    ]
}

fn address(local: Local) -> (IpAddr, bool) {
    match local {
        Local::One(ip) => (ip, false),
        Local::AnyV4 => (Ipv4Addr::UNSPECIFIED.into(), false),
        Local::AnyV6 { only } => (Ipv6Addr::UNSPECIFIED.into(), only),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Two networks with the same addresses: endpoints 0 and 1 are of one, 2 and 3 of the other.
    #[test]
    fn sessions_stay_in_their_network_and_are_counted(steps in prop::collection::vec(step(), 1..80)) {
        let mut broker = Broker::default();
        let limits = Limits { sessions: 6, listeners: 4, waiting: 4, new_sessions: None };
        let add = |broker: &mut Broker, key: u64| {
            let last = u8::try_from(key % 2).expect("small");
            let endpoint = Endpoint { limits, ..spec(key / 2, last, key.is_multiple_of(2)) };
            broker.add_endpoint(EndpointKey(key), endpoint);
        };
        (0..4).for_each(|key| add(&mut broker, key));
        let mut listeners: Vec<ListenerId> = Vec::new();
        let mut grants: Vec<Grant> = Vec::new();
        for step in steps {
            match step {
                Step::Listen { endpoint, local, port, cookie } => {
                    let (ip, v6_only) = address(local);
                    let reuse = Reuse { v6_only, ..Reuse::default() };
                    let at = SocketAddr::new(ip, port);
                    let key = EndpointKey(endpoint);
                    match broker.listen(key, Protocol::Stream, at, reuse, cookie) {
                        ListenVerdict::Listening(id) => listeners.push(id),
                        ListenVerdict::Conflict(others) => {
                            for other in others {
                                let listener = broker.listener(other).expect("it is there");
                                prop_assert_eq!(listener.endpoint, key);
                            }
                        }
                        ListenVerdict::UseKernel | ListenVerdict::Refuse(_) => {}
                    }
                }
                Step::Unlisten(at) => {
                    if !listeners.is_empty() {
                        broker.unlisten(listeners.swap_remove(at % listeners.len()));
                    }
                }
                Step::Connect { endpoint, last, six, port, source } => {
                    let ip = DESTINATIONS[usize::from(six)];
                    let own = u8::try_from(endpoint % 2).expect("small");
                    let asked = Ask {
                        protocol: Protocol::Stream,
                        source: (source != 0).then(|| SocketAddr::new(ip(own), source)),
                        destination: SocketAddr::new(ip(last), port),
                    };
                    let verdict = broker.connect(EndpointKey(endpoint), &asked, |_| Room::Free);
                    if let Verdict::Place(grant, id) = verdict {
                        let listener = broker.listener(id).expect("it is there");
                        let server = grant.server.expect("a session of two endpoints");
                        prop_assert_eq!(listener.endpoint, server);
                        prop_assert_eq!(server.0 / 2, endpoint / 2, "another network");
                        prop_assert_eq!(server.0 % 2, u64::from(last));
                        prop_assert!(serves(listener.binding.local, ip(last)));
                        let mut own = grants.iter().filter(|other| other.client == grant.client);
                        prop_assert!(own.all(|other| other.tuple != grant.tuple));
                        grants.push(grant);
                    }
                }
                Step::End(at) => {
                    if !grants.is_empty() {
                        broker.end(&grants.swap_remove(at % grants.len()));
                    }
                }
                Step::Remove(key) => {
                    let gone = broker.remove_endpoint(EndpointKey(key));
                    listeners.retain(|id| !gone.contains(id));
                    let own = EndpointKey(key);
                    for grant in grants.extract_if(.., |it| it.endpoints().any(|side| side == own)) {
                        broker.end(&grant);
                    }
                    add(&mut broker, key);
                }
            }
            for key in (0..4).map(EndpointKey) {
                let counters = broker.counters(key).expect("it is there");
                let sides = grants.iter().flat_map(Grant::endpoints);
                prop_assert_eq!(counters.sessions, sides.filter(|side| *side == key).count() as u64);
                prop_assert!(counters.sessions <= u64::from(limits.sessions) + 1);
                let own = broker.listeners().filter(|(_, it)| it.endpoint == key).count();
                prop_assert_eq!(counters.listeners, own as u64);
                prop_assert!(own <= 4);
            }
            prop_assert_eq!(broker.listeners().count(), listeners.len());
        }
    }

    #[test]
    fn sessions_are_found_by_their_cookies_until_they_are_over(
        steps in prop::collection::vec((0u64..6, 0u64..6, any::<bool>()), 1..60)
    ) {
        let mut registry = Registry::default();
        let mut there: HashMap<u64, [u64; 2]> = HashMap::new();
        let [client, server] = [1, 2].map(EndpointKey);
        for (number, (one, two, over)) in (1..).zip(steps) {
            // Cookies of the kernel are never used twice.
            let cookies = [number * 10 + one, number * 10 + two];
            let tuple = Tuple {
                protocol: Protocol::Stream,
                source: SocketAddr::new(v4(1), 1),
                destination: SocketAddr::new(v4(2), 2),
            };
            let (client, server) = (Some(client), Some(server));
            let way = Way::CutThrough;
            let grant = Grant { id: SessionId(number), client, server, tuple, way };
            registry.add(Record { grant, cookies, memory: () });
            there.insert(number, cookies);
            if over {
                let ends = number / 2;
                registry.sweep_all(|record| record.grant.id.0 == ends, |_| ());
                there.remove(&ends);
            }
            prop_assert_eq!(registry.len(), there.len());
            for (id, [first, second]) in &there {
                let (record, side) = registry.find(EndpointKey(1), *first).expect("it is there");
                prop_assert_eq!((record.grant.id.0, side), (*id, Side::First));
                let (record, side) = registry.find(EndpointKey(2), *second).expect("it is there");
                prop_assert_eq!((record.grant.id.0, side), (*id, Side::Second));
                prop_assert!(registry.find(EndpointKey(3), *first).is_none());
            }
        }
        registry.sweep_all(|_| true, |_| ());
        prop_assert!(registry.is_empty());
    }

    #[test]
    fn who_waits_is_admitted_in_order_and_gives_up_in_time(
        steps in prop::collection::vec((0u16..3, 0u8..4), 1..60)
    ) {
        let mut waiting = Waiting::default();
        let mut doors: HashMap<u16, Vec<u64>> = HashMap::new();
        let door = |port| (EndpointKey(1), Protocol::Stream, port);
        for (number, (port, what)) in (0u64..).zip(steps) {
            match what {
                0 => {
                    let first = doors.get_mut(&port).filter(|it| !it.is_empty()).map(|it| it.remove(0));
                    prop_assert_eq!(waiting.pop(&door(port)).map(|it| it.answer), first);
                }
                1 => {
                    let now = Duration::from_secs(number / 2);
                    while let Some(late) = waiting.pop_late(now) {
                        prop_assert!(late.deadline <= now);
                        for queue in doors.values_mut() {
                            queue.retain(|other| *other != late.answer);
                        }
                    }
                }
                _ => {
                    waiting.push(door(port), Waiter {
                        client: EndpointKey(number % 2),
                        ask: ask(SocketAddr::new(v4(1), port)),
                        cookie: 0,
                        sharing: 0,
                        answer: number,
                        deadline: Duration::from_secs(number),
                    });
                    doors.entry(port).or_default().push(number);
                }
            }
            prop_assert_eq!(waiting.len(), doors.values().map(Vec::len).sum::<usize>());
            for (port, queue) in &doors {
                prop_assert_eq!(waiting.first(&door(*port)).map(|it| it.answer), queue.first().copied());
            }
        }
        for late in waiting.drop_of(EndpointKey(0)) {
            prop_assert_eq!(late.answer % 2, 0);
        }
        prop_assert!(waiting.iter().all(|(_, waiter)| waiter.client == EndpointKey(1)));
    }
}
