//! Both machines against each other in memory, on a line that loses, repeats, cuts, replaces and
//! delays messages and strips or invents descriptors. Whatever happens, the two ends agree: both
//! are connected, or both are closed and hold no descriptor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::memory::ClientLayout;
use crate::parameters::{BufferSize, Limits, RegionSpec, RingSize, RingSpec, SharedSpec};
use crate::text::Secret;
use crate::wire::{AddRegion, AddRing, Hello, Init, MESSAGE_SIZE};

/// A descriptor whose clones and drops are counted.
type Descriptor = Arc<()>;

fn hello() -> ClientHello {
    ClientHello {
        id: InterfaceId::new(7),
        mode: Mode::Ethernet,
        secret: Secret::new("s3cret").unwrap(),
        application: Name::new("client").unwrap(),
        interface: Name::new("c0").unwrap(),
        layout: ClientLayout {
            client_to_server: 2,
            server_to_client: 3,
            ring_size: RingSize::from_log2(4).unwrap(),
            buffer_size: BufferSize::default(),
        },
    }
}

fn offer() -> Offer {
    Offer { name: Name::new("server").unwrap(), regions: 8, rings: 4 }
}

fn terms() -> Terms {
    Terms {
        mode: Mode::Ethernet,
        secret: Some(Secret::new("s3cret").unwrap()),
        limits: Limits { regions: 2, rings: 4, region_bytes: 1 << 20, total_bytes: 3 << 19 },
    }
}

fn free(id: InterfaceId) -> Lookup {
    if id == InterfaceId::new(7) { Lookup::Free(terms()) } else { Lookup::Unknown }
}

/// The canonical layout: one region, rings first.
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
        regions: vec![RegionSpec { size: 1 << 20, fd: Arc::clone(descriptor) }],
        client_to_server: (0..split).map(ring).collect(),
        server_to_client: (split..split + layout.server_to_client).map(ring).collect(),
    }
}

/// What happens to one message.
#[derive(Debug, Clone)]
enum Fault {
    Drop,
    Repeat,
    Truncate(usize),
    Replace(Box<[u8; MESSAGE_SIZE]>),
    /// It arrives after the next one of its direction.
    Delay,
    StripDescriptor,
    InventDescriptor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

type Datagram = (Vec<u8>, Option<Descriptor>);

struct Pair {
    client: ClientHandshake<Descriptor>,
    server: ServerHandshake<Descriptor>,
    mapped: Option<Announcement<Descriptor>>,
    descriptor: Descriptor,
    fault: Option<(Side, usize, Fault)>,
    sent: [usize; 2],
    delayed: Option<(Side, Datagram)>,
    errors: [Option<HandshakeError>; 2],
    now: Instant,
}

impl Pair {
    fn new(hello: ClientHello) -> Self {
        let now = Instant::now();
        Self {
            client: ClientHandshake::new(hello, Timeouts::CLIENT, now),
            server: ServerHandshake::new(offer(), Timeouts::SERVER, now),
            mapped: None,
            descriptor: Arc::new(()),
            fault: None,
            sent: [0; 2],
            delayed: None,
            errors: [None, None],
            now,
        }
    }

    fn with_fault(side: Side, index: usize, fault: Fault) -> Self {
        Self { fault: Some((side, index, fault)), ..Self::new(hello()) }
    }

    /// Until nothing moves; then deadlines pass; then closed ends hang up.
    fn run(&mut self) {
        self.exchange();
        for _ in 0..2 {
            self.now += Duration::from_secs(10);
            if let Err(error) = self.client.handle_timeout(self.now) {
                self.errors[0].get_or_insert(error);
            }
            if let Err(error) = self.server.handle_timeout(self.now) {
                self.errors[1].get_or_insert(error);
            }
            self.exchange();
        }
    }

    fn exchange(&mut self) {
        while self.transmit() | self.act() {}
        if self.errors[0].is_some() && self.errors[1].is_none() {
            self.errors[1] = Some(self.server.handle_eof());
        }
        if self.errors[1].is_some() && self.errors[0].is_none() {
            self.errors[0] = Some(self.client.handle_eof());
        }
    }

    fn transmit(&mut self) -> bool {
        let mut moved = false;
        while let Some(outgoing) = self.client.poll_transmit() {
            moved = true;
            self.send(Side::Client, (outgoing.message.encode().to_vec(), outgoing.descriptor));
        }
        while let Some(message) = self.server.poll_transmit() {
            moved = true;
            self.send(Side::Server, (message.encode().to_vec(), None));
        }
        moved
    }

    fn act(&mut self) -> bool {
        let mut moved = false;
        if let Some(ClientAction::Prepare(layout)) = self.client.poll_event() {
            moved = true;
            self.client.share(shared(layout, &self.descriptor)).unwrap();
        }
        if let Some(announcement) = self.server.poll_event() {
            moved = true;
            self.mapped = Some(announcement);
            self.server.accept(Name::new("s0").unwrap()).unwrap();
        }
        moved
    }

    fn send(&mut self, from: Side, datagram: Datagram) {
        let index = self.sent[from as usize];
        self.sent[from as usize] += 1;
        let fault = match &self.fault {
            Some((side, at, fault)) if (*side, *at) == (from, index) => Some(fault.clone()),
            _ => None,
        };
        let (mut bytes, mut descriptor) = datagram;
        match fault {
            Some(Fault::Drop) => return,
            Some(Fault::Delay) => {
                self.delayed = Some((from, (bytes, descriptor)));
                return;
            }
            Some(Fault::Repeat) => self.deliver(from, (bytes.clone(), descriptor.clone())),
            Some(Fault::Truncate(length)) => bytes.truncate(length),
            Some(Fault::Replace(other)) => bytes = other.to_vec(),
            Some(Fault::StripDescriptor) => descriptor = None,
            Some(Fault::InventDescriptor) => descriptor = Some(Arc::clone(&self.descriptor)),
            None => {}
        }
        self.deliver(from, (bytes, descriptor));
        if self.delayed.as_ref().is_some_and(|(side, _)| *side == from) {
            let (_, late) = self.delayed.take().unwrap();
            self.deliver(from, late);
        }
    }

    fn deliver(&mut self, from: Side, (bytes, descriptor): Datagram) {
        let to = 1 - from as usize;
        let outcome = match (from, Message::decode(&bytes)) {
            (Side::Server, Ok(message)) => self.client.handle(message, descriptor),
            (Side::Server, Err(error)) => Err(self.client.refuse(error.into())),
            (Side::Client, Ok(message)) => self.server.handle(message, descriptor, free),
            (Side::Client, Err(error)) => Err(self.server.refuse(error.into())),
        };
        if let Err(error) = outcome {
            self.errors[to].get_or_insert(error);
        }
    }

    fn assert_agreement(mut self) {
        let stages = (self.client.stage(), self.server.stage());
        match stages {
            (Stage::Connected, Stage::Connected) => {}
            (Stage::Closed, Stage::Closed) => self.mapped = None,
            _ => panic!("ends disagree: {stages:?}, {:?}", self.errors),
        }
        let mapped = self.mapped.as_ref().map_or(0, |mapped| {
            let shared = &mapped.shared;
            shared.regions.len() + shared.client_to_server.len() + shared.server_to_client.len()
        });
        self.delayed = None;
        assert_eq!(Arc::strong_count(&self.descriptor), 1 + mapped, "descriptors leaked");
    }
}

/// Both errors of a pair that must fail.
fn failed(mut pair: Pair) -> (HandshakeError, HandshakeError) {
    pair.run();
    let [client, server] = pair.errors.clone();
    pair.assert_agreement();
    (client.expect("client fails"), server.expect("server fails"))
}

/// A refusal by the server, as both ends see it.
fn assert_refused(pair: Pair, expected: &HandshakeError) {
    let (client, server) = failed(pair);
    let reason = Reason::truncated(&expected.to_string());
    assert_eq!(client, HandshakeError::Refused { code: 0, reason });
    assert_eq!(&server, expected);
}

#[test]
fn link_comes_up_with_everything_announced() {
    let mut pair = Pair::new(hello());
    pair.run();
    assert_eq!(pair.errors, [None, None]);
    let announced = pair.mapped.as_ref().unwrap();
    assert_eq!(announced.id, InterfaceId::new(7));
    assert_eq!(announced.peer.application.to_string(), "client");
    assert_eq!(announced.peer.interface.to_string(), "c0");
    assert_eq!(announced.shared, shared(hello().layout, &pair.descriptor));
    assert_eq!(pair.sent, [1 + 1 + 5 + 1, 1 + 7 + 1], "one message for each ACK");
    pair.assert_agreement();
}

#[test]
fn client_learns_who_the_server_is() {
    let (mut client, _) = client_after_hello(server_hello());
    for reply in [Message::Ack; 7] {
        assert!(client.poll_transmit().is_some());
        client.handle(reply, None).unwrap();
    }
    assert!(client.poll_transmit().is_some());
    let interface = Name::new("s0").unwrap();
    client.handle(Message::Connected { interface }, None).unwrap();
    let Some(ClientAction::Connected(peer)) = client.poll_event() else { panic!("not connected") };
    assert_eq!(peer, PeerNames { application: Name::new("DPDK").unwrap(), interface });
}

#[test]
fn refusals_reach_the_client_in_words() {
    let wrong_id = ClientHello { id: InterfaceId::new(8), ..hello() };
    assert_refused(Pair::new(wrong_id), &HandshakeError::UnknownInterface(InterfaceId::new(8)));
    let wrong_secret = ClientHello { secret: Secret::NONE, ..hello() };
    assert_refused(Pair::new(wrong_secret), &HandshakeError::Secret);
    let wrong_mode = ClientHello { mode: Mode::Ip, ..hello() };
    let expected = HandshakeError::Mode { ours: Mode::Ethernet, theirs: Mode::Ip };
    assert_refused(Pair::new(wrong_mode), &expected);
}

#[test]
fn second_client_is_told_but_only_with_the_secret() {
    let taken = |_| Lookup::Taken(terms());
    let mut server = server();
    let init = Message::Init(init());
    let error = server.handle(init, None, taken).unwrap_err();
    assert_eq!(error, HandshakeError::Taken(InterfaceId::new(7)));
    assert_eq!(server.poll_transmit(), Some(disconnect("interface 7 is already connected")));

    let mut server = self::server();
    let init = Message::Init(Init { secret: Secret::NONE, ..self::init() });
    assert_eq!(server.handle(init, None, taken), Err(HandshakeError::Secret));
}

#[test]
fn client_fits_its_wishes_to_hello() {
    let small = Hello {
        max_server_to_client_ring: 0,
        max_client_to_server_ring: 1,
        max_log2_ring_size: 3,
        ..server_hello()
    };
    let (_, layout) = client_after_hello(small);
    assert_eq!(layout.server_to_client, 1);
    assert_eq!(layout.client_to_server, 2);
    assert_eq!(layout.ring_size.slots(), 8);
}

#[test]
fn client_refuses_a_server_that_it_cannot_use() {
    let old = Version::from_bits(0x0100);
    let hello = Hello { min_version: old, max_version: old, ..server_hello() };
    let expected = HandshakeError::Version { oldest: old, newest: old };
    assert_eq!(client().handle(Message::Hello(hello), None), Err(expected));
    let hello = Hello { max_log2_ring_size: 0, ..server_hello() };
    let outcome = client().handle(Message::Hello(hello), None);
    assert_eq!(outcome, Err(HandshakeError::ServerRingSize(0)));
    let outcome = client().handle(Message::Hello(server_hello()), Some(Arc::new(())));
    assert_eq!(outcome, Err(HandshakeError::UnexpectedDescriptor(MessageKind::Hello)));
}

#[test]
fn end_of_file_after_the_ack_of_init_hints_at_the_id() {
    let (mut client, _) = client_after_hello(server_hello());
    assert!(client.poll_transmit().is_some());
    client.handle(Message::Ack, None).unwrap();
    let error = client.handle_eof();
    assert_eq!(error, HandshakeError::Eof(Stage::Regions));
    assert!(error.to_string().contains("does the server have this id?"));
    assert!(client.poll_transmit().is_none(), "nobody is left to be told");
}

#[test]
fn silence_runs_into_the_deadline_of_each_stage() {
    let start = Instant::now();
    let mut server = ServerHandshake::<Descriptor>::new(offer(), Timeouts::SERVER, start);
    assert_eq!(server.poll_timeout(), Some(start + Duration::from_secs(1)));
    server.handle(Message::Init(init()), None, free).unwrap();
    assert_eq!(server.poll_timeout(), Some(start + Duration::from_secs(3)));
    assert_eq!(server.handle_timeout(start + Duration::from_secs(2)), Ok(()));
    let late = server.handle_timeout(start + Duration::from_secs(3));
    assert_eq!(late, Err(HandshakeError::Timeout(Stage::Regions)));
    assert_eq!(server.poll_timeout(), None);

    let mut client = ClientHandshake::<Descriptor>::new(hello(), Timeouts::CLIENT, start);
    let late = client.handle_timeout(client.poll_timeout().unwrap());
    assert_eq!(late, Err(HandshakeError::Timeout(Stage::Hello)));
}

#[test]
fn methods_out_of_turn_are_errors() {
    let mut server = server();
    assert_eq!(server.accept(Name::EMPTY), Err(HandshakeError::OutOfTurn(Stage::Init)));
    let outcome = client().share(SharedSpec::default());
    assert_eq!(outcome, Err(HandshakeError::OutOfTurn(Stage::Hello)));
}

#[test]
fn server_caps_regions_before_anything_is_mapped() {
    let region = |index, size| Message::AddRegion(AddRegion { index, size });
    let cases: [(&[Message], HandshakeError); 6] = [
        (&[region(1, 64)], HandshakeError::RegionOrder { expected: 0, got: 1 }),
        (&[region(0, 64), region(0, 64)], HandshakeError::RegionOrder { expected: 1, got: 0 }),
        (&[region(0, 0)], HandshakeError::RegionSize { index: 0, size: 0, limit: 1 << 20 }),
        (
            &[region(0, u64::MAX)],
            HandshakeError::RegionSize { index: 0, size: u64::MAX, limit: 1 << 20 },
        ),
        (
            &[region(0, 1 << 20), region(1, 1 << 20)],
            HandshakeError::TotalSize { total: 2 << 20, limit: 3 << 19 },
        ),
        (&[region(0, 64), region(1, 64), region(2, 64)], HandshakeError::TooManyRegions(2)),
    ];
    for (messages, expected) in cases {
        assert_eq!(announce(messages), Err(expected));
    }
}

#[test]
fn server_refuses_rings_that_do_not_fit() {
    use Direction::{ClientToServer, ServerToClient};
    let region = Message::AddRegion(AddRegion { index: 0, size: 1024 });
    let good = ring(ClientToServer, 0, 0, 4);
    let misplaced = |direction, index, offset, fault| {
        Err(HandshakeError::RingPlacement { direction, index, offset, fault })
    };
    let cases: [(AddRing, Result<(), HandshakeError>); 9] = [
        (ring(ServerToClient, 0, 384, 4), Ok(())),
        (ring(ServerToClient, 0, 640, 4), Ok(())),
        (
            ring(ServerToClient, 0, 704, 4),
            misplaced(ServerToClient, 0, 704, PlacementFault::OutOfRegion),
        ),
        (
            ring(ServerToClient, 0, u32::MAX - 63, 14),
            misplaced(ServerToClient, 0, u32::MAX - 63, PlacementFault::OutOfRegion),
        ),
        (
            ring(ServerToClient, 0, 320, 4),
            misplaced(ServerToClient, 0, 320, PlacementFault::Overlap),
        ),
        (
            ring(ServerToClient, 0, 416, 4),
            misplaced(ServerToClient, 0, 416, PlacementFault::Misaligned),
        ),
        (
            ring(ClientToServer, 0, 384, 4),
            Err(HandshakeError::RingOrder { direction: ClientToServer, expected: 1, got: 0 }),
        ),
        (
            AddRing { region: 1, ..ring(ServerToClient, 0, 384, 4) },
            Err(HandshakeError::RingRegion { direction: ServerToClient, index: 0, region: 1 }),
        ),
        (
            ring(ServerToClient, 2, 384, 4),
            Err(HandshakeError::RingOrder { direction: ServerToClient, expected: 0, got: 2 }),
        ),
    ];
    for (ring, expected) in cases {
        assert_eq!(announce(&[region, Message::AddRing(good), Message::AddRing(ring)]), expected);
    }
}

#[test]
fn server_counts_rings_each_way() {
    let mut messages = vec![Message::AddRegion(AddRegion { index: 0, size: 1 << 16 })];
    messages.extend((0..5).map(|index| {
        Message::AddRing(ring(Direction::ClientToServer, index, u32::from(index) * 192, 2))
    }));
    let direction = Direction::ClientToServer;
    assert_eq!(announce(&messages), Err(HandshakeError::TooManyRings { direction, limit: 4 }));
    messages[5] = Message::Connect { interface: Name::EMPTY };
    assert_eq!(announce(&messages), Err(HandshakeError::NoRing(Direction::ServerToClient)));
}

#[test]
fn regions_after_rings_and_anything_after_connect_are_unexpected() {
    let region = |index| Message::AddRegion(AddRegion { index, size: 1024 });
    let up = Message::AddRing(ring(Direction::ClientToServer, 0, 0, 4));
    let down = Message::AddRing(ring(Direction::ServerToClient, 0, 384, 4));
    let connect = Message::Connect { interface: Name::EMPTY };
    let unexpected = |kind, stage| Err(HandshakeError::Unexpected { kind, stage });
    assert_eq!(
        announce(&[region(0), up, region(1)]),
        unexpected(MessageKind::AddRegion, Stage::Rings)
    );
    assert_eq!(
        announce(&[region(0), up, down, connect, connect]),
        unexpected(MessageKind::Connect, Stage::Connect)
    );
    assert_eq!(
        announce(&[Message::Hello(server_hello())]),
        unexpected(MessageKind::Hello, Stage::Regions)
    );
}

#[test]
fn one_fault_anywhere_ends_both_ends_or_none() {
    let other = Box::new(Message::Ack.encode());
    let faults = [
        Fault::Drop,
        Fault::Repeat,
        Fault::Truncate(127),
        Fault::Replace(other),
        Fault::Delay,
        Fault::StripDescriptor,
        Fault::InventDescriptor,
    ];
    for (side, messages) in [(Side::Client, 8), (Side::Server, 9)] {
        for index in 0..messages {
            for fault in &faults {
                let mut pair = Pair::with_fault(side, index, fault.clone());
                pair.run();
                pair.assert_agreement();
            }
        }
    }
}

#[test]
fn lost_messages_end_in_a_timeout() {
    let (client, server) = failed(Pair::with_fault(Side::Client, 0, Fault::Drop));
    assert_eq!(server, HandshakeError::Timeout(Stage::Init));
    assert!(matches!(client, HandshakeError::Timeout(Stage::Init)), "{client}");
}

fn fault() -> impl Strategy<Value = Fault> {
    let replaced =
        (1..9_u16, proptest::collection::vec(any::<u8>(), 126)).prop_map(|(kind, body)| {
            let bytes = [kind.to_le_bytes().to_vec(), body].concat();
            Fault::Replace(Box::new(bytes.try_into().unwrap()))
        });
    prop_oneof![
        Just(Fault::Drop),
        Just(Fault::Repeat),
        (0..MESSAGE_SIZE).prop_map(Fault::Truncate),
        replaced,
        Just(Fault::Delay),
        Just(Fault::StripDescriptor),
        Just(Fault::InventDescriptor),
    ]
}

proptest! {
    #[test]
    fn any_fault_ends_both_ends_or_none(
        from_client: bool,
        index in 0..9_usize,
        fault in fault(),
    ) {
        let side = if from_client { Side::Client } else { Side::Server };
        let mut pair = Pair::with_fault(side, index, fault);
        pair.run();
        pair.assert_agreement();
    }

    #[test]
    fn any_messages_in_any_order_never_panic_or_leak(
        messages in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 126), 1..9_u16, any::<bool>()), 0..12),
    ) {
        let descriptor = Arc::new(());
        let mut server = server();
        let mut client = client();
        server.handle(Message::Init(init()), None, free).unwrap();
        for (body, kind, attached) in messages {
            let bytes = [kind.to_le_bytes().to_vec(), body].concat();
            let Ok(message) = Message::decode(&bytes) else { continue };
            let attach = || attached.then(|| Arc::clone(&descriptor));
            let _ = server.handle(message, attach(), free);
            let _ = client.handle(message, attach());
        }
        server.handle_eof();
        client.handle_eof();
        prop_assert_eq!(Arc::strong_count(&descriptor), 1);
    }
}

fn server() -> ServerHandshake<Descriptor> {
    ServerHandshake::new(offer(), Timeouts::SERVER, Instant::now())
}

fn client() -> ClientHandshake<Descriptor> {
    ClientHandshake::new(hello(), Timeouts::CLIENT, Instant::now())
}

fn init() -> Init {
    let ClientHello { id, mode, secret, application, .. } = hello();
    Init { version: Version::CURRENT, id, mode, secret, name: application }
}

fn server_hello() -> Hello {
    Hello {
        name: Name::new("DPDK").unwrap(),
        min_version: Version::CURRENT,
        max_version: Version::CURRENT,
        max_region: 255,
        max_server_to_client_ring: 255,
        max_client_to_server_ring: 255,
        max_log2_ring_size: 14,
    }
}

fn client_after_hello(hello: Hello) -> (ClientHandshake<Descriptor>, ClientLayout) {
    let mut client = client();
    client.handle(Message::Hello(hello), None).unwrap();
    let Some(ClientAction::Prepare(layout)) = client.poll_event() else { panic!("not greeted") };
    client.share(shared(layout, &Arc::new(()))).unwrap();
    (client, layout)
}

fn ring(direction: Direction, index: u16, offset: u32, log2: u8) -> AddRing {
    let size = RingSize::from_log2(log2).unwrap();
    AddRing { direction, index, region: 0, offset, size, private_header_size: 0 }
}

/// Feeds an admitted server with messages, descriptors where they belong.
fn announce(messages: &[Message]) -> Result<(), HandshakeError> {
    let mut server = server();
    server.handle(Message::Init(init()), None, free)?;
    for message in messages {
        let needs = matches!(message, Message::AddRegion(_) | Message::AddRing(_));
        server.handle(*message, needs.then(|| Arc::new(())), free)?;
    }
    Ok(())
}
