//! vhost-user devices: front ends of this process and memif clients on one bridge domain, and front ends
//! that break the rules.

mod support;

use std::path::PathBuf;

use dataplane::control::PortOwner;
use dataplane::{
    Dataplane, DataplaneError, DomainConfig, DomainId, DropReason, PortConfig, PortId, VhostConfig,
};
use support::driver::{INDIRECT, NEXT, WRITE, descriptor};
use support::front_end::{
    BUFFERS, FrontEnd, GUEST, GUEST_OFFLOADS, MEMORY, MERGED_BUFFERS, NAMED_EVENTS, SIZE,
};
use support::{PATIENCE, Station, mac, unicast};
use vhost::vhost_user::VhostUserFrontend;
use vhost::{VhostBackend, VhostUserMemoryRegionInfo};

/// A port with a vhost-user device.
struct Device {
    engine: Dataplane,
    port: PortId,
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Device {
    fn new(engine: &Dataplane, domain: DomainId, n: u8) -> Self {
        let config = PortConfig::new(format!("device-{n}"), Some(mac(n)));
        let port = engine.create_port(domain, config).expect("port");
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("socket");
        let device = Self { engine: engine.clone(), port, path, folder };
        device.listen(&VhostConfig { max_queues: 2, ..VhostConfig::default() });
        device
    }

    fn listen(&self, config: &VhostConfig) {
        let _ = std::fs::remove_file(&self.path);
        let listener = std::os::unix::net::UnixListener::bind(&self.path).expect("binds");
        self.engine.listen_vhost(self.port, listener.into(), config, None).expect("listens");
    }

    fn owner(&self) -> PortOwner {
        self.engine.port(self.port).expect("exists").owner
    }

    fn wait_for(&self, owner: PortOwner) {
        let start = std::time::Instant::now();
        while self.owner() != owner {
            assert!(start.elapsed() < PATIENCE, "the owner is {:?}", self.owner());
            std::thread::yield_now();
        }
    }

    fn connect(&self, without: u64) -> FrontEnd {
        let front_end = FrontEnd::connect(&self.path, without);
        self.wait_for(PortOwner::Vhost);
        front_end
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.engine.port(self.port).expect("exists").counters.dropped(reason)
    }
}

fn domain(mtu: u32) -> (Dataplane, DomainId) {
    let engine = support::engine();
    let config = DomainConfig { mtu, ..DomainConfig::new("test") };
    let domain = engine.create_domain(config).expect("domain");
    (engine, domain)
}

#[test]
fn every_length_from_60_to_the_mtu_arrives_unchanged_both_ways() {
    for without in [0, NAMED_EVENTS] {
        let (engine, domain) = domain(9000);
        let mut station = Station::join(&engine, domain, 1);
        let device = Device::new(&engine, domain, 2);
        let mut front_end = device.connect(without);
        for length in (60..=9014).step_by(37).chain([9014]) {
            let frame = unicast(mac(1), mac(2), length);
            station.send(&frame);
            assert_eq!(front_end.receive(), frame, "to the front end, length {length}");
            let frame = unicast(mac(2), mac(1), length);
            front_end.send(&frame);
            assert_eq!(station.receive(), frame, "from the front end, length {length}");
        }
        front_end.send(&unicast(mac(2), mac(1), 9015));
        station.wait_until(|_| device.dropped(DropReason::Oversize) == 1);
    }
}

#[test]
fn two_front_ends_reach_each_other() {
    let (engine, domain) = domain(1500);
    let (one, two) = (Device::new(&engine, domain, 1), Device::new(&engine, domain, 2));
    let (mut first, mut second) = (one.connect(0), two.connect(NAMED_EVENTS));
    for length in 60..1514 {
        let frame = unicast(mac(1), mac(2), length);
        first.send(&frame);
        assert_eq!(second.receive(), frame);
        let frame = unicast(mac(2), mac(1), length);
        second.send(&frame);
        assert_eq!(first.receive(), frame);
    }
    let counters = engine.port(one.port).expect("exists").counters;
    assert_eq!((counters.rx_frames, counters.tx_frames), (1454, 1454));
    assert_eq!(counters.dropped_total(), 0);
}

#[test]
fn two_pairs_of_queues_carry_frames_and_flows_are_spread() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = FrontEnd::with_queues(&device.path, 2, 0);
    device.wait_for(PortOwner::Vhost);
    let queues = engine.port(device.port).expect("exists").vhost.expect("connected").queues;
    assert_eq!(queues, (2, 2));
    for pair in [0, 1] {
        let frame = unicast(mac(2), mac(1), 100 + pair);
        front_end.send_on(pair, &[0; 12], &frame);
        assert_eq!(station.receive(), frame);
    }
    // Flows of many sources: both receive queues get some.
    for n in 0..64 {
        let frame = udp(n);
        station.send(&frame);
        assert_eq!(front_end.receive(), frame);
    }
    assert!(front_end.rings[0].used_index() > 0 && front_end.rings[2].used_index() > 0);
    // A pair that is disabled gets nothing any more.
    front_end.protocol.set_vring_enable(2, false).expect("disabled");
    let before = front_end.rings[2].used_index();
    for n in 0..64 {
        station.send(&udp(n));
        front_end.receive();
    }
    assert_eq!(front_end.rings[2].used_index(), before);
    assert_eq!(front_end.protocol.get_queue_num().expect("answered"), 2, "pairs");
}

/// A UDP datagram of flow `n` to station 2.
fn udp(n: u8) -> Vec<u8> {
    let mut frame = unicast(mac(1), mac(2), 80);
    frame[12..14].copy_from_slice(&[8, 0]);
    let header = [0x45, 0, 0, 66, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, n, 0, 9];
    frame[14..38].copy_from_slice(&header);
    frame[38..42].copy_from_slice(&[0, 46, 0, 0]);
    frame
}

#[test]
fn without_merged_buffers_long_frames_are_dropped_and_counted() {
    let (engine, domain) = domain(9000);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = device.connect(MERGED_BUFFERS);
    station.send(&unicast(mac(1), mac(2), 3000));
    station.send(&unicast(mac(1), mac(2), 1500));
    assert_eq!(front_end.receive().len(), 1500);
    assert_eq!(device.dropped(DropReason::NoBuffer), 1);
}

#[test]
fn a_front_end_that_polls_is_not_called_and_one_that_sleeps_is() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = device.connect(NAMED_EVENTS);
    for (wanted, calls) in [(false, 0), (true, 1)] {
        front_end.rings[0].want_calls(wanted);
        station.send(&unicast(mac(1), mac(2), 60));
        front_end.receive();
        // The call comes after the frame.
        station.wait_until(|_| calls == 0 || front_end.calls(0) == calls);
        assert_eq!(front_end.calls(0), 0);
    }
}

#[test]
fn front_ends_come_and_go_and_frames_wait_for_none_of_them() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    for round in 0..5 {
        let mut front_end = device.connect(0);
        station.send(&unicast(mac(1), mac(2), 70 + round));
        assert_eq!(front_end.receive().len(), 70 + round);
        drop(front_end);
        device.wait_for(PortOwner::None);
        station.send(&unicast(mac(1), mac(2), 60));
        let lost = round as u64 + 1;
        station.wait_until(|_| device.dropped(DropReason::NoDevice) == lost);
    }
}

#[test]
fn a_ring_that_is_stopped_goes_on_where_it_stopped() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = device.connect(0);
    for _ in 0..3 {
        station.send(&unicast(mac(1), mac(2), 60));
        front_end.receive();
    }
    assert_eq!(front_end.protocol.get_vring_base(0).expect("stopped"), 3);
    let [descriptors, available, used] = front_end.rings[0].parts().map(|it| it + 0x7000_0000_0000);
    front_end.set_up_at(0, descriptors, available, used).expect("starts again");
    station.send(&unicast(mac(1), mac(2), 61));
    assert_eq!(front_end.receive().len(), 61);
    // Sharing the memory again stops nothing for good either.
    front_end.share_memory().expect("again");
    station.send(&unicast(mac(1), mac(2), 62));
    assert_eq!(front_end.receive().len(), 62);
}

/// The agent dies with a frame that it has not taken, and another one takes the device up: the front end keeps
/// its memory, and the area for buffers in flight, as QEMU does.
#[test]
fn another_agent_goes_on_with_the_rings_of_the_one_before() {
    let (former, segment) = domain(1500);
    let device = Device::new(&former, segment, 2);
    let mut front_end = device.connect(0);
    let mut station = Station::join(&former, segment, 1);
    front_end.send(&unicast(mac(2), mac(1), 60));
    assert_eq!(station.receive().len(), 60);
    let (area, file) = front_end.inflight();
    assert_eq!(area.mmap_size, 2 * (16 + 16 * u64::from(SIZE)).next_multiple_of(64));
    drop(station);
    former.delete_port(device.port).expect("gone");
    drop((device, former));
    // Sent while nobody is there.
    let at = BUFFERS * 4;
    let frame = [vec![0; 12], unicast(mac(2), mac(1), 77)].concat();
    front_end.memory.write(at, &frame).expect("inside");
    front_end.rings[1].describe(1, GUEST + at as u64, 89, 0, 0);
    front_end.rings[1].offer(1);

    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut next = FrontEnd::introduced(&device.path, 1, 0);
    (next.memory, next.file) = (front_end.memory, front_end.file);
    next.rings = front_end.rings;
    next.share_memory().expect("fits");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    next.protocol.set_inflight_fd(&area, fd).expect("taken back");
    for index in [0, 1] {
        let [descriptors, available, used] =
            next.rings[index].parts().map(|it| it + 0x7000_0000_0000);
        next.set_up_at(index, descriptors, available, used).expect("fits");
        next.protocol.set_vring_enable(index, true).expect("enabled");
    }
    assert_eq!(station.receive(), unicast(mac(2), mac(1), 77));
    station.send(&unicast(mac(1), mac(2), 78));
    assert_eq!(next.receive().len(), 78);
}

#[test]
fn an_address_has_one_packet_client() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device { port: station.port, ..Device::new(&engine, domain, 2) };
    device.listen(&VhostConfig::default());
    let front_end = FrontEnd::introduced(&device.path, 1, 0);
    front_end.share_memory().expect("fits");
    // A memif client is connected: the front end is turned away when it enables its rings.
    let refused = |mut it: FrontEnd| {
        let _ = it.set_up(1).and_then(|()| it.protocol.set_vring_enable(1, true));
        it.wait_for_the_end();
    };
    refused(front_end);
    assert_eq!(device.owner(), PortOwner::Memif);
    station.disconnect();
    device.wait_for(PortOwner::None);
    let mut front_end = device.connect(0);
    let second = station.try_second_client().expect("shakes hands");
    station.wait_until(|_| second.poll().is_some());
    assert_eq!(device.owner(), PortOwner::Vhost);
    front_end.send(&unicast(mac(1), mac(2), 60));
    drop(front_end);
    device.wait_for(PortOwner::None);
    station.reconnect();
}

#[test]
fn a_second_front_end_is_turned_away_and_the_first_goes_on() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = device.connect(0);
    let second = vhost::vhost_user::Frontend::connect(&device.path, 2).expect("connects");
    assert!(second.get_features().is_err());
    station.send(&unicast(mac(1), mac(2), 60));
    assert_eq!(front_end.receive().len(), 60);
}

#[test]
fn a_port_that_goes_hangs_up_on_its_front_end() {
    let (engine, domain) = domain(1500);
    let device = Device::new(&engine, domain, 2);
    let front_end = device.connect(0);
    engine.delete_port(device.port).expect("gone");
    front_end.wait_for_the_end();
    assert!(matches!(engine.port(device.port), Err(DataplaneError::NoPort(_))));
    // Half a message holds nobody up.
    let device = Device::new(&engine, domain, 3);
    let mut socket = std::os::unix::net::UnixStream::connect(&device.path).expect("connects");
    std::io::Write::write_all(&mut socket, &[1, 0, 0, 0, 1]).expect("sent");
    engine.delete_port(device.port).expect("gone");
    drop(device.folder);
}

// What is left undone.

const NEEDS_CHECKSUM: [u8; 12] = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0];

/// A datagram whose checksum field holds the sum of the pseudo-header.
fn unfinished() -> Vec<u8> {
    let mut frame = udp(7);
    frame[0..12].copy_from_slice(&[&mac(1).0[..], &mac(2).0].concat());
    // 10.0.0.1 + 10.0.0.2 + protocol 17 + length 46
    frame[40..42].copy_from_slice(&(0x0a00 + 1 + 0x0a00 + 2 + 17 + 46u16).to_be_bytes());
    frame
}

#[test]
fn a_checksum_that_is_left_undone_is_completed_for_who_needs_it() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = device.connect(0);
    front_end.send_on(0, &NEEDS_CHECKSUM, &unfinished());
    let seen = station.receive();
    assert_eq!(seen[..40], unfinished()[..40]);
    let mut sum = dataplane::offload::checksum(&unfinished()[34..]);
    // A sum of zero is written as all ones.
    if sum == 0 {
        sum = 0xffff;
    }
    assert_eq!(seen[40..42], sum.to_be_bytes());
}

#[test]
fn a_front_end_gets_undone_what_it_agreed_to_take_and_done_what_not() {
    for (without, flags) in [(0, 1), (GUEST_OFFLOADS, 0)] {
        let (engine, domain) = domain(1500);
        let (one, two) = (Device::new(&engine, domain, 1), Device::new(&engine, domain, 2));
        let (mut receiver, mut sender) = (one.connect(without), two.connect(0));
        sender.send_on(0, &NEEDS_CHECKSUM, &unfinished());
        let (header, frame) = receiver.receive_whole();
        assert_eq!(header[0], flags);
        assert_eq!(frame == unfinished(), without == 0);
    }
}

#[test]
fn offloads_that_make_no_sense_are_dropped_and_counted() {
    let (engine, domain) = domain(1500);
    let _station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = device.connect(0);
    let bad: [[u8; 12]; 4] = [
        // Over the Ethernet header, beyond the end, a segmentation that nobody knows, segments of no TCP.
        [1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 34, 0, 0xff, 0xff, 0, 0],
        [1, 9, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0],
        [1, 1, 54, 0, 0, 4, 34, 0, 16, 0, 0, 0],
    ];
    for (count, header) in (1..).zip(bad) {
        front_end.send_on(0, &header, &unfinished());
        assert_eq!(device.dropped(DropReason::BadOffload), count);
    }
    assert_eq!(device.owner(), PortOwner::Vhost);
}

// Front ends that break the rules.

/// Lets a front end loose on a port while two stations talk: it loses its connection, nobody else notices,
/// and the port is free for one that behaves.
fn misbehave(act: impl FnOnce(&mut FrontEnd)) {
    let (engine, domain) = domain(1500);
    let (mut one, mut two) = (Station::join(&engine, domain, 1), Station::join(&engine, domain, 2));
    let device = Device::new(&engine, domain, 3);
    let mut front_end = device.connect(0);
    act(&mut front_end);
    front_end.wait_for_the_end();
    device.wait_for(PortOwner::None);
    for length in 60..160 {
        one.send(&unicast(mac(1), mac(2), length));
        assert_eq!(two.receive(), unicast(mac(1), mac(2), length));
    }
    let mut next = device.connect(0);
    one.send(&unicast(mac(1), mac(3), 61));
    assert_eq!(next.receive().len(), 61);
}

fn offer(front_end: &mut FrontEnd, address: u64, length: u32, flags: u16, next: u16) {
    front_end.rings[1].describe(0, address, length, flags, next);
    front_end.rings[1].offer(0);
    front_end.kick(1);
}

#[test]
fn bytes_outside_the_memory() {
    let end = GUEST + MEMORY as u64;
    for (address, length) in [(0, 60), (end - 59, 60), (u64::MAX - 5, 60), (GUEST, u32::MAX)] {
        misbehave(|it| offer(it, address, length, 0, 0));
    }
}

#[test]
fn chains_without_an_end() {
    misbehave(|it| offer(it, GUEST, 60, NEXT, 0));
    misbehave(|it| offer(it, GUEST, 60, NEXT, 999));
    misbehave(|it| {
        // A table that leads into itself, and one inside itself.
        let entry = descriptor(GUEST, 60, NEXT, 0);
        it.memory.write(BUFFERS * 4, &entry).expect("inside");
        offer(it, GUEST + BUFFERS as u64 * 4, 16, INDIRECT, 0);
    });
    misbehave(|it| {
        let address = GUEST + BUFFERS as u64 * 4;
        it.memory.write(BUFFERS * 4, &descriptor(address, 16, INDIRECT, 0)).expect("inside");
        offer(it, address, 16, INDIRECT, 0);
    });
}

#[test]
fn an_index_that_runs_away() {
    misbehave(|it| {
        it.rings[1].set_index(SIZE + 1);
        it.kick(1);
    });
}

#[test]
fn buffers_of_the_wrong_direction() {
    misbehave(|it| offer(it, GUEST, 60, WRITE, 0));
}

#[test]
fn buffers_to_be_filled_that_lie_elsewhere() {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let front_end = device.connect(0);
    for slot in 0..SIZE {
        front_end.rings[0].describe(slot, 0x10, 2048, WRITE, 0);
    }
    station.send(&unicast(mac(1), mac(2), 60));
    front_end.wait_for_the_end();
    device.wait_for(PortOwner::None);
}

#[test]
fn memory_that_is_taken_away() {
    misbehave(|it| {
        rustix::fs::ftruncate(&it.file, 0).expect("shrinks");
        it.kick(1);
    });
    // The buffers alone, behind rings that stay.
    misbehave(|it| {
        rustix::fs::ftruncate(&it.file, 0x8000).expect("shrinks");
        offer(it, GUEST + BUFFERS as u64, 60, 0, 0);
    });
}

/// Messages that no front end sends: each is refused, and a new front end is served.
fn refused(act: impl FnOnce(&mut FrontEnd) -> bool) {
    let (engine, domain) = domain(1500);
    let mut station = Station::join(&engine, domain, 1);
    let device = Device::new(&engine, domain, 2);
    let mut front_end = FrontEnd::introduced(&device.path, 1, 0);
    assert!(act(&mut front_end), "it was accepted");
    front_end.wait_for_the_end();
    let mut next = device.connect(0);
    station.send(&unicast(mac(1), mac(2), 61));
    assert_eq!(next.receive().len(), 61);
}

#[test]
fn messages_that_make_no_sense() {
    refused(|it| it.protocol.set_features(u64::MAX).is_err());
    refused(|it| it.protocol.set_mem_table(&[it.region(), it.region()]).is_err());
    refused(|it| {
        let longer = VhostUserMemoryRegionInfo { memory_size: 1 << 30, ..it.region() };
        it.protocol.set_mem_table(&[longer]).is_err()
    });
    refused(|it| {
        let huge = VhostUserMemoryRegionInfo { memory_size: 1 << 40, ..it.region() };
        it.protocol.set_mem_table(&[huge]).is_err()
    });
    refused(|it| {
        let null = std::fs::File::open("/dev/null").expect("opens");
        let no_memory = VhostUserMemoryRegionInfo {
            mmap_handle: std::os::fd::AsRawFd::as_raw_fd(&null),
            ..it.region()
        };
        it.protocol.set_mem_table(&[no_memory]).is_err()
    });
    // Rings outside the memory are found out when they are enabled.
    refused(|it| {
        it.share_memory().expect("fits");
        let far = 0x7000_0000_0000 + MEMORY as u64 - 16;
        it.set_up_at(1, far, far, far).expect("noted");
        it.protocol.set_vring_enable(1, true).is_err()
    });
}
