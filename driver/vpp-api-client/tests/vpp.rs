//! Against a real VPP: skipped, by name, where there is none.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use kit::need::{Need, offered};
use kit::vpp::Vpp;
use vpp_api_client::api::MESSAGES;
use vpp_api_client::api::fib_types::{FibPath, FibPathNhProto};
use vpp_api_client::api::interface::{
    CreateLoopbackInstance, DeleteLoopback, SwInterfaceAddDelAddress, SwInterfaceDump,
    SwInterfaceEvent, SwInterfaceSetFlags, SwInterfaceTagAddDel, WantInterfaceEvents,
};
use vpp_api_client::api::interface_types::{IfStatusFlags, InterfaceIndex};
use vpp_api_client::api::ip::{
    IpAddressDump, IpRouteAddDelV2, IpRouteV2, IpRouteV2Dump, IpTable, IpTableAddDel, IpTableDump,
};
use vpp_api_client::api::ip_neighbor::{IpNeighbor, IpNeighborAddDel, IpNeighborDump};
use vpp_api_client::api::ip_types::{AddressFamily, AddressUnion, Prefix};
use vpp_api_client::api::l2::{
    BridgeDomainAddDelV2, BridgeDomainDump, L2PortType, SwInterfaceSetL2Bridge,
};
use vpp_api_client::api::memif::{
    MemifCreateV2, MemifDump, MemifRole, MemifSocketFilenameAddDelV2, MemifSocketFilenameDump,
};
use vpp_api_client::api::nat44_ed::{
    Nat44AddDelStaticMappingV2, Nat44EdAddDelOutputInterface, Nat44EdOutputInterfaceGet,
    Nat44EdPluginEnableDisable, Nat44StaticMappingDump,
};
use vpp_api_client::api::vlib::CliInband;
use vpp_api_client::api::vpe::ShowVersion;
use vpp_api_client::stats::Stats;
use vpp_api_client::{ApiError, Client, Error, Identity, Loss, MacAddress};

/// How long VPP is given for what it tells by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A VPP and a client of it; `None` where there is no VPP.
async fn vpp() -> Option<(Vpp, Client)> {
    if !offered(&[Need::Vpp, Need::Root]) {
        return None;
    }
    let vpp = Vpp::start(&[]).expect("VPP starts");
    let client = Client::connect(vpp.api_socket()).await.expect("VPP takes the client");
    Some((vpp, client))
}

async fn loopback(client: &Client) -> InterfaceIndex {
    let create = CreateLoopbackInstance {
        mac_address: "02:00:5e:00:53:01".parse().expect("an address"),
        ..Default::default()
    };
    client.request(&create).await.expect("a loopback").sw_if_index
}

fn prefix(address: [u8; 4], len: u8) -> Prefix {
    Prefix { address: IpAddr::V4(address.into()), len }
}

#[tokio::test]
async fn vpp_has_the_messages_that_are_known() {
    let Some((_vpp, client)) = vpp().await else { return };
    let version = client.request(&ShowVersion {}).await.expect("a version");
    assert_eq!(&*version.program, "vpe");
    println!("{}", version.version);
    let known: Vec<Identity> = MESSAGES.iter().map(|it| it.identity).collect();
    let missing = client.missing(&known);
    // What is absent is of a plugin that is not there; another layout is of another release.
    let differing: Vec<_> = missing.iter().filter(|it| !it.theirs.is_empty()).collect();
    println!("absent: {:?}", missing.iter().map(|it| it.name).collect::<Vec<_>>());
    assert!(!version.version.starts_with("26.06") || differing.is_empty(), "{differing:?}");
    assert!(missing.len() < known.len() / 2, "most messages are there");
}

#[tokio::test]
async fn an_interface_is_made_changed_listed_and_watched() {
    let Some((vpp, client)) = vpp().await else { return };
    let mut events = client.events::<SwInterfaceEvent>().expect("a known event");
    let want = WantInterfaceEvents { enable_disable: 1, pid: std::process::id() };
    client.request(&want).await.expect("events");
    let index = loopback(&client).await;
    let up = SwInterfaceSetFlags { sw_if_index: index, flags: IfStatusFlags::ADMIN_UP };
    client.request(&up).await.expect("up");
    let tag = "an endpoint".try_into().expect("short");
    let tagged = SwInterfaceTagAddDel { is_add: true, sw_if_index: index, tag };
    client.request(&tagged).await.expect("a tag");
    let address = SwInterfaceAddDelAddress {
        sw_if_index: index,
        is_add: true,
        prefix: prefix([192, 0, 2, 1], 24),
        ..Default::default()
    };
    client.request(&address).await.expect("an address");

    let all = client.dump(&SwInterfaceDump::default()).await.expect("interfaces");
    let made = all.iter().find(|it| it.sw_if_index == index).expect("it is listed");
    assert_eq!(made.l2_address, MacAddress([2, 0, 0x5e, 0, 0x53, 1]));
    assert_eq!(made.tag, "an endpoint");
    assert!(made.flags.contains(IfStatusFlags::ADMIN_UP));
    let dump = IpAddressDump { sw_if_index: index, is_ipv6: false };
    let addresses = client.dump(&dump).await.expect("addresses");
    assert_eq!(addresses.len(), 1);
    assert_eq!(addresses[0].prefix, prefix([192, 0, 2, 1], 24));
    let shown = vpp.cli("show interface address").expect("VPP shows it");
    assert!(shown.contains("192.0.2.1/24"), "{shown}");

    client.request(&DeleteLoopback { sw_if_index: index }).await.expect("it is deleted");
    let seen = tokio::time::timeout(PATIENCE, async {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|it: &SwInterfaceEvent| !it.deleted) {
            seen.push(events.recv().await.expect("an event"));
        }
        seen
    });
    let seen = seen.await.expect("VPP tells of the deletion");
    assert!(seen.iter().all(|it| it.sw_if_index == index), "{seen:?}");
    assert!(seen.iter().any(|it| it.flags.contains(IfStatusFlags::ADMIN_UP)), "{seen:?}");
}

#[tokio::test]
async fn a_bridge_domain_has_the_port_that_it_was_given() {
    let Some((_vpp, client)) = vpp().await else { return };
    let index = loopback(&client).await;
    let create = BridgeDomainAddDelV2 {
        bd_id: 7,
        flood: true,
        forward: true,
        learn: true,
        uu_flood: true,
        is_add: true,
        bd_tag: "blue".try_into().expect("short"),
        ..Default::default()
    };
    assert_eq!(client.request(&create).await.expect("a bridge domain").bd_id, 7);
    let join = SwInterfaceSetL2Bridge {
        rx_sw_if_index: index,
        bd_id: 7,
        port_type: L2PortType::BVI,
        shg: 0,
        enable: true,
    };
    client.request(&join).await.expect("a port");
    let dump = BridgeDomainDump { bd_id: 7, ..Default::default() };
    let domains = client.dump(&dump).await.expect("bridge domains");
    let [domain] = domains.as_slice() else { panic!("{domains:?}") };
    assert_eq!((domain.bd_tag.as_str(), domain.bvi_sw_if_index), ("blue", index));
    assert_eq!(domain.sw_if_details.len(), 1);
    assert_eq!(domain.sw_if_details[0].sw_if_index, index);
}

#[tokio::test]
async fn routes_and_neighbours_are_those_that_were_added() {
    let Some((_vpp, client)) = vpp().await else { return };
    let name = "hub".try_into().expect("short");
    let table = IpTable { table_id: 9, is_ip6: false, name };
    client.request(&IpTableAddDel { is_add: true, table: table.clone() }).await.expect("a table");
    let tables = client.dump(&IpTableDump {}).await.expect("tables");
    assert!(tables.iter().any(|it| it.table == table), "{tables:?}");

    let index = loopback(&client).await;
    let hop = Ipv4Addr::new(192, 0, 2, 9);
    let mut path = FibPath {
        sw_if_index: index.0,
        weight: 1,
        proto: FibPathNhProto::IP4,
        ..Default::default()
    };
    path.nh.address = AddressUnion::from_ip4(&hop);
    let route = IpRouteV2 {
        table_id: 9,
        prefix: prefix([198, 51, 100, 0], 24),
        paths: vec![path],
        ..Default::default()
    };
    let add = IpRouteAddDelV2 { is_add: true, is_multipath: false, route };
    client.request(&add).await.expect("a route");
    let dump = IpRouteV2Dump { src: 0, table };
    let routes = client.dump(&dump).await.expect("routes");
    let found = routes.iter().find(|it| it.route.prefix == add.route.prefix);
    let found = found.unwrap_or_else(|| panic!("{routes:?}"));
    assert_eq!(found.route.paths.len(), 1);
    assert_eq!(found.route.paths[0].nh.address.ip4().expect("an address"), hop);

    let neighbor = IpNeighbor {
        sw_if_index: index,
        mac_address: MacAddress([2, 0, 0x5e, 0, 0x53, 9]),
        ip_address: hop.into(),
        ..Default::default()
    };
    let add = IpNeighborAddDel { is_add: true, neighbor };
    client.request(&add).await.expect("a neighbour");
    let dump = IpNeighborDump { sw_if_index: index, af: AddressFamily::IP4 };
    let neighbours = client.dump(&dump).await.expect("neighbours");
    assert_eq!(neighbours.len(), 1);
    assert_eq!(neighbours[0].neighbor.mac_address, add.neighbor.mac_address);
    assert_eq!(neighbours[0].neighbor.ip_address, add.neighbor.ip_address);
}

#[tokio::test]
async fn a_memif_interface_has_its_own_socket() {
    let Some((vpp, client)) = vpp().await else { return };
    let path = vpp.folder().join("memif.sock").display().to_string();
    let socket =
        MemifSocketFilenameAddDelV2 { is_add: true, socket_id: 5, socket_filename: path.clone() };
    assert_eq!(client.request(&socket).await.expect("a socket").socket_id, 5);
    let create = MemifCreateV2 {
        role: MemifRole::MASTER,
        id: 3,
        socket_id: 5,
        ring_size: 1024,
        buffer_size: 2048,
        ..Default::default()
    };
    let index = client.request(&create).await.expect("an interface").sw_if_index;
    let interfaces = client.dump(&MemifDump {}).await.expect("interfaces");
    let [made] = interfaces.as_slice() else { panic!("{interfaces:?}") };
    assert_eq!((made.sw_if_index, made.id, made.role), (index, 3, MemifRole::MASTER));
    let sockets = client.dump(&MemifSocketFilenameDump {}).await.expect("sockets");
    assert!(sockets.iter().any(|it| it.socket_id == 5 && *it.socket_filename == path));
}

#[tokio::test]
async fn a_refusal_has_vpps_name_and_the_connection_goes_on() {
    let Some((_vpp, client)) = vpp().await else { return };
    let absent = SwInterfaceSetFlags { sw_if_index: InterfaceIndex(999), ..Default::default() };
    match client.request(&absent).await {
        Err(Error::Refused { code, .. }) => assert_eq!(code, ApiError::INVALID_SW_IF_INDEX),
        other => panic!("{other:?}"),
    }
    let cli = CliInband { cmd: "show version".to_owned() };
    let shown = client.request(&cli).await.expect("the command line").reply;
    assert!(shown.starts_with("vpp v"), "{shown}");
}

#[tokio::test]
async fn translation_has_the_interface_and_the_mapping_that_it_was_given() {
    let Some((_vpp, client)) = vpp().await else { return };
    let index = loopback(&client).await;
    let enable = Nat44EdPluginEnableDisable { enable: true, ..Default::default() };
    client.request(&enable).await.expect("translation");
    let outside = Nat44EdAddDelOutputInterface { is_add: true, sw_if_index: index };
    client.request(&outside).await.expect("an outside interface");
    // A request with a cursor: one round.
    let get = Nat44EdOutputInterfaceGet::default();
    let interfaces = client.collect(&get).await.expect("interfaces");
    assert_eq!(interfaces.iter().map(|it| it.sw_if_index).collect::<Vec<_>>(), [index]);

    let pool = Ipv4Addr::new(198, 51, 100, 1);
    let mapping = Nat44AddDelStaticMappingV2 {
        is_add: true,
        local_ip_address: Ipv4Addr::new(192, 0, 2, 5),
        external_ip_address: pool,
        protocol: 6,
        local_port: 80,
        external_port: 8080,
        external_sw_if_index: InterfaceIndex(u32::MAX),
        tag: "web".try_into().expect("short"),
        ..Default::default()
    };
    client.request(&mapping).await.expect("a mapping");
    let mappings = client.dump(&Nat44StaticMappingDump {}).await.expect("mappings");
    let [made] = mappings.as_slice() else { panic!("{mappings:?}") };
    assert_eq!((made.external_ip_address, made.external_port), (pool, 8080));
    assert_eq!((made.local_port, made.tag.as_str()), (80, "web"));
}

#[tokio::test]
async fn many_calls_at_once_have_each_their_answer() {
    let Some((_vpp, client)) = vpp().await else { return };
    let calls = (0..200_u32).map(|at| {
        let client = client.clone();
        tokio::spawn(async move {
            let cmd = format!("comment {{ {at} }}");
            client.request(&CliInband { cmd }).await.map(|_| ())?;
            client.dump(&SwInterfaceDump::default()).await.map(|it| it.len())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.expect("no panic").expect("an answer"), 1, "local0 alone");
    }
}

#[tokio::test]
async fn a_vpp_that_dies_is_noticed() {
    let Some((mut vpp, client)) = vpp().await else { return };
    vpp.kill();
    let loss = tokio::time::timeout(PATIENCE, client.closed()).await.expect("it is noticed");
    assert!(matches!(loss, Loss::ByPeer), "{loss}");
    assert!(matches!(client.ping().await, Err(Error::Disconnected(_))));
}

#[tokio::test]
async fn counters_are_those_that_vpp_shows() {
    let Some((vpp, client)) = vpp().await else { return };
    let index = loopback(&client).await;
    let stats = Stats::connect(vpp.stats_socket()).expect("VPP gives its counters away");
    let interfaces = stats.interfaces().expect("interfaces");
    let names: Vec<_> = interfaces.iter().map(|it| (it.name.as_str(), it.sw_if_index)).collect();
    assert_eq!(names, [("local0", 0), ("loop0", index.0)]);
    // A packet that VPP makes itself and that leaves through the loopback: the neighbour is asked for.
    for command in [
        "set interface state loop0 up",
        "set interface ip address loop0 192.0.2.1/24",
        "ping 192.0.2.2 repeat 1",
    ] {
        vpp.cli(command).expect("VPP does it");
    }
    let after = stats.interfaces().expect("interfaces");
    let loop0 = after.iter().find(|it| it.name == "loop0").expect("it is there");
    assert!(loop0.tx.packets > 0 && loop0.tx.bytes >= loop0.tx.packets, "{loop0:?}");
    let names = stats.names().expect("names");
    assert!(names.iter().any(|it| it == "/err/arp-reply/replies_sent"), "{}", names.len());
    assert!(stats.errors().is_ok());
    client.request(&DeleteLoopback { sw_if_index: index }).await.expect("deleted");
    assert!(stats.interfaces().expect("interfaces").iter().all(|it| it.name != "loop0"));
}
