//! What the fuzz targets do with their input, and a normal test with the inputs they once had.
//!
//! A panic in here is a finding.

mod ring;

pub(crate) use ring::memif_ring;

use std::sync::Arc;
use std::time::{Duration, Instant};

use memif::handshake::{
    Announcement, ClientAction, ClientHandshake, ClientHello, Lookup, Offer, ServerHandshake,
    Stage, Terms, Timeouts,
};
use memif::memory::ClientLayout;
use memif::parameters::{RegionSpec, RingSpec, SharedSpec};
use memif::wire::{MESSAGE_SIZE, Message};
use memif::{BufferSize, InterfaceId, Limits, Mode, Name, RingSize, Secret};

/// Bytes are a message or an error, and a message means the same after another trip.
pub(crate) fn memif_wire(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
        // Whatever a peer puts into a name can be written to a log.
        assert!(!format!("{message:?}").chars().any(char::is_control));
    }
}

/// A descriptor whose copies are counted.
type Descriptor = Arc<()>;

const LIMITS: Limits = Limits { regions: 3, rings: 3, region_bytes: 1 << 30, total_bytes: 3 << 29 };

/// Each step begins with one byte: its low bits say what happens, bit 7 whether a descriptor comes
/// along. Messages to either machine follow as 128 bytes, zeroes if the input is shorter.
pub(crate) fn memif_handshake(data: &[u8]) {
    let mut ends = Ends::new();
    let mut data = data;
    while let Some((&step, rest)) = data.split_first() {
        data = rest;
        match step & 0x07 {
            0 => ends.send_to_server(take(&mut data), step & 0x80 != 0),
            1 => ends.send_to_client(take(&mut data), step & 0x80 != 0),
            2 => ends.pass(),
            3 => ends.act(),
            4 => ends.now += Duration::from_millis(u64::from(step >> 3) * 50),
            5 => ends.expire(),
            6 => {
                let _ = ends.client.handle_eof();
            }
            _ => {
                let _ = ends.server.handle_eof();
            }
        }
        ends.check();
    }
    let _ = ends.server.handle_eof();
    let _ = ends.client.handle_eof();
    ends.announced = None;
    ends.check();
    assert_eq!(Arc::strong_count(&ends.descriptor), 1, "closed machines hold no descriptor");
}

fn take(data: &mut &[u8]) -> [u8; MESSAGE_SIZE] {
    let (message, rest) = data.split_at(data.len().min(MESSAGE_SIZE));
    *data = rest;
    let mut bytes = [0; MESSAGE_SIZE];
    bytes[..message.len()].copy_from_slice(message);
    bytes
}

struct Ends {
    client: ClientHandshake<Descriptor>,
    server: ServerHandshake<Descriptor>,
    announced: Option<Announcement<Descriptor>>,
    descriptor: Descriptor,
    now: Instant,
}

impl Ends {
    fn new() -> Self {
        let now = Instant::now();
        let hello = ClientHello {
            id: InterfaceId::new(7),
            mode: Mode::Ethernet,
            secret: Secret::NONE,
            application: Name::EMPTY,
            interface: Name::EMPTY,
            layout: ClientLayout {
                client_to_server: 2,
                server_to_client: 1,
                ring_size: RingSize::default(),
                buffer_size: BufferSize::default(),
            },
        };
        let offer = Offer { name: Name::EMPTY, regions: 3, rings: 3 };
        Self {
            client: ClientHandshake::new(hello, Timeouts::CLIENT, now),
            server: ServerHandshake::new(offer, Timeouts::SERVER, now),
            announced: None,
            descriptor: Arc::new(()),
            now,
        }
    }

    fn attach(&self, attached: bool) -> Option<Descriptor> {
        attached.then(|| Arc::clone(&self.descriptor))
    }

    fn send_to_server(&mut self, bytes: [u8; MESSAGE_SIZE], attached: bool) {
        let descriptor = self.attach(attached);
        match Message::decode(&bytes) {
            Ok(message) => {
                let _ = self.server.handle(message, descriptor, lookup);
            }
            Err(error) => {
                let _ = self.server.refuse(error.into());
            }
        }
    }

    fn send_to_client(&mut self, bytes: [u8; MESSAGE_SIZE], attached: bool) {
        let descriptor = self.attach(attached);
        match Message::decode(&bytes) {
            Ok(message) => {
                let _ = self.client.handle(message, descriptor);
            }
            Err(error) => {
                let _ = self.client.refuse(error.into());
            }
        }
    }

    /// Each end hears what the other wants to say.
    fn pass(&mut self) {
        while let Some(outgoing) = self.client.poll_transmit() {
            let _ = self.server.handle(outgoing.message, outgoing.descriptor, lookup);
        }
        while let Some(message) = self.server.poll_transmit() {
            let _ = self.client.handle(message, None);
        }
    }

    /// What a shell does.
    fn act(&mut self) {
        if let Some(ClientAction::Prepare(layout)) = self.client.poll_event() {
            let _ = self.client.share(shared(layout, &self.descriptor));
        }
        if let Some(announced) = self.server.poll_event() {
            assert_within_limits(&announced.shared);
            self.announced = Some(announced);
            let _ = self.server.accept(Name::EMPTY);
        }
    }

    fn expire(&mut self) {
        let _ = self.client.handle_timeout(self.now);
        let _ = self.server.handle_timeout(self.now);
    }

    /// Whatever came: an end that is over says at most goodbye and waits for nothing.
    fn check(&mut self) {
        if self.server.stage() == Stage::Closed {
            assert!(self.server.poll_timeout().is_none());
            assert!(self.server.poll_event().is_none());
            let farewell = self.server.poll_transmit();
            assert!(matches!(farewell, None | Some(Message::Disconnect(_))));
            assert!(self.server.poll_transmit().is_none());
        }
        if self.client.stage() == Stage::Closed {
            assert!(self.client.poll_timeout().is_none());
            assert!(self.client.poll_event().is_none());
            let farewell = self.client.poll_transmit().map(|outgoing| outgoing.message);
            assert!(matches!(farewell, None | Some(Message::Disconnect(_))));
            assert!(self.client.poll_transmit().is_none());
        }
    }
}

fn lookup(id: InterfaceId) -> Lookup {
    let terms = Terms { mode: Mode::Ethernet, secret: None, limits: LIMITS };
    match id.value() {
        0..0x100 => Lookup::Free(terms),
        0x100..0x200 => Lookup::Taken(terms),
        _ => Lookup::Unknown,
    }
}

fn shared(layout: ClientLayout, descriptor: &Descriptor) -> SharedSpec<Descriptor> {
    let stride = 128 + 16 * u32::from(layout.ring_size.slots());
    let ring = |index: u16| RingSpec {
        region: 0,
        offset: u32::from(index) * stride,
        size: layout.ring_size,
        private_header_size: 0,
        interrupt: Arc::clone(descriptor),
    };
    let split = layout.client_to_server;
    SharedSpec {
        regions: vec![RegionSpec { size: 1 << 24, fd: Arc::clone(descriptor) }],
        client_to_server: (0..split).map(ring).collect(),
        server_to_client: (split..split + layout.server_to_client).map(ring).collect(),
    }
}

/// What the server lets through, judged anew and naively.
fn assert_within_limits(shared: &SharedSpec<Descriptor>) {
    assert!((1..=usize::from(LIMITS.regions)).contains(&shared.regions.len()));
    let sizes: Vec<u128> = shared.regions.iter().map(|it| u128::from(it.size)).collect();
    assert!(sizes.iter().all(|size| (1..=u128::from(LIMITS.region_bytes)).contains(size)));
    assert!(sizes.iter().sum::<u128>() <= u128::from(LIMITS.total_bytes));
    let directions = [&shared.client_to_server, &shared.server_to_client];
    for rings in directions {
        assert!((1..=usize::from(LIMITS.rings)).contains(&rings.len()));
    }
    let spans: Vec<_> = directions
        .into_iter()
        .flatten()
        .map(|ring| {
            let start = u128::from(ring.offset);
            (ring.region, start, start + 128 + 16 * u128::from(ring.size.slots()))
        })
        .collect();
    for (index, &(region, start, end)) in spans.iter().enumerate() {
        assert!(start.is_multiple_of(64) && end <= sizes[usize::from(region)]);
        for &(other, from, to) in &spans[..index] {
            assert!(region != other || end <= from || to <= start, "rings overlap");
        }
    }
}
