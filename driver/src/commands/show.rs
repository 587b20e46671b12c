//! `dockervpp show`: what a running agent has, for people or as JSON.

mod sessions;
mod vxlan;

use std::collections::BTreeMap;

use miette::IntoDiagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::{ShowArgs, ShowWhat};
use crate::control::client::{Client, escaped};
use crate::control::{Counters, Endpoint, FdbEntry, Network, Phase, PublishedPort};
use crate::model::{EndpointId, NetworkId};
use crate::table::{Align, Table};

/// Runs the command.
pub fn run(arguments: &ShowArgs) -> miette::Result<()> {
    let client = Client::new(&arguments.agent.control_socket);
    let text = super::runtime()?.block_on(async {
        match arguments.what {
            ShowWhat::Networks => shown(&client, arguments, "networks", networks).await,
            ShowWhat::Endpoints => shown(&client, arguments, "endpoints", endpoints).await,
            ShowWhat::Fdb => shown(&client, arguments, "fdb", fdb).await,
            ShowWhat::Counters => shown(&client, arguments, "counters", counters).await,
            ShowWhat::Sessions => shown(&client, arguments, "sessions", sessions::sessions).await,
            ShowWhat::Listeners => {
                shown(&client, arguments, "listeners", sessions::listeners).await
            }
            ShowWhat::Ports => shown(&client, arguments, "ports", ports).await,
            ShowWhat::Vxlan => shown(&client, arguments, "vxlan", vxlan::hosts).await,
        }
    })?;
    Ok(super::output::print(&text)?)
}

async fn shown<T: Serialize + DeserializeOwned>(
    client: &Client,
    arguments: &ShowArgs,
    what: &str,
    table: fn(&[T]) -> Table,
) -> miette::Result<String> {
    let query = arguments.network.as_deref().map(|id| format!("?network={}", escaped(id)));
    let path = format!("/v1/{what}{}", query.unwrap_or_default());
    if arguments.json {
        // As the agent sent it: a newer agent may say more than this version knows.
        let list: serde_json::Value = client.get(&path).await?;
        let mut text = serde_json::to_string_pretty(&list).into_diagnostic()?;
        text.push('\n');
        return Ok(text);
    }
    let list: Vec<T> = client.get(&path).await?;
    Ok(table(&list).to_string())
}

fn networks(list: &[Network]) -> Table {
    let mut table = Table::new(&[
        ("NETWORK", Align::Left),
        ("SUBNETS", Align::Left),
        ("GATEWAYS", Align::Left),
        ("MTU", Align::Right),
        ("ATTACH", Align::Left),
        ("TCP", Align::Left),
        ("FLAGS", Align::Left),
        ("ENDPOINTS", Align::Right),
        ("VNI", Align::Right),
    ]);
    for network in list {
        let flags = [(network.internal, "internal"), (network.isolation, "isolation")];
        let flags = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect::<Vec<_>>();
        let subnets = network.subnets.iter().map(|subnet| subnet.subnet.as_str());
        let gateways = network.subnets.iter().filter_map(|subnet| subnet.gateway.as_deref());
        table.row([
            network.id.short().to_owned(),
            subnets.collect::<Vec<_>>().join(" "),
            gateways.collect::<Vec<_>>().join(" "),
            network.mtu.to_string(),
            network.attach.to_string(),
            network.tcp.to_string(),
            flags.join(" "),
            network.endpoints.to_string(),
            optional(network.vni.as_ref()),
        ]);
    }
    table
}

fn endpoints(list: &[Endpoint]) -> Table {
    let mut table = Table::new(&[
        ("ENDPOINT", Align::Left),
        ("NETWORK", Align::Left),
        ("MAC", Align::Left),
        ("IPV4", Align::Left),
        ("IPV6", Align::Left),
        ("ATTACH", Align::Left),
        ("TCP", Align::Left),
        ("PHASE", Align::Left),
        ("INTERFACE", Align::Left),
        ("OWNER", Align::Left),
        ("MEMIF", Align::Left),
        ("ANTISPOOF", Align::Left),
        ("RATES", Align::Left),
        ("VHOST-USER", Align::Left),
        ("PORTS", Align::Left),
    ]);
    for endpoint in list {
        let ports = endpoint.ports.iter().map(ToString::to_string).collect::<Vec<_>>();
        table.row([
            endpoint.id.short().to_owned(),
            endpoint.network.short().to_owned(),
            endpoint.mac.clone(),
            optional(endpoint.ipv4.as_ref()),
            optional(endpoint.ipv6.as_ref()),
            endpoint.attach.to_string(),
            endpoint.tcp.clone(),
            phase(endpoint.phase).to_owned(),
            optional(endpoint.interface.as_ref()),
            optional(endpoint.owner.as_ref()),
            endpoint.memif.as_ref().map_or_else(String::new, |client| {
                let (rx, tx) = (client.rx_queues, client.tx_queues);
                format!("{} {rx}x{tx} queues of {}", printable(&client.name), client.ring_size)
            }),
            optional(endpoint.antispoof.as_ref()),
            rates(&endpoint.rates),
            endpoint.vhost.as_ref().map_or_else(String::new, |device| {
                let (rx, tx, size) = (device.rx_queues, device.tx_queues, device.ring_size);
                match rx + tx {
                    0 => device.socket.clone(),
                    _ => format!("{} {rx}x{tx} queues of {size}", device.socket),
                }
            }),
            ports.join(" "),
        ]);
    }
    table
}

/// Limits of frames and sessions, without what all names have in common.
fn rates(rates: &BTreeMap<String, String>) -> String {
    let named = rates.iter().map(|(key, rate)| {
        let name = key.strip_prefix("rate.").unwrap_or(key);
        format!("{name} {rate}")
    });
    named.collect::<Vec<_>>().join(", ")
}

fn fdb(list: &[FdbEntry]) -> Table {
    let mut table = Table::new(&[
        ("NETWORK", Align::Left),
        ("MAC", Align::Left),
        ("ENDPOINT", Align::Left),
        ("KIND", Align::Left),
        ("AGE", Align::Right),
    ]);
    for entry in list {
        let kind = if entry.pinned { "pinned" } else { "learnt" };
        let age = if entry.pinned { String::new() } else { format!("{:.1} s", entry.age_seconds) };
        table.row([
            entry.network.short().to_owned(),
            entry.mac.clone(),
            place(entry),
            kind.to_owned(),
            age,
        ]);
    }
    table
}

/// Where an address is.
fn place(entry: &FdbEntry) -> String {
    match (&entry.endpoint, &entry.peer) {
        (Some(endpoint), _) => EndpointId::short(endpoint).to_owned(),
        (None, Some(peer)) => format!("vxlan {peer}"),
        (None, None) => "gateway".to_owned(),
    }
}

/// Counts by name.
fn counted(counts: &BTreeMap<String, u64>) -> String {
    let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn counters(list: &[Counters]) -> Table {
    let mut table = Table::new(&[
        ("ENDPOINT", Align::Left),
        ("NETWORK", Align::Left),
        ("RX FRAMES", Align::Right),
        ("RX BYTES", Align::Right),
        ("TX FRAMES", Align::Right),
        ("TX BYTES", Align::Right),
        ("DROPS", Align::Left),
        ("NAMES", Align::Left),
        ("SESSIONS", Align::Left),
    ]);
    for entry in list {
        table.row([
            entry.endpoint.short().to_owned(),
            NetworkId::short(&entry.network).to_owned(),
            entry.rx_frames.to_string(),
            entry.rx_bytes.to_string(),
            entry.tx_frames.to_string(),
            entry.tx_bytes.to_string(),
            counted(&entry.drops),
            counted(&entry.names),
            counted(&entry.sessions),
        ]);
    }
    table
}

fn ports(list: &[PublishedPort]) -> Table {
    let mut table = Table::new(&[
        ("ENDPOINT", Align::Left),
        ("NETWORK", Align::Left),
        ("PORT", Align::Left),
        ("SERVED", Align::Left),
        ("TRANSPORT", Align::Left),
    ]);
    for entry in list {
        table.row([
            entry.endpoint.short().to_owned(),
            entry.network.short().to_owned(),
            entry.mapping.to_string(),
            if entry.served { "yes" } else { "no" }.to_owned(),
            entry.transport.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Joined => "joined",
        Phase::Unsettled => "unsettled",
    }
}

fn optional<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A name that a container chose, without what could drive a terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
