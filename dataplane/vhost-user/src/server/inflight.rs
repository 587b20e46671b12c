//! The area in which back ends note the buffers that they have taken and not given back, for the one that takes
//! over from them (vhost-user protocol, "Inflight I/O tracking").
//!
//! This device gives buffers back in the order in which they were offered, and has taken none beyond those
//! between two turns of its worker. So what is to be done again is exactly what follows the used ring's index,
//! which outlives every back end, and nothing needs to be noted: the area that is given out says "none", and
//! stays so. One that another back end filled is taken back and says nothing that the index does not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use shm::memfd;

/// Bytes of one ring's part: its head, and as much for each descriptor, in multiples of [`ALIGNMENT`].
const PIECE: u64 = 16;
/// As the reference implementation aligns the parts (`INFLIGHT_ALIGNMENT` of libvhost-user.c).
const ALIGNMENT: u64 = 64;
/// Where a part's version is.
const VERSION_AT: u64 = 8;
const VERSION: u16 = 1;

/// Length of the area for so many rings of so many descriptors, in bytes.
pub(super) fn area_len(rings: u16, size: u16) -> u64 {
    part_len(size) * u64::from(rings)
}

fn part_len(size: u16) -> u64 {
    (PIECE + u64::from(size) * PIECE).next_multiple_of(ALIGNMENT)
}

/// An area that says that nothing was taken.
pub(super) fn create(rings: u16, size: u16) -> io::Result<File> {
    let file = File::from(memfd::create_sealed("vhost-user-inflight", area_len(rings, size))?);
    let head = [VERSION.to_le_bytes(), size.to_le_bytes()].concat();
    for ring in 0..u64::from(rings) {
        file.write_all_at(&head, ring * part_len(size) + VERSION_AT)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_says_that_nothing_was_taken() {
        assert_eq!(area_len(2, 256), 2 * 4160);
        let file = create(2, 256).expect("memory");
        assert_eq!(file.metadata().expect("size").len(), 8320);
        let mut area = vec![0; 8320];
        file.read_exact_at(&mut area, 0).expect("reads");
        for part in area.chunks(4160) {
            assert_eq!(part[..16], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]);
            assert!(part[16..].iter().all(|&byte| byte == 0));
        }
    }
}
