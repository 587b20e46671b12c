//! A segment that is made here: what is read of it, and what is refused.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

/// Where VPP would have it.
const BASE: u64 = 0x1000_0000;

#[derive(Debug, Clone, Default)]
struct Made {
    bytes: Vec<u8>,
    /// How many readings from now the epoch changes.
    change_after: Cell<usize>,
    changed: Cell<u64>,
}

impl Memory for Made {
    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), LayoutError> {
        let outside = LayoutError::Outside { at, length: out.len() as u64 };
        let from = usize::try_from(at).map_err(|_| outside.clone())?;
        let end = from.checked_add(out.len()).ok_or_else(|| outside.clone())?;
        out.copy_from_slice(self.bytes.get(from..end).ok_or(outside)?);
        if self.change_after.get() > 0 {
            self.change_after.set(self.change_after.get() - 1);
            if self.change_after.get() == 0 {
                self.changed.set(self.changed.get() + 1);
            }
        }
        if at == 0 && out.len() == 40 {
            out[16..24].copy_from_slice(&self.changed.get().to_ne_bytes());
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Made {
    fn new() -> Self {
        let mut this = Self { bytes: vec![0; 40], ..Self::default() };
        this.set(0, 2);
        this.set(8, BASE);
        this
    }

    fn set(&mut self, at: usize, word: u64) {
        self.bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    }

    /// Appends a vector and gives VPP's pointer to it.
    fn vector(&mut self, count: u32, bytes: &[u8]) -> u64 {
        self.bytes.extend(count.to_ne_bytes());
        self.bytes.extend([0; 4]);
        let pointer = BASE + self.bytes.len() as u64;
        self.bytes.extend(bytes);
        pointer
    }

    fn words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|it| it.to_ne_bytes()).collect();
        self.vector(u32::try_from(words.len()).expect("few"), &bytes)
    }

    fn directory(&mut self, entries: &[(u32, u64, &str)]) {
        let mut bytes = Vec::new();
        for (kind, value, name) in entries {
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend(value.to_ne_bytes());
            let mut field = [0; 128];
            field[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(field);
        }
        let pointer = self.vector(u32::try_from(entries.len()).expect("few"), &bytes);
        self.set(32, pointer);
    }
}

/// Two threads, two interfaces, of which the first is gone.
fn sample() -> Made {
    let mut made = Made::new();
    let name = made.vector(6, b"loop0\0");
    let names = made.words(&[0, name]);
    // Packets and bytes of each interface.
    let combined = [[1, 10, 2, 20], [3, 30, 4, 40]].map(|row| {
        let bytes: Vec<u8> = row.iter().flat_map(|it: &u64| it.to_ne_bytes()).collect();
        made.vector(2, &bytes)
    });
    let rx = made.words(&combined);
    let simple = [[5, 6], [7, 8]].map(|row| made.words(&row));
    let drops = made.words(&simple);
    let link = u64::from_ne_bytes({
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&3_u32.to_ne_bytes());
        bytes[4..].copy_from_slice(&1_u32.to_ne_bytes());
        bytes
    });
    made.directory(&[
        (1, 77, "/sys/heartbeat"),
        (4, names, "/if/names"),
        (3, rx, "/if/rx"),
        (2, drops, "/if/drops"),
        (6, link, "/err/loop0/drops"),
        (5, 0, ""),
        (7, 12345, "/sys/histogram"),
    ]);
    made
}

#[test]
fn counters_are_read_by_name() {
    let stats = Stats::of(sample()).expect("version 2");
    assert_eq!(stats.heartbeat().expect("a number"), 77);
    assert_eq!(stats.read("/if/drops").expect("rows"), Value::Simple(vec![vec![5, 6], vec![7, 8]]));
    assert_eq!(stats.read("/sys/histogram").expect("a kind of its own"), Value::Other);
    assert!(matches!(stats.read("/if/tx"), Err(StatsError::Absent(name)) if name == "/if/tx"));
    assert_eq!(stats.names().expect("names").len(), 6, "what has no name is nothing");
}

#[test]
fn interfaces_are_summed_over_threads_and_gone_ones_left_out() {
    let stats = Stats::of(sample()).expect("version 2");
    let interfaces = stats.interfaces().expect("interfaces");
    let [loop0] = interfaces.as_slice() else { panic!("{interfaces:?}") };
    assert_eq!((loop0.name.as_str(), loop0.sw_if_index, loop0.drops), ("loop0", 1, 14));
    assert_eq!(loop0.rx, Traffic { packets: 6, bytes: 60 });
}

#[test]
fn a_link_is_one_column_of_what_it_leads_to() {
    let stats = Stats::of(sample()).expect("version 2");
    assert_eq!(stats.errors().expect("errors"), [("/err/loop0/drops".to_owned(), 14)]);
}

#[test]
fn a_change_of_the_directory_begins_the_reading_again() {
    let stats = Stats::of(sample()).expect("version 2");
    stats.memory.change_after.set(3);
    assert_eq!(stats.heartbeat().expect("read again"), 77);
    assert_eq!(stats.memory.changed.get(), 1, "the change was met");
}

#[test]
fn a_directory_that_is_being_changed_is_waited_for_and_given_up() {
    let mut made = sample();
    made.set(24, 1);
    let stats = Stats::of(made).expect("version 2");
    assert!(matches!(stats.heartbeat(), Err(StatsError::Busy)));
}

#[test]
fn other_versions_are_named() {
    let mut made = sample();
    made.set(0, 3);
    assert!(matches!(Stats::of(made), Err(StatsError::Version(3))));
}

#[test]
fn vectors_outside_the_memory_are_refused_before_anything_is_allocated() {
    let mut made = Made::new();
    let endless = made.vector(u32::MAX, &[0; 16]);
    made.directory(&[(2, endless, "/a"), (2, 8, "/b"), (2, u64::MAX, "/c"), (6, 99, "/d")]);
    let stats = Stats::of(made).expect("version 2");
    for name in ["/a", "/b", "/c", "/d"] {
        assert!(matches!(stats.read(name), Err(StatsError::Layout(_))), "{name}");
    }
}

proptest! {
    #[test]
    fn scribbled_memory_is_read_or_refused(
        scribbles in prop::collection::vec((40_usize..900, any::<u8>()), 1..20),
    ) {
        let mut made = sample();
        for (at, byte) in scribbles {
            if let Some(place) = made.bytes.get_mut(at) {
                *place = byte;
            }
        }
        let stats = Stats::of(made).expect("version 2");
        let _ = (stats.select(|_| true), stats.interfaces(), stats.errors());
    }
}
