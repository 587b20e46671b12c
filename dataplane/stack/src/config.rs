//! What a stack is created with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dataplane::MacAddr;

/// The IPv4 side of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Config {
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of the subnet's prefix. 0..=32.
    pub prefix: u8,
    /// Who forwards to other subnets.
    pub gateway: Option<Ipv4Addr>,
}

/// The IPv6 side of an endpoint; the link-local address of its station comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Config {
    /// Its address.
    pub address: Ipv6Addr,
    /// Length of the subnet's prefix. 0..=128.
    pub prefix: u8,
    /// Who forwards to other subnets.
    pub gateway: Option<Ipv6Addr>,
}

/// Who the endpoint is on its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressing {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// IPv4.
    pub ipv4: Option<Ipv4Config>,
    /// IPv6.
    pub ipv6: Option<Ipv6Config>,
    /// Largest IP packet that the network takes, in bytes. At least 576, with IPv6 1280.
    pub mtu: u16,
}

/// Addresses and limits of a stack.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Who the endpoint is.
    pub addressing: Addressing,
    /// Bytes that a connection receives ahead of its reader, at most.
    pub receive_buffer: usize,
    /// Bytes that a connection holds until they are acknowledged, at most.
    pub send_buffer: usize,
    /// Bytes of buffers that all connections share fairly: the more of it is in use, the less a new
    /// connection gets, down to [`Config::LEAST_BUFFER`] in each direction.
    pub memory: usize,
    /// Connections altogether, half-open ones included.
    pub connections: usize,
    /// Half-open connections of one listener.
    pub half_open: usize,
    /// How long a connection attempt lasts.
    pub connect_timeout: Duration,
    /// How long data may stay unacknowledged before the connection is given up.
    pub data_timeout: Duration,
    /// How long a connection that its owner has closed may take to end.
    pub close_timeout: Duration,
    /// How long the addresses and ports of a connection that was closed here first rest.
    pub time_wait: Duration,
    /// How long routers are believed that a way takes less than the network: it may have changed (RFC 1191, 6.3).
    pub path_timeout: Duration,
    /// Bytes that wait in a UDP socket.
    pub udp_buffer: usize,
    /// Random and secret: sequence numbers and ports are derived from it.
    pub seed: u128,
}

impl Config {
    /// Bytes of a connection's buffer in one direction, at least.
    pub const LEAST_BUFFER: usize = 32 << 10;

    /// The defaults of the product; the times are those of Linux (tcp(7): `tcp_syn_retries`,
    /// `tcp_retries2`, `tcp_fin_timeout`; ip-sysctl: `route/mtu_expires`).
    pub fn new(addressing: Addressing, seed: u128) -> Self {
        Self {
            addressing,
            receive_buffer: 1 << 20,
            send_buffer: 1 << 20,
            memory: 256 << 20,
            connections: 8192,
            half_open: 256,
            connect_timeout: Duration::from_secs(127),
            data_timeout: Duration::from_secs(924),
            close_timeout: Duration::from_mins(1),
            time_wait: Duration::from_mins(1),
            path_timeout: Duration::from_mins(10),
            udp_buffer: 1 << 20,
            seed,
        }
    }
}

impl Config {
    /// Receive and send buffer of a new connection when so many bytes are in use.
    pub(crate) fn buffers(&self, in_use: usize) -> (usize, usize) {
        let share = self.memory.saturating_sub(in_use) / 64 / 2;
        let size = |most: usize| share.clamp(Self::LEAST_BUFFER, most.max(Self::LEAST_BUFFER));
        (size(self.receive_buffer), size(self.send_buffer))
    }
}

/// Where packets for an address go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the station itself.
    OnLink(IpAddr),
    /// To the gateway.
    Gateway(IpAddr),
}

impl Route {
    /// Whose Ethernet address is needed.
    pub(crate) fn next_hop(self) -> IpAddr {
        match self {
            Self::OnLink(address) | Self::Gateway(address) => address,
        }
    }
}

impl Addressing {
    pub(crate) fn link_local(&self) -> Ipv6Addr {
        self.mac.link_local()
    }

    /// Whether packets for `address` are for this endpoint.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4.is_some_and(|own| own.address == address),
            IpAddr::V6(address) => {
                self.ipv6.is_some_and(|own| own.address == address || self.link_local() == address)
            }
        }
    }

    /// Whether every station of the network is meant.
    pub(crate) fn is_broadcast(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        let subnet = self.ipv4.filter(|own| own.prefix < 31).map(|own| {
            u32::from(own.address) | u32::MAX.checked_shr(u32::from(own.prefix)).unwrap_or(0)
        });
        address.is_broadcast() || subnet == Some(u32::from(address))
    }

    /// The address to speak from to `remote`.
    pub(crate) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        match remote {
            IpAddr::V4(_) => self.ipv4.map(|own| own.address.into()),
            IpAddr::V6(remote) if remote.is_unicast_link_local() => {
                self.ipv6.map(|_| self.link_local().into())
            }
            IpAddr::V6(_) => self.ipv6.map(|own| own.address.into()),
        }
    }

    /// The way to `remote`; `None` when there is none.
    pub(crate) fn route(&self, remote: IpAddr) -> Option<Route> {
        if self.is_own(remote) || remote.is_unspecified() || remote.is_loopback() {
            return None;
        }
        match remote {
            IpAddr::V4(address) => {
                let own = self.ipv4?;
                let host = 32 - u32::from(own.prefix.min(32));
                let on_link = same_subnet(u32::from(own.address) ^ u32::from(address), host);
                if on_link {
                    return Some(Route::OnLink(remote));
                }
                own.gateway.map(|gateway| Route::Gateway(gateway.into()))
            }
            IpAddr::V6(address) => {
                let own = self.ipv6?;
                let host = 128 - u32::from(own.prefix.min(128));
                let difference = u128::from(own.address) ^ u128::from(address);
                let on_link = difference.checked_shr(host).unwrap_or(0) == 0;
                if on_link || address.is_unicast_link_local() {
                    return Some(Route::OnLink(remote));
                }
                own.gateway.map(|gateway| Route::Gateway(gateway.into()))
            }
        }
    }
}

/// Whether two addresses of this difference share all but the last `host` bits.
fn same_subnet(difference: u32, host: u32) -> bool {
    difference.checked_shr(host).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressing() -> Addressing {
        Addressing {
            mac: MacAddr([2, 0, 0, 0, 0, 5]),
            ipv4: Some(Ipv4Config {
                address: Ipv4Addr::new(10, 1, 2, 5),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 1, 2, 1)),
            }),
            ipv6: Some(Ipv6Config {
                address: "fd00:1::5".parse().unwrap(),
                prefix: 64,
                gateway: None,
            }),
            mtu: 1500,
        }
    }

    #[test]
    fn on_link_by_gateway_or_not_at_all() {
        let addressing = addressing();
        let route = |text: &str| addressing.route(text.parse().unwrap());
        let on_link = |text: &str| Some(Route::OnLink(text.parse().unwrap()));
        assert_eq!(route("10.1.2.9"), on_link("10.1.2.9"));
        assert_eq!(route("10.1.3.9"), Some(Route::Gateway("10.1.2.1".parse().unwrap())));
        assert_eq!(route("10.1.2.5"), None, "its own address");
        assert_eq!(route("127.0.0.1"), None);
        assert_eq!(route("fd00:1::77"), on_link("fd00:1::77"));
        assert_eq!(route("fe80::1"), on_link("fe80::1"));
        assert_eq!(route("fd00:2::77"), None, "no gateway");
        let everywhere = Ipv4Config { prefix: 0, ..addressing.ipv4.unwrap() };
        let addressing = Addressing { ipv4: Some(everywhere), ..addressing };
        assert_eq!(addressing.route("1.2.3.4".parse().unwrap()), on_link("1.2.3.4"));
    }

    #[test]
    fn memory_is_shared_fairly() {
        let config = Config::new(addressing(), 0);
        let (mut in_use, mut sizes) = (0, Vec::new());
        for _ in 0..config.connections {
            let (receive, send) = config.buffers(in_use);
            in_use += receive + send;
            sizes.push(receive);
        }
        assert!(sizes.is_sorted_by(|a, b| a >= b));
        assert_eq!((sizes[0], sizes[60], sizes[1000]), (1 << 20, 1 << 20, Config::LEAST_BUFFER));
        assert!(in_use <= config.memory + config.connections * 2 * Config::LEAST_BUFFER);
    }

    #[test]
    fn broadcasts() {
        let addressing = addressing();
        let is_broadcast = |text: &str| addressing.is_broadcast(text.parse().unwrap());
        assert!(is_broadcast("255.255.255.255") && is_broadcast("10.1.2.255"));
        assert!(!is_broadcast("10.1.2.254") && !is_broadcast("10.1.3.255"));
    }
}
