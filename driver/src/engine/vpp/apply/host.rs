//! Steps for hosts of endpoints: pipes, routes and app namespaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpp_api_client::api::fib_types::{FibPath, FibPathNh, FibPathNhProto, FibPathType};
use vpp_api_client::api::interface::SwInterfaceSetFlags;
use vpp_api_client::api::interface_types::{IfStatusFlags, InterfaceIndex};
use vpp_api_client::api::ip::{IpRoute, IpRouteAddDel};
use vpp_api_client::api::ip_types::{AddressUnion, Prefix};
use vpp_api_client::api::pipe::{PipeCreate, PipeDelete};
use vpp_api_client::api::session::AppNamespaceAddDelV4;

use super::nodes::Kind;
use super::{Failure, Worker, write_tag};
use crate::engine::vpp::observe::instances;
use crate::engine::vpp::state::Table;
use crate::engine::vpp::tag::{Side, Tag};

impl Worker<'_> {
    pub(super) async fn add_pipe(self, outer: &Tag) -> Result<(), Failure> {
        let inner = outer.beside(Side::Inner).ok_or(Failure::Missing("its endpoint"))?;
        let taken = &self.numbers.pipe_instances;
        let free = instances(outer).find(|instance| !taken.contains(instance));
        let user_instance = free.ok_or(Failure::Missing("a free number of a pipe"))?;
        let aside = self.clear_the_way(Kind::Pipe).await?;
        let made = self.client.request(&PipeCreate { is_specified: true, user_instance }).await;
        self.put_back(aside).await?;
        let made = made?;
        self.numbers.pipe_instances.insert(user_instance);
        self.numbers.pipes.insert(outer.clone(), made.sw_if_index);
        for (tag, index) in [outer, &inner].into_iter().zip(made.pipe_sw_if_index) {
            self.numbers.interfaces.insert(tag.clone(), index);
            write_tag(self.client, self.owner, tag, index).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_pipe(self, outer: &Tag) -> Result<(), Failure> {
        let sw_if_index = self.pipe(outer)?;
        self.disown(outer).await?;
        self.client.request(&PipeDelete { sw_if_index }).await?;
        self.numbers.pipes.remove(outer);
        for tag in [Some(outer.clone()), outer.beside(Side::Inner)].into_iter().flatten() {
            self.numbers.interfaces.remove(&tag);
        }
        Ok(())
    }

    pub(super) async fn set_pipe_up(self, outer: &Tag) -> Result<(), Failure> {
        let inner = outer.beside(Side::Inner).ok_or(Failure::Missing("its endpoint"))?;
        for sw_if_index in [self.pipe(outer)?, self.interface(outer)?, self.interface(&inner)?] {
            let flags = IfStatusFlags::ADMIN_UP;
            self.client.request(&SwInterfaceSetFlags { sw_if_index, flags }).await?;
        }
        Ok(())
    }

    fn pipe(&self, outer: &Tag) -> Result<InterfaceIndex, Failure> {
        self.numbers.pipes.get(outer).copied().ok_or(Failure::Missing("the pipe"))
    }

    /// The table's default route, over the loopback with the table's tag.
    pub(super) async fn route(
        self,
        table: &Table,
        hop: IpAddr,
        is_add: bool,
    ) -> Result<(), Failure> {
        let number = self.numbers.tables.get(table).copied();
        let (proto, address, everything) = match hop {
            IpAddr::V4(hop) => (
                FibPathNhProto::IP4,
                AddressUnion::from_ip4(&hop),
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ),
            IpAddr::V6(hop) => (
                FibPathNhProto::IP6,
                AddressUnion::from_ip6(&hop),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ),
        };
        let path = FibPath {
            sw_if_index: self.interface(&table.network)?.0,
            weight: 1,
            type_: FibPathType::NORMAL,
            proto,
            nh: FibPathNh { address, ..FibPathNh::default() },
            ..FibPath::default()
        };
        let route = IpRoute {
            table_id: number.ok_or(Failure::Missing("the table"))?,
            prefix: Prefix { address: everything, len: 0 },
            paths: vec![path],
            ..IpRoute::default()
        };
        let request = IpRouteAddDel { is_add, is_multipath: false, route };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    /// Who attaches over VPP's API instead of the socket must know the secret, which nobody does.
    pub(super) async fn add_namespace(self, host: &Tag, socket: &str) -> Result<(), Failure> {
        let mut secret = [0; 8];
        rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())
            .map_err(|_| Failure::Missing("a random number"))?;
        let request = AppNamespaceAddDelV4 {
            secret: u64::from_ne_bytes(secret),
            is_add: true,
            sw_if_index: self.interface(host)?,
            namespace_id: self.owner.text(host).try_into()?,
            sock_name: socket.to_owned(),
            ..AppNamespaceAddDelV4::default()
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    pub(super) async fn delete_namespace(self, host: &Tag) -> Result<(), Failure> {
        let request = AppNamespaceAddDelV4 {
            is_add: false,
            namespace_id: self.owner.text(host).try_into()?,
            ..AppNamespaceAddDelV4::default()
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }
}
