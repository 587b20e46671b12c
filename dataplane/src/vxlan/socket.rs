//! The UDP sockets of one local address: one that receives, and several that send.
//!
//! Flows of a segment differ by the source port of their datagrams, so that the underlay can spread them over its
//! ways and the receiver over its queues (RFC 7348, section 5). An ordinary socket has one port; so there are
//! several, and a flow always uses the same.
//!
//! No datagram is cut into fragments: the kernel refuses one that is too long for what it knows of the way.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::datagrams::{Datagram, Inbox, outgoing};
use super::outbox::{Message, Outbox, SOURCE_PORTS};
use super::{Peer, VtepAddress};
use crate::DropReason;
use crate::bridge::PortSlot;
use crate::messages::{Outgoing, send};

/// Bytes that wait in a socket while the worker is busy, or the link is.
const BUFFER: usize = 8 << 20;

/// The sockets that send.
#[derive(Debug)]
pub(crate) struct Sockets {
    senders: Vec<OwnedFd>,
    family: Family,
}

/// The socket that receives, with its buffers.
#[derive(Debug)]
pub(crate) struct Receiver {
    socket: OwnedFd,
    inbox: Inbox,
}

/// What addresses a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
    /// Both, on a socket for IPv6.
    Both,
}

impl Sockets {
    /// Opens the sockets in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel's: `EADDRINUSE` when the port is taken, `EADDRNOTAVAIL` when the address is not of this host.
    pub(crate) fn open(local: VtepAddress) -> io::Result<(Self, Receiver)> {
        let (family, receiver) = match local.ip {
            Some(ip) => {
                let family = if ip.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
                (family, bound(family, Some(ip), local.port)?)
            }
            None => match bound(Family::Both, None, local.port) {
                // A kernel without IPv6.
                Err(Errno::AFNOSUPPORT) => (Family::Ipv4, bound(Family::Ipv4, None, local.port)?),
                other => (Family::Both, other?),
            },
        };
        let _ = sockopt::set_socket_recv_buffer_size_force(&receiver, BUFFER)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&receiver, BUFFER));
        Inbox::merge(receiver.as_fd())?;
        let senders: Result<_, Errno> =
            (0..SOURCE_PORTS).map(|_| sender(family, local.ip)).collect();
        let receiver = Receiver { socket: receiver, inbox: Inbox::new() };
        Ok((Self { senders: senders?, family }, receiver))
    }

    /// The peer's address as these sockets take it; `None` when they cannot reach its family.
    pub(crate) fn destination(&self, peer: Peer) -> Option<SocketAddr> {
        match (self.family, peer.ip()) {
            (Family::Ipv4, IpAddr::V4(_)) | (Family::Ipv6 | Family::Both, IpAddr::V6(_)) => {
                Some(peer.into())
            }
            (Family::Both, IpAddr::V4(ip)) => {
                Some(SocketAddr::new(ip.to_ipv6_mapped().into(), peer.port()))
            }
            _ => None,
        }
    }

    /// Sends what waits and empties the box; reports each message. `destination` names where the peer behind a
    /// port is.
    pub(crate) fn send(
        &self,
        outbox: &mut Outbox,
        destination: impl Fn(PortSlot) -> Option<SocketAddr>,
        mut report: impl FnMut(&Message, Result<(), DropReason>),
    ) {
        let mut whole = true;
        for (source, sender) in self.senders.iter().enumerate() {
            let own = || outbox.messages().iter().filter(|message| message.source == source);
            let mut ready = Vec::new();
            let mut batch = Vec::new();
            for message in own() {
                let Some(to) = destination(message.to) else {
                    report(message, Err(DropReason::NoDevice));
                    continue;
                };
                let segment = u16::try_from(message.segment).ok().filter(|_| message.count > 1);
                batch.push(outgoing(to, outbox.bytes(message), segment));
                ready.push(message);
            }
            send(sender.as_fd(), &batch, |at, outcome| match outcome {
                // What carries the datagrams cannot compute checksums, without which none are cut.
                Err(Errno::IO | Errno::INVAL | Errno::OPNOTSUPP) if batch[at].control.is_some() => {
                    whole = false;
                    let apart = send_apart(sender.as_fd(), batch[at], ready[at].segment);
                    report(ready[at], apart);
                }
                outcome => report(ready[at], outcome.map_err(reason)),
            });
        }
        if !whole {
            tracing::warn!(
                "the kernel does not cut datagrams on this way: each takes a call of its own"
            );
            outbox.stop_joining();
        }
        outbox.clear();
    }
}

impl Receiver {
    /// Receives what waits, at most a batch; `true` when more may wait.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn receive(&mut self) -> Result<bool, Errno> {
        self.inbox.receive(self.socket.as_fd())
    }

    /// What was received, and its bytes.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = (Datagram, &mut [u8])> {
        self.inbox.datagrams()
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The datagrams of a message one by one; the first failure is that of the message.
fn send_apart(
    sender: BorrowedFd<'_>,
    message: Outgoing<'_>,
    segment: usize,
) -> Result<(), DropReason> {
    let pieces = message.bytes.chunks(segment);
    let pieces: Vec<_> = pieces.map(|bytes| outgoing(message.to, bytes, None)).collect();
    let mut outcome = Ok(());
    send(sender, &pieces, |_, sent| {
        if let (Ok(()), Err(error)) = (outcome, sent) {
            outcome = Err(reason(error));
        }
    });
    outcome
}

fn reason(error: Errno) -> DropReason {
    match error {
        Errno::AGAIN | Errno::NOBUFS => DropReason::Full,
        Errno::MSGSIZE => DropReason::UnderlayMtu,
        _ => DropReason::Device,
    }
}

fn sender(family: Family, ip: Option<IpAddr>) -> Result<OwnedFd, Errno> {
    let socket = bound(family, ip, 0)?;
    let _ = sockopt::set_socket_send_buffer_size_force(&socket, BUFFER)
        .or_else(|_| sockopt::set_socket_send_buffer_size(&socket, BUFFER));
    // Nobody answers to these ports: what comes there takes as little memory as can be.
    sockopt::set_socket_recv_buffer_size(&socket, 0)?;
    if family != Family::Ipv6 {
        sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?;
    }
    if family != Family::Ipv4 {
        sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DO)?;
    }
    Ok(socket)
}

/// A socket with an address; the one of any, unless said otherwise.
fn bound(family: Family, ip: Option<IpAddr>, port: u16) -> Result<OwnedFd, Errno> {
    let domain = if family == Family::Ipv4 { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(domain, SocketType::DGRAM, flags, None)?;
    let any = match family {
        Family::Ipv4 => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6 | Family::Both => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    if family != Family::Ipv4 {
        sockopt::set_ipv6_v6only(&socket, family == Family::Ipv6)?;
    }
    rustix::net::bind(&socket, &SocketAddr::new(ip.unwrap_or(any), port))?;
    Ok(socket)
}
