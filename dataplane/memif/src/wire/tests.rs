//! Golden bytes (traced between two DPDK 22.11 processes), round trips, and any bytes at all.

use proptest::prelude::*;

use super::*;

fn golden(parts: &[&[u8]]) -> [u8; MESSAGE_SIZE] {
    let mut bytes = [0; MESSAGE_SIZE];
    let joined = parts.concat();
    bytes[..joined.len()].copy_from_slice(&joined);
    bytes
}

fn padded<const N: usize>(text: &str) -> Vec<u8> {
    let mut field = text.as_bytes().to_vec();
    field.resize(N, 0);
    field
}

fn assert_golden(message: Message, bytes: [u8; MESSAGE_SIZE]) {
    assert_eq!(message.encode(), bytes);
    assert_eq!(Message::decode(&bytes), Ok(message));
}

#[test]
fn ack() {
    assert_golden(Message::Ack, golden(&[&[1, 0]]));
}

#[test]
fn hello_of_dpdk() {
    let message = Message::Hello(Hello {
        name: Name::new("DPDK 22.11.11").unwrap(),
        min_version: Version::CURRENT,
        max_version: Version::CURRENT,
        max_region: 255,
        max_server_to_client_ring: 255,
        max_client_to_server_ring: 255,
        max_log2_ring_size: 14,
    });
    let tail = [0, 2, 0, 2, 0xff, 0, 0xff, 0, 0xff, 0, 0x0e];
    assert_golden(message, golden(&[&[2, 0], &padded::<32>("DPDK 22.11.11"), &tail]));
}

#[test]
fn init_of_dpdk() {
    let message = Message::Init(Init {
        version: Version::CURRENT,
        id: InterfaceId::new(7),
        mode: Mode::Ethernet,
        secret: Secret::new("s3cret").unwrap(),
        name: Name::new("DPDK 22.11.11").unwrap(),
    });
    let head = [3, 0, 0, 2, 7, 0, 0, 0, 0];
    let bytes = golden(&[&head, &padded::<24>("s3cret"), &padded::<32>("DPDK 22.11.11")]);
    assert_golden(message, bytes);
}

#[test]
fn region_of_dpdk() {
    let message = Message::AddRegion(AddRegion { index: 0, size: 0x10300 });
    assert_golden(message, golden(&[&[4, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0]]));
}

#[test]
fn rings_of_dpdk() {
    let mut ring = AddRing {
        direction: Direction::ClientToServer,
        index: 0,
        region: 0,
        offset: 0,
        size: RingSize::from_log2(4).unwrap(),
        private_header_size: 0,
    };
    assert_golden(Message::AddRing(ring), golden(&[&[5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]]));
    ring.direction = Direction::ServerToClient;
    ring.offset = 0x180;
    let bytes = golden(&[&[5, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0, 4]]);
    assert_golden(Message::AddRing(ring), bytes);
}

#[test]
fn connect_and_connected() {
    let interface = Name::new("net_memif0").unwrap();
    let name = padded::<32>("net_memif0");
    assert_golden(Message::Connect { interface }, golden(&[&[6, 0], &name]));
    assert_golden(Message::Connected { interface }, golden(&[&[7, 0], &name]));
}

#[test]
fn disconnect() {
    let message = Message::Disconnect(Disconnect {
        code: 0x0102_0304,
        reason: Reason::new("already connected").unwrap(),
    });
    let bytes = golden(&[&[8, 0, 4, 3, 2, 1], &padded::<96>("already connected")]);
    assert_golden(message, bytes);
}

#[test]
fn other_lengths_and_types_are_errors() {
    for length in [0, 1, 127, 129, 4096] {
        assert_eq!(Message::decode(&vec![0; length]), Err(WireError::Length(length)));
    }
    for kind in [0, 9, 0x0100, u16::MAX] {
        let bytes = golden(&[&kind.to_le_bytes()]);
        assert_eq!(Message::decode(&bytes), Err(WireError::Kind(kind)));
    }
}

#[test]
fn unusable_values_are_errors() {
    assert_eq!(Message::decode(&golden(&[&[3, 0, 0, 2, 0, 0, 0, 0, 2]])), Err(WireError::Mode(2)));
    for log2 in [0, 15, 255] {
        let bytes = golden(&[&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, log2]]);
        assert_eq!(Message::decode(&bytes), Err(WireError::RingSize(log2)));
    }
}

#[test]
fn version_reads_as_numbers() {
    assert_eq!(Version::CURRENT.to_string(), "2.0");
    assert_eq!(Version::from_bits(0x0301).to_string(), "3.1");
}

fn text<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    proptest::collection::vec(any::<u8>(), N).prop_map(|bytes| bytes.try_into().unwrap())
}

fn name() -> impl Strategy<Value = Name> {
    text::<32>().prop_map(Name::from_wire)
}

fn version() -> impl Strategy<Value = Version> {
    any::<u16>().prop_map(Version::from_bits)
}

fn hello() -> impl Strategy<Value = Message> {
    (name(), version(), version(), any::<[u16; 3]>(), any::<u8>()).prop_map(
        |(name, min_version, max_version, maxima, max_log2_ring_size)| {
            Message::Hello(Hello {
                name,
                min_version,
                max_version,
                max_region: maxima[0],
                max_server_to_client_ring: maxima[1],
                max_client_to_server_ring: maxima[2],
                max_log2_ring_size,
            })
        },
    )
}

fn init() -> impl Strategy<Value = Message> {
    let mode = prop_oneof![Just(Mode::Ethernet), Just(Mode::Ip)];
    (version(), any::<u32>(), mode, text::<24>(), name()).prop_map(
        |(version, id, mode, secret, name)| {
            Message::Init(Init {
                version,
                id: InterfaceId::new(id),
                mode,
                secret: Secret::from_wire(secret),
                name,
            })
        },
    )
}

fn ring() -> impl Strategy<Value = Message> {
    let direction = prop_oneof![Just(Direction::ClientToServer), Just(Direction::ServerToClient)];
    (direction, any::<[u16; 3]>(), any::<u32>(), 1..=14_u8).prop_map(
        |(direction, [index, region, private_header_size], offset, log2)| {
            Message::AddRing(AddRing {
                direction,
                index,
                region,
                offset,
                size: RingSize::from_log2(log2).unwrap(),
                private_header_size,
            })
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::Ack),
        hello(),
        init(),
        (any::<u16>(), any::<u64>())
            .prop_map(|(index, size)| Message::AddRegion(AddRegion { index, size })),
        ring(),
        name().prop_map(|interface| Message::Connect { interface }),
        name().prop_map(|interface| Message::Connected { interface }),
        (any::<u32>(), text::<96>()).prop_map(|(code, reason)| {
            Message::Disconnect(Disconnect { code, reason: Reason::from_wire(reason) })
        }),
    ]
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_meaning(
        kind in 0..10_u16,
        tail in proptest::collection::vec(any::<u8>(), 126),
    ) {
        let bytes = [kind.to_le_bytes().to_vec(), tail].concat();
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn any_datagram_is_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
    }
}
