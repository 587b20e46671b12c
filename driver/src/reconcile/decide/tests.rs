//! Examples for each rule, and properties over whole histories of looks.

use proptest::prelude::*;

use super::*;

const GRACE: Duration = Duration::from_secs(30);
const APART: Duration = Duration::from_secs(5);
const RULES: Rules = Rules { grace: GRACE, apart: APART };
const OLD: Duration = Duration::from_mins(10);

fn network(number: u8) -> NetworkId {
    format!("n{number}").parse().unwrap()
}

fn endpoint(number: u8) -> EndpointId {
    format!("e{number}").parse().unwrap()
}

fn ours(networks: &[(u8, Duration)]) -> Ours {
    let networks = networks.iter().map(|(number, quiet)| (network(*number), *quiet)).collect();
    Ours { networks, endpoints: BTreeMap::new() }
}

fn with(mut ours: Ours, number: u8, on: u8, quiet: Duration, running: bool) -> Ours {
    let made = OurEndpoint { network: network(on), quiet, running };
    ours.endpoints.insert(endpoint(number), made);
    ours
}

fn theirs(networks: &[u8]) -> Theirs {
    let daemon = DaemonId("A".to_owned());
    let networks: BTreeSet<_> = networks.iter().map(|number| network(*number)).collect();
    Theirs { daemon, networks, endpoints: BTreeMap::new() }
}

fn listing(mut theirs: Theirs, on: u8, endpoints: &[u8]) -> Theirs {
    let known = endpoints.iter().map(|number| endpoint(*number)).collect();
    theirs.endpoints.insert(network(on), known);
    theirs
}

#[test]
fn a_network_goes_at_the_second_look_without_it() {
    let mut sightings = Sightings::new(RULES);
    let start = Instant::now();
    let (ours, theirs) = (ours(&[(1, OLD), (2, OLD)]), theirs(&[2, 7]));
    let first = sightings.look(start, &ours, &theirs);
    assert_eq!((first.networks.len(), first.undecided), (0, true));
    assert_eq!(first.missing, [network(1)]);
    let early = sightings.look(start + APART / 2, &ours, &theirs);
    assert!(early.networks.is_empty() && early.undecided);
    assert_eq!(sightings.look(start + APART, &ours, &theirs).networks, [network(1)]);
}

#[test]
fn what_docker_named_a_moment_ago_stays() {
    let mut sightings = Sightings::new(RULES);
    let start = Instant::now();
    let young = GRACE.saturating_sub(Duration::from_millis(1));
    for quiet in [Duration::ZERO, young] {
        let verdict = sightings.look(start + OLD, &ours(&[(1, quiet)]), &theirs(&[7]));
        assert!(verdict.networks.is_empty() && verdict.undecided);
    }
    let verdict = sightings.look(start + 2 * OLD, &ours(&[(1, GRACE)]), &theirs(&[7]));
    assert_eq!(verdict.networks, [network(1)]);
    // An endpoint that was named lately speaks for its network as well.
    let busy = with(ours(&[(1, OLD)]), 1, 1, young, false);
    assert!(sightings.look(start + 3 * OLD, &busy, &theirs(&[7])).networks.is_empty());
}

#[test]
fn one_look_with_it_starts_the_count_again() {
    let mut sightings = Sightings::new(RULES);
    let start = Instant::now();
    let ours = ours(&[(1, OLD)]);
    sightings.look(start, &ours, &theirs(&[7]));
    assert!(!sightings.look(start + APART, &ours, &theirs(&[1, 7])).undecided);
    assert!(sightings.look(start + 2 * APART, &ours, &theirs(&[7])).networks.is_empty());
    assert_eq!(sightings.look(start + 3 * APART, &ours, &theirs(&[7])).networks, [network(1)]);
}

#[test]
fn another_daemon_and_a_failed_look_start_the_count_again() {
    let mut sightings = Sightings::new(RULES);
    let start = Instant::now();
    let ours = ours(&[(1, OLD)]);
    sightings.look(start, &ours, &theirs(&[7]));
    let other = Theirs { daemon: DaemonId("B".to_owned()), ..theirs(&[7]) };
    assert!(sightings.look(start + APART, &ours, &other).networks.is_empty());
    assert!(sightings.look(start + 2 * APART, &ours, &theirs(&[7])).networks.is_empty());
    sightings.reset();
    assert!(sightings.look(start + 3 * APART, &ours, &theirs(&[7])).networks.is_empty());
}

#[test]
fn a_running_container_on_an_unlisted_network_stops_everything() {
    let mut sightings = Sightings::new(RULES);
    let start = Instant::now();
    let ours = with(ours(&[(1, OLD), (2, OLD)]), 1, 2, OLD, true);
    for look in 0..4 {
        let verdict = sightings.look(start + look * APART, &ours, &theirs(&[7]));
        assert_eq!(verdict.foreign, [network(2)]);
        assert!(verdict.networks.is_empty() && verdict.endpoints.is_empty() && !verdict.undecided);
    }
}

#[test]
fn an_endpoint_goes_only_where_endpoints_were_listed() {
    let mut sightings = Sightings::new(RULES);
    let start = Instant::now();
    let ours = with(with(ours(&[(1, OLD), (2, OLD)]), 1, 1, OLD, true), 2, 2, OLD, false);
    let both = theirs(&[1, 2]);
    let partly = listing(both.clone(), 1, &[9]);
    for theirs in [&both, &partly, &both, &partly] {
        // Not in a row: one of two looks says nothing of the endpoints.
        let verdict = sightings.look(start + OLD, &ours, theirs);
        assert!(verdict.endpoints.is_empty() && verdict.networks.is_empty());
    }
    let verdict = sightings.look(start + OLD + APART, &ours, &partly);
    assert_eq!(verdict.endpoints, [endpoint(1)]);
}

fn quiet() -> impl Strategy<Value = Duration> {
    (0u64..60).prop_map(Duration::from_secs)
}

fn any_ours() -> impl Strategy<Value = Ours> {
    let networks = proptest::collection::btree_map((0u8..4).prop_map(network), quiet(), 0..4);
    let one = (0u8..4, quiet(), any::<bool>());
    let endpoints = proptest::collection::btree_map((0u8..6).prop_map(endpoint), one, 0..6);
    (networks, endpoints).prop_map(|(networks, endpoints)| {
        let made = |(on, quiet, running)| OurEndpoint { network: network(on), quiet, running };
        let endpoints = endpoints.into_iter().map(|(id, parts)| (id, made(parts))).collect();
        Ours { networks, endpoints }
    })
}

fn any_theirs() -> impl Strategy<Value = Theirs> {
    let networks = proptest::collection::btree_set((0u8..4).prop_map(network), 0..4);
    let known = proptest::collection::btree_set((0u8..6).prop_map(endpoint), 0..4);
    let endpoints = proptest::collection::btree_map((0u8..4).prop_map(network), known, 0..4);
    (0u8..2, networks, endpoints).prop_map(|(daemon, networks, endpoints)| {
        let daemon = DaemonId(daemon.to_string());
        Theirs { daemon, networks, endpoints }
    })
}

proptest! {
    /// Whatever comes: what is forgotten was missing in this look and, from the same daemon, in an
    /// earlier one with none between that had it; it is not young; and nobody runs on it.
    #[test]
    fn nothing_is_forgotten_without_proof(
        looks in proptest::collection::vec((any_ours(), any_theirs(), 0u64..8, any::<bool>()), 1..12)
    ) {
        let mut sightings = Sightings::new(RULES);
        let mut now = Instant::now();
        let mut history: Vec<(Instant, Ours, Theirs)> = Vec::new();
        for (ours, theirs, wait, fails) in looks {
            now += Duration::from_secs(wait);
            if fails {
                sightings.reset();
                history.clear();
                continue;
            }
            let verdict = sightings.look(now, &ours, &theirs);
            history.push((now, ours.clone(), theirs.clone()));
            let proven = |missing: &dyn Fn(&Ours, &Theirs) -> bool| {
                let run = history.iter().rev().take_while(|(_, ours, seen)| {
                    seen.daemon == theirs.daemon && missing(ours, seen)
                });
                run.last().is_some_and(|(first, _, _)| now - *first >= APART)
            };
            for id in &verdict.networks {
                prop_assert!(ours.networks[id] >= GRACE);
                prop_assert!(inside(&ours, id).all(|it| it.quiet >= GRACE && !it.running));
                let missing = |ours: &Ours, seen: &Theirs| {
                    ours.networks.contains_key(id) && !seen.networks.contains(id)
                };
                prop_assert!(proven(&missing));
            }
            for id in &verdict.endpoints {
                prop_assert!(ours.endpoints[id].quiet >= GRACE);
                let missing = |ours: &Ours, seen: &Theirs| {
                    ours.endpoints.get(id).is_some_and(|it| is_absent(id, it, seen))
                };
                prop_assert!(proven(&missing));
            }
            if !verdict.foreign.is_empty() {
                prop_assert!(verdict.networks.is_empty() && verdict.endpoints.is_empty());
            }
        }
    }

    /// What stays missing goes in the end, and nothing else does.
    #[test]
    fn what_stays_missing_goes(ours in any_ours(), theirs in any_theirs()) {
        let mut ours = ours;
        ours.networks.values_mut().for_each(|quiet| *quiet = OLD);
        for endpoint in ours.endpoints.values_mut() {
            endpoint.quiet = OLD;
            endpoint.running = false;
        }
        let mut sightings = Sightings::new(RULES);
        let start = Instant::now();
        sightings.look(start, &ours, &theirs);
        let verdict = sightings.look(start + APART, &ours, &theirs);
        let missing: Vec<_> =
            ours.networks.keys().filter(|id| !theirs.networks.contains(id)).cloned().collect();
        prop_assert_eq!(&verdict.networks, &missing);
        prop_assert!(verdict.endpoints.iter().all(|id| ours.endpoints.contains_key(id)));
    }
}
