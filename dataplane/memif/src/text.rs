//! Names, reasons and secrets: the bounded byte strings that memif messages carry.
//!
//! A field of `N` bytes ends at its first NUL or at `N`, for peers do not always terminate it.
//! Whatever a peer sends can be displayed: control characters are escaped. This module never
//! allocates by a peer's claim and never panics on its bytes.
#![forbid(unsafe_code)]

use std::fmt;
use std::hint::black_box;

/// A string field of `N` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize> {
    /// Zero from the first NUL on, so that equal texts are equal bytes.
    bytes: [u8; N],
}

/// The name of an application or interface.
pub type Name = Text<32>;

/// Why a link ended, as sent to the peer.
pub type Reason = Text<96>;

/// Why a string does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// More bytes than the field holds beside the terminating NUL.
    #[error("{length} bytes do not fit: at most {capacity} do")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes possible.
        capacity: usize,
    },
    /// A NUL would end the string early.
    #[error("a NUL byte cannot be part of it")]
    Nul,
}

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const EMPTY: Self = Self { bytes: [0; N] };

    /// A text of at most `N - 1` bytes (peers written in C want the terminating NUL).
    pub fn new(text: &str) -> Result<Self, TextError> {
        Ok(Self { bytes: terminated(text.as_bytes())? })
    }

    /// As much of `text` as fits, up to its first NUL, cut between characters.
    pub fn truncated(text: &str) -> Self {
        let end = text.find('\0').unwrap_or(text.len());
        let cut = text.floor_char_boundary(end.min(N - 1));
        let mut bytes = [0; N];
        bytes[..cut].copy_from_slice(&text.as_bytes()[..cut]);
        Self { bytes }
    }

    /// The bytes before the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..length(&self.bytes)]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes[0] == 0
    }

    pub(crate) fn from_wire(mut bytes: [u8; N]) -> Self {
        clear_tail(&mut bytes);
        Self { bytes }
    }

    pub(crate) fn to_wire(self) -> [u8; N] {
        self.bytes
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    character.escape_default().fmt(formatter)?;
                } else {
                    character.fmt(formatter)?;
                }
            }
            for byte in chunk.invalid() {
                byte.escape_ascii().fmt(formatter)?;
            }
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

/// The word that both ends must know. It travels in plain text: a guard against joining the wrong
/// interface, no authentication. Its `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct Secret {
    bytes: [u8; 24],
}

impl Secret {
    /// No secret, as sent by a client that has none.
    pub const NONE: Self = Self { bytes: [0; 24] };

    /// A secret of at most 23 bytes (peers keep the last byte of the field for a NUL).
    pub fn new(secret: &str) -> Result<Self, TextError> {
        Ok(Self { bytes: terminated(secret.as_bytes())? })
    }

    /// Compares in a time that does not depend on where the two differ.
    pub fn matches(&self, other: &Self) -> bool {
        let difference = self.bytes.iter().zip(&other.bytes).fold(0, |sum, (a, b)| sum | (a ^ b));
        black_box(difference) == 0
    }

    pub(crate) fn from_wire(mut bytes: [u8; 24]) -> Self {
        clear_tail(&mut bytes);
        Self { bytes }
    }

    pub(crate) fn to_wire(self) -> [u8; 24] {
        self.bytes
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

fn terminated<const N: usize>(text: &[u8]) -> Result<[u8; N], TextError> {
    if text.contains(&0) {
        return Err(TextError::Nul);
    }
    if text.len() >= N {
        return Err(TextError::TooLong { length: text.len(), capacity: N - 1 });
    }
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text);
    Ok(bytes)
}

fn length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())
}

fn clear_tail(bytes: &mut [u8]) {
    let end = length(bytes);
    bytes[end..].fill(0);
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unterminated_field_is_a_full_text() {
        let name = Name::from_wire([b'x'; 32]);
        assert_eq!(name.as_bytes(), [b'x'; 32]);
        assert_eq!(name.to_string(), "x".repeat(32));
    }

    #[test]
    fn bytes_after_the_nul_are_not_part_of_it() {
        let mut bytes = [b'y'; 32];
        bytes[2] = 0;
        assert_eq!(Name::from_wire(bytes), Name::new("yy").unwrap());
    }

    #[test]
    fn display_escapes_control_characters_and_broken_utf8() {
        let mut bytes = [0; 32];
        bytes[..7].copy_from_slice(b"a\n\x1b[\xffb\x7f");
        assert_eq!(Name::from_wire(bytes).to_string(), r"a\n\u{1b}[\xffb\u{7f}");
    }

    #[test]
    fn too_long_and_nul_are_refused() {
        let long = "n".repeat(32);
        assert_eq!(Name::new(&long), Err(TextError::TooLong { length: 32, capacity: 31 }));
        assert!(Name::new(&long[1..]).is_ok());
        assert_eq!(Name::new("a\0b"), Err(TextError::Nul));
        assert!(Secret::new(&"s".repeat(24)).is_err());
    }

    #[test]
    fn truncation_keeps_whole_characters() {
        let text = format!("{}é", "a".repeat(30));
        assert_eq!(Name::truncated(&text).to_string(), "a".repeat(30));
        assert_eq!(Name::truncated("one\0two").to_string(), "one");
    }

    #[test]
    fn secret_matches_only_itself_and_stays_hidden() {
        let secret = Secret::new("s3cret").unwrap();
        assert!(secret.matches(&Secret::new("s3cret").unwrap()));
        assert!(!secret.matches(&Secret::new("s3cre").unwrap()));
        assert!(!secret.matches(&Secret::NONE));
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn display_of_any_bytes_has_no_control_characters(bytes: [u8; 32]) {
            let shown = Name::from_wire(bytes).to_string();
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn truncated_never_panics(text: String) {
            prop_assert!(Reason::truncated(&text).as_bytes().len() < 96);
        }
    }
}
