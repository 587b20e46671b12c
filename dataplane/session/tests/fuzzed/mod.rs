//! What the fuzz targets do with their input, and a normal test with the inputs they once had.
//!
//! A panic in here is a finding.

mod ring;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use session::broker::core::broker::ListenVerdict;
use session::broker::core::{Ask, Broker, Grant, Room, Verdict};
use session::broker::{Endpoint, EndpointKey, Limits, ListenerId, NetworkKey};
use session::layout::RingSize;
use session::wire::{REQUEST_BYTES, Reply, Request};

pub(crate) use ring::session_ring;

/// Bytes are a message or an error, and a message means the same after another trip.
pub(crate) fn session_wire(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(reply) = Reply::decode(data) {
        assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }
}

/// Endpoints: two of one network, two of another with the same addresses.
const ENDPOINTS: u8 = 4;

const LIMITS: Limits = Limits { sessions: 8, listeners: 4, waiting: 4, new_sessions: None };

/// Each step begins with one byte: the low two bits say which endpoint, the next three what happens, the
/// rest whether backlogs have room. A message of an endpoint follows as [`REQUEST_BYTES`] bytes, of
/// which missing ones are zero.
pub(crate) fn session_broker(data: &[u8]) {
    let mut world = World::new();
    let mut data = data;
    while let Some((&step, rest)) = data.split_first() {
        data = rest;
        let key = EndpointKey((step & 3).into());
        match step >> 2 & 7 {
            0..=3 => {
                let (message, rest) = data.split_at(data.len().min(REQUEST_BYTES));
                data = rest;
                let mut whole = [0; REQUEST_BYTES];
                whole[..message.len()].copy_from_slice(message);
                world.request(key, &whole, step >> 5);
            }
            4 => world.end(step >> 5),
            5 => world.unlisten(step >> 5),
            6 => world.restart(key),
            _ => world.broker.set_packet_client(key, step >> 5 & 1 != 0),
        }
        world.check();
    }
}

struct World {
    broker: Broker,
    grants: Vec<Grant>,
    listeners: Vec<ListenerId>,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { broker: Broker::default(), grants: Vec::new(), listeners: Vec::new() };
        (0..ENDPOINTS).for_each(|key| world.restart(EndpointKey(key.into())));
        world
    }

    fn restart(&mut self, key: EndpointKey) {
        let gone = self.broker.remove_endpoint(key);
        self.listeners.retain(|id| !gone.contains(id));
        for grant in self.grants.extract_if(.., |it| it.endpoints().any(|side| side == key)) {
            self.broker.end(&grant);
        }
        let last = u8::try_from(key.0 & 1).expect("one bit");
        let endpoint = Endpoint {
            network: NetworkKey(key.0 >> 1),
            ipv4: Some(Ipv4Addr::new(10, 0, 0, last)),
            ipv6: None,
            kernel: key.0 == 1,
            isolated: false,
            ring_size: RingSize::DEFAULT,
            limits: LIMITS,
        };
        self.broker.add_endpoint(key, endpoint);
    }

    fn request(&mut self, key: EndpointKey, message: &[u8], rooms: u8) {
        match Request::decode(message) {
            Ok(Request::Listen { protocol, address, reuse, cookie, .. }) => {
                let verdict = self.broker.listen(key, protocol, address, reuse, cookie);
                if let ListenVerdict::Listening(id) = verdict {
                    self.listeners.push(id);
                }
            }
            Ok(Request::Connect { protocol, source, destination, .. }) => {
                let ask = Ask { protocol, source, destination }.canonical();
                let room = |id: ListenerId| match (id.0 + u64::from(rooms)) % 4 {
                    0 => Room::Full,
                    1 => Room::Gone,
                    _ => Room::Free,
                };
                if let Verdict::Place(grant, id) = self.broker.connect(key, &ask, room) {
                    let listener = *self.broker.listener(id).expect("it is there");
                    let server = grant.server.expect("a session of two endpoints");
                    assert_eq!(listener.endpoint, server);
                    assert_eq!(server.0 >> 1, key.0 >> 1, "another network was reached");
                    assert_eq!(room(id), Room::Free);
                    let tuple = grant.tuple;
                    assert_eq!(tuple.destination, ask.destination);
                    assert_eq!(listener.binding.port, tuple.destination.port());
                    assert!(self.owns(key, tuple.source) && tuple.source.port() != 0);
                    let mut own = self.grants.iter().filter(|other| other.client == Some(key));
                    assert!(own.all(|other| other.tuple != tuple), "an address was given twice");
                    self.grants.push(grant);
                }
            }
            _ => {}
        }
    }

    fn owns(&self, key: EndpointKey, address: SocketAddr) -> bool {
        let endpoint = self.broker.endpoint(key).expect("it is there");
        match address.ip() {
            IpAddr::V4(ip) => endpoint.ipv4 == Some(ip),
            IpAddr::V6(ip) => endpoint.ipv6 == Some(ip),
        }
    }

    fn end(&mut self, which: u8) {
        if !self.grants.is_empty() {
            let at = usize::from(which) % self.grants.len();
            self.broker.end(&self.grants.swap_remove(at));
        }
    }

    fn unlisten(&mut self, which: u8) {
        if !self.listeners.is_empty() {
            let at = usize::from(which) % self.listeners.len();
            self.broker.unlisten(self.listeners.swap_remove(at));
        }
    }

    fn check(&self) {
        assert_eq!(self.broker.listeners().count(), self.listeners.len());
        for key in (0..ENDPOINTS).map(|key| EndpointKey(key.into())) {
            let counters = self.broker.counters(key).expect("it is there");
            let sides = self.grants.iter().flat_map(Grant::endpoints);
            assert_eq!(counters.sessions, sides.filter(|side| *side == key).count() as u64);
            // A session of an endpoint with itself counts twice.
            assert!(counters.sessions <= u64::from(LIMITS.sessions) + 1);
            assert!(counters.listeners <= u64::from(LIMITS.listeners));
        }
    }
}
