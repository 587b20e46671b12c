//! The front end's memory: its regions, and its two kinds of addresses translated into them.
//!
//! Rings are named by addresses in the front end's own process, buffers by physical addresses of its
//! machine (vhost-user protocol, "Memory region description").

use std::os::fd::{AsFd, BorrowedFd};

use shm::memfd::{self, Sealing, Unfit};
use shm::{Mapping, OutOfBounds};

/// Regions that a front end may have: as many descriptors as fit into one message.
pub(crate) const MAX_REGIONS: usize = 32;

/// One region, as the front end describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionSpec {
    /// Its first address in the front end's machine.
    pub guest: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its first address in the front end's process.
    pub user: u64,
    /// Where it begins in its file, in bytes.
    pub file_offset: u64,
}

/// Why memory was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// More regions than a front end may have.
    #[error("{0} regions, at most {MAX_REGIONS} are accepted")]
    TooMany(usize),
    /// A region has no bytes or ends beyond all addresses.
    #[error("region {0} has no bytes, or ends beyond all addresses")]
    Extent(usize),
    /// Two regions have addresses in common.
    #[error("regions {0} and {1} overlap")]
    Overlap(usize, usize),
    /// More memory than a front end may share.
    #[error("{found} bytes of memory, at most {limit} are accepted (vhost-user.memory)")]
    Limit {
        /// Bytes of all regions.
        found: u64,
        /// What is accepted.
        limit: u64,
    },
    /// A region's descriptor cannot be used.
    #[error("region {index}: {source}")]
    Unfit {
        /// Its place in the list.
        index: usize,
        /// The objection.
        source: Unfit,
    },
    /// The kernel refused to map a region.
    #[error("region {index} cannot be mapped: {source}")]
    Map {
        /// Its place in the list.
        index: usize,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The front end could take its pages away, and nothing more can be guarded against that.
    #[error("region {0} is not sealed, and the agent guards as many mappings as it can already")]
    Unguarded(usize),
}

/// A region that is mapped.
#[derive(Debug, Clone)]
struct Region {
    spec: RegionSpec,
    mapping: Mapping,
    /// Where it begins in the mapping.
    start: usize,
}

/// Where some bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) region: u16,
    /// In the region's mapping.
    pub(crate) offset: usize,
    /// Bytes from there on that are inside the region, at most as many as were asked for.
    pub(crate) length: u32,
}

/// The memory of one front end.
#[derive(Debug)]
pub struct MemoryTable {
    regions: Vec<Region>,
}

impl MemoryTable {
    /// Maps the regions, of at most `limit` bytes together. They must be files of tmpfs or hugetlbfs that
    /// are as long as they say.
    ///
    /// # Errors
    /// [`MemoryError`]; nothing stays mapped then.
    pub fn map(regions: &[(RegionSpec, BorrowedFd<'_>)], limit: u64) -> Result<Self, MemoryError> {
        let specs: Vec<_> = regions.iter().map(|(spec, _)| *spec).collect();
        check(&specs, limit)?;
        let mapped = regions.iter().enumerate().map(|(index, (spec, fd))| map(index, *spec, *fd));
        Ok(Self { regions: mapped.collect::<Result<_, _>>()? })
    }

    /// One region of memory of this process, which begins at the given addresses.
    #[cfg(test)]
    pub(crate) fn of(mapping: &Mapping, guest: u64, user: u64) -> Self {
        let spec = RegionSpec { guest, size: mapping.len() as u64, user, file_offset: 0 };
        Self { regions: vec![Region { spec, mapping: mapping.clone(), start: 0 }] }
    }

    /// Several regions of memory of this process.
    #[cfg(test)]
    pub(crate) fn of_several(parts: &[(Mapping, u64, u64)]) -> Self {
        let one = |(mapping, guest, user): &(Mapping, u64, u64)| {
            Self::of(mapping, *guest, *user).regions.remove(0)
        };
        Self { regions: parts.iter().map(one).collect() }
    }

    /// Whether pages were lost.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.regions.iter().any(|region| region.mapping.is_lost())
    }

    #[inline]
    pub(crate) fn mapping(&self, region: u16) -> &Mapping {
        &self.regions[usize::from(region)].mapping
    }

    /// Where the bytes at a physical address are; fewer than `length` when the region ends before. `hint`
    /// is the region of the last look-up: most come from one.
    #[inline]
    pub(crate) fn locate(&self, address: u64, length: u32, hint: &mut u16) -> Option<Place> {
        if let Some(place) = self.inside(*hint, address, length) {
            return Some(place);
        }
        let count = u16::try_from(self.regions.len()).unwrap_or(u16::MAX);
        let found = (0..count).find_map(|region| self.inside(region, address, length))?;
        *hint = found.region;
        Some(found)
    }

    #[inline]
    fn inside(&self, index: u16, address: u64, length: u32) -> Option<Place> {
        let region = self.regions.get(usize::from(index))?;
        let from = address.wrapping_sub(region.spec.guest);
        if from >= region.spec.size {
            return None;
        }
        let left = region.spec.size - from;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "inside a mapping of this process; at most `length`"
        )]
        Some(Place {
            region: index,
            offset: region.start + from as usize,
            length: left.min(u64::from(length)) as u32,
        })
    }

    /// The mapping and the place in it of `length` bytes at an address of the front end's process.
    ///
    /// # Errors
    /// [`OutOfBounds`] when they do not lie inside one region.
    pub(crate) fn locate_user(
        &self,
        address: u64,
        length: usize,
    ) -> Result<(&Mapping, usize), OutOfBounds> {
        let outside = OutOfBounds {
            offset: usize::try_from(address).unwrap_or(usize::MAX),
            len: length,
            size: 0,
        };
        let holds = |region: &&Region| {
            let from = address.wrapping_sub(region.spec.user);
            from < region.spec.size && region.spec.size - from >= length as u64
        };
        let region = self.regions.iter().find(holds).ok_or(outside)?;
        let from = usize::try_from(address - region.spec.user).map_err(|_| outside)?;
        Ok((&region.mapping, region.start + from))
    }
}

/// What can be said without looking at the files.
fn check(specs: &[RegionSpec], limit: u64) -> Result<(), MemoryError> {
    if specs.len() > MAX_REGIONS {
        return Err(MemoryError::TooMany(specs.len()));
    }
    let mut found = 0u64;
    for (index, spec) in specs.iter().enumerate() {
        let ends = [spec.guest, spec.user, spec.file_offset].map(|it| it.checked_add(spec.size));
        if spec.size == 0 || ends.contains(&None) || ends[2] > Some(i64::MAX as u64) {
            return Err(MemoryError::Extent(index));
        }
        for (earlier, other) in specs[..index].iter().enumerate() {
            let apart = |one: u64, two: u64| one >= two + other.size || two >= one + spec.size;
            if !apart(spec.guest, other.guest) || !apart(spec.user, other.user) {
                return Err(MemoryError::Overlap(earlier, index));
            }
        }
        found = found.saturating_add(spec.size);
    }
    if found > limit { Err(MemoryError::Limit { found, limit }) } else { Ok(()) }
}

fn map(index: usize, spec: RegionSpec, fd: BorrowedFd<'_>) -> Result<Region, MemoryError> {
    let unfit = |source| MemoryError::Unfit { index, source };
    let announced = spec.file_offset + spec.size;
    memfd::judge(fd.as_fd(), announced, Sealing::Optional).map_err(unfit)?;
    // Huge pages are mapped, and replaced by the `SIGBUS` handler, as wholes.
    let page = memfd::page_size(fd.as_fd()).map_err(unfit)?;
    let whole = announced.checked_next_multiple_of(page).ok_or(MemoryError::Extent(index))?;
    let sizes = (usize::try_from(whole), usize::try_from(spec.file_offset));
    let (Ok(len), Ok(start)) = sizes else { return Err(MemoryError::Extent(index)) };
    let mapping = Mapping::map(fd.as_fd(), len)
        .map_err(|errno| MemoryError::Map { index, source: errno.into() })?;
    if !mapping.is_guarded() && !memfd::is_sealed(fd) {
        return Err(MemoryError::Unguarded(index));
    }
    Ok(Region { spec, mapping, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(guest: u64, size: u64) -> RegionSpec {
        RegionSpec { guest, size, user: guest.wrapping_add(1 << 40), file_offset: 0 }
    }

    #[test]
    fn regions_that_make_no_sense_are_refused() {
        let refused = |specs: &[RegionSpec]| check(specs, 1 << 30).expect_err("refused");
        assert!(matches!(refused(&[spec(0, 0)]), MemoryError::Extent(0)));
        assert!(matches!(refused(&[spec(u64::MAX - 4096, 8192)]), MemoryError::Extent(0)));
        let far = RegionSpec { file_offset: u64::MAX - 10, ..spec(0, 4096) };
        assert!(matches!(refused(&[spec(8192, 4096), far]), MemoryError::Extent(1)));
        assert!(matches!(
            refused(&[spec(0, 8192), spec(1 << 20, 10), spec(8191, 4096)]),
            MemoryError::Overlap(0, 2)
        ));
        assert!(matches!(refused(&[spec(0, 1 << 31)]), MemoryError::Limit { .. }));
        assert!(matches!(refused(&[spec(0, 1); 33]), MemoryError::TooMany(33)));
        check(&[spec(0, 8192), spec(8192, 4096)], 12_288).expect("side by side");
    }

    #[test]
    fn addresses_lead_into_their_region_and_no_further() {
        let (low, high) = (Mapping::heap(4096), Mapping::heap(8192));
        let table = MemoryTable::of_several(&[(low, 0x1000, 0x50_0000), (high, 0x8000, 0x60_0000)]);
        let mut hint = 0;
        let at = |region, offset, length| Some(Place { region, offset, length });
        assert_eq!(table.locate(0x1000, 4096, &mut hint), at(0, 0, 4096));
        assert_eq!(table.locate(0x1fff, 10, &mut hint), at(0, 4095, 1));
        assert_eq!(table.locate(0x2000, 1, &mut hint), None);
        assert_eq!(table.locate(0xfff, 10, &mut hint), None);
        assert_eq!(table.locate(0x8001, 10, &mut hint), at(1, 1, 10));
        assert_eq!(hint, 1);
        assert_eq!(table.locate(u64::MAX, u32::MAX, &mut hint), None);
        assert_eq!(table.locate_user(0x60_0010, 8192 - 16).expect("inside").1, 16);
        assert!(table.locate_user(0x60_0010, 8192).is_err());
        assert!(table.locate_user(0x1000, 1).is_err());
    }

    #[test]
    fn what_is_no_memory_or_too_short_is_refused() {
        let null = std::fs::File::open("/dev/null").expect("opens");
        let one = [(spec(0, 4096), null.as_fd())];
        assert!(matches!(MemoryTable::map(&one, 1 << 30), Err(MemoryError::Unfit { .. })));
        let short = memfd::create_sealed("test", 4096).expect("memfd");
        let one = [(spec(0, 8192), short.as_fd())];
        assert!(matches!(MemoryTable::map(&one, 1 << 30), Err(MemoryError::Unfit { .. })));
        let one = [(RegionSpec { file_offset: 1024, ..spec(0, 3072) }, short.as_fd())];
        let table = MemoryTable::map(&one, 1 << 30).expect("fits");
        assert_eq!(
            table.locate(0, 9999, &mut 0).map(|it| (it.offset, it.length)),
            Some((1024, 3072))
        );
    }
}
