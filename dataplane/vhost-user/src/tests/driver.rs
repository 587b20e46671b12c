//! The driver's side of a split ring, as a machine or DPDK has it; it keeps no rules that it is not told to.

use shm::Mapping;

/// Flags of a descriptor (virtio 1.2, 2.7.5).
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

/// A ring in memory of its own making.
#[derive(Debug)]
pub(crate) struct Driver {
    memory: Mapping,
    at: usize,
    size: u16,
    offered: u16,
    seen: u16,
}

impl Driver {
    /// Bytes that a ring takes.
    pub(crate) fn len(size: u16) -> usize {
        (usize::from(size) * 26 + 64).next_multiple_of(4096)
    }

    /// An empty ring at `at`.
    pub(crate) fn new(memory: &Mapping, at: usize, size: u16) -> Self {
        memory.write(at, &vec![0; Self::len(size)]).expect("inside");
        Self { memory: memory.clone(), at, size, offered: 0, seen: 0 }
    }

    fn available(&self) -> usize {
        self.at + usize::from(self.size) * 16
    }

    fn used(&self) -> usize {
        (self.available() + 6 + usize::from(self.size) * 2).next_multiple_of(4)
    }

    /// Where its parts are: descriptors, available, used; counted from the start of the memory.
    pub(crate) fn parts(&self) -> [u64; 3] {
        [self.at, self.available(), self.used()].map(|it| it as u64)
    }

    pub(crate) fn put16(&self, at: usize, value: u16) {
        self.memory.write(at, &value.to_le_bytes()).expect("inside");
    }

    fn get16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.memory.read_array(at).expect("inside"))
    }

    /// Writes a descriptor of the ring's own table.
    pub(crate) fn describe(&self, index: u16, address: u64, length: u32, flags: u16, next: u16) {
        let at = self.at + usize::from(index) * 16;
        self.memory.write(at, &descriptor(address, length, flags, next)).expect("inside");
    }

    /// Offers a buffer.
    pub(crate) fn offer(&mut self, head: u16) {
        self.put16(self.available() + 4 + usize::from(self.offered % self.size) * 2, head);
        self.set_index(self.offered.wrapping_add(1));
    }

    /// Says how much was offered, whatever was.
    pub(crate) fn set_index(&mut self, index: u16) {
        self.offered = index;
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.put16(self.available() + 2, index);
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    /// Begins at another index, as a ring that was used for long.
    pub(crate) fn begin_at(&mut self, index: u16) {
        self.set_index(index);
        self.seen = index;
        self.put16(self.used() + 2, index);
    }

    /// Whether it wants calls, where places are not named.
    pub(crate) fn want_calls(&self, wanted: bool) {
        self.put16(self.available(), u16::from(!wanted));
    }

    /// The used buffer after which it wants a call, where places are named.
    pub(crate) fn want_call_at(&self, index: u16) {
        self.put16(self.available() + 4 + usize::from(self.size) * 2, index);
    }

    /// Whether the other end wants kicks, where places are not named.
    pub(crate) fn kicks_wanted(&self) -> bool {
        self.get16(self.used()) & 1 == 0
    }

    /// The offered buffer after which the other end wants a kick, where places are named.
    pub(crate) fn kick_wanted_at(&self) -> u16 {
        self.get16(self.used() + 4 + usize::from(self.size) * 8)
    }

    /// The other end's index.
    pub(crate) fn used_index(&self) -> u16 {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.get16(self.used() + 2)
    }

    /// The next buffer that came back: its first descriptor, and the bytes written.
    pub(crate) fn take_used(&mut self) -> Option<(u32, u32)> {
        if self.used_index() == self.seen {
            return None;
        }
        let at = self.used() + 4 + usize::from(self.seen % self.size) * 8;
        self.seen = self.seen.wrapping_add(1);
        let word = |at| u32::from_le_bytes(self.memory.read_array(at).expect("inside"));
        Some((word(at), word(at + 4)))
    }
}

/// A descriptor's bytes.
pub(crate) fn descriptor(address: u64, length: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..].copy_from_slice(&next.to_le_bytes());
    bytes
}
