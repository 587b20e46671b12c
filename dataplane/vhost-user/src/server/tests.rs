//! A front end that sends its messages in QEMU's order.

use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;

use super::{Refused, Server, Station};
use crate::{DeviceConfig, Features, LinkState, Queues};

/// Nothing is attached here: no front end of these tests shares memory.
struct Nobody;

impl Station for Nobody {
    fn attach(&mut self, _: Queues) -> Result<(), Refused> {
        Err("no queue was expected".into())
    }

    fn detach(&mut self, _: &Arc<LinkState>) {}

    fn idle(&mut self) {}
}

const GET_FEATURES: u32 = 1;
const SET_FEATURES: u32 = 2;
const SET_OWNER: u32 = 3;
const GET_PROTOCOL_FEATURES: u32 = 15;
const SET_PROTOCOL_FEATURES: u32 = 16;
const GET_QUEUE_NUM: u32 = 17;
const SET_VRING_ENABLE: u32 = 18;

const NEED_REPLY: u32 = 8;
const REPLY_ACK: u64 = 1 << 3;

struct FrontEnd(UnixStream);

impl FrontEnd {
    fn tell(&mut self, request: u32, flags: u32, payload: u64) {
        let header = [request, 1 | flags, 8].map(u32::to_ne_bytes).concat();
        self.0.write_all(&[&header[..], &payload.to_ne_bytes()].concat()).unwrap();
    }

    fn ask(&mut self, request: u32) -> u64 {
        let header = [request, 1, 0].map(u32::to_ne_bytes).concat();
        self.0.write_all(&header).unwrap();
        self.answer(request)
    }

    fn answer(&mut self, request: u32) -> u64 {
        let mut header = [0; 12];
        self.0.read_exact(&mut header).unwrap();
        assert_eq!(header[..4], request.to_ne_bytes(), "an answer to another message");
        let mut payload = [0; 8];
        self.0.read_exact(&mut payload).unwrap();
        u64::from_ne_bytes(payload)
    }
}

fn device(name: &str) -> (Server, FrontEnd) {
    let name = format!("vhost-user-net-{}-{name}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let config = DeviceConfig { queue_pairs: 2, memory_limit: 1 << 20 };
    let server = Server::start(name, listener, config, Box::new(Nobody)).unwrap();
    (server, FrontEnd(UnixStream::connect_addr(&address).unwrap()))
}

/// A ring's index and state, as one payload.
fn ring(index: u32, state: u32) -> u64 {
    let bytes = [index, state].map(u32::to_ne_bytes).concat();
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

#[test]
fn rings_can_be_enabled_before_features_are_agreed_on() {
    let (_server, mut front_end) = device("early");
    let features = front_end.ask(GET_FEATURES);
    let protocol = front_end.ask(GET_PROTOCOL_FEATURES);
    assert_ne!(protocol & REPLY_ACK, 0);
    front_end.tell(SET_PROTOCOL_FEATURES, 0, protocol);
    assert_eq!(front_end.ask(GET_QUEUE_NUM), 2);
    front_end.0.write_all(&[SET_OWNER, 1, 0].map(u32::to_ne_bytes).concat()).unwrap();
    for index in 0..4 {
        front_end.tell(SET_VRING_ENABLE, 0, ring(index, 1));
        front_end.tell(SET_VRING_ENABLE, NEED_REPLY, ring(index, 1));
        assert_eq!(front_end.answer(SET_VRING_ENABLE), 0);
    }
    front_end.tell(SET_FEATURES, NEED_REPLY, features);
    assert_eq!(front_end.answer(SET_FEATURES), 0);
    front_end.tell(SET_VRING_ENABLE, NEED_REPLY, ring(0, 1));
    assert_eq!(front_end.answer(SET_VRING_ENABLE), 0);
    assert_eq!(front_end.ask(GET_FEATURES), Features::offered(2).0);
}

#[test]
fn a_ring_that_is_not_there_ends_the_connection_early_as_well() {
    let (_server, mut front_end) = device("none");
    front_end.tell(SET_VRING_ENABLE, 0, ring(4, 1));
    let mut end = Vec::new();
    front_end.0.read_to_end(&mut end).unwrap();
    assert!(end.is_empty());
}
