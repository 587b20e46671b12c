//! Programs that speak to a broker, and the broker that they speak to.
#![allow(dead_code, reason = "each suite uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg,
    sendmsg, sendmsg_addr, socket_with, socketpair, sockopt,
};
use session::broker::{Endpoint, EndpointKey, Limits, NetworkKey, Options, Service};
use session::datagram::{Slot, Waiting};
use session::layout::{RingSize, Side};
use session::wire::{Protocol, REPLY_BYTES, Reply, Request, Reuse, SessionInfo};
use session::{Local, Room, Stream};
use shm::Mapping;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A broker and endpoints on it.
pub(crate) struct World {
    pub(crate) service: Service,
    last: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { service: Service::start(Options::default()).expect("the broker starts"), last: 0 }
    }

    /// An endpoint of network 1 with the address `10.0.0.last`.
    pub(crate) fn endpoint(&mut self, last: u8) -> Program {
        self.endpoint_with(spec(1, last))
    }

    pub(crate) fn endpoint_with(&mut self, endpoint: Endpoint) -> Program {
        let (program, bound) = self.unserved(endpoint);
        self.service.serve(program.key, bound).expect("the socket is served");
        program
    }

    /// An endpoint with the socket that is to be served: until then requests wait in it.
    pub(crate) fn unserved(&mut self, endpoint: Endpoint) -> (Program, OwnedFd) {
        self.last += 1;
        let key = EndpointKey(self.last);
        let ip = endpoint.ipv4.expect("tests give one");
        self.service.add_endpoint(key, endpoint);
        let name = format!(
            "dockervpp-test/broker/{}/{}",
            std::process::id(),
            NAMES.fetch_add(1, Ordering::Relaxed)
        );
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let bound = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).unwrap();
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        bind(&bound, &address).unwrap();
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        (Program { key, ip, broker: address, socket }, bound)
    }
}

pub(crate) fn spec(network: u64, last: u8) -> Endpoint {
    Endpoint {
        network: NetworkKey(network),
        ipv4: Some(Ipv4Addr::new(10, 0, 0, last)),
        ipv6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into())),
        kernel: false,
        isolated: false,
        ring_size: RingSize::DEFAULT,
        limits: Limits::default(),
    }
}

/// A program in an endpoint's container.
pub(crate) struct Program {
    pub(crate) key: EndpointKey,
    pub(crate) ip: Ipv4Addr,
    broker: SocketAddrUnix,
    socket: OwnedFd,
}

/// A pair that was registered to listen.
pub(crate) struct Listening {
    pub(crate) near: OwnedFd,
    pub(crate) cookie: u64,
}

impl Program {
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip), port)
    }

    pub(crate) fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) {
        self.send_bytes(&request.encode(), descriptors);
    }

    /// Whether the broker still has the endpoint's socket.
    pub(crate) fn is_heard(&self) -> bool {
        rustix::net::connect(&self.socket, &self.broker).is_ok()
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        sendmsg_addr(
            &self.socket,
            &self.broker,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .expect("the broker takes requests");
    }

    /// Registers a listener; the descriptor and the broker's answer.
    pub(crate) fn listen_as(
        &self,
        address: SocketAddr,
        backlog: u32,
        reuse: Reuse,
        kernel: Option<BorrowedFd<'_>>,
        cookie: Option<u64>,
    ) -> (Listening, Reply) {
        self.register(Protocol::Stream, address, backlog, reuse, kernel, cookie)
    }

    /// Registers a place where datagrams are taken.
    pub(crate) fn listen_for_datagrams(&self, address: SocketAddr, backlog: u32) -> Listening {
        let protocol = Protocol::Datagram;
        let (listening, reply) =
            self.register(protocol, address, backlog, Reuse::default(), None, None);
        assert_eq!(reply, Reply::Listening);
        listening
    }

    fn register(
        &self,
        protocol: Protocol,
        address: SocketAddr,
        backlog: u32,
        reuse: Reuse,
        kernel: Option<BorrowedFd<'_>>,
        cookie: Option<u64>,
    ) -> (Listening, Reply) {
        let (near, far) = pair(SocketType::SEQPACKET);
        let cookie = cookie.unwrap_or_else(|| sockopt::socket_cookie(&near).unwrap());
        let request = Request::Listen { protocol, address, backlog, reuse, cookie };
        let descriptors: Vec<_> = std::iter::once(far.as_fd()).chain(kernel).collect();
        self.send(&request, &descriptors);
        let reply = receive(&near).expect("an answer").reply;
        (Listening { near, cookie }, reply)
    }

    pub(crate) fn describe(&self) -> Reply {
        let (near, far) = pair(SocketType::STREAM);
        self.send(&Request::Describe, &[far.as_fd()]);
        receive(&near).expect("an answer").reply
    }

    pub(crate) fn listen(&self, port: u16) -> Listening {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let (listening, reply) = self.listen_as(any, 128, Reuse::default(), None, None);
        assert_eq!(reply, Reply::Listening);
        listening
    }

    /// Sends a connect; its answers will come on the descriptor. All connects are as of one process.
    pub(crate) fn start_connect(
        &self,
        source: Option<SocketAddr>,
        destination: SocketAddr,
    ) -> OwnedFd {
        self.ask_for(1, Protocol::Stream, source, destination)
    }

    /// As [`start_connect`](Self::start_connect), of a process.
    pub(crate) fn start_connect_of(
        &self,
        sharing: u64,
        source: Option<SocketAddr>,
        destination: SocketAddr,
    ) -> OwnedFd {
        self.ask_for(sharing, Protocol::Stream, source, destination)
    }

    /// A session of datagrams from a port of this endpoint.
    pub(crate) fn connect_datagrams(
        &self,
        port: u16,
        destination: SocketAddr,
    ) -> Result<End, Reply> {
        let any: IpAddr = match destination {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let source = Some(SocketAddr::new(any, port));
        finish_connect(self.ask_for(0, Protocol::Datagram, source, destination))
    }

    fn ask_for(
        &self,
        sharing: u64,
        protocol: Protocol,
        source: Option<SocketAddr>,
        destination: SocketAddr,
    ) -> OwnedFd {
        let (near, far) = pair(SocketType::STREAM);
        let cookie = sockopt::socket_cookie(&near).unwrap();
        let request = Request::Connect { protocol, source, destination, cookie, sharing };
        self.send(&request, &[far.as_fd()]);
        near
    }

    pub(crate) fn connect(&self, destination: SocketAddr) -> Result<End, Reply> {
        let near = self.start_connect(None, destination);
        finish_connect(near)
    }

    /// Asks for the memory of a descriptor.
    pub(crate) fn resume(&self, held: BorrowedFd<'_>) -> Message {
        let (near, far) = pair(SocketType::SEQPACKET);
        self.send(&Request::Resume, &[held, far.as_fd()]);
        receive(&near).expect("an answer")
    }
}

/// Waits for the session.
pub(crate) fn finish_connect(near: OwnedFd) -> Result<End, Reply> {
    let mut message = receive(&near).expect("an answer");
    match message.reply {
        Reply::Connected(info) => Ok(End::new(near, &message.descriptors.remove(0), info)),
        other => Err(other),
    }
}

/// One side of a session.
pub(crate) struct End {
    pub(crate) socket: OwnedFd,
    pub(crate) info: SessionInfo,
    memory: Mapping,
    local: Local,
}

impl End {
    pub(crate) fn new(socket: OwnedFd, memory: &OwnedFd, info: SessionInfo) -> Self {
        let len = info.place.memory_bytes();
        shm::memfd::judge(memory.as_fd(), len as u64, shm::memfd::Sealing::Required).unwrap();
        let memory = Mapping::map(memory.as_fd(), len).expect("the memory can be mapped");
        Stream::check_header(&memory, info.place).expect("the header is right");
        let end = Self { socket, info, memory, local: Local::new() };
        end.stream().set_will_to_reset(false);
        end
    }

    pub(crate) fn stream(&self) -> Stream<'_> {
        Stream::new(&self.memory, &self.local, self.info.side, self.info.place).unwrap()
    }

    /// Writes all, sleeping while the ring is full.
    pub(crate) fn write_all(&self, mut data: &[u8]) {
        let stream = self.stream();
        sockopt::set_socket_send_buffer_size(&self.socket, 0).unwrap();
        while !data.is_empty() {
            let moved = stream.write(data).expect("sound");
            data = &data[moved.bytes..];
            if moved.wake {
                self.token();
            }
            if !data.is_empty() && stream.arm_writer(Room::Any).expect("sound") {
                for _ in 0..session::FILL_TOKENS {
                    self.token();
                }
                if stream.note_filled().expect("sound") {
                    wait(&self.socket, PollFlags::OUT);
                }
            }
        }
    }

    /// Reads `len` bytes, sleeping while there are none.
    pub(crate) fn read(&self, len: usize) -> Vec<u8> {
        let stream = self.stream();
        let mut out = vec![0; len];
        let mut at = 0;
        while at < len {
            let seen = stream.seen().expect("sound");
            let moved = stream.read(&mut out[at..]).expect("sound");
            at += moved.bytes;
            if moved.wake {
                self.drain();
            }
            if at < len && moved.bytes == 0 && stream.arm_reader(seen).expect("sound") {
                wait(&self.socket, PollFlags::IN);
                self.drain();
            }
        }
        out
    }

    /// Sends one datagram; whether there was room.
    pub(crate) fn send_datagram(&self, data: &[u8]) -> bool {
        let stream = self.stream();
        let Some(mut slot) = Slot::reserve(&stream, data.len()).expect("sound") else {
            return false;
        };
        slot.put(data).expect("sound");
        if slot.publish().expect("sound") {
            self.token();
        }
        true
    }

    /// Waits for a datagram.
    pub(crate) fn receive_datagram(&self) -> Vec<u8> {
        let stream = self.stream();
        loop {
            let seen = stream.seen().expect("sound");
            if let Some(first) = Waiting::first(&stream).expect("sound") {
                let mut data = vec![0; first.length()];
                first.read(0, &mut data).expect("sound");
                first.remove().expect("sound");
                return data;
            }
            if stream.arm_reader(seen).expect("sound") {
                wait(&self.socket, PollFlags::IN);
                self.drain();
            }
        }
    }

    /// Claims to have written up to a position.
    pub(crate) fn scribble(&self, tail: u64) {
        let block = if self.info.side == Side::First { 0x100 } else { 0x400 };
        self.memory.word64(block).unwrap().store(tail, Ordering::SeqCst);
    }

    /// Sends a token, whether the peer wants one or not.
    pub(crate) fn token_now(&self) {
        self.token();
    }

    fn token(&self) {
        let _ = rustix::net::send(&self.socket, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    fn drain(&self) {
        if self.stream().must_keep_tokens() {
            return;
        }
        let mut tokens = [0; 64];
        let _ = rustix::net::recv(&self.socket, &mut tokens, RecvFlags::DONTWAIT);
    }
}

impl Listening {
    pub(crate) fn accept(&self) -> End {
        let mut message = receive(&self.near).expect("a session");
        let Reply::Accept(info) = message.reply else { panic!("{:?}", message.reply) };
        assert_eq!((message.descriptors.len(), info.side), (2, Side::Second));
        let memory = message.descriptors.remove(1);
        End::new(message.descriptors.remove(0), &memory, info)
    }
}

pub(crate) struct Message {
    pub(crate) reply: Reply,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Waits for one reply; `None` is the end of the stream.
pub(crate) fn receive(socket: &OwnedFd) -> Option<Message> {
    wait(socket, PollFlags::IN);
    let mut bytes = [0; REPLY_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )
    .ok()?;
    if received.bytes == 0 {
        return None;
    }
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let reply = Reply::decode(&bytes[..received.bytes]).expect("a reply");
    Some(Message { reply, descriptors })
}

/// Whether a descriptor is ready now.
pub(crate) fn is(socket: impl AsFd, events: PollFlags) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), events)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    polled[0].revents().intersects(events)
}

/// Waits until a descriptor is ready.
pub(crate) fn wait(socket: impl AsFd, events: PollFlags) {
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), events)];
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut polled, Some(&patience)).unwrap(), 1, "nothing happened");
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a pair")
}

/// Sends raw bytes on a socket.
pub(crate) fn send_raw(socket: impl AsFd, bytes: &[u8]) -> bool {
    let mut control = SendAncillaryBuffer::default();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags).is_ok()
}

/// What the descriptors of this process refer to.
pub(crate) fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .collect()
}
