//! Carries out steps.

mod host;
mod nodes;
mod ownership;
mod translation;

use std::collections::BTreeMap;

use ipnet::IpNet;
use vpp_api_client::api::interface::{
    CreateLoopback, DeleteLoopback, SwInterfaceAddDelAddress, SwInterfaceSetFlags,
    SwInterfaceSetMtu, SwInterfaceSetTable, SwInterfaceTagAddDel,
};
use vpp_api_client::api::interface_types::{IfStatusFlags, InterfaceIndex};
use vpp_api_client::api::ip::{IpTable, IpTableAddDel, IpTableAllocate};
use vpp_api_client::api::ip_types::Prefix;
use vpp_api_client::api::ip6_nd::SwInterfaceIp6ndRaConfig;
use vpp_api_client::api::l2::{
    BridgeDomainAddDelV2, L2PortType, L2fibAddDel, SwInterfaceSetL2Bridge,
};
use vpp_api_client::api::memif::{
    MemifCreateV2, MemifDelete, MemifMode, MemifRole, MemifSocketFilenameAddDelV2,
};
use vpp_api_client::{Client, Error, MacAddress};

use self::nodes::Kind;
use super::diff::Step;
use super::observe::Numbers;
use super::state::{Bridged, Family, Pin, PortTerms, Role, SocketFile, Table};
use super::tag::{Owner, Tag};

/// Any number: asks VPP to choose one.
const ANY: u32 = u32::MAX;

/// Slots of each ring of a port.
const RING_SIZE: u32 = 1024;

/// Bytes of each buffer of a port.
const BUFFER_SIZE: u16 = 2048;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// VPP said no, or does not answer.
    #[error("cannot {step}: {source}")]
    Vpp { step: String, source: Error },
    /// What it builds on is not there, because that failed before.
    #[error("cannot {step}: {what} is missing")]
    Missing { step: String, what: &'static str },
    /// A text is longer than VPP's field.
    #[error("cannot {step}: {source}")]
    Text { step: String, source: vpp_api_client::TextError },
}

/// A failure while a step is carried out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Vpp(#[from] Error),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(transparent)]
    Text(#[from] vpp_api_client::TextError),
}

impl Failure {
    fn of(self, step: &Step) -> StepError {
        let step = step.to_string();
        match self {
            Self::Vpp(source) => StepError::Vpp { step, source },
            Self::Missing(what) => StepError::Missing { step, what },
            Self::Text(source) => StepError::Text { step, source },
        }
    }
}

/// Whether VPP is gone, so that nothing else can succeed.
pub(super) fn is_loss(error: &Error) -> bool {
    matches!(error, Error::Disconnected(_) | Error::Timeout { .. } | Error::Connect { .. })
}

/// Carries out steps in their order. After a failure the other steps for the same network or port are
/// left out. Returns the first failure of each; an error only when VPP is gone.
pub(super) async fn carry_out(
    client: &Client,
    owner: &Owner,
    numbers: &mut Numbers,
    steps: &[Step],
) -> Result<BTreeMap<Tag, StepError>, Error> {
    let mut failed: BTreeMap<Tag, StepError> = BTreeMap::new();
    for step in steps {
        if step.tag().is_some_and(|tag| failed.contains_key(tag)) {
            continue;
        }
        let worker = Worker { client, owner, numbers: &mut *numbers };
        let failure = match worker.carry_out(step).await {
            Ok(()) => {
                tracing::debug!(tag = step.tag().map(|tag| owner.text(tag)), "done: {step}");
                continue;
            }
            Err(Failure::Vpp(error)) if is_loss(&error) => return Err(error),
            Err(failure) => failure.of(step),
        };
        if let Some(tag) = step.tag() {
            failed.insert(tag.clone(), failure);
        } else {
            // The port that needs the socket fails as well.
            tracing::warn!("{failure}");
        }
    }
    Ok(failed)
}

/// Writes tags on interfaces that an agent made and did not come to tag.
pub(super) async fn tag_all(
    client: &Client,
    owner: &Owner,
    numbers: &Numbers,
    tags: &[Tag],
) -> Result<(), Error> {
    for tag in tags {
        if let Some(index) = numbers.interfaces.get(tag) {
            write_tag(client, owner, tag, *index).await?;
        }
    }
    Ok(())
}

async fn write_tag(
    client: &Client,
    owner: &Owner,
    tag: &Tag,
    sw_if_index: InterfaceIndex,
) -> Result<(), Error> {
    let tag = owner.text(tag).try_into().expect("tags are at most 63 bytes");
    client.request(&SwInterfaceTagAddDel { is_add: true, sw_if_index, tag }).await.map(drop)
}

/// Sets an interface down and up again: VPP then looks at once for memif peers that it could connect to,
/// instead of every 3 seconds (`src/plugins/memif/memif.c`, `memif_process`).
pub(super) async fn nudge(client: &Client, sw_if_index: InterfaceIndex) -> Result<(), Error> {
    for flags in [IfStatusFlags::empty(), IfStatusFlags::ADMIN_UP] {
        client.request(&SwInterfaceSetFlags { sw_if_index, flags }).await?;
    }
    Ok(())
}

struct Worker<'a> {
    client: &'a Client,
    owner: &'a Owner,
    numbers: &'a mut Numbers,
}

impl Worker<'_> {
    async fn carry_out(self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Unpin(pin, port) => self.pin(pin, port, false).await,
            Step::Pin(pin, port) => self.pin(pin, port, true).await,
            Step::Unbridge(tag) => self.unbridge(tag).await,
            Step::AddPipe(tag) => self.add_pipe(tag).await,
            Step::DeletePipe(tag) => self.delete_pipe(tag).await,
            Step::SetPipeUp(tag) => self.set_pipe_up(tag).await,
            Step::AddRoute(table, hop) => self.route(table, *hop, true).await,
            Step::DeleteRoute(table, hop) => self.route(table, *hop, false).await,
            Step::AddNamespace(tag, socket) => self.add_namespace(tag, socket).await,
            Step::DeleteNamespace(tag) => self.delete_namespace(tag).await,
            Step::BridgeBvi(tag) => self.bridge(tag, tag, L2PortType::BVI, 0).await,
            Step::BridgePort(tag, Bridged { network, split_horizon }) => {
                self.bridge(tag, network, L2PortType::NORMAL, *split_horizon).await
            }
            Step::DeletePort(tag) => self.delete_port(tag).await,
            Step::AddPort { tag, socket, role, terms } => {
                self.add_port(tag, socket, *role, terms).await
            }
            Step::DeleteSocket(file) => self.delete_socket(file).await,
            Step::AddSocket(file) => self.add_socket(file).await,
            Step::DeleteAddress(tag, address) => self.address(tag, *address, false).await,
            Step::AddAddress(tag, address) => self.address(tag, *address, true).await,
            Step::UnbindTable(tag, family) => self.table(tag, *family, 0).await,
            Step::BindTable(tag, family) => {
                let table = Table { network: tag.clone(), family: *family };
                let number = self.numbers.tables.get(&table).copied();
                let number = number.ok_or(Failure::Missing("the table"))?;
                self.table(tag, *family, number).await
            }
            Step::DeleteBvi(tag) => self.delete_bvi(tag).await,
            Step::AddBvi(tag, mac) => self.add_bvi(tag, MacAddress(mac.0)).await,
            Step::DeleteDomain(tag) => self.delete_domain(tag).await,
            Step::AddDomain(tag) => self.add_domain(tag).await,
            Step::DeleteTable(table) => self.delete_table(table).await,
            Step::AddTable(table) => self.add_table(table).await,
            Step::Translate => self.translate().await,
            Step::SetInside(tag, inside) => self.set_inside(tag, *inside).await,
            Step::AddWayOut(tag) => self.way_out(tag, true).await,
            Step::DeleteWayOut(tag) => self.way_out(tag, false).await,
            Step::Publish(outside, inside) => self.publish(outside, inside, true).await,
            Step::Unpublish(outside, inside) => self.publish(outside, inside, false).await,
            Step::SetMtu(tag, mtu) => {
                let sw_if_index = self.interface(tag)?;
                let mtu = [*mtu, 0, 0, 0];
                Ok(self.client.request(&SwInterfaceSetMtu { sw_if_index, mtu }).await.map(drop)?)
            }
            Step::SetUp(tag) => {
                let sw_if_index = self.interface(tag)?;
                let flags = IfStatusFlags::ADMIN_UP;
                let request = SwInterfaceSetFlags { sw_if_index, flags };
                Ok(self.client.request(&request).await.map(drop)?)
            }
        }
    }

    fn interface(&self, tag: &Tag) -> Result<InterfaceIndex, Failure> {
        self.numbers.interfaces.get(tag).copied().ok_or(Failure::Missing("the interface"))
    }

    fn domain(&self, network: &Tag) -> Result<u32, Failure> {
        let number = self.numbers.domains.get(network).copied();
        number.ok_or(Failure::Missing("the network's bridge domain"))
    }

    async fn pin(self, pin: &Pin, port: &Tag, is_add: bool) -> Result<(), Failure> {
        let request = L2fibAddDel {
            mac: MacAddress(pin.mac.0),
            bd_id: self.domain(&pin.network)?,
            sw_if_index: self.interface(port)?,
            is_add,
            static_mac: is_add,
            ..L2fibAddDel::default()
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    async fn bridge(
        self,
        tag: &Tag,
        network: &Tag,
        port_type: L2PortType,
        shg: u8,
    ) -> Result<(), Failure> {
        let request = SwInterfaceSetL2Bridge {
            rx_sw_if_index: self.interface(tag)?,
            bd_id: self.domain(network)?,
            port_type,
            shg,
            enable: true,
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    async fn unbridge(self, tag: &Tag) -> Result<(), Failure> {
        let request = SwInterfaceSetL2Bridge {
            rx_sw_if_index: self.interface(tag)?,
            enable: false,
            ..SwInterfaceSetL2Bridge::default()
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    async fn delete_port(self, tag: &Tag) -> Result<(), Failure> {
        let sw_if_index = self.interface(tag)?;
        self.client.request(&MemifDelete { sw_if_index }).await?;
        self.numbers.interfaces.remove(tag);
        Ok(())
    }

    async fn add_port(
        self,
        tag: &Tag,
        socket: &SocketFile,
        role: Role,
        terms: &PortTerms,
    ) -> Result<(), Failure> {
        let socket = self.numbers.sockets.get(socket).copied();
        let request = MemifCreateV2 {
            role: match role {
                Role::Server => MemifRole::MASTER,
                Role::Client => MemifRole::SLAVE,
            },
            mode: MemifMode::ETHERNET,
            rx_queues: terms.queues.max(1),
            tx_queues: terms.queues.max(1),
            id: 0,
            socket_id: socket.ok_or(Failure::Missing("its socket"))?,
            ring_size: RING_SIZE,
            buffer_size: BUFFER_SIZE,
            // Memory of its own instead of VPP's packet buffers.
            no_zero_copy: true,
            secret: terms.secret.clone().unwrap_or_default().try_into()?,
            ..MemifCreateV2::default()
        };
        let sw_if_index = self.client.request(&request).await?.sw_if_index;
        self.numbers.interfaces.insert(tag.clone(), sw_if_index);
        Ok(write_tag(self.client, self.owner, tag, sw_if_index).await?)
    }

    async fn add_socket(self, file: &SocketFile) -> Result<(), Failure> {
        let request = MemifSocketFilenameAddDelV2 {
            is_add: true,
            socket_id: ANY,
            socket_filename: file.0.clone(),
        };
        let number = self.client.request(&request).await?.socket_id;
        self.numbers.sockets.insert(file.clone(), number);
        Ok(())
    }

    async fn delete_socket(self, file: &SocketFile) -> Result<(), Failure> {
        let number = self.numbers.sockets.get(file).copied();
        let request = MemifSocketFilenameAddDelV2 {
            is_add: false,
            socket_id: number.ok_or(Failure::Missing("the socket"))?,
            ..MemifSocketFilenameAddDelV2::default()
        };
        self.client.request(&request).await?;
        self.numbers.sockets.remove(file);
        Ok(())
    }

    async fn address(self, tag: &Tag, net: IpNet, is_add: bool) -> Result<(), Failure> {
        let sw_if_index = self.interface(tag)?;
        let prefix = Prefix { address: net.addr(), len: net.prefix_len() };
        let request = SwInterfaceAddDelAddress { sw_if_index, is_add, del_all: false, prefix };
        self.client.request(&request).await?;
        if is_add && Family::of(&net) == Family::V6 {
            // Docker gives containers their addresses: the gateway advertises none.
            let suppress =
                SwInterfaceIp6ndRaConfig { sw_if_index, suppress: 1, ..Default::default() };
            self.client.request(&suppress).await?;
        }
        Ok(())
    }

    async fn table(self, tag: &Tag, family: Family, vrf_id: u32) -> Result<(), Failure> {
        let request = SwInterfaceSetTable {
            sw_if_index: self.interface(tag)?,
            is_ipv6: family == Family::V6,
            vrf_id,
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    async fn add_bvi(self, tag: &Tag, mac_address: MacAddress) -> Result<(), Failure> {
        let aside = self.clear_the_way(Kind::Loopback).await?;
        let made = self.client.request(&CreateLoopback { mac_address }).await;
        self.put_back(aside).await?;
        let sw_if_index = made?.sw_if_index;
        self.numbers.interfaces.insert(tag.clone(), sw_if_index);
        Ok(write_tag(self.client, self.owner, tag, sw_if_index).await?)
    }

    async fn delete_bvi(self, tag: &Tag) -> Result<(), Failure> {
        let sw_if_index = self.interface(tag)?;
        self.client.request(&DeleteLoopback { sw_if_index }).await?;
        self.numbers.interfaces.remove(tag);
        Ok(())
    }

    async fn add_domain(self, tag: &Tag) -> Result<(), Failure> {
        let request = BridgeDomainAddDelV2 {
            bd_id: ANY,
            flood: true,
            uu_flood: true,
            forward: true,
            learn: true,
            bd_tag: self.owner.text(tag).try_into()?,
            is_add: true,
            ..BridgeDomainAddDelV2::default()
        };
        let bd_id = self.client.request(&request).await?.bd_id;
        self.numbers.domains.insert(tag.clone(), bd_id);
        Ok(())
    }

    async fn delete_domain(self, tag: &Tag) -> Result<(), Failure> {
        let bd_id = self.domain(tag)?;
        let request =
            BridgeDomainAddDelV2 { bd_id, is_add: false, ..BridgeDomainAddDelV2::default() };
        self.client.request(&request).await?;
        self.numbers.domains.remove(tag);
        Ok(())
    }

    async fn add_table(self, table: &Table) -> Result<(), Failure> {
        let request = IpTableAllocate {
            table: IpTable {
                table_id: ANY,
                is_ip6: table.family == Family::V6,
                name: self.owner.text(&table.network).try_into()?,
            },
        };
        let number = self.client.request(&request).await?.table.table_id;
        self.numbers.tables.insert(table.clone(), number);
        Ok(())
    }

    async fn delete_table(self, table: &Table) -> Result<(), Failure> {
        let number = self.numbers.tables.get(table).copied();
        let request = IpTableAddDel {
            is_add: false,
            table: IpTable {
                table_id: number.ok_or(Failure::Missing("the table"))?,
                is_ip6: table.family == Family::V6,
                ..IpTable::default()
            },
        };
        self.client.request(&request).await?;
        self.numbers.tables.remove(table);
        Ok(())
    }
}
