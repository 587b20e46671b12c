//! The forwarding table: open addressing with linear probing over 16-byte cells.
//!
//! One look-up reads one cache line: a cell holds the 48-bit address and its place in one word and
//! the time of its last frame in the other. The table is at most half full, so probes stay short
//! from ten addresses to a hundred thousand. Deletion shifts the probe run back: no tombstones, and
//! therefore no rebuild while frames pass. The hash is keyed, so that a station cannot choose
//! addresses that collide. Memory is allocated by [`Table::reserve`] only.

use super::Tick;
use crate::MacAddr;

/// An address as a number: the 48 bits of a [`MacAddr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    /// Whether the address is a group address, broadcast included.
    pub(super) fn is_group(self) -> bool {
        self.0 >> 40 & 1 != 0
    }

    /// Whether it is all zeros.
    pub(super) fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Whether it is one of 01:80:c2:00:00:00 to 0f, which a bridge never forwards
    /// (IEEE 802.1D-2004, 7.12.6).
    pub(super) fn is_reserved(self) -> bool {
        self.0 & !0xf == 0x0180_c200_0000
    }
}

impl From<MacAddr> for Key {
    #[inline]
    fn from(mac: MacAddr) -> Self {
        Self(mac.to_bits())
    }
}

impl From<Key> for MacAddr {
    fn from(key: Key) -> Self {
        Self::from_bits(key.0)
    }
}

/// Where an address is: a port's slot, or the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u16);

impl Place {
    /// The gateway of the domain.
    pub(super) const GATEWAY: Self = Self(u16::MAX);
}

/// What the table knows about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: Key,
    pub(super) place: Place,
    pub(super) seen: Seen,
}

/// When the last frame came from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Seen {
    /// Configured, not learnt: never ages.
    pub(super) const PINNED: Self = Self(u64::MAX);

    /// Learnt, or confirmed, at `now`.
    pub(super) fn at(now: Tick) -> Self {
        Self(now.0.min(u64::MAX - 1))
    }

    pub(super) fn is_pinned(self) -> bool {
        self == Self::PINNED
    }

    /// Milliseconds since then; 0 for a pinned address.
    pub(super) fn age(self, now: Tick) -> u64 {
        now.0.saturating_sub(self.0)
    }
}

/// A cell that holds a record, valid until the next insertion or removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(usize);

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    cells: Box<[Cell]>,
    records: usize,
    hash: Hash,
    sweep: usize,
}

impl Table {
    /// An empty table; `seed` keys its hash.
    pub(super) fn new(seed: u64) -> Self {
        let cells = vec![Cell::EMPTY; MIN_CELLS].into_boxed_slice();
        Self { cells, records: 0, hash: Hash::new(seed), sweep: 0 }
    }

    /// Makes room for `records` in all, so that insertion up to that number does not allocate.
    pub(super) fn reserve(&mut self, records: usize) {
        let cells = records.saturating_mul(2).max(MIN_CELLS).next_power_of_two();
        if cells <= self.cells.len() {
            return;
        }
        let old = std::mem::replace(&mut self.cells, vec![Cell::EMPTY; cells].into_boxed_slice());
        self.records = 0;
        self.sweep = 0;
        for record in old.iter().filter_map(Cell::record) {
            self.insert(record);
        }
    }

    /// Whether one more record fits.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        (self.records + 1) * 2 <= self.cells.len()
    }

    /// Finds an address.
    #[inline]
    pub(super) fn find(&self, key: Key) -> Option<(Position, Record)> {
        let mask = self.cells.len() - 1;
        let mut at = self.hash.index(key, mask);
        loop {
            match self.cells[at].record() {
                None => return None,
                Some(record) if record.key == key => return Some((Position(at), record)),
                Some(_) => at = (at + 1) & mask,
            }
        }
    }

    /// Adds an address that the table does not hold; refused when there is no room for it.
    pub(super) fn insert(&mut self, record: Record) -> bool {
        if !self.has_room() {
            return false;
        }
        let mask = self.cells.len() - 1;
        let mut at = self.hash.index(record.key, mask);
        while !self.cells[at].is_empty() {
            at = (at + 1) & mask;
        }
        self.cells[at] = Cell::new(record);
        self.records += 1;
        true
    }

    /// Changes place or time of the address at `position`.
    #[inline]
    pub(super) fn update(&mut self, position: Position, record: Record) {
        self.cells[position.0] = Cell::new(record);
    }

    /// Forgets the address at `position`.
    pub(super) fn remove(&mut self, position: Position) {
        let mask = self.cells.len() - 1;
        let mut hole = position.0;
        let mut at = hole;
        self.records -= 1;
        loop {
            at = (at + 1) & mask;
            let Some(record) = self.cells[at].record() else { break };
            // The record may fill the hole unless its own home lies behind the hole.
            let home = self.hash.index(record.key, mask);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.cells[hole] = self.cells[at];
                hole = at;
            }
        }
        self.cells[hole] = Cell::EMPTY;
    }

    /// Forgets every address for which `forget` says so and calls `forgotten` for it.
    pub(super) fn remove_where(&mut self, mut forget: impl FnMut(Record) -> bool) {
        for at in 0..self.cells.len() {
            // A removal may pull the next record of the run into this cell.
            while self.cells[at].record().is_some_and(&mut forget) {
                self.remove(Position(at));
            }
        }
    }

    /// Examines the next `budget` cells, round robin, and forgets the addresses for which `forget`
    /// says so.
    pub(super) fn sweep(&mut self, budget: usize, mut forget: impl FnMut(Record) -> bool) {
        for _ in 0..budget {
            if self.cells[self.sweep].record().is_some_and(&mut forget) {
                self.remove(Position(self.sweep));
            } else {
                self.sweep = (self.sweep + 1) & (self.cells.len() - 1);
            }
        }
    }

    /// All records, in no order.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.cells.iter().filter_map(Cell::record)
    }

    /// Cells, used and empty.
    pub(super) fn cells(&self) -> usize {
        self.cells.len()
    }
}

const MIN_CELLS: usize = 16;

/// Address in the upper 48 bits and place in the lower 16 of `word`; all zeros is an empty cell,
/// since the address of all zeros is never stored.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
struct Cell {
    word: u64,
    seen: u64,
}

impl Cell {
    const EMPTY: Self = Self { word: 0, seen: 0 };

    #[inline]
    fn new(record: Record) -> Self {
        Self { word: record.key.0 << 16 | u64::from(record.place.0), seen: record.seen.0 }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.word == 0
    }

    #[inline]
    fn record(&self) -> Option<Record> {
        if self.is_empty() {
            return None;
        }
        let place = Place((self.word & 0xffff) as u16);
        Some(Record { key: Key(self.word >> 16), place, seen: Seen(self.seen) })
    }
}

/// A keyed multiply-and-fold: one multiplication per look-up.
#[derive(Debug, Clone, Copy)]
struct Hash {
    mask: u64,
    factor: u64,
}

impl Hash {
    fn new(seed: u64) -> Self {
        Self { mask: split_mix(seed), factor: split_mix(seed.wrapping_add(1)) | 1 }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "halves of the product, masked bits")]
    fn index(self, key: Key, mask: usize) -> usize {
        let product = u128::from(key.0 ^ self.mask) * u128::from(self.factor);
        ((product >> 64) as u64 ^ product as u64) as usize & mask
    }
}

/// The `SplitMix64` finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014): spreads a seed over all 64 bits.
fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn record(key: u64, place: u16) -> Record {
        Record { key: Key(key), place: Place(place), seen: Seen(key) }
    }

    proptest! {
        /// Few keys and a full small table: runs wrap around the end and shift back over it.
        #[test]
        fn behaves_as_a_map(
            seed: u64,
            operations in proptest::collection::vec((0..3u8, 1..40u64, 0..9u16), 0..400),
        ) {
            let mut table = Table::new(seed);
            let mut model = HashMap::new();
            for (operation, key, place) in operations {
                let found = table.find(Key(key));
                prop_assert_eq!(found.map(|(_, record)| record.place.0), model.get(&key).copied());
                match (operation, found) {
                    (0, Some((position, _))) => {
                        table.remove(position);
                        model.remove(&key);
                    }
                    (1, Some((position, _))) => {
                        table.update(position, record(key, place));
                        model.insert(key, place);
                    }
                    (_, None) => {
                        let room = model.len() < MIN_CELLS / 2;
                        prop_assert_eq!(table.insert(record(key, place)), room);
                        if room {
                            model.insert(key, place);
                        }
                    }
                    _ => {
                        table.remove_where(|record| record.place.0 == place);
                        model.retain(|_, held| *held != place);
                    }
                }
                let mut held: Vec<_> = table.records().map(|r| (r.key.0, r.place.0)).collect();
                held.sort_unstable();
                let mut expected: Vec<_> = model.iter().map(|(key, place)| (*key, *place)).collect();
                expected.sort_unstable();
                prop_assert_eq!(held, expected);
            }
        }
    }

    #[test]
    fn growth_keeps_every_record() {
        let mut table = Table::new(7);
        let count = 10_000;
        table.reserve(count);
        let cells = table.cells();
        for key in 1..=count as u64 {
            assert!(table.insert(record(key << 8, 3)));
        }
        assert_eq!(table.cells(), cells, "insertion below the reserve must not allocate");
        table.reserve(4 * count);
        assert_eq!(table.records().count(), count);
        for key in 1..=count as u64 {
            assert!(table.find(Key(key << 8)).is_some());
        }
    }

    /// Addresses as containers get them (one prefix, consecutive numbers) must not cluster.
    #[test]
    fn probe_runs_stay_short_for_consecutive_addresses() {
        for seed in 0..8 {
            let mut table = Table::new(seed);
            let count = 100_000;
            table.reserve(count);
            for n in 0..count as u64 {
                table.insert(record(0x0242_0000_0000 | n, 1));
            }
            let mask = table.cells() - 1;
            let probes: usize = table
                .cells
                .iter()
                .enumerate()
                .filter_map(|(at, cell)| Some((at, cell.record()?)))
                .map(|(at, record)| at.wrapping_sub(table.hash.index(record.key, mask)) & mask)
                .sum();
            assert!(probes < count, "seed {seed}: {probes} extra probes for {count} addresses");
        }
    }

    #[test]
    fn a_sweep_visits_every_cell_and_keeps_to_its_budget() {
        let mut table = Table::new(1);
        table.reserve(100);
        for key in 1..=100 {
            table.insert(record(key, 1));
        }
        table.sweep(10, |_| true);
        assert!(table.records().count() >= 90);
        table.sweep(table.cells() + 100, |_| true);
        assert_eq!(table.records().count(), 0);
    }
}
