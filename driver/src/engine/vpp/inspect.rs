//! Asks VPP what it has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpp_api_client::api::fib_types::{FibPath, FibPathType};
use vpp_api_client::api::interface::{SwInterfaceDump, SwInterfaceGetTable};
use vpp_api_client::api::interface_types::InterfaceIndex;
use vpp_api_client::api::ip::{IpAddressDump, IpRouteLookup, IpTable, IpTableDump};
use vpp_api_client::api::ip_types::Prefix;
use vpp_api_client::api::l2::{BridgeDomainDump, L2FibTableDetails, L2FibTableDump};
use vpp_api_client::api::memif::{MemifDump, MemifSocketFilenameDump};
use vpp_api_client::api::nat44_ed::{
    Nat44InterfaceAddrDump, Nat44InterfaceDump, Nat44StaticMappingDump,
};
use vpp_api_client::api::vlib::CliInband;
use vpp_api_client::{Client, Error};

use super::cli_text;
use super::observe::{BviDumps, Dumps, HostDumps, Sight, TranslationDumps, Viewer};
use super::state::Family;
use super::tag::{Side, Tag};

/// Any number: VPP's wildcard in dumps.
const ALL: u32 = u32::MAX;

/// Looks at all that is the viewer's.
pub(super) async fn inspect(
    client: &Client,
    viewer: Viewer<'_>,
    outside: Option<&str>,
) -> Result<Sight, Error> {
    let mut dumps = Dumps {
        interfaces: client.dump(&SwInterfaceDump::default()).await?,
        domains: client
            .dump(&BridgeDomainDump { bd_id: ALL, sw_if_index: InterfaceIndex(ALL) })
            .await?,
        tables: client.dump(&IpTableDump {}).await?,
        memifs: client.dump(&MemifDump {}).await?,
        sockets: client.dump(&MemifSocketFilenameDump {}).await?,
        ..Dumps::default()
    };
    for bd_id in viewer.domains(&dumps.domains).into_values() {
        dumps.fib.extend(fib(client, bd_id).await?);
    }
    let interfaces = viewer.interfaces(&dumps.interfaces, &dumps.memifs, &dumps.sockets);
    for (tag, index) in interfaces {
        if let Tag::Network(_) | Tag::Port(_, Side::Host) = tag {
            dumps.bvis.insert(index, bvi(client, index).await?);
        }
    }
    dumps.translation = translation(client, viewer, outside, &dumps).await?;
    dumps.hosts = hosts(client, viewer, &dumps).await?;
    Ok(viewer.sight(&dumps))
}

async fn translation(
    client: &Client,
    viewer: Viewer<'_>,
    outside: Option<&str>,
    dumps: &Dumps,
) -> Result<TranslationDumps, Error> {
    let mut found = TranslationDumps::default();
    let named = dumps.interfaces.iter().find(|it| Some(&*it.interface_name) == outside);
    found.outside = named.map(|it| it.sw_if_index);
    for table in &dumps.tables {
        let tag = viewer.owner.read(&table.table.name);
        if !table.table.is_ip6 && matches!(tag, Some(Tag::Network(_))) {
            let table_id = table.table.table_id;
            let paths = default_route(client, table_id, false).await?;
            if paths.iter().any(leads_out) {
                found.leading_out.insert(table_id);
            }
        }
    }
    // The plugin may not be there.
    if client.supports::<Nat44InterfaceDump>() {
        found.interfaces = client.dump(&Nat44InterfaceDump {}).await?;
        found.pool = client.dump(&Nat44InterfaceAddrDump {}).await?;
        found.mappings = client.dump(&Nat44StaticMappingDump {}).await?;
    }
    Ok(found)
}

/// Whether a path leads to VPP's own table. (A default route that nobody made is a drop.)
fn leads_out(path: &FibPath) -> bool {
    path.type_ == FibPathType::NORMAL && path.table_id == 0 && path.sw_if_index == ALL
}

/// The paths of a table's default route.
async fn default_route(
    client: &Client,
    table_id: u32,
    is_ipv6: bool,
) -> Result<Vec<FibPath>, Error> {
    let address: IpAddr =
        if is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let lookup = IpRouteLookup { table_id, exact: 1, prefix: Prefix { address, len: 0 } };
    match client.request(&lookup).await {
        Ok(found) => Ok(found.route.paths),
        // The table went meanwhile.
        Err(Error::Refused { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn hosts(client: &Client, viewer: Viewer<'_>, dumps: &Dumps) -> Result<HostDumps, Error> {
    let mut found = HostDumps::default();
    // Nobody asks for them where no endpoint is in VPP's host stack, which then need not be enabled.
    let shown = client.request(&CliInband { cmd: "show app ns".to_owned() }).await?;
    found.namespaces = cli_text::namespaces(&shown.reply);
    for table in &dumps.tables {
        let IpTable { table_id, is_ip6, name } = &table.table;
        let tag = viewer.owner.read(name);
        if !tag.is_some_and(|tag| tag.is_side(Side::Host)) {
            continue;
        }
        if let [path] = &default_route(client, *table_id, *is_ip6).await?[..]
            && path.type_ == FibPathType::NORMAL
        {
            let address = &path.nh.address;
            let hop = if *is_ip6 {
                address.ip6().map(IpAddr::from)
            } else {
                address.ip4().map(IpAddr::from)
            };
            if let Ok(hop) = hop {
                found.routes.insert((*table_id, *is_ip6), (hop, InterfaceIndex(path.sw_if_index)));
            }
        }
    }
    Ok(found)
}

/// The FDB of a bridge domain.
pub(super) async fn fib(client: &Client, bd_id: u32) -> Result<Vec<L2FibTableDetails>, Error> {
    client.dump(&L2FibTableDump { bd_id }).await
}

async fn bvi(client: &Client, sw_if_index: InterfaceIndex) -> Result<BviDumps, Error> {
    let mut found = BviDumps::default();
    for (family, is_ipv6) in [(Family::V4, false), (Family::V6, true)] {
        let table = client.request(&SwInterfaceGetTable { sw_if_index, is_ipv6 }).await?;
        found.tables.insert(family, table.vrf_id);
        found.addresses.extend(client.dump(&IpAddressDump { sw_if_index, is_ipv6 }).await?);
    }
    Ok(found)
}
