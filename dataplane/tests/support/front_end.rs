//! A front end of a vhost-user device: the messages by the crate `vhost`, the rings by hand.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::fs::MemfdFlags;
use shm::Mapping;
use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserInflight};
use vhost::vhost_user::{Frontend, VhostUserFrontend, VhostUserProtocolFeatures};
use vhost::{Error, VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::PATIENCE;
use super::driver::{Driver, WRITE};

/// Entries of each ring.
pub(crate) const SIZE: u16 = 64;
/// What addresses begin with: in the machine, in this process.
pub(crate) const GUEST: u64 = 0x1_0000_0000;
const USER: u64 = 0x7000_0000_0000;
/// Bytes of memory; the rings are at its beginning, then come buffers.
pub(crate) const MEMORY: usize = 8 << 20;
const RING_PART: usize = 0x1000;
pub(crate) const BUFFERS: usize = 0x10_0000;
/// Bytes of one buffer: two in a row take a frame of 3000 bytes.
const BUFFER: usize = 2048;
/// Bytes between the places that frames are sent from.
const SLOT: usize = 0x8000;
const HEADER: usize = 12;

/// What may be left out of what a device offers.
pub(crate) const MERGED_BUFFERS: u64 = 1 << 15;
pub(crate) const NAMED_EVENTS: u64 = 1 << 29;
pub(crate) const GUEST_OFFLOADS: u64 = 1 << 1 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 54 | 1 << 55;

/// A front end with its device set up.
pub(crate) struct FrontEnd {
    pub(crate) protocol: Frontend,
    pub(crate) memory: Mapping,
    pub(crate) file: OwnedFd,
    pub(crate) features: u64,
    /// Receive and transmit ring of each pair of queues.
    pub(crate) rings: Vec<Driver>,
    kicks: Vec<EventFd>,
    calls: Vec<EventFd>,
    /// Frames sent on each pair: they use their slots in turn.
    sent: Vec<u16>,
}

impl FrontEnd {
    /// Connects with one pair of queues and all features but `without`.
    pub(crate) fn connect(path: &Path, without: u64) -> Self {
        Self::with_queues(path, 1, without)
    }

    pub(crate) fn with_queues(path: &Path, pairs: usize, without: u64) -> Self {
        let mut front_end = Self::introduced(path, pairs, without);
        front_end.share_memory().expect("fits");
        for index in 0..pairs * 2 {
            front_end.set_up(index).expect("fits");
        }
        for index in 0..pairs * 2 {
            front_end.protocol.set_vring_enable(index, true).expect("enabled");
        }
        front_end
    }

    /// Features are agreed on; nothing is shared yet.
    pub(crate) fn introduced(path: &Path, pairs: usize, without: u64) -> Self {
        let mut protocol = Frontend::connect(path, pairs as u64 * 2).expect("connects");
        protocol.set_owner().expect("owned");
        let features = protocol.get_features().expect("features") & !without;
        let known = protocol.get_protocol_features().expect("protocol features");
        assert!(known.contains(VhostUserProtocolFeatures::REPLY_ACK));
        protocol.set_protocol_features(known).expect("agreed");
        protocol.set_features(features).expect("agreed");
        // From now on each message is answered: what the test sees is done.
        protocol.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        let file = rustix::fs::memfd_create("machine", MemfdFlags::CLOEXEC).expect("memfd");
        rustix::fs::ftruncate(&file, MEMORY as u64).expect("grows");
        let memory = Mapping::map(file.as_fd(), MEMORY).expect("maps");
        let rings = (0..pairs * 2).map(|n| Driver::new(&memory, n * 2 * RING_PART, SIZE)).collect();
        let eventfd = |_| EventFd::new(EFD_NONBLOCK).expect("eventfd");
        Self {
            protocol,
            memory,
            file,
            features,
            rings,
            kicks: (0..pairs * 2).map(eventfd).collect(),
            calls: (0..pairs * 2).map(eventfd).collect(),
            sent: vec![0; pairs],
        }
    }

    pub(crate) fn region(&self) -> VhostUserMemoryRegionInfo {
        VhostUserMemoryRegionInfo {
            guest_phys_addr: GUEST,
            memory_size: MEMORY as u64,
            userspace_addr: USER,
            mmap_offset: 0,
            mmap_handle: self.file.as_raw_fd(),
        }
    }

    pub(crate) fn share_memory(&self) -> Result<(), Error> {
        self.protocol.set_mem_table(&[self.region()]).map(|_| ())
    }

    /// Gives the device one ring; a receive ring comes with all its buffers.
    pub(crate) fn set_up(&mut self, index: usize) -> Result<(), Error> {
        if index.is_multiple_of(2) {
            for slot in 0..SIZE {
                self.post(index / 2, slot);
            }
        }
        let [descriptors, available, used] = self.rings[index].parts().map(|it| it + USER);
        self.set_up_at(index, descriptors, available, used)
    }

    pub(crate) fn set_up_at(
        &mut self,
        index: usize,
        descriptors: u64,
        available: u64,
        used: u64,
    ) -> Result<(), Error> {
        self.protocol.set_vring_call(index, &self.calls[index])?;
        self.protocol.set_vring_num(index, SIZE)?;
        self.protocol.set_vring_base(index, 0)?;
        let addresses = VringConfigData {
            queue_max_size: SIZE,
            queue_size: SIZE,
            flags: 0,
            desc_table_addr: descriptors,
            used_ring_addr: used,
            avail_ring_addr: available,
            log_addr: None,
        };
        self.protocol.set_vring_addr(index, &addresses)?;
        self.protocol.set_vring_kick(index, &self.kicks[index])
    }

    fn receive_buffer(pair: usize, slot: u16) -> usize {
        BUFFERS + (pair * usize::from(SIZE) + usize::from(slot)) * BUFFER
    }

    fn post(&mut self, pair: usize, slot: u16) {
        let address = GUEST + Self::receive_buffer(pair, slot) as u64;
        let length = u32::try_from(BUFFER).expect("small");
        self.rings[pair * 2].describe(slot, address, length, WRITE, 0);
        self.rings[pair * 2].offer(slot);
    }

    /// Sends a complete frame.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.send_on(0, &[0; HEADER], frame);
    }

    /// Sends a frame on a pair of queues, and waits until the device took it.
    pub(crate) fn send_on(&mut self, pair: usize, header: &[u8; HEADER], frame: &[u8]) {
        let slot = self.sent[pair] % SIZE;
        self.sent[pair] = self.sent[pair].wrapping_add(1);
        let bytes = [&header[..], frame].concat();
        let at = MEMORY / 2 + (usize::from(slot) % 32 + pair * 32) * SLOT;
        self.memory.write(at, &bytes).expect("inside");
        let length = u32::try_from(bytes.len()).expect("short");
        self.rings[pair * 2 + 1].describe(slot, GUEST + at as u64, length, 0, 0);
        self.rings[pair * 2 + 1].offer(slot);
        self.kick(pair * 2 + 1);
        let start = Instant::now();
        while self.rings[pair * 2 + 1].take_used().is_none() {
            assert!(start.elapsed() < PATIENCE, "the device does not take frames");
            std::thread::yield_now();
        }
    }

    pub(crate) fn kick(&self, index: usize) {
        self.kicks[index].write(1).expect("written");
    }

    /// The next frame on any queue, with its header.
    pub(crate) fn receive_whole(&mut self) -> (Vec<u8>, Vec<u8>) {
        let start = Instant::now();
        loop {
            for pair in 0..self.sent.len() {
                if let Some(frame) = self.take_frame(pair) {
                    return frame;
                }
            }
            assert!(start.elapsed() < PATIENCE, "no frame came");
            std::thread::yield_now();
        }
    }

    pub(crate) fn receive(&mut self) -> Vec<u8> {
        self.receive_whole().1
    }

    fn take_frame(&mut self, pair: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut bytes = self.take_buffer(pair)?;
        let count = u16::from_le_bytes([bytes[10], bytes[11]]);
        for _ in 1..count {
            bytes.extend(self.take_buffer(pair).expect("merged buffers are published at once"));
        }
        let frame = bytes.split_off(HEADER);
        Some((bytes, frame))
    }

    fn take_buffer(&mut self, pair: usize) -> Option<Vec<u8>> {
        let (slot, length) = self.rings[pair * 2].take_used()?;
        let slot = u16::try_from(slot).expect("one of ours");
        let mut bytes = vec![0; length as usize];
        self.memory.read(Self::receive_buffer(pair, slot), &mut bytes).expect("inside");
        self.post(pair, slot);
        Some(bytes)
    }

    /// How often the device called for a ring since it was last asked.
    pub(crate) fn calls(&self, index: usize) -> u64 {
        self.calls[index].read().unwrap_or(0)
    }

    /// Waits until the device hangs up.
    pub(crate) fn wait_for_the_end(&self) {
        let start = Instant::now();
        while self.protocol.get_features().is_ok() {
            assert!(start.elapsed() < PATIENCE, "the device does not hang up");
            std::thread::yield_now();
        }
    }

    /// The area for buffers in flight, as the device made it.
    pub(crate) fn inflight(&mut self) -> (VhostUserInflight, std::fs::File) {
        let rings = u16::try_from(self.rings.len()).expect("few");
        let asked = VhostUserInflight::new(0, 0, rings, SIZE);
        self.protocol.get_inflight_fd(&asked).expect("made")
    }
}
