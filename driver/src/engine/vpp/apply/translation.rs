//! Steps for what leaves the host: NAT44-ED, and ways out of tables.

use std::net::{IpAddr, Ipv4Addr};

use vpp_api_client::api::fib_types::{FibPath, FibPathNhProto, FibPathType};
use vpp_api_client::api::interface_types::InterfaceIndex;
use vpp_api_client::api::ip::{IpRoute, IpRouteAddDel};
use vpp_api_client::api::ip_types::Prefix;
use vpp_api_client::api::nat_types::NatConfigFlags;
use vpp_api_client::api::nat44_ed::{
    Nat44AddDelInterfaceAddr, Nat44AddDelStaticMappingV2, Nat44EdPluginEnableDisable,
    Nat44InterfaceAddDelFeature,
};
use vpp_api_client::{ApiError, Error};

use super::{ANY, Failure, Worker};
use crate::engine::vpp::state::{Family, Inside, Outside, Table};
use crate::engine::vpp::tag::Tag;

impl Worker<'_> {
    /// Makes the outside interface translate: what of it an operator has done already stays.
    pub(super) async fn translate(self) -> Result<(), Failure> {
        let sw_if_index = self.outside()?;
        let enable = Nat44EdPluginEnableDisable { enable: true, ..Default::default() };
        unless_done(self.client.request(&enable).await.map(drop))?;
        let feature = Nat44InterfaceAddDelFeature {
            is_add: true,
            flags: NatConfigFlags::OUTSIDE,
            sw_if_index,
        };
        unless_done(self.client.request(&feature).await.map(drop))?;
        let pool =
            Nat44AddDelInterfaceAddr { is_add: true, sw_if_index, flags: NatConfigFlags::empty() };
        Ok(unless_done(self.client.request(&pool).await.map(drop))?)
    }

    pub(super) async fn set_inside(self, gateway: &Tag, is_add: bool) -> Result<(), Failure> {
        let request = Nat44InterfaceAddDelFeature {
            is_add,
            flags: NatConfigFlags::INSIDE,
            sw_if_index: self.interface(gateway)?,
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    /// What the network's table does not know is looked up in VPP's own, where the operator's routes are.
    pub(super) async fn way_out(self, network: &Tag, is_add: bool) -> Result<(), Failure> {
        let path = FibPath {
            sw_if_index: ANY,
            table_id: 0,
            weight: 1,
            type_: FibPathType::NORMAL,
            proto: FibPathNhProto::IP4,
            ..FibPath::default()
        };
        let route = IpRoute {
            table_id: self.table_of(network)?,
            prefix: Prefix { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 },
            paths: vec![path],
            ..IpRoute::default()
        };
        let request = IpRouteAddDel { is_add, is_multipath: false, route };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    pub(super) async fn publish(
        self,
        outside: &Outside,
        inside: &Inside,
        is_add: bool,
    ) -> Result<(), Failure> {
        let (address, interface) = match outside.address {
            Some(address) => (address, InterfaceIndex(ANY)),
            None => (Ipv4Addr::UNSPECIFIED, self.outside()?),
        };
        let request = Nat44AddDelStaticMappingV2 {
            is_add,
            local_ip_address: inside.address,
            external_ip_address: address,
            protocol: outside.protocol,
            local_port: inside.port,
            external_port: outside.port,
            external_sw_if_index: interface,
            vrf_id: self.table_of(&inside.network)?,
            tag: self.owner.text(&inside.tag).try_into()?,
            ..Default::default()
        };
        Ok(self.client.request(&request).await.map(drop)?)
    }

    fn outside(&self) -> Result<InterfaceIndex, Failure> {
        self.numbers
            .outside
            .ok_or(Failure::Missing("the outside interface that `--vpp-outside` names"))
    }

    fn table_of(&self, network: &Tag) -> Result<u32, Failure> {
        let table = Table { network: network.clone(), family: Family::V4 };
        self.numbers.tables.get(&table).copied().ok_or(Failure::Missing("the network's table"))
    }
}

/// What was done before is done.
fn unless_done(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(Error::Refused {
            code:
                ApiError::FEATURE_ALREADY_ENABLED
                | ApiError::VALUE_EXIST
                | ApiError::ENTRY_ALREADY_EXISTS,
            ..
        }) => Ok(()),
        other => other,
    }
}
