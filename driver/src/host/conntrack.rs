//! The kernel's table of flows (conntrack), over netlink: which of them are forgotten when a port is published, or no
//! longer is.
//!
//! The kernel decides once where the packets of a flow go, and keeps to it. A client that goes on sending datagrams
//! from one port would be led to a container that is gone, or past one that came; TCP's clients connect anew.
//!
//! Facts: `linux/netfilter/nfnetlink_conntrack.h`; filters since Linux 5.8, `net/netfilter/nf_internals.h`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use rustix::net::netlink::NETFILTER;

use super::netlink::Netlink;

/// `CTA_FILTER` (25) with `NLA_F_NESTED`, and in it `CTA_FILTER_ORIG_FLAGS`: which fields of the tuple count.
const FILTER: u16 = 0x8019;
const FILTER_ORIGINAL: u16 = 1;
/// `CTA_FILTER_F_CTA_PROTO_NUM` and `CTA_FILTER_F_CTA_PROTO_DST_PORT`.
const PROTOCOL_AND_PORT: u32 = (1 << 3) | (1 << 5);

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Direction {
    from: SocketAddr,
    to: SocketAddr,
}

/// A flow of datagrams, as its first packet was and as answers to it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    original: Direction,
    reply: Direction,
}

/// A UDP port of the host that leads, or led, to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// Its address; `None`: all of this family.
    pub address: Option<IpAddr>,
    /// Its number.
    pub port: u16,
    /// Where it leads.
    pub inside: SocketAddr,
}

/// What became of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is there now: flows that came to the port itself are led through it.
    Opened,
    /// It is gone: flows that it led on are not any more.
    Closed,
}

impl Door {
    /// Whether a flow has to be decided anew.
    fn concerns(&self, turn: Turn, flow: &Flow) -> bool {
        let Flow { original, reply } = flow;
        let came = original.to.port() == self.port
            && self.address.is_none_or(|address| address == original.to.ip());
        came && match turn {
            Turn::Opened => reply.from == original.to && reply.to == original.from,
            Turn::Closed => reply.from == self.inside && original.to != self.inside,
        }
    }
}

/// Forgets the flows that a door concerns; says how many.
pub fn forget(door: &Door, turn: Turn) -> io::Result<usize> {
    let family =
        if door.inside.is_ipv4() { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 };
    let mut socket = Netlink::<Message>::open_for(Some(NETFILTER))?;
    let flows = socket.dump(&towards(family, door.port))?;
    let mut forgotten = 0;
    for flow in flows.iter().filter_map(read).filter(|flow| door.concerns(turn, flow)) {
        let tuple = ConntrackAttribute::CtaTupleOrig(written(flow.original));
        let delete = message(family, ConntrackMessage::Delete(vec![tuple]));
        match socket.change(delete, 0) {
            Ok(()) => forgotten += 1,
            // It ended by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

fn message(family: NetfilterProtoFamily, message: ConntrackMessage) -> Message {
    let inner = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message);
    Message { inner, filter: Vec::new() }
}

/// A question for flows of datagrams to this port.
fn towards(family: NetfilterProtoFamily, port: u16) -> Message {
    let places = vec![ProtoTuple::Protocol(Protocol::Udp), ProtoTuple::DestinationPort(port)];
    let tuple = ConntrackAttribute::CtaTupleOrig(vec![Tuple::Proto(places)]);
    let question = message(family, ConntrackMessage::Get(vec![tuple]));
    Message { filter: filter(PROTOCOL_AND_PORT), ..question }
}

/// The attribute `CTA_FILTER`: lengths, kinds and flags in the host's own byte order (`struct nlattr`).
fn filter(flags: u32) -> Vec<u8> {
    let halves = [12, FILTER, 8, FILTER_ORIGINAL].map(u16::to_ne_bytes).concat();
    [halves, flags.to_ne_bytes().to_vec()].concat()
}

/// A message, and behind it a filter, which the crate of the messages does not have.
#[derive(Debug, Clone)]
struct Message {
    inner: NetfilterMessage,
    filter: Vec<u8>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.inner.message_type()
    }

    fn buffer_len(&self) -> usize {
        self.inner.buffer_len() + self.filter.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (inner, filter) = buffer.split_at_mut(self.inner.buffer_len());
        self.inner.serialize(inner);
        filter.copy_from_slice(&self.filter);
    }
}

impl NetlinkDeserializable for Message {
    type Error = <NetfilterMessage as NetlinkDeserializable>::Error;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let inner = NetfilterMessage::deserialize(header, payload)?;
        Ok(Self { inner, filter: Vec::new() })
    }
}

fn written(direction: Direction) -> Vec<Tuple> {
    let Direction { from, to } = direction;
    vec![
        Tuple::Ip(vec![IPTuple::SourceAddress(from.ip()), IPTuple::DestinationAddress(to.ip())]),
        Tuple::Proto(vec![
            ProtoTuple::Protocol(Protocol::Udp),
            ProtoTuple::SourcePort(from.port()),
            ProtoTuple::DestinationPort(to.port()),
        ]),
    ]
}

/// The flow of datagrams that a message tells of.
fn read(message: &Message) -> Option<Flow> {
    let inner = &message.inner.inner;
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = inner else {
        return None;
    };
    let original = attributes.iter().find_map(|it| match it {
        ConntrackAttribute::CtaTupleOrig(tuples) => direction(tuples),
        _ => None,
    });
    let reply = attributes.iter().find_map(|it| match it {
        ConntrackAttribute::CtaTupleReply(tuples) => direction(tuples),
        _ => None,
    });
    Some(Flow { original: original?, reply: reply? })
}

fn direction(tuples: &[Tuple]) -> Option<Direction> {
    let (mut from, mut to) = (None, None);
    let (mut from_port, mut to_port, mut protocol) = (None, None, None);
    for tuple in tuples {
        match tuple {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(it) => from = Some(*it),
                        IPTuple::DestinationAddress(it) => to = Some(*it),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(places) => {
                for place in places {
                    match place {
                        ProtoTuple::Protocol(it) => protocol = Some(*it),
                        ProtoTuple::SourcePort(it) => from_port = Some(*it),
                        ProtoTuple::DestinationPort(it) => to_port = Some(*it),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (protocol? == Protocol::Udp).then_some(Direction {
        from: SocketAddr::new(from?, from_port?),
        to: SocketAddr::new(to?, to_port?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(original: [&str; 2], reply: [&str; 2]) -> Flow {
        let direction = |[from, to]: [&str; 2]| Direction {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        Flow { original: direction(original), reply: direction(reply) }
    }

    fn door(address: Option<&str>) -> Door {
        Door {
            address: address.map(|it| it.parse().unwrap()),
            port: 5353,
            inside: "10.1.0.2:53".parse().unwrap(),
        }
    }

    const CLIENT: &str = "192.0.2.9:4000";
    const HOST: &str = "192.0.2.1:5353";

    #[test]
    fn flows_through_a_door_that_was_closed_are_forgotten_and_no_others() {
        let led = flow([CLIENT, HOST], ["10.1.0.2:53", CLIENT]);
        assert!(door(None).concerns(Turn::Closed, &led));
        assert!(door(Some("192.0.2.1")).concerns(Turn::Closed, &led));
        assert!(!door(Some("192.0.2.2")).concerns(Turn::Closed, &led));
        assert!(!door(None).concerns(Turn::Opened, &led), "it is where it should be");
        let elsewhere = flow([CLIENT, HOST], ["10.1.0.3:53", CLIENT]);
        let other_port = flow([CLIENT, "192.0.2.1:99"], ["10.1.0.2:53", CLIENT]);
        let direct = flow([CLIENT, "10.1.0.2:53"], ["10.1.0.2:53", CLIENT]);
        for other in [elsewhere, other_port, direct] {
            assert!(!door(None).concerns(Turn::Closed, &other), "{other:?}");
        }
    }

    #[test]
    fn flows_to_the_port_itself_are_led_through_a_new_door() {
        let to_host = flow([CLIENT, HOST], [HOST, CLIENT]);
        assert!(door(None).concerns(Turn::Opened, &to_host));
        assert!(!door(None).concerns(Turn::Closed, &to_host));
        // Somebody inside asks a server outside by the host's address.
        let out = flow(["10.1.0.9:4000", "203.0.113.1:5353"], ["203.0.113.1:5353", HOST]);
        assert!(!door(None).concerns(Turn::Opened, &out));
    }

    #[test]
    fn what_is_written_is_read() {
        let flow = flow([CLIENT, HOST], ["10.1.0.2:53", CLIENT]);
        let attributes = vec![
            ConntrackAttribute::CtaTupleOrig(written(flow.original)),
            ConntrackAttribute::CtaTupleReply(written(flow.reply)),
        ];
        let told = message(NetfilterProtoFamily::IPv4, ConntrackMessage::New(attributes));
        assert_eq!(read(&told), Some(flow));
    }
}
