//! Two TCP stacks in one process that hand frames to each other: what smoltcp can do when nothing stands between its
//! ends, the bound for every stream that goes through two of its stacks.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, anyhow, ensure};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};

use super::orders::{Meter, tell};
use super::{Report, Tally};

/// Bytes of an Ethernet frame with jumbo payload: MTU 9000 and its header.
const LONGEST: usize = 9000 + 14;
/// Bytes of either socket's buffers.
const BUFFER: usize = 1 << 20;
/// Bytes that are written or read at once, as iperf3 does.
const PIECE: usize = 128 << 10;
/// Frames on their way at most, each way.
const QUEUE: usize = 256;
const PORT: u16 = 5201;

/// One end of a cable: frames that came, frames that go, and buffers to make more of.
#[derive(Debug, Default)]
struct Port {
    arrived: VecDeque<Vec<u8>>,
    leaving: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl phy::Device for Port {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Leaving<'_>)> {
        if self.leaving.len() >= QUEUE {
            return None;
        }
        let frame = self.arrived.pop_front()?;
        // Its buffer is free again only after it was looked at, so an answer takes another.
        let buffer = self.spare.pop().unwrap_or_default();
        let (leaving, spare) = (&mut self.leaving, &mut self.spare);
        Some((Arrived { frame, spare }, Leaving { buffer, leaving }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving<'_>> {
        if self.leaving.len() >= QUEUE {
            return None;
        }
        let buffer = self.spare.pop().unwrap_or_default();
        Some(Leaving { buffer, leaving: &mut self.leaving })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

struct Arrived<'a> {
    frame: Vec<u8>,
    spare: &'a mut Vec<Vec<u8>>,
}

impl phy::RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        let result = look(&self.frame);
        self.spare.push(self.frame);
        result
    }
}

struct Leaving<'a> {
    buffer: Vec<u8>,
    leaving: &'a mut VecDeque<Vec<u8>>,
}

impl phy::TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, length: usize, fill: F) -> R {
        self.buffer.resize(length, 0);
        let result = fill(&mut self.buffer);
        self.leaving.push_back(self.buffer);
        result
    }
}

/// One stack with one connection.
struct Station {
    port: Port,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Station {
    fn new(number: u8) -> Self {
        let mut port = Port::default();
        let address = EthernetAddress([0x02, 0, 0, 0, 0, number]);
        let mut config = Config::new(address.into());
        config.random_seed = number.into();
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|all| {
            // A new interface has room for its first address.
            let _ = all.push(IpCidr::new(at(number).into(), 24));
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut sockets = SocketSet::new(Vec::new());
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        let socket = sockets.add(socket);
        Self { port, interface, sockets, socket }
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.port, &mut self.sockets);
    }
}

const fn at(number: u8) -> Ipv4Address {
    Ipv4Address::new(10, 0, 0, number)
}

pub(super) fn run() -> Result<()> {
    let mut meter = Meter::start()?;
    let mut tally = Tally::default();
    let (mut client, mut server) = (Station::new(1), Station::new(2));
    server.socket().listen(PORT).map_err(|it| anyhow!("a new socket does not listen: {it}"))?;
    let (sockets, socket) = (&mut client.sockets, client.socket);
    let connecting = sockets.get_mut::<tcp::Socket<'_>>(socket);
    let connected = connecting.connect(client.interface.context(), (at(2), PORT), 49_152);
    connected.map_err(|it| anyhow!("a new socket does not connect: {it}"))?;
    let data = vec![0x5a_u8; PIECE];
    let mut piece = vec![0_u8; PIECE];
    let start = std::time::Instant::now();
    let mut linked = false;
    while meter.runs(&tally)? {
        let now = i64::try_from(start.elapsed().as_micros()).context("a short run")?;
        let now = Instant::from_micros(now);
        client.poll(now);
        server.port.arrived.append(&mut client.port.leaving);
        server.poll(now);
        client.port.arrived.append(&mut server.port.leaving);
        if client.socket().may_send() && meter.may_begin() {
            if !linked {
                tell(&Report::Linked)?;
                linked = true;
            }
            let taken = client.socket().send_slice(&data);
            tally.sent += taken.map_err(|it| anyhow!("the client cannot send: {it}"))? as u64;
        }
        while server.socket().can_recv() {
            let got = server.socket().recv_slice(&mut piece);
            let got = got.map_err(|it| anyhow!("the server cannot receive: {it}"))?;
            // Not all of them are looked at: that would cost as much as a copy.
            ensure!(got == 0 || piece[got - 1] == 0x5a, "a wrong byte came");
            tally.received_bytes += got as u64;
        }
        balance(&mut client.port.spare, &mut server.port.spare);
    }
    tally.received = tally.received_bytes / PIECE as u64;
    meter.finish(tally)
}

/// Buffers go one way with the data; as many go back.
fn balance(from: &mut Vec<Vec<u8>>, to: &mut Vec<Vec<u8>>) {
    if to.len() > QUEUE {
        from.append(&mut to.split_off(QUEUE));
    }
}
