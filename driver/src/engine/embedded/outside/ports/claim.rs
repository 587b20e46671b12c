//! A port of the host: found and kept by sockets that are bound to it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::task::JoinHandle;
use transport::splice::OpenDoor;

use crate::engine::embedded::outside::plan::{Opening, Target};
use crate::engine::{Lead, PublishedAt};
use crate::model::{PortMapping, Protocol};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// How often another port is tried when the kernel's choice is free in one family only.
const ATTEMPTS: u32 = 64;

/// A port that is kept. Dropping it gives it back, and ends what is served on it.
#[derive(Debug)]
pub(super) struct Claim {
    /// Where it is.
    pub(super) at: PublishedAt,
    /// Where it leads.
    pub(super) target: Target,
    /// Its sockets, with the address that each is bound to.
    sockets: Vec<(IpAddr, OwnedFd)>,
    pub(super) serving: Serving,
    /// It could not be spliced: until then it is not tried again.
    pub(super) not_before: Option<Instant>,
}

/// Who serves the sockets of a claim. Dropping it ends that.
#[derive(Debug)]
#[expect(dead_code, reason = "they are kept to be dropped")]
pub(super) enum Serving {
    Nobody,
    /// The agent as a go-between.
    GoBetween(Vec<Task>),
    /// The endpoint's thread, which makes sessions.
    Splice(Vec<OpenDoor>),
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Claim {
    /// The first port that nobody has, of those that a mapping accepts.
    pub(super) fn find(mapping: &PortMapping, target: Target) -> io::Result<Self> {
        let mut last = io::Error::from(Errno::ADDRINUSE);
        let candidates = match mapping.host_port {
            0 => vec![0; ATTEMPTS as usize],
            first => (first..=mapping.host_port_end.max(first)).collect(),
        };
        for port in candidates {
            match bind_all(mapping, port) {
                Ok((port, sockets)) => {
                    let at = PublishedAt {
                        protocol: mapping.protocol,
                        host_ip: mapping.host_ip,
                        host_port: port,
                        container_port: mapping.container_port,
                        lead: Lead::Packets,
                    };
                    return Ok(Self {
                        at,
                        target,
                        sockets,
                        serving: Serving::Nobody,
                        not_before: None,
                    });
                }
                Err(error) if error == Errno::ADDRINUSE => last = error.into(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last)
    }

    /// What the kernel is told of it.
    pub(super) fn opening(&self) -> Opening {
        Opening { at: self.at, target: self.target }
    }

    /// Its sockets for who serves them, with the address that each is bound to. The claim keeps the port.
    pub(super) fn sockets(&self) -> io::Result<Vec<(IpAddr, OwnedFd)>> {
        let each = self.sockets.iter();
        each.map(|(door, socket)| Ok((*door, socket.try_clone()?))).collect()
    }

    /// Has its sockets listen, whatever they did before.
    pub(super) fn listen(&self) -> io::Result<()> {
        for (_, socket) in &self.sockets {
            sockopt::set_socket_reuseaddr(socket, true)?;
            rustix::net::listen(socket, BACKLOG)?;
        }
        Ok(())
    }
}

/// Binds one port on every address that a mapping means; 0 is any port.
fn bind_all(
    mapping: &PortMapping,
    mut port: u16,
) -> rustix::io::Result<(u16, Vec<(IpAddr, OwnedFd)>)> {
    let any = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let doors = mapping.host_ip.map_or_else(|| any.to_vec(), |door| vec![door]);
    let mut sockets = Vec::with_capacity(doors.len());
    for door in doors {
        match bind(mapping.protocol, SocketAddr::new(door, port)) {
            // A host without IPv6.
            Err(Errno::AFNOSUPPORT) if mapping.host_ip.is_none() && door.is_ipv6() => {}
            bound => {
                let mut bound = bound?;
                if port == 0 {
                    let chosen = SocketAddr::try_from(rustix::net::getsockname(&bound)?)?;
                    port = chosen.port();
                    // By its number, while the first socket keeps it: the kernel takes a port that it chose
                    // back from a socket that listens no more (`tcp_set_state`, Linux 6.18).
                    if mapping.protocol == Protocol::Tcp {
                        bound = bind(mapping.protocol, chosen)?;
                    }
                }
                if mapping.protocol == Protocol::Tcp {
                    rustix::net::listen(&bound, BACKLOG)?;
                }
                sockets.push((door, bound));
            }
        }
    }
    Ok((port, sockets))
}

fn bind(protocol: Protocol, address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = protocol == Protocol::Tcp;
    let kind = if stream { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if stream {
        // Connections of an agent before this one may not have ended yet.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(protocol: Protocol, host_port: u16, host_port_end: u16) -> PortMapping {
        PortMapping { protocol, container_port: 80, host_ip: None, host_port, host_port_end }
    }

    fn find(mapping: &PortMapping) -> io::Result<Claim> {
        Claim::find(mapping, Target { ipv4: None, ipv6: None })
    }

    #[test]
    fn any_port_is_one_port_in_both_families_and_is_kept() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let claim = find(&mapping(protocol, 0, 0)).unwrap();
            let port = claim.at.host_port;
            assert_ne!(port, 0);
            let taken = find(&mapping(protocol, port, port)).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            drop(claim);
            let again = find(&mapping(protocol, port, port)).unwrap();
            assert!(again.at.serves(&mapping(protocol, 0, 0)));
        }
    }

    #[test]
    fn a_range_gives_its_first_free_port() {
        let held = find(&mapping(Protocol::Tcp, 0, 0)).unwrap();
        let port = held.at.host_port;
        let range = mapping(Protocol::Tcp, port, port.saturating_add(20));
        let next = find(&range).unwrap();
        assert!(next.at.host_port > port && next.at.serves(&range));
    }

    #[test]
    fn an_address_that_the_host_does_not_have_is_refused() {
        let foreign =
            PortMapping { host_ip: "192.0.2.77".parse().ok(), ..mapping(Protocol::Tcp, 0, 0) };
        let error = find(&foreign).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
