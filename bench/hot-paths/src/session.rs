//! Bytes through a session, both sides in this process.

use std::hint::black_box;
use std::os::fd::AsFd as _;

use session::layout::{RingSize, Side, initialise};
use session::{Local, Stream, datagram};
use shm::Mapping;

const RING: u32 = 256 << 10;
const SMALL: usize = 64;
const LARGE: usize = 64 << 10;

/// The memory of a session.
fn memory() -> Result<(Mapping, RingSize), String> {
    let size = RingSize::new(RING).ok_or("a valid size of a ring")?;
    let bytes = size.memory_bytes();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let fd = shm::memfd::create_sealed("hot-paths", bytes as u64).map_err(|it| text(&it))?;
    let memory = Mapping::map(fd.as_fd(), bytes).map_err(|it| text(&it))?;
    memory.populate().map_err(|it| text(&it))?;
    initialise(&memory, size).ok_or("memory for a session")?;
    Ok((memory, size))
}

/// Runs `once` with both sides.
fn with_sides(
    iterations: u32,
    mut once: impl FnMut(&Stream<'_>, &Stream<'_>) -> Result<bool, session::Broken>,
) -> Result<(), String> {
    let (memory, size) = memory()?;
    let (first, second) = (Local::new(), Local::new());
    let side = |local, side| Stream::new(&memory, local, side, size).map_err(|it| it.to_string());
    let (a, b) = (side(&first, Side::First)?, side(&second, Side::Second)?);
    for _ in 0..iterations {
        if !once(&a, &b).map_err(|error| error.to_string())? {
            return Err("not all bytes arrived".to_owned());
        }
    }
    Ok(())
}

fn write_read(iterations: u32, length: usize) -> Result<(), String> {
    let (out, mut into) = (vec![0x5a; length], vec![0; length]);
    with_sides(iterations, |a, b| {
        let written = a.write(black_box(&out))?.bytes;
        let read = b.read(black_box(&mut into))?.bytes;
        Ok(written == length && read == length)
    })
}

/// A small message.
pub(crate) fn small(iterations: u32) -> Result<(), String> {
    write_read(iterations, SMALL)
}

/// A quarter of the ring at once.
pub(crate) fn large(iterations: u32) -> Result<(), String> {
    write_read(iterations, LARGE)
}

/// A small datagram.
pub(crate) fn datagram(iterations: u32) -> Result<(), String> {
    let (out, mut into) = (vec![0x5a; SMALL], vec![0; SMALL]);
    with_sides(iterations, |a, b| {
        let Some(mut slot) = datagram::Slot::reserve(a, SMALL)? else { return Ok(false) };
        slot.put(black_box(&out))?;
        slot.publish()?;
        let Some(waiting) = datagram::Waiting::first(b)? else { return Ok(false) };
        let read = waiting.read(0, black_box(&mut into))?;
        waiting.remove()?;
        Ok(read == SMALL)
    })
}
