//! An engine and the stations on it.

#![allow(dead_code, reason = "each test binary uses a part of this")]

#[cfg(feature = "vhost-user")]
#[path = "../../vhost-user/src/tests/driver.rs"]
pub(crate) mod driver;
#[cfg(feature = "vhost-user")]
pub(crate) mod front_end;
pub(crate) mod hostile;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dataplane::control::PortOwner;
use dataplane::{
    Dataplane, DomainConfig, DomainId, DropReason, MacAddr, MemifConfig, PortConfig, PortCounters,
    PortId, PortPolicy, WorkerConfig,
};
use memif::queue::TxError;
use memif::{Address, ClientConfig, ConnectError, InterfaceId, Link, RxQueue, TxQueue};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// How long something may take before a test fails; a passing test does not wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn engine() -> Dataplane {
    engine_with_workers(1)
}

pub(crate) fn engine_with_workers(workers: usize) -> Dataplane {
    let config = WorkerConfig { workers, ..WorkerConfig::default() };
    Dataplane::start(config).expect("the engine starts")
}

pub(crate) fn two_stations() -> (Dataplane, Station, Station) {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let one = Station::join(&engine, domain, 1);
    let two = Station::join(&engine, domain, 2);
    (engine, one, two)
}

pub(crate) fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

pub(crate) fn unicast(src: MacAddr, dst: MacAddr, length: usize) -> Vec<u8> {
    let mut frame = [&dst.0[..], &src.0, &[0x88, 0xb5]].concat();
    let payload = (0..=255).cycle();
    frame.extend(payload.take(length - frame.len()));
    frame
}

pub(crate) fn broadcast(src: MacAddr, n: u8) -> Vec<u8> {
    let mut frame = unicast(src, MacAddr::BROADCAST, 60);
    frame[20] = n;
    frame
}

pub(crate) fn numbered(src: MacAddr, dst: MacAddr, n: u64) -> Vec<u8> {
    let mut frame = unicast(src, dst, 64);
    frame[20..28].copy_from_slice(&n.to_le_bytes());
    frame
}

/// A memif client with a port of its own.
pub(crate) struct Station {
    pub(crate) port: PortId,
    pub(crate) domain: DomainId,
    engine: Dataplane,
    address: Address,
    connection: Option<Connection>,
}

struct Connection {
    link: Link,
    tx: TxQueue,
    rx: RxQueue,
}

impl Station {
    pub(crate) fn join(engine: &Dataplane, domain: DomainId, n: u8) -> Self {
        let mut station = Self::without_client(engine, domain, n);
        station.reconnect();
        station
    }

    pub(crate) fn without_client(engine: &Dataplane, domain: DomainId, n: u8) -> Self {
        Self::listening(engine, domain, Self::config(n), &MemifConfig::default())
    }

    /// One that every port reaches, isolated or not.
    pub(crate) fn open_to_all(engine: &Dataplane, domain: DomainId, n: u8) -> Self {
        let config = PortConfig { open: true, ..Self::config(n) };
        let mut station = Self::listening(engine, domain, config, &MemifConfig::default());
        station.reconnect();
        station
    }

    /// One whose port has a policy.
    pub(crate) fn bound(engine: &Dataplane, domain: DomainId, n: u8, policy: PortPolicy) -> Self {
        let config = PortConfig { policy, ..Self::config(n) };
        let mut station = Self::listening(engine, domain, config, &MemifConfig::default());
        station.reconnect();
        station
    }

    /// One whose client leaves TCP segments uncut.
    pub(crate) fn uncut(engine: &Dataplane, domain: DomainId, n: u8) -> Self {
        let config = PortConfig { uncut: true, ..Self::config(n) };
        let mut station = Self::listening(engine, domain, config, &MemifConfig::default());
        station.reconnect();
        station
    }

    pub(crate) fn trusting(engine: &Dataplane, domain: DomainId, n: u8) -> Self {
        let config = MemifConfig { trust_regions: true, ..MemifConfig::default() };
        Self::listening(engine, domain, Self::config(n), &config)
    }

    fn config(n: u8) -> PortConfig {
        PortConfig::new(format!("station-{n}"), Some(mac(n)))
    }

    fn listening(
        engine: &Dataplane,
        domain: DomainId,
        config: PortConfig,
        memif: &MemifConfig,
    ) -> Self {
        let port = engine.create_port(domain, config).expect("port");
        let (address, socket) = listening_socket();
        engine.listen_memif(port, vec![socket], memif).expect("listens");
        Self { port, domain, engine: engine.clone(), address, connection: None }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn reconnect(&mut self) {
        self.connection = None;
        let mut link = self.connect().expect("connects");
        let mut queues = link.take_queues().expect("not taken before");
        let (tx, rx) = (queues.tx.remove(0), queues.rx.remove(0));
        self.connection = Some(Connection { link, tx, rx });
        self.wait_until(|station| station.owner() == PortOwner::Memif);
    }

    pub(crate) fn try_second_client(&self) -> Result<Link, ConnectError> {
        self.connect()
    }

    fn connect(&self) -> Result<Link, ConnectError> {
        memif::connect(&self.address, ClientConfig::new(InterfaceId::new(0)), PATIENCE)
    }

    pub(crate) fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.link.disconnect("the test wants it");
        }
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("connected")
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        let tx = &mut self.connection().tx;
        tx.push(frame).expect("room in the ring");
        tx.flush().expect("connected");
    }

    /// Waits while the engine is behind.
    pub(crate) fn send_now_or_later(&mut self, frame: &[u8]) {
        let start = Instant::now();
        let tx = &mut self.connection().tx;
        while let Err(error) = tx.push(frame) {
            assert_eq!(error, TxError::Full);
            assert!(start.elapsed() < PATIENCE, "the engine does not read");
            std::thread::yield_now();
        }
        tx.flush().expect("connected");
    }

    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let start = Instant::now();
        loop {
            let batch = self.connection().rx.batch(1).expect("connected");
            if let Some(frame) = batch.frames().next() {
                return frame.to_vec();
            }
            drop(batch);
            assert!(start.elapsed() < PATIENCE, "no frame came");
            std::thread::yield_now();
        }
    }

    /// The next frame from `source`; others are passed over.
    pub(crate) fn receive_from(&mut self, source: MacAddr) -> Vec<u8> {
        loop {
            let frame = self.receive();
            if frame.get(6..12) == Some(&source.0[..]) {
                return frame;
            }
        }
    }

    pub(crate) fn owner(&self) -> PortOwner {
        self.engine.port(self.port).expect("exists").owner
    }

    pub(crate) fn counters(&self) -> PortCounters {
        self.engine.port(self.port).expect("exists").counters
    }

    pub(crate) fn wait_for_drop(&mut self, reason: DropReason) {
        self.wait_until(|station| station.counters().dropped(reason) == 1);
    }

    pub(crate) fn wait_until(&mut self, condition: impl Fn(&mut Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < PATIENCE, "it does not happen: {:?}", self.counters());
            std::thread::yield_now();
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.connection = None;
        // The engine may be gone already.
        let _ = self.engine.delete_port(self.port);
    }
}

fn listening_socket() -> (Address, OwnedFd) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("dataplane-test-{}-{number}", std::process::id());
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
    .expect("socket");
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("short");
    rustix::net::bind(&socket, &address).expect("bind");
    rustix::net::listen(&socket, 4).expect("listen");
    (Address::abstract_name(name).expect("short"), socket)
}
