//! The differences between arbitrary states, carried out on a model with VPP's rules.

use proptest::prelude::*;

use super::*;
use crate::engine::vpp::observe::Sight;
use crate::engine::vpp::plan::Inventory;
use crate::engine::vpp::plan::tests::{inventories, some_tags};
use crate::engine::vpp::state::{Namespace, Pipe};
use crate::engine::vpp::tag::Side;

/// What VPP would say no to.
type Refusal = String;

/// Carries out a step as VPP does, or refuses it as VPP does.
fn carry_out(state: &mut State, step: &Step) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(format!("{why}: {step:?}"));
    match step {
        Step::Unbridge(tag) => {
            if let Some(pipe) = state.pipes.get_mut(tag) {
                return pipe.outer.take().map(|_| ()).ok_or_else(|| format!("{step:?}"));
            }
            if tag.is_side(Side::Inner) {
                let pipe = tag.beside(Side::Outer).and_then(|outer| state.pipes.get_mut(&outer));
                return match pipe {
                    Some(pipe) if pipe.inner => {
                        pipe.inner = false;
                        Ok(())
                    }
                    _ => refuse("not bridged"),
                };
            }
            if let Some(port) = state.ports.get_mut(tag) {
                return port.bridged.take().map(|_| ()).ok_or_else(|| format!("{step:?}"));
            }
            match state.bvis.get_mut(tag) {
                Some(bvi) if bvi.bridged => {
                    bvi.bridged = false;
                    Ok(())
                }
                _ => refuse("not bridged"),
            }
        }
        Step::DeleteDomain(tag) => {
            let of_port = |port: &Port| port.bridged.as_ref().is_some_and(|it| it.network == *tag);
            let bridged = state.ports.values().any(of_port)
                || state.bvis.get(tag).is_some_and(|it| it.bridged)
                || state.pipes.iter().any(|(outer, pipe)| holds_pipe(tag, outer, pipe))
                || state.pins.keys().any(|pin| pin.network == *tag);
            if bridged { refuse("not empty") } else { remove(&mut state.domains, tag, step) }
        }
        Step::DeleteTable(table) => {
            let bound = |it: &Bvi| it.tables.contains(&table.family);
            let leads_out = table.family == Family::V4 && state.ways_out.contains(&table.network);
            let published = state.published.values().any(|it| it.network == table.network);
            if leads_out
                || published
                || state.routes.contains_key(table)
                || state.bvis.get(&table.network).is_some_and(bound)
            {
                return refuse("in use");
            }
            remove(&mut state.tables, table, step)
        }
        Step::AddTable(table) => insert(&mut state.tables, table, step),
        Step::AddDomain(tag) => insert(&mut state.domains, tag, step),
        Step::SetUp(tag) => {
            let ups = [
                state.ports.get_mut(tag).map(|port| &mut port.up),
                state.bvis.get_mut(tag).map(|bvi| &mut bvi.up),
            ];
            match ups.into_iter().flatten().next() {
                Some(up) => {
                    *up = true;
                    Ok(())
                }
                None => refuse("no such interface"),
            }
        }
        step => carry_out_on_port(state, step),
    }
}

/// Those for ports.
fn carry_out_on_port(state: &mut State, step: &Step) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(format!("{why}: {step:?}"));
    match step {
        Step::Unpin(pin, port) => match state.pins.remove(pin) {
            Some(found) if found == *port => Ok(()),
            _ => refuse("no such entry"),
        },
        Step::DeletePort(tag) => match state.ports.get(tag) {
            Some(port) if port.bridged.is_some() => refuse("bridged"),
            Some(_) if state.pins.values().any(|port| port == tag) => refuse("pinned"),
            Some(_) => {
                state.ports.remove(tag);
                Ok(())
            }
            None => refuse("no such port"),
        },
        Step::DeleteSocket(file) if state.ports.values().any(|port| port.socket == *file) => {
            refuse("in use")
        }
        Step::DeleteSocket(file) => remove(&mut state.sockets, file, step),
        Step::AddSocket(file) => insert(&mut state.sockets, file, step),
        Step::AddPort { tag, socket, role, terms } => {
            if !state.sockets.contains(socket) {
                return refuse("no such socket");
            }
            if state.ports.values().any(|port| port.socket == *socket) {
                return refuse("socket taken");
            }
            let port = Port {
                socket: socket.clone(),
                role: *role,
                terms: terms.clone(),
                bridged: None,
                up: false,
            };
            match state.ports.insert(tag.clone(), port) {
                None => Ok(()),
                Some(_) => refuse("there already"),
            }
        }
        Step::BridgePort(tag, bridged) if tag.is_side(Side::Inner) => {
            let there = state.domains.contains(&bridged.network);
            match tag.beside(Side::Outer).and_then(|outer| state.pipes.get_mut(&outer)) {
                Some(pipe) if !pipe.inner && there => {
                    pipe.inner = true;
                    Ok(())
                }
                _ => refuse("no such pipe or domain"),
            }
        }
        Step::BridgePort(tag, bridged) if tag.is_side(Side::Outer) => {
            match state.pipes.get_mut(tag) {
                Some(pipe) if pipe.outer.is_none() && state.domains.contains(&bridged.network) => {
                    pipe.outer = Some(bridged.clone());
                    Ok(())
                }
                _ => refuse("no such pipe or domain"),
            }
        }
        Step::BridgePort(tag, bridged) => match state.ports.get_mut(tag) {
            Some(port) if port.bridged.is_none() && state.domains.contains(&bridged.network) => {
                port.bridged = Some(bridged.clone());
                Ok(())
            }
            _ => refuse("no such port or domain"),
        },
        Step::Pin(pin, port) => {
            let bridged = state.ports.get(port).and_then(|it| it.bridged.as_ref());
            let bridged =
                bridged.or_else(|| state.pipes.get(port).and_then(|it| it.outer.as_ref()));
            if bridged.is_none_or(|it| it.network != pin.network) {
                return refuse("not in that domain");
            }
            match state.pins.insert(pin.clone(), port.clone()) {
                None => Ok(()),
                Some(_) => refuse("there already"),
            }
        }
        step => carry_out_on_host(state, step),
    }
}

/// Whether a pipe has an end in a domain.
fn holds_pipe(domain: &Tag, outer: &Tag, pipe: &Pipe) -> bool {
    let own = pipe.inner && outer.beside(Side::Host).as_ref() == Some(domain);
    own || pipe.outer.as_ref().is_some_and(|it| it.network == *domain)
}

/// Those for hosts of endpoints.
fn carry_out_on_host(state: &mut State, step: &Step) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(format!("{why}: {step:?}"));
    match step {
        Step::AddPipe(tag) => {
            let pipe = Pipe { outer: None, inner: false, up: false };
            match state.pipes.insert(tag.clone(), pipe) {
                None => Ok(()),
                Some(_) => refuse("there already"),
            }
        }
        Step::SetPipeUp(tag) => match state.pipes.get_mut(tag) {
            Some(pipe) => {
                pipe.up = true;
                Ok(())
            }
            None => refuse("no such pipe"),
        },
        Step::DeletePipe(tag) => match state.pipes.get(tag) {
            Some(pipe) if pipe.outer.is_some() || pipe.inner => refuse("bridged"),
            Some(_) if state.pins.values().any(|port| port == tag) => refuse("pinned"),
            Some(_) => {
                state.pipes.remove(tag);
                Ok(())
            }
            None => refuse("no such pipe"),
        },
        Step::AddRoute(table, hop) => {
            let bvi = state.bvis.get(&table.network);
            let reached = bvi.is_some_and(|bvi| {
                bvi.tables.contains(&table.family)
                    && bvi.addresses.iter().any(|it| it.contains(hop))
            });
            match state.routes.insert(table.clone(), *hop) {
                None if reached && state.tables.contains(table) => Ok(()),
                _ => refuse("no way there, or there already"),
            }
        }
        Step::DeleteRoute(table, hop) => match state.routes.remove(table) {
            Some(found) if found == *hop => Ok(()),
            _ => refuse("no such route"),
        },
        Step::AddNamespace(tag, socket) => {
            let namespace = Namespace { socket: socket.clone(), bound: true };
            let there = state.bvis.get(tag).is_some_and(|it| !it.addresses.is_empty());
            match state.namespaces.insert(tag.clone(), namespace) {
                None if there => Ok(()),
                _ => refuse("no such host, or there already"),
            }
        }
        Step::DeleteNamespace(tag) => match state.namespaces.remove(tag) {
            Some(_) => Ok(()),
            None => refuse("no such namespace"),
        },
        step => carry_out_on_bvi(state, step),
    }
}

/// Those for BVIs.
fn carry_out_on_bvi(state: &mut State, step: &Step) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(format!("{why}: {step:?}"));
    match step {
        Step::DeleteAddress(tag, address) => match state.bvis.get_mut(tag) {
            Some(bvi) => remove(&mut bvi.addresses, address, step),
            None => refuse("no such bvi"),
        },
        Step::DeleteBvi(tag) | Step::BindTable(tag, _) | Step::UnbindTable(tag, _)
            if state.namespaces.contains_key(tag) =>
        {
            refuse("it has an app namespace")
        }
        Step::UnbindTable(tag, family) => match state.bvis.get_mut(tag) {
            Some(bvi) if has_address(bvi, *family) => refuse("has addresses"),
            Some(bvi) => remove(&mut bvi.tables, family, step),
            None => refuse("no such bvi"),
        },
        Step::DeleteBvi(tag) => match state.bvis.get(tag) {
            Some(it)
                if it.bridged || it.inside || !it.tables.is_empty() || !it.addresses.is_empty() =>
            {
                refuse("still used")
            }
            Some(_) => {
                state.bvis.remove(tag);
                Ok(())
            }
            None => refuse("no such bvi"),
        },
        Step::AddBvi(tag, mac) => {
            let bvi = Bvi {
                mac: *mac,
                mtu: 9000,
                tables: BTreeSet::new(),
                addresses: BTreeSet::new(),
                bridged: false,
                up: false,
                inside: false,
            };
            match state.bvis.insert(tag.clone(), bvi) {
                None => Ok(()),
                Some(_) => refuse("there already"),
            }
        }
        Step::BindTable(tag, family) => {
            let table = Table { network: tag.clone(), family: *family };
            match state.bvis.get_mut(tag) {
                Some(bvi) if has_address(bvi, *family) => refuse("has addresses"),
                Some(bvi) if state.tables.contains(&table) => insert(&mut bvi.tables, family, step),
                _ => refuse("no such bvi or table"),
            }
        }
        Step::BridgeBvi(tag) => match state.bvis.get_mut(tag) {
            Some(bvi) if !bvi.bridged && state.domains.contains(tag) => {
                bvi.bridged = true;
                Ok(())
            }
            _ => refuse("no such bvi or domain"),
        },
        Step::SetMtu(tag, mtu) => match state.bvis.get_mut(tag) {
            Some(bvi) => {
                bvi.mtu = *mtu;
                Ok(())
            }
            None => refuse("no such bvi"),
        },
        Step::AddAddress(tag, address) => match state.bvis.get_mut(tag) {
            Some(bvi) => insert(&mut bvi.addresses, address, step),
            None => refuse("no such bvi"),
        },
        step => carry_out_on_translation(state, step),
    }
}

/// Those for what leaves the host.
fn carry_out_on_translation(state: &mut State, step: &Step) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(format!("{why}: {step:?}"));
    let leads = |state: &State, network: &Tag| {
        state.tables.contains(&Table { network: network.clone(), family: Family::V4 })
    };
    match step {
        Step::Translate => {
            state.translates = true;
            Ok(())
        }
        Step::SetInside(tag, inside) => match state.bvis.get_mut(tag) {
            Some(bvi) if bvi.inside != *inside && state.translates => {
                bvi.inside = *inside;
                Ok(())
            }
            _ => refuse("no such bvi, no change, or nothing translates"),
        },
        Step::AddWayOut(tag) if leads(state, tag) => insert(&mut state.ways_out, tag, step),
        Step::DeleteWayOut(tag) if leads(state, tag) => remove(&mut state.ways_out, tag, step),
        Step::Publish(outside, inside) if leads(state, &inside.network) && state.translates => {
            match state.published.insert(outside.clone(), inside.clone()) {
                None => Ok(()),
                Some(_) => refuse("there already"),
            }
        }
        Step::Unpublish(outside, inside) => match state.published.remove(outside) {
            Some(found) if found == *inside => Ok(()),
            _ => refuse("no such mapping"),
        },
        step => refuse(&format!("no rule for {step:?}")),
    }
}

fn has_address(bvi: &Bvi, family: Family) -> bool {
    bvi.addresses.iter().any(|address| Family::of(address) == family)
}

fn insert<T: Ord + Clone>(set: &mut BTreeSet<T>, item: &T, step: &Step) -> Result<(), Refusal> {
    set.insert(item.clone()).then_some(()).ok_or_else(|| format!("there already: {step:?}"))
}

fn remove<T: Ord>(set: &mut BTreeSet<T>, item: &T, step: &Step) -> Result<(), Refusal> {
    set.remove(item).then_some(()).ok_or_else(|| format!("not there: {step:?}"))
}

fn carry_out_all(state: &mut State, steps: &[Step]) {
    for step in steps {
        carry_out(state, step).unwrap_or_else(|refusal| panic!("{refusal}"));
    }
}

/// What is left when an agent died on its way from one inventory to another.
fn somewhere_between(
    from: &Inventory,
    to: &Inventory,
    connected: &BTreeSet<Tag>,
    cut: prop::sample::Index,
) -> State {
    let mut state = State::default();
    let first = from.wanted(&state, connected);
    let steps = diff(&state, &first);
    carry_out_all(&mut state, &steps);
    let steps = diff(&state, &to.wanted(&state, connected));
    let end = cut.index(steps.len() + 1);
    carry_out_all(&mut state, &steps[..end]);
    state
}

proptest! {
    #[test]
    fn the_steps_lead_to_what_is_wanted_and_none_is_refused(
        inventories in proptest::collection::vec(inventories(), 3),
        connected in some_tags(),
        cut: prop::sample::Index,
    ) {
        let [from, to, last] = <[Inventory; 3]>::try_from(inventories).unwrap();
        let mut state = somewhere_between(&from, &to, &connected, cut);
        let wanted = last.wanted(&state, &connected);
        let steps = diff(&state, &wanted);
        carry_out_all(&mut state, &steps);
        prop_assert_eq!(&state, &wanted);
        let again = last.wanted(&state, &connected);
        prop_assert_eq!(&again, &wanted, "what is wanted does not change by getting there");
        prop_assert_eq!(diff(&state, &again), []);
    }

    #[test]
    fn nothing_is_left_when_nothing_is_wanted(
        from in inventories(),
        to in inventories(),
        connected in some_tags(),
        cut: prop::sample::Index,
    ) {
        let mut state = somewhere_between(&from, &to, &connected, cut);
        let none = Inventory { whole: true, ..Inventory::default() };
        let steps = diff(&state, &none.wanted(&state, &connected));
        carry_out_all(&mut state, &steps);
        let translates = state.translates;
        prop_assert_eq!(state, State { translates, ..State::default() });
    }

    #[test]
    fn hosts_that_linger_reach_nobody_and_go_when_they_are_done(
        from in inventories(),
        to in inventories(),
        connected in some_tags(),
        cut: prop::sample::Index,
        picked: prop::sample::Selector,
    ) {
        let mut state = somewhere_between(&from, &to, &connected, cut);
        let none = Inventory { whole: true, ..Inventory::default() };
        let gone = none.wanted(&state, &connected);
        let sight = Sight { state: state.clone(), ..Sight::default() };
        let leaving = sight.leaving_hosts(&gone);
        prop_assert!(leaving.keys().all(|tag| tag.is_side(Side::Host)));
        let busy: BTreeSet<Tag> = picked.try_select(leaving.keys()).into_iter().cloned().collect();
        let before = state.clone();
        let mut wanted = gone.clone();
        wanted.linger(&before, &busy);
        let steps = diff(&before, &wanted);
        carry_out_all(&mut state, &steps);
        prop_assert_eq!(&state, &wanted);
        prop_assert!(state.pipes.is_empty() && state.namespaces.is_empty() && state.routes.is_empty());
        prop_assert_eq!(state.bvis.keys().collect::<Vec<_>>(), busy.iter().collect::<Vec<_>>());
        for (tag, bvi) in &state.bvis {
            prop_assert_eq!(Some(bvi), before.bvis.get(tag));
            for table in before.tables.iter().filter(|table| table.network == *tag) {
                prop_assert!(state.tables.contains(table));
            }
        }
        let steps = diff(&state, &gone);
        carry_out_all(&mut state, &steps);
        prop_assert_eq!(state, gone);
    }

    #[test]
    fn before_all_is_known_nothing_goes(from in inventories(), connected in some_tags()) {
        let mut state = State::default();
        let steps = diff(&state, &from.wanted(&state, &connected));
        carry_out_all(&mut state, &steps);
        let before = state.clone();
        let none = Inventory::default();
        prop_assert_eq!(diff(&state, &none.wanted(&state, &connected)), []);
        prop_assert_eq!(state, before);
    }
}
