//! Both ends of a device in one process, over memory that Miri understands.

mod driver;
mod faults;
mod receiving;
mod sending;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::EventfdFlags;
use shm::Mapping;

use self::driver::Driver;
use crate::memory::MemoryTable;
use crate::ring::SplitRing;
use crate::{Features, HEADER_LEN, LinkState, RingAddresses, RxQueue, TxQueue};

/// Entries of the rings.
const SIZE: u16 = 16;
/// Where buffers begin in the memory, and how long the memory is.
const BUFFERS: u64 = 0x4000;
const MEMORY: usize = 0x10_0000;
/// What the memory's addresses begin with: in the machine, in the front end's process.
const GUEST: u64 = 0x8_0000_0000;
const USER: u64 = 0x7f00_0000_0000;

/// All that is offered, with named places or without.
fn features(named: bool) -> Features {
    let all = Features::offered(1).0;
    Features(if named { all } else { all & !(1 << 29) })
}

/// All but merged buffers.
fn unmerged() -> Features {
    Features(Features::offered(1).0 & !(1 << 15))
}

fn eventfd() -> OwnedFd {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("fd")
}

/// A machine with one ring.
struct Machine {
    memory: Mapping,
    table: Arc<MemoryTable>,
    driver: Driver,
}

impl Machine {
    fn new() -> Self {
        let memory = Mapping::heap(MEMORY);
        let table = Arc::new(MemoryTable::of(&memory, GUEST, USER));
        let driver = Driver::new(&memory, 0x1000, SIZE);
        Self { memory, table, driver }
    }

    fn ring(&self, features: Features) -> SplitRing {
        let [descriptors, available, used] = self.driver.parts().map(|it| it + USER);
        let addresses = RingAddresses { descriptors, available, used };
        SplitRing::at(&self.table, addresses, SIZE.into(), features.named_events()).expect("fits")
    }

    fn rx(&self, features: Features) -> RxQueue {
        let state = Arc::new(LinkState::new(None));
        let ring = self.ring(features);
        RxQueue::new(ring, Arc::clone(&self.table), features, eventfd(), Some(eventfd()), state)
    }

    fn tx(&self, features: Features) -> TxQueue {
        let state = Arc::new(LinkState::new(None));
        let ring = self.ring(features);
        TxQueue::new(ring, Arc::clone(&self.table), features, Some(eventfd()), state)
    }

    /// Puts bytes at `offset` behind the start of the buffers; returns their address in the machine.
    fn put(&self, offset: u64, bytes: &[u8]) -> u64 {
        let at = BUFFERS + offset;
        self.memory.write(usize::try_from(at).expect("small"), bytes).expect("inside");
        GUEST + at
    }

    fn get(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let at = usize::try_from(address - GUEST).expect("small");
        self.memory.read(at, &mut bytes).expect("inside");
        bytes
    }

    /// Offers a frame behind an empty header, in one descriptor.
    fn send(&mut self, index: u16, frame: &[u8]) {
        let bytes = [&[0; HEADER_LEN][..], frame].concat();
        let address = self.put(u64::from(index) * 0x1000, &bytes);
        self.driver.describe(index, address, length(&bytes), 0, 0);
        self.driver.offer(index);
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("short")
}

fn drain(rx: &mut RxQueue, max: usize) -> Vec<Vec<u8>> {
    let batch = rx.batch(max).expect("a well-behaved front end");
    batch.frames().map(|frame| frame.to_vec()).collect()
}

/// Whether an eventfd was written.
fn rang(fd: &impl AsFd) -> bool {
    let mut counter = [0; 8];
    rustix::io::read(fd, &mut counter).is_ok()
}
