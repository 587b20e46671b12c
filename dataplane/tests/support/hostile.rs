//! A client that makes a correct link by hand and then owns the raw memory.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use memif::memory::{ClientLayout, ClientMemory};
use memif::parameters::{BufferSize, RegionSpec, RingSize, RingSpec, SharedSpec};
use memif::wire::{AddRegion, AddRing, Direction, Init, Message, Version};
use memif::{Address, InterfaceId, Mode, Name, Secret};
use rustix::fs::MemfdFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketType,
};
use shm::{Mapping, SharedU16};

/// Raw access to a connected link: one ring of 16 slots each way.
pub(crate) struct HostileClient {
    pub(crate) memory: Mapping,
    pub(crate) shared: SharedSpec<OwnedFd>,
    socket: OwnedFd,
}

impl HostileClient {
    /// Shakes hands as any client.
    pub(crate) fn connect(address: &Address) -> Self {
        let client = Self::prepare(address);
        client.shake_hands();
        client
    }

    fn prepare(address: &Address) -> Self {
        let layout = ClientLayout {
            client_to_server: 1,
            server_to_client: 1,
            ring_size: RingSize::from_log2(4).expect("in range"),
            buffer_size: BufferSize::default(),
        };
        let shared = ClientMemory::create(layout).and_then(|own| own.share()).expect("memory");
        let size = usize::try_from(shared.regions[0].size).expect("small");
        let memory = Mapping::map(shared.regions[0].fd.as_fd(), size).expect("maps");
        Self { memory, shared, socket: dial(address) }
    }

    /// Offers its buffers in a second region that can be truncated.
    pub(crate) fn connect_with_unsealed_buffers(address: &Address) -> UnsealedBuffers {
        let buffers = rustix::fs::memfd_create("buffers", MemfdFlags::CLOEXEC).expect("memfd");
        rustix::fs::ftruncate(&buffers, 8192).expect("grows");
        let client = Self::prepare(address);
        client.introduce();
        client.add_region(0, &client.shared.regions[0]);
        let region = RegionSpec { size: 8192, fd: buffers };
        client.add_region(1, &region);
        client.finish();
        UnsealedBuffers { client, buffers: region.fd }
    }

    /// What the server says to a region that it does not want.
    pub(crate) fn refused(address: &Address, region: OwnedFd) -> String {
        let mut client = Self::prepare(address);
        client.shared.regions[0].fd = region;
        client.shared.regions[0].size = 1 << 20;
        client.introduce();
        client.add_region(0, &client.shared.regions[0]);
        client.add_ring(Direction::ClientToServer, &client.shared.client_to_server[0]);
        client.add_ring(Direction::ServerToClient, &client.shared.server_to_client[0]);
        client.send(&Message::Connect { interface: Name::truncated("hostile") }, None);
        client.last_words()
    }

    fn shake_hands(&self) {
        self.introduce();
        self.add_region(0, &self.shared.regions[0]);
        self.finish();
    }

    fn introduce(&self) {
        assert!(matches!(self.receive(), Some(Message::Hello(_))));
        self.ask(
            &Message::Init(Init {
                version: Version::CURRENT,
                id: InterfaceId::new(0),
                mode: Mode::Ethernet,
                secret: Secret::NONE,
                name: Name::truncated("hostile"),
            }),
            None,
        );
    }

    fn add_region(&self, index: u16, region: &RegionSpec<OwnedFd>) {
        let add = Message::AddRegion(AddRegion { index, size: region.size });
        self.ask(&add, Some(region.fd.as_fd()));
    }

    fn finish(&self) {
        self.add_ring(Direction::ClientToServer, &self.shared.client_to_server[0]);
        self.add_ring(Direction::ServerToClient, &self.shared.server_to_client[0]);
        self.send(&Message::Connect { interface: Name::truncated("hostile") }, None);
        assert!(matches!(self.receive(), Some(Message::Connected { .. })));
    }

    fn add_ring(&self, direction: Direction, ring: &RingSpec<OwnedFd>) {
        let message = Message::AddRing(AddRing {
            direction,
            index: 0,
            region: ring.region,
            offset: ring.offset,
            size: ring.size,
            private_header_size: 0,
        });
        self.ask(&message, Some(ring.interrupt.as_fd()));
    }

    fn ask(&self, message: &Message, fd: Option<BorrowedFd<'_>>) {
        self.send(message, fd);
        assert_eq!(self.receive(), Some(Message::Ack), "after {message:?}");
    }

    fn send(&self, message: &Message, fd: Option<BorrowedFd<'_>>) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fd.into_iter().collect();
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        let bytes = message.encode();
        let parts = [IoSlice::new(&bytes)];
        rustix::net::sendmsg(&self.socket, &parts, &mut control, SendFlags::NOSIGNAL)
            .expect("the server listens");
    }

    /// The next message; `None` at the end.
    pub(crate) fn receive(&self) -> Option<Message> {
        let mut bytes = [0; 128];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = RecvAncillaryBuffer::default();
        let received =
            rustix::net::recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::empty());
        let length = received.map_or(0, |message| message.bytes);
        (length > 0).then(|| Message::decode(&bytes[..length]).expect("a message"))
    }

    /// Where the descriptor of a slot of the ring to the server is.
    pub(crate) fn descriptor(&self, slot: usize) -> usize {
        self.shared.client_to_server[0].offset as usize + 128 + 16 * slot
    }

    /// Writes a descriptor of the ring to the server.
    pub(crate) fn write_descriptor(
        &self,
        slot: usize,
        flags: u16,
        region: u16,
        length: u32,
        at: u32,
    ) {
        let bytes = [
            &flags.to_le_bytes()[..],
            &region.to_le_bytes(),
            &length.to_le_bytes(),
            &at.to_le_bytes(),
            &[0; 4],
        ]
        .concat();
        self.memory.write(self.descriptor(slot), &bytes).expect("inside");
    }

    /// Publishes an index of the ring to the server and wakes it.
    pub(crate) fn publish(&self, head: u16) {
        let ring = &self.shared.client_to_server[0];
        SharedU16::new(&self.memory, ring.offset as usize + 6).expect("inside").store_release(head);
        rustix::io::write(&ring.interrupt, &1u64.to_ne_bytes()).expect("eventfd");
    }

    /// Waits until the server says why it ends the link.
    pub(crate) fn last_words(&self) -> String {
        while let Some(message) = self.receive() {
            if let Message::Disconnect(disconnect) = message {
                return disconnect.reason.to_string();
            }
        }
        String::new()
    }
}

/// A client whose buffers can vanish.
pub(crate) struct UnsealedBuffers {
    pub(crate) client: HostileClient,
    pub(crate) buffers: OwnedFd,
}

fn dial(address: &Address) -> OwnedFd {
    let Address::Abstract(name) = address else { unreachable!("tests use abstract names") };
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("fd");
    let address = SocketAddrUnix::new_abstract_name(name).expect("short");
    rustix::net::connect(&socket, &address).expect("somebody listens");
    socket
}
