//! What is special about hosts of endpoints: pipes, routes and app namespaces. Pure.

use super::{Doomed, Step};
use crate::engine::vpp::state::{Bridged, Pipe, State, Table};
use crate::engine::vpp::tag::{Side, Tag};

impl<'a> Doomed<'a> {
    /// Namespaces and routes go before the loopback or the tables that they were made for.
    pub(super) fn of_hosts(&mut self, is: &'a State, wanted: &State) {
        let namespaces = is.namespaces.iter().filter(|(tag, namespace)| {
            wanted.namespaces.get(*tag) != Some(namespace) || !self.keeps_host(tag, is, wanted)
        });
        let routes = is.routes.iter().filter(|(table, hop)| {
            wanted.routes.get(*table) != Some(hop) || !self.keeps_host(&table.network, is, wanted)
        });
        let namespaces = namespaces.map(|(tag, _)| tag).collect();
        let routes = routes.map(|(table, _)| table).collect();
        (self.namespaces, self.routes) = (namespaces, routes);
    }

    /// Whether a loopback stays, in the tables that it is in.
    fn keeps_host(&self, tag: &Tag, is: &State, wanted: &State) -> bool {
        let tables = |state: &State| state.bvis.get(tag).map(|bvi| bvi.tables.clone());
        !self.bvis.contains(tag) && tables(is).is_some() && tables(is) == tables(wanted)
    }

    /// Takes away what is in the way of everything else.
    pub(super) fn remove_from_hosts(&self, is: &State, steps: &mut Vec<Step>) {
        steps.extend(self.namespaces.iter().map(|&tag| Step::DeleteNamespace(tag.clone())));
        let routes = self.routes.iter().filter_map(|&table| Some((table, is.routes.get(table)?)));
        steps.extend(routes.map(|(table, hop)| Step::DeleteRoute(table.clone(), *hop)));
    }

    /// Takes pipes away, and out of bridge domains where they should not be.
    pub(super) fn remove_pipes(&self, is: &State, wanted: &State, steps: &mut Vec<Step>) {
        for (tag, pipe) in &is.pipes {
            let goes = self.pipes.contains(tag);
            if pipe.outer.is_some() && (goes || self.moves(tag, is, wanted)) {
                steps.push(Step::Unbridge(tag.clone()));
            }
            if pipe.inner
                && goes
                && let Some(inner) = tag.beside(Side::Inner)
            {
                steps.push(Step::Unbridge(inner));
            }
            if goes {
                steps.push(Step::DeletePipe(tag.clone()));
            }
        }
    }
}

/// Adds pipes, routes and app namespaces; loopbacks, tables and bridge domains are there.
pub(super) fn add_to_hosts(is: &State, wanted: &State, doomed: &Doomed<'_>, steps: &mut Vec<Step>) {
    for (tag, pipe) in &wanted.pipes {
        add_pipe(tag, pipe, is.pipes.get(tag), steps);
    }
    let route_stays =
        |table: &Table| is.routes.contains_key(table) && !doomed.routes.contains(table);
    for (table, hop) in wanted.routes.iter().filter(|(table, _)| !route_stays(table)) {
        steps.push(Step::AddRoute(table.clone(), *hop));
    }
    let stays = |tag: &Tag| is.namespaces.contains_key(tag) && !doomed.namespaces.contains(tag);
    for (tag, namespace) in wanted.namespaces.iter().filter(|(tag, _)| !stays(tag)) {
        steps.push(Step::AddNamespace(tag.clone(), namespace.socket.clone()));
    }
}

fn add_pipe(tag: &Tag, pipe: &Pipe, found: Option<&Pipe>, steps: &mut Vec<Step>) {
    if found.is_none() {
        steps.push(Step::AddPipe(tag.clone()));
    }
    let [host, inner] = [Side::Host, Side::Inner].map(|side| tag.beside(side));
    if let (true, Some(host), Some(inner)) = (pipe.inner, host, inner)
        && !found.is_some_and(|it| it.inner)
    {
        steps.push(Step::BridgePort(inner, Bridged { network: host, split_horizon: 0 }));
    }
    if let Some(bridged) = &pipe.outer
        && found.and_then(|it| it.outer.as_ref()) != Some(bridged)
    {
        steps.push(Step::BridgePort(tag.clone(), bridged.clone()));
    }
    if pipe.up && !found.is_some_and(|it| it.up) {
        steps.push(Step::SetPipeUp(tag.clone()));
    }
}
