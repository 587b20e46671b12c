//! The encoding of VPP's binary API: numbers are big-endian and packed, fixed arrays follow each other,
//! a variable array is as long as a field before it says.
//!
//! Pure: bytes in, values out. Decoding believes no length and allocates no more than there are bytes.
//! (Facts: VPP 26.06, `src/vlibapi/api_types.h`, `src/tools/vppapigen`.)

mod scalar;
mod text;

pub use text::{FixedString, TextError};

/// A value with a place on the wire.
pub trait Wire: Sized {
    /// The value that VPP takes for "not said": zeros and empty lists.
    fn zero() -> Self;

    /// Appends the value to `to`.
    ///
    /// # Errors
    /// [`EncodeError`] when a list is longer than its length field can say.
    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError>;

    /// Takes a value from the front of `from`.
    ///
    /// # Errors
    /// [`DecodeError`] when bytes are missing or mean nothing.
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// A message cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{length} entries in `{list}` are more than its length field can say ({most})")]
pub struct EncodeError {
    /// The list's name.
    pub list: &'static str,
    /// How many entries it has.
    pub length: usize,
    /// How many it can have.
    pub most: u64,
}

/// Received bytes are not the value that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message ends too early.
    #[error("{needed} bytes are needed at byte {at}, {left} are left")]
    Short {
        /// Where in the message.
        at: usize,
        /// How many bytes the value needs.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A number is none of those that the type has.
    #[error("{value} at byte {at} is no {of}")]
    Unknown {
        /// Where in the message.
        at: usize,
        /// What the number should be.
        of: &'static str,
        /// The number.
        value: u64,
    },
}

/// Where messages are written to.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the length field of `list`.
    ///
    /// # Errors
    /// [`EncodeError`] when `L` cannot hold the length.
    pub fn count<L>(&mut self, list: &'static str, length: usize) -> Result<(), EncodeError>
    where
        L: Wire + TryFrom<usize> + Bounded,
    {
        let count = L::try_from(length);
        count.map_err(|_| EncodeError { list, length, most: L::MOST })?.encode(self)
    }

    /// Appends the entries of a list, without a length.
    ///
    /// # Errors
    /// Those of the entries.
    pub fn list<T: Wire>(&mut self, entries: &[T]) -> Result<(), EncodeError> {
        entries.iter().try_for_each(|entry| entry.encode(self))
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A number that can be a length field.
pub trait Bounded {
    /// The greatest length.
    const MOST: u64;
}

/// Where messages are read from.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let short = DecodeError::Short { at: self.at, needed: count, left: rest.len() };
        let taken = rest.get(..count).ok_or(short)?;
        self.at += count;
        Ok(taken)
    }

    /// Takes `count` entries of a list.
    ///
    /// # Errors
    /// [`DecodeError`] of the first entry that is not there.
    pub fn list<T: Wire>(&mut self, count: usize) -> Result<Vec<T>, DecodeError> {
        let mut entries = Vec::with_capacity(count.min(self.left() / size_of::<T>().max(1)));
        for _ in 0..count {
            let before = self.at;
            entries.push(T::decode(self)?);
            if self.at == before {
                return Err(DecodeError::Short { at: before, needed: 1, left: self.left() });
            }
        }
        Ok(entries)
    }

    /// Takes entries until no byte is left.
    ///
    /// # Errors
    /// [`DecodeError`] when the last one is not whole.
    pub fn rest<T: Wire>(&mut self) -> Result<Vec<T>, DecodeError> {
        let mut entries = Vec::new();
        while self.left() > 0 {
            entries.extend(self.list(1)?);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests;
