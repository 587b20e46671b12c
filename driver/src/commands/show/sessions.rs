//! The tables of sessions and listeners.

use crate::control::sessions::{Flow, Listener, Session};
use crate::model::EndpointId;
use crate::table::{Align, Table};

/// One line for each session, as the side that connected sees it.
pub(super) fn sessions(list: &[Session]) -> Table {
    let mut table = Table::new(&[
        ("ENDPOINT", Align::Left),
        ("LOCAL", Align::Left),
        ("PEER ENDPOINT", Align::Left),
        ("PEER", Align::Left),
        ("TRANSPORT", Align::Left),
        ("PROTOCOL", Align::Left),
        ("STATE", Align::Left),
        ("SENT", Align::Right),
        ("RECEIVED", Align::Right),
        ("RING FILL", Align::Right),
        ("WAKE-UPS", Align::Right),
    ]);
    for session in list {
        let Session { sent, received, ring_bytes, .. } = session;
        table.row([
            name(session.endpoint.as_ref()),
            session.local.map_or_else(String::new, |local| local.to_string()),
            name(session.peer.as_ref()),
            session.remote.to_string(),
            session.transport.clone(),
            session.protocol.clone(),
            session.state.clone(),
            sent.bytes.to_string(),
            received.bytes.to_string(),
            format!("{}/{}", fill(sent, *ring_bytes), fill(received, *ring_bytes)),
            format!("{}/{}", sent.wakeups, received.wakeups),
        ]);
    }
    table
}

/// One line for each listener.
pub(super) fn listeners(list: &[Listener]) -> Table {
    let mut table = Table::new(&[
        ("ENDPOINT", Align::Left),
        ("NETWORK", Align::Left),
        ("PROTOCOL", Align::Left),
        ("ADDRESS", Align::Left),
        ("SHARED", Align::Left),
        ("KERNEL", Align::Left),
        ("BACKLOG", Align::Left),
    ]);
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    for listener in list {
        table.row([
            listener.endpoint.short().to_owned(),
            listener.network.short().to_owned(),
            listener.protocol.clone(),
            listener.address.clone(),
            yes(listener.shared),
            yes(listener.kernel),
            if listener.backlog_full { "full" } else { "has room" }.to_owned(),
        ]);
    }
    table
}

fn name(endpoint: Option<&EndpointId>) -> String {
    endpoint.map_or("removed", EndpointId::short).to_owned()
}

/// How full a ring is.
fn fill(flow: &Flow, ring_bytes: u32) -> String {
    match (flow.waiting * 100).checked_div(ring_bytes.into()) {
        Some(percent) => format!("{percent}%"),
        None => "-".to_owned(),
    }
}
