//! Hosts of endpoints that are gone, while VPP's TCP still has connections of them.
//!
//! VPP 26.06 does not hold a FIB table for the connections that are looked up in it (`src/vnet/tcp/tcp_output.c`): what
//! it sends once more after the table was deleted goes by memory that is free, or by the table that came in its
//! place. So the loopback, its bridge domain and its tables stay until nothing is left that could be sent. Without
//! pipe, route and app namespace they reach nobody.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use vpp_api_client::api::vlib::CliInband;
use vpp_api_client::{Client, Error};

use super::cli_text::{has_open_connection, threads_with_sessions};
use super::state::State;
use super::tag::{Side, Tag};

impl State {
    /// Hosts that `wanted` does not have, with their addresses.
    pub(super) fn leaving_hosts(&self, wanted: &Self) -> BTreeMap<Tag, BTreeSet<IpNet>> {
        let hosts = self.bvis.iter().filter(|(tag, _)| tag.is_side(Side::Host));
        let leaving = hosts.filter(|(tag, _)| !wanted.bvis.contains_key(*tag));
        leaving.map(|(tag, bvi)| (tag.clone(), bvi.addresses.clone())).collect()
    }

    /// Keeps these hosts as they are in `is`.
    pub(super) fn linger(&mut self, is: &Self, hosts: &BTreeSet<Tag>) {
        for host in hosts {
            let Some(bvi) = is.bvis.get(host) else { continue };
            self.bvis.insert(host.clone(), bvi.clone());
            self.domains.extend(is.domains.get(host).cloned());
            let own = is.tables.iter().filter(|table| table.network == *host);
            self.tables.extend(own.cloned());
        }
    }
}

/// Those of `hosts` with connections that could still send.
pub(super) async fn busy(
    client: &Client,
    hosts: &BTreeMap<Tag, BTreeSet<IpNet>>,
) -> Result<BTreeSet<Tag>, Error> {
    let mut busy = BTreeSet::new();
    if hosts.is_empty() {
        return Ok(busy);
    }
    let threads = threads_with_sessions(&said(client, "show session".to_owned()).await?);
    for (host, addresses) in hosts {
        for net in addresses {
            for thread in &threads {
                let address = net.addr();
                let cmd = format!("show session thread {thread} lcl {address} verbose force-print");
                if has_open_connection(&said(client, cmd).await?) {
                    busy.insert(host.clone());
                }
            }
        }
    }
    Ok(busy)
}

async fn said(client: &Client, cmd: String) -> Result<String, Error> {
    Ok(client.request(&CliInband { cmd }).await?.reply)
}
