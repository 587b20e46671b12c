//! Control messages written and read.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

use memif::wire::{AddRegion, AddRing, Direction, Disconnect, Hello, Init, Message, Version};
use memif::{InterfaceId, Mode, Name, Reason, RingSize, Secret};
use session::wire::{Protocol, Refusal, Reply, Request, Reuse};

pub(crate) const MEMIF_MESSAGES: u32 = 8;
pub(crate) const SESSION_MESSAGES: u32 = 7;

/// Each message of a memif handshake.
pub(crate) fn memif(iterations: u32) -> Result<(), String> {
    let name = Name::truncated("hot-paths");
    let messages = [
        Message::Hello(Hello {
            name,
            min_version: Version::CURRENT,
            max_version: Version::CURRENT,
            max_region: 7,
            max_server_to_client_ring: 15,
            max_client_to_server_ring: 15,
            max_log2_ring_size: 14,
        }),
        Message::Init(Init {
            version: Version::CURRENT,
            id: InterfaceId::new(3),
            mode: Mode::default(),
            secret: Secret::NONE,
            name,
        }),
        Message::AddRegion(AddRegion { index: 0, size: 1 << 22 }),
        Message::AddRing(AddRing {
            direction: Direction::ClientToServer,
            index: 0,
            region: 0,
            offset: 128,
            size: RingSize::default(),
            private_header_size: 0,
        }),
        Message::Connect { interface: name },
        Message::Connected { interface: name },
        Message::Disconnect(Disconnect { code: 0, reason: Reason::truncated("done") }),
        Message::Ack,
    ];
    for _ in 0..iterations {
        for message in &messages {
            let bytes = black_box(message).encode();
            let read = Message::decode(black_box(&bytes)).map_err(|error| error.to_string())?;
            if read != *message {
                return Err(format!("{message:?} was read as {read:?}"));
            }
        }
    }
    Ok(())
}

/// Requests and replies of sessions.
pub(crate) fn session(iterations: u32) -> Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 4000));
    let protocol = Protocol::Stream;
    let requests = [
        Request::Connect { protocol, source: None, destination: address, cookie: 7, sharing: 9 },
        Request::Listen { protocol, address, backlog: 128, reuse: Reuse::default(), cookie: 7 },
        Request::Describe,
    ];
    let replies =
        [Reply::Listening, Reply::Pending, Reply::Refused(Refusal::Refused), Reply::UseKernel];
    for _ in 0..iterations {
        for request in &requests {
            let bytes = black_box(request).encode();
            let read = Request::decode(black_box(&bytes)).map_err(|error| error.to_string())?;
            if read != *request {
                return Err(format!("{request:?} was read as {read:?}"));
            }
        }
        for reply in &replies {
            let bytes = black_box(reply).encode();
            let read = Reply::decode(black_box(&bytes)).map_err(|error| error.to_string())?;
            if read != *reply {
                return Err(format!("{reply:?} was read as {read:?}"));
            }
        }
    }
    Ok(())
}
