//! Hosts of endpoints that are gone, while VPP's TCP still has connections of them.
//!
//! VPP 26.06 does not hold a FIB table for the connections that are looked up in it (`src/vnet/tcp/tcp_output.c`): what
//! it sends once more after the table was deleted goes by memory that is free, or by the table that came in its
//! place. So the loopback, its bridge domain and its tables stay until nothing is left that could be sent. Without
//! pipe, route and app namespace they reach nobody.
//!
//! Connections are a host's by their FIB. An address is not enough: it may be another endpoint's already, or one of another
//! network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vpp_api_client::api::vlib::CliInband;
use vpp_api_client::{Client, Error};

use super::connections::{Connection, FibIndex, connections, fib_indices, matched, untold_threads};
use super::observe::Sight;
use super::state::{Family, State};
use super::tag::{Side, Tag};

/// Sessions that are asked for at once where a thread has many, of about 2 KB each. VPP makes an answer in memory that
/// all its clients share, 16 MB by default, and ends when there is no more (`src/vlibapi/memory_shared.c` of VPP 26.06).
const PAGE: u32 = 1000;

/// The tables and addresses of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leaving {
    /// The numbers of its tables.
    tables: BTreeMap<Family, u32>,
    addresses: BTreeSet<IpAddr>,
}

/// Where VPP has its tables.
type Places = BTreeMap<Family, BTreeMap<u32, FibIndex>>;

impl Sight {
    /// Hosts that `wanted` does not have.
    pub(super) fn leaving_hosts(&self, wanted: &State) -> BTreeMap<Tag, Leaving> {
        let hosts = self.state.bvis.iter().filter(|(tag, _)| tag.is_side(Side::Host));
        let leaving = hosts.filter(|(tag, _)| !wanted.bvis.contains_key(*tag));
        let leaving = leaving.map(|(tag, bvi)| {
            let own = self.numbers.tables.iter().filter(|(table, _)| table.network == *tag);
            let tables = own.map(|(table, number)| (table.family, *number)).collect();
            let addresses = bvi.addresses.iter().map(ipnet::IpNet::addr).collect();
            (tag.clone(), Leaving { tables, addresses })
        });
        leaving.collect()
    }
}

impl State {
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

impl Leaving {
    /// Whether a connection is the host's: by the FIB; by the address where VPP does not say the FIB, or list the table,
    /// so that nothing goes too early.
    fn has(&self, connection: &Connection, places: &Places) -> bool {
        let family = Family::of(&connection.local.into());
        let own = self.tables.get(&family).and_then(|number| places.get(&family)?.get(number));
        match (connection.fib, own) {
            (Some(fib), Some(own)) => fib == *own,
            _ => self.addresses.contains(&connection.local),
        }
    }
}

/// Those of `hosts` with connections that could still send.
pub(super) async fn busy(
    client: &Client,
    hosts: &BTreeMap<Tag, Leaving>,
) -> Result<BTreeSet<Tag>, Error> {
    if hosts.is_empty() {
        return Ok(BTreeSet::new());
    }
    let open = open_connections(client).await?;
    if open.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut places = Places::new();
    for (family, cmd) in [(Family::V4, "show ip table"), (Family::V6, "show ip6 table")] {
        places.insert(family, fib_indices(&said(client, cmd.to_owned()).await?));
    }
    Ok(with_connections(hosts, &open, &places))
}

/// Those of `hosts` that have one of `open`.
fn with_connections(
    hosts: &BTreeMap<Tag, Leaving>,
    open: &[Connection],
    places: &Places,
) -> BTreeSet<Tag> {
    let busy = hosts.iter().filter(|(_, host)| open.iter().any(|it| host.has(it, places)));
    busy.map(|(tag, _)| tag.clone()).collect()
}

/// All that could still send.
async fn open_connections(client: &Client) -> Result<Vec<Connection>, Error> {
    let all = said(client, "show session verbose 2".to_owned()).await?;
    let mut open = connections(&all);
    for thread in untold_threads(&all) {
        open.extend(connections_of(client, thread).await?);
    }
    Ok(open)
}

/// Those of a thread, page by page: session numbers have gaps, and nothing tells the highest.
async fn connections_of(client: &Client, thread: u32) -> Result<Vec<Connection>, Error> {
    let mut open = Vec::new();
    let mut start = 0;
    loop {
        // Both ends count.
        let end = start + (PAGE - 1);
        let page =
            format!("show session thread {thread} range {start} {end} verbose 2 force-print");
        open.extend(connections(&said(client, page).await?));
        let Some(next) = start.checked_add(PAGE).filter(|next| next.checked_add(PAGE).is_some())
        else {
            return Ok(open);
        };
        let rest = format!("show session thread {thread} range {next} {}", u32::MAX);
        if matched(&said(client, rest).await?) == 0 {
            return Ok(open);
        }
        start = next;
    }
}

async fn said(client: &Client, cmd: String) -> Result<String, Error> {
    Ok(client.request(&CliInband { cmd }).await?.reply)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::vpp::tag::IdStart;
    use crate::model::EndpointId;

    const OLD: u32 = 3;
    const NEW: u32 = 4;

    fn tag(number: u32) -> Tag {
        let endpoint: EndpointId = format!("{number:x}").repeat(64).parse().unwrap();
        Tag::Port(IdStart::from(&endpoint), Side::Host)
    }

    /// A host with tables, and the address that all have.
    fn host(number: u32) -> (Tag, Leaving) {
        let tables = [(Family::V4, 100 + number), (Family::V6, 200 + number)].into();
        (tag(number), Leaving { tables, addresses: addresses().into() })
    }

    fn addresses() -> [IpAddr; 2] {
        ["10.1.0.2", "fd00:1::2"].map(|it| it.parse().unwrap())
    }

    /// Where the tables of two hosts are; IPv6 and IPv4 count by themselves.
    fn places() -> Places {
        let fibs = |base, first| [(base + OLD, FibIndex(first)), (base + NEW, FibIndex(first + 1))];
        [(Family::V4, fibs(100, 7).into()), (Family::V6, fibs(200, 8).into())].into()
    }

    fn connection(local: IpAddr, fib: u32) -> Connection {
        Connection { local, fib: Some(FibIndex(fib)) }
    }

    #[test]
    fn the_same_address_in_another_fib_is_another_host() {
        let hosts = [host(OLD)].into();
        let [v4, v6] = addresses();
        let busy = |open: &[Connection]| with_connections(&hosts, open, &places());
        assert_eq!(busy(&[connection(v4, 8), connection(v6, 9), connection(v6, 7)]), [].into());
        assert_eq!(busy(&[connection(v4, 8), connection(v4, 7)]), [tag(OLD)].into());
        assert_eq!(busy(&[connection(v6, 8)]), [tag(OLD)].into());
    }

    #[test]
    fn what_has_no_fib_is_known_by_its_address() {
        let hosts = [host(OLD)].into();
        let without = |local| Connection { local, fib: None };
        let busy = |local| with_connections(&hosts, &[without(local)], &places());
        assert_eq!(busy(addresses()[0]), [tag(OLD)].into());
        assert_eq!(busy("10.1.0.3".parse().unwrap()), [].into());
        // And where VPP does not list the host's table.
        let [v4, _] = addresses();
        let unlisted = with_connections(&hosts, &[connection(v4, 7)], &Places::new());
        assert_eq!(unlisted, [tag(OLD)].into());
    }

    proptest! {
        #[test]
        fn a_host_is_busy_while_its_own_fib_has_connections(
            open in proptest::collection::vec((0_usize..2, 5_u32..12), 0..8),
        ) {
            let hosts = [host(OLD), host(NEW)].into();
            let all: Vec<Connection> =
                open.iter().map(|(family, fib)| connection(addresses()[*family], *fib)).collect();
            let busy = with_connections(&hosts, &all, &places());
            for (number, own) in [(OLD, [7, 8]), (NEW, [8, 9])] {
                let has = open.iter().any(|(family, fib)| own[*family] == *fib);
                prop_assert_eq!(busy.contains(&tag(number)), has);
            }
        }
    }
}
