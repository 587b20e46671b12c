//! VPP's words for arbitrary states, among objects that are somebody else's.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use vpp_api_client::MacAddress;
use vpp_api_client::api::ip::IpTable;
use vpp_api_client::api::ip_types::Prefix;
use vpp_api_client::api::l2::BridgeDomainSwIf;
use vpp_api_client::api::nat_types::NatConfigFlags;
use vpp_api_client::api::nat44_ed::{
    Nat44InterfaceAddrDetails, Nat44InterfaceDetails, Nat44StaticMappingDetails,
};

use super::*;
use crate::engine::vpp::cli_text::NamespaceLine;
use crate::engine::vpp::plan::tests::{inventories, some_tags};

const DIRECTORY: &str = "/run/dockervpp/vpp";

fn owner() -> Owner {
    Owner::new("dockervpp")
}

/// What VPP says when it has `state`; numbers begin at `base`.
struct Words<'a> {
    dumps: Dumps,
    state: &'a State,
    base: u32,
    connected: &'a BTreeSet<Tag>,
}

impl<'a> Words<'a> {
    fn of(state: &'a State, connected: &'a BTreeSet<Tag>, base: u32) -> Dumps {
        let mut words = Words { dumps: Dumps::default(), state, base, connected };
        words.tables_and_domains();
        words.bvis();
        words.ports();
        words.pipes();
        words.hosts();
        words.fib();
        words.translation();
        words.dumps
    }

    fn domain(&self, network: &Tag) -> u32 {
        let at = self.state.domains.iter().position(|tag| tag == network).unwrap();
        self.base + u32::try_from(at).unwrap()
    }

    fn table(&self, network: &Tag, family: Family) -> u32 {
        let table = Table { network: network.clone(), family };
        let at = self.state.tables.iter().position(|found| *found == table).unwrap();
        self.base + 100 + u32::try_from(at).unwrap()
    }

    fn socket(&self, file: &SocketFile) -> u32 {
        let at = self.state.sockets.iter().position(|found| found == file).unwrap();
        self.base + 200 + u32::try_from(at).unwrap()
    }

    fn interface(&self, tag: &Tag) -> InterfaceIndex {
        let tags = self.state.bvis.keys().chain(self.state.ports.keys()).cloned();
        let ends = self.state.pipes.keys().flat_map(|outer| [Some(outer.clone()), inner_of(outer)]);
        let at = tags.chain(ends.flatten()).position(|found| found == *tag).unwrap();
        InterfaceIndex(self.base + 300 + u32::try_from(at).unwrap())
    }

    fn tables_and_domains(&mut self) {
        for table in &self.state.tables {
            let table = IpTable {
                table_id: self.table(&table.network, table.family),
                is_ip6: table.family == Family::V6,
                name: owner().text(&table.network).try_into().unwrap(),
            };
            self.dumps.tables.push(IpTableDetails { table });
        }
        for tag in &self.state.domains {
            self.dumps.domains.push(BridgeDomainDetails {
                bd_id: self.domain(tag),
                bd_tag: owner().text(tag).try_into().unwrap(),
                bvi_sw_if_index: InterfaceIndex(u32::MAX),
                ..Default::default()
            });
        }
        for file in &self.state.sockets {
            self.dumps.sockets.push(MemifSocketFilenameDetails {
                socket_id: self.socket(file),
                socket_filename: file.0.clone().try_into().unwrap(),
            });
        }
    }

    fn push_interface(&mut self, tag: &Tag, up: bool, kind: &str, mac: [u8; 6], mtu: u32) {
        let mut flags = if up { IfStatusFlags::ADMIN_UP } else { IfStatusFlags::empty() };
        if self.connected.contains(tag) {
            flags |= IfStatusFlags::LINK_UP;
        }
        self.dumps.interfaces.push(SwInterfaceDetails {
            sw_if_index: self.interface(tag),
            l2_address: MacAddress(mac),
            flags,
            mtu: [mtu, 0, 0, 0],
            interface_dev_type: kind.try_into().unwrap(),
            tag: owner().text(tag).try_into().unwrap(),
            ..Default::default()
        });
    }

    fn bridge(&mut self, tag: &Tag, network: &Tag, shg: u8, bvi: bool) {
        let sw_if_index = self.interface(tag);
        let bd_id = self.domain(network);
        let domain = self.dumps.domains.iter_mut().find(|it| it.bd_id == bd_id).unwrap();
        domain.sw_if_details.push(BridgeDomainSwIf { sw_if_index, shg, ..Default::default() });
        if bvi {
            domain.bvi_sw_if_index = sw_if_index;
        }
    }

    fn bvis(&mut self) {
        for (tag, bvi) in &self.state.bvis {
            self.push_interface(tag, bvi.up, LOOPBACK, bvi.mac.0, bvi.mtu);
            if bvi.bridged {
                self.bridge(tag, tag, 0, true);
            }
            let number = |family: &Family| {
                let bound = bvi.tables.contains(family);
                (*family, if bound { self.table(tag, *family) } else { 0 })
            };
            let link_local: IpNet = "fe80::1/128".parse().unwrap();
            let addresses = bvi.addresses.iter().chain([&link_local]);
            let addresses = addresses.map(|net| IpAddressDetails {
                sw_if_index: self.interface(tag),
                prefix: Prefix { address: net.addr(), len: net.prefix_len() },
            });
            let said = BviDumps {
                tables: [Family::V4, Family::V6].iter().map(number).collect(),
                addresses: addresses.collect(),
            };
            self.dumps.bvis.insert(self.interface(tag), said);
        }
    }

    fn ports(&mut self) {
        for (tag, port) in &self.state.ports {
            self.push_interface(tag, port.up, "memif", [2; 6], 9000);
            self.dumps.memifs.push(MemifDetails {
                sw_if_index: self.interface(tag),
                role: match port.role {
                    Role::Server => MemifRole::MASTER,
                    Role::Client => MemifRole::SLAVE,
                },
                socket_id: self.socket(&port.socket),
                ..Default::default()
            });
            if let Some(bridged) = &port.bridged {
                self.bridge(tag, &bridged.network, bridged.split_horizon, false);
            }
        }
    }

    fn pipes(&mut self) {
        for (at, (outer, pipe)) in self.state.pipes.iter().enumerate() {
            let whole = self.base + 600 + u32::try_from(at).unwrap();
            let inner = inner_of(outer).unwrap();
            self.dumps.interfaces.push(SwInterfaceDetails {
                sw_if_index: InterfaceIndex(whole),
                sup_sw_if_index: whole,
                interface_name: format!("pipe{}", host::instance(outer)).try_into().unwrap(),
                interface_dev_type: "Pipe".try_into().unwrap(),
                ..Default::default()
            });
            for tag in [outer, &inner] {
                self.push_interface(tag, pipe.up, "Pipe", [0; 6], 0);
                let end = self.dumps.interfaces.last_mut().unwrap();
                (end.type_, end.sup_sw_if_index) = (IfType::PIPE, whole);
            }
            if let Some(bridged) = &pipe.outer {
                self.bridge(outer, &bridged.network, bridged.split_horizon, false);
            }
            if pipe.inner {
                self.bridge(&inner, &outer.beside(Side::Host).unwrap(), 0, false);
            }
        }
    }

    fn hosts(&mut self) {
        for (tag, namespace) in &self.state.namespaces {
            let index = self.interface(tag);
            let details = self.dumps.interfaces.iter_mut().find(|it| it.sw_if_index == index);
            let name = format!("loop{index}");
            details.unwrap().interface_name = name.as_str().try_into().unwrap();
            self.dumps.hosts.namespaces.push(NamespaceLine {
                id: owner().text(tag),
                interface: name,
                socket: namespace.socket.clone(),
            });
        }
        for (table, hop) in &self.state.routes {
            let key = (self.table(&table.network, table.family), table.family.is_ipv6());
            self.dumps.hosts.routes.insert(key, (*hop, self.interface(&table.network)));
        }
    }

    fn fib(&mut self) {
        for (pin, port) in &self.state.pins {
            self.dumps.fib.push(L2FibTableDetails {
                bd_id: self.domain(&pin.network),
                mac: MacAddress(pin.mac.0),
                sw_if_index: self.interface(port),
                static_mac: true,
                ..Default::default()
            });
        }
    }
}

impl Words<'_> {
    fn translation(&mut self) {
        let outside = InterfaceIndex(OUTSIDE);
        let said = &mut self.dumps.translation;
        said.outside = Some(outside);
        let feature = |sw_if_index, flags| Nat44InterfaceDetails { sw_if_index, flags };
        if self.state.translates {
            said.interfaces.push(feature(outside, NatConfigFlags::OUTSIDE));
            said.pool
                .push(Nat44InterfaceAddrDetails { sw_if_index: outside, ..Default::default() });
        }
        for (tag, bvi) in &self.state.bvis {
            if bvi.inside {
                let index = self.interface(tag);
                self.dumps.translation.interfaces.push(feature(index, NatConfigFlags::INSIDE));
            }
        }
        for network in &self.state.ways_out {
            let number = self.table(network, Family::V4);
            self.dumps.translation.leading_out.insert(number);
        }
        for (at, inside) in &self.state.published {
            let said = Nat44StaticMappingDetails {
                local_ip_address: inside.address,
                external_ip_address: at.address.unwrap_or(Ipv4Addr::UNSPECIFIED),
                protocol: at.protocol,
                local_port: inside.port,
                external_port: at.port,
                external_sw_if_index: match at.address {
                    Some(_) => InterfaceIndex(u32::MAX),
                    None => outside,
                },
                vrf_id: self.table(&inside.network, Family::V4),
                tag: owner().text(&inside.tag).try_into().unwrap(),
                ..Default::default()
            };
            if at.address.is_none() {
                // What follows from it for an address that the interface has.
                self.dumps.translation.mappings.push(Nat44StaticMappingDetails {
                    external_ip_address: Ipv4Addr::new(198, 51, 100, 1),
                    external_sw_if_index: InterfaceIndex(u32::MAX),
                    ..said.clone()
                });
            }
            self.dumps.translation.mappings.push(said);
        }
    }
}

fn inner_of(outer: &Tag) -> Option<Tag> {
    outer.beside(Side::Inner)
}

/// The operator's outside interface.
const OUTSIDE: u32 = 7;

/// Adds what others have: the objects of an agent with another name, and of an operator.
fn add_strangers(dumps: &mut Dumps) {
    let tagged = |index, tag: &str| SwInterfaceDetails {
        sw_if_index: InterfaceIndex(index),
        interface_dev_type: LOOPBACK.try_into().unwrap(),
        tag: tag.try_into().unwrap(),
        ..Default::default()
    };
    for (index, tag) in
        [(9001, ""), (9002, "other:net:net1"), (9003, "mine"), (9004, "dockervpp:x")]
    {
        dumps.interfaces.push(tagged(index, tag));
    }
    for (bd_id, tag) in [(9001, ""), (9002, "other:net:net1")] {
        dumps.domains.push(BridgeDomainDetails {
            bd_id,
            bd_tag: tag.try_into().unwrap(),
            ..Default::default()
        });
    }
    // A pipe of somebody's.
    for (index, kind) in [(9010, IfType::HARDWARE), (9011, IfType::PIPE), (9012, IfType::PIPE)] {
        dumps.interfaces.push(SwInterfaceDetails {
            sw_if_index: InterfaceIndex(index),
            sup_sw_if_index: 9010,
            type_: kind,
            interface_name: "pipe0".try_into().unwrap(),
            interface_dev_type: "Pipe".try_into().unwrap(),
            ..Default::default()
        });
    }
    dumps.hosts.namespaces.push(NamespaceLine {
        id: "other:ep:x:host".to_owned(),
        interface: "loop9".to_owned(),
        socket: "/x".to_owned(),
    });
    let table = IpTable { table_id: 0, is_ip6: false, name: "ipv4-VRF:0".try_into().unwrap() };
    dumps.tables.push(IpTableDetails { table });
    dumps.sockets.push(MemifSocketFilenameDetails {
        socket_id: 0,
        socket_filename: "/run/vpp/memif.sock".try_into().unwrap(),
    });
}

fn see(dumps: &Dumps, claims: &Claims) -> Sight {
    Viewer { owner: &owner(), claims, directory: Path::new(DIRECTORY) }.sight(dumps)
}

/// VPP does not tell what clients must keep to.
fn without_terms(mut state: State) -> State {
    for port in state.ports.values_mut() {
        port.terms = PortTerms::default();
    }
    state
}

/// Interfaces that have a tag.
fn interfaces_of(state: &State) -> usize {
    state.ports.len() + state.bvis.len() + 2 * state.pipes.len()
}

proptest! {
    #[test]
    fn what_vpp_says_is_read_and_strangers_are_not_seen(
        inventory in inventories(),
        connected in some_tags(),
        base in 0u32..1000,
    ) {
        let state = without_terms(inventory.wanted(&State::default(), &connected));
        let mut dumps = Words::of(&state, &connected, base);
        add_strangers(&mut dumps);
        let sight = see(&dumps, &Claims::default());
        prop_assert_eq!(&sight.state, &state);
        prop_assert_eq!(sight.adopted, []);
        let there = connected.into_iter().filter(|tag| state.ports.contains_key(tag));
        prop_assert_eq!(sight.connected, there.collect::<BTreeSet<_>>());
        prop_assert_eq!(sight.numbers.interfaces.len(), interfaces_of(&state));
    }

    #[test]
    fn interfaces_that_were_not_tagged_yet_are_known_by_what_they_are(inventory in inventories()) {
        let nobody = BTreeSet::new();
        let state = without_terms(inventory.wanted(&State::default(), &nobody));
        let mut dumps = Words::of(&state, &nobody, 1);
        for interface in &mut dumps.interfaces {
            interface.tag = "".try_into().unwrap();
        }
        add_strangers(&mut dumps);
        let sight = see(&dumps, &Claims::of(&state));
        prop_assert_eq!(&sight.state, &state);
        prop_assert_eq!(sight.adopted.len(), interfaces_of(&state));
        prop_assert_eq!(see(&dumps, &Claims::default()).state.ports.len(), 0);
    }
}

#[test]
fn sockets_that_no_interface_has_any_more_are_found() {
    let socket = |socket_id, name: &str| MemifSocketFilenameDetails {
        socket_id,
        socket_filename: name.try_into().unwrap(),
    };
    let left = "abstract:dockervpp/memif,netns_name=/run/netns/x";
    let dumps = Dumps {
        sockets: vec![socket(1, left), socket(2, "/run/dockervpp/vpp/x.memif"), socket(3, "/x")],
        // Another's interface uses the second.
        memifs: vec![MemifDetails { socket_id: 2, ..Default::default() }],
        ..Default::default()
    };
    let found: Vec<SocketFile> =
        see(&dumps, &Claims::default()).state.sockets.into_iter().collect();
    assert_eq!(found, [SocketFile(left.to_owned())]);
}
