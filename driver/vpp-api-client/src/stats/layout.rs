//! How VPP lays its counters out. Pure: all bytes come through [`Memory`].
//!
//! A vector of VPP is a pointer to its first element; eight bytes before that begins its header, with the
//! number of elements in 32 bits (VPP 26.06, `src/vppinfra/vec_bootstrap.h`). Pointers are VPP's own; the header
//! says where in VPP's memory the segment begins.

use super::{Traffic, Value};

/// Size of an entry of the directory, in bytes: kind, value, name.
const ENTRY: usize = 144;
/// Where an entry's value and name begin.
const VALUE_AT: usize = 8;
const NAME_AT: usize = 16;

/// Kinds of entries that are read.
const SCALAR: u32 = 1;
const SIMPLE: u32 = 2;
const COMBINED: u32 = 3;
const NAMES: u32 = 4;
const SYMLINK: u32 = 6;
const GAUGE: u32 = 9;

/// The memory is not what its version promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Something is said to be outside the memory.
    #[error("{length} bytes at {at} are outside the memory")]
    Outside {
        /// Where, in bytes from the memory's start (or VPP's pointer, when that is before it).
        at: u64,
        /// How long it is said to be.
        length: u64,
    },
    /// A system call failed.
    #[error("reading at {at}: {error}")]
    System {
        /// Where.
        at: u64,
        /// The kernel's answer.
        error: String,
    },
    /// A link leads nowhere.
    #[error("entry {0} is a link to what cannot be linked to")]
    Link(usize),
}

/// Where bytes come from.
pub trait Memory {
    /// Copies bytes from `at` on.
    ///
    /// # Errors
    /// [`LayoutError`] when they are not all there.
    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), LayoutError>;

    /// How many bytes there are.
    fn size(&self) -> u64;
}

/// What the memory begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u64,
    base: u64,
    epoch: u64,
    pub(super) in_progress: bool,
    directory: u64,
}

impl Header {
    pub(super) fn read(memory: &impl Memory) -> Result<Self, LayoutError> {
        let mut bytes = [0; 40];
        memory.read(0, &mut bytes)?;
        let [version, base, epoch, in_progress, directory] =
            [0, 8, 16, 24, 32].map(|at| word(&bytes, at));
        Ok(Self { version, base, epoch, in_progress: in_progress != 0, directory })
    }
}

/// The directory, as it was at one time.
pub(super) struct Directory<'a, M> {
    memory: &'a M,
    base: u64,
    entries: Vec<u8>,
}

impl<'a, M: Memory> Directory<'a, M> {
    pub(super) fn read(memory: &'a M, header: &Header) -> Result<Self, LayoutError> {
        let mut this = Self { memory, base: header.base, entries: Vec::new() };
        this.entries = this.vector(header.directory, ENTRY)?;
        Ok(this)
    }

    /// Names of counters, and which entries they are.
    pub(super) fn names(&self) -> impl Iterator<Item = (String, usize)> {
        let entries = self.entries.chunks_exact(ENTRY).enumerate();
        entries
            .map(|(at, entry)| (text(&entry[NAME_AT..]), at))
            .filter(|(name, _)| !name.is_empty())
    }

    /// What an entry has.
    pub(super) fn value(&self, at: usize) -> Result<Value, LayoutError> {
        let (kind, value) = self.entry(at)?;
        if kind != SYMLINK {
            return self.direct(kind, value);
        }
        // Two numbers of 32 bits: an entry, and one column of it.
        let [first, second] = [value & 0xffff_ffff, value >> 32];
        let (target, column) =
            if cfg!(target_endian = "little") { (first, second) } else { (second, first) };
        let target = usize::try_from(target).map_err(|_| LayoutError::Link(at))?;
        let (kind, value) = self.entry(target).map_err(|_| LayoutError::Link(at))?;
        if kind == SYMLINK {
            return Err(LayoutError::Link(at));
        }
        let column = usize::try_from(column).map_err(|_| LayoutError::Link(at))?;
        Ok(one_column(self.direct(kind, value)?, column))
    }

    fn entry(&self, at: usize) -> Result<(u32, u64), LayoutError> {
        let entry = self.entries.chunks_exact(ENTRY).nth(at).ok_or(LayoutError::Link(at))?;
        let kind = u32::from_ne_bytes(entry[..4].try_into().expect("four bytes were taken"));
        Ok((kind, word(entry, VALUE_AT)))
    }

    fn direct(&self, kind: u32, value: u64) -> Result<Value, LayoutError> {
        Ok(match kind {
            SCALAR | GAUGE => Value::Scalar(value),
            SIMPLE => Value::Simple(self.rows(value, 8, |bytes| word(bytes, 0))?),
            COMBINED => Value::Combined(self.rows(value, 16, |bytes| Traffic {
                packets: word(bytes, 0),
                bytes: word(bytes, 8),
            })?),
            NAMES => Value::Names(self.texts(value)?),
            _ => Value::Other,
        })
    }

    /// A vector of pointers to vectors.
    fn rows<T>(
        &self,
        pointer: u64,
        size: usize,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<Vec<T>>, LayoutError> {
        let row = |pointer| Ok(self.vector(pointer, size)?.chunks_exact(size).map(&read).collect());
        self.pointers(pointer)?.into_iter().map(row).collect()
    }

    fn texts(&self, pointer: u64) -> Result<Vec<Option<String>>, LayoutError> {
        let name = |pointer| match pointer {
            0 => Ok(None),
            _ => Ok(Some(text(&self.vector(pointer, 1)?))),
        };
        self.pointers(pointer)?.into_iter().map(name).collect()
    }

    fn pointers(&self, pointer: u64) -> Result<Vec<u64>, LayoutError> {
        Ok(self.vector(pointer, 8)?.chunks_exact(8).map(|it| word(it, 0)).collect())
    }

    /// The bytes of a vector whose elements have `size` bytes. No pointer is an empty vector.
    fn vector(&self, pointer: u64, size: usize) -> Result<Vec<u8>, LayoutError> {
        if pointer == 0 {
            return Ok(Vec::new());
        }
        let outside = |length| LayoutError::Outside { at: pointer.wrapping_sub(self.base), length };
        let at = pointer.checked_sub(self.base).filter(|at| *at >= 8).ok_or_else(|| outside(0))?;
        let mut count = [0; 4];
        self.memory.read(at - 8, &mut count)?;
        let length = u64::from(u32::from_ne_bytes(count)) * size as u64;
        // Before anything is allocated.
        if self.memory.size().checked_sub(at).is_none_or(|room| room < length) {
            return Err(outside(length));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| outside(length))?];
        self.memory.read(at, &mut bytes)?;
        Ok(bytes)
    }
}

fn one_column(value: Value, column: usize) -> Value {
    fn pick<T: Copy>(rows: &[Vec<T>], column: usize) -> Vec<Vec<T>> {
        rows.iter().map(|row| row.get(column).copied().into_iter().collect()).collect()
    }
    match value {
        Value::Simple(rows) => Value::Simple(pick(&rows, column)),
        Value::Combined(rows) => Value::Combined(pick(&rows, column)),
        other => other,
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}

/// Text up to the first NUL.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
