//! Text: of a fixed size, padded with NUL, and of any length behind a 32-bit length.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::{DecodeError, EncodeError, Reader, Wire, Writer};

/// Text in a field of `N` bytes: at most `N - 1` bytes, none of them NUL.
///
/// ```
/// use vpp_api_client::FixedString;
///
/// let name: FixedString<8> = "eth0".try_into()?;
/// assert_eq!(&*name, "eth0");
/// assert!(FixedString::<8>::try_from("much too long").is_err());
/// # Ok::<(), vpp_api_client::TextError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FixedString<const N: usize>(String);

/// Text does not fit its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not fit: at most {most} bytes, none of them NUL")]
pub struct TextError {
    /// The text.
    pub text: String,
    /// How many bytes the field has for it.
    pub most: usize,
}

impl<const N: usize> FixedString<N> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> TryFrom<String> for FixedString<N> {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        if text.len() >= N || text.contains('\0') {
            return Err(TextError { text, most: N.saturating_sub(1) });
        }
        Ok(Self(text))
    }
}

impl<const N: usize> TryFrom<&str> for FixedString<N> {
    type Error = TextError;

    fn try_from(text: &str) -> Result<Self, TextError> {
        text.to_owned().try_into()
    }
}

impl<const N: usize> FromStr for FixedString<N> {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        text.try_into()
    }
}

impl<const N: usize> From<FixedString<N>> for String {
    fn from(text: FixedString<N>) -> Self {
        text.0
    }
}

impl<const N: usize> Deref for FixedString<N> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> PartialEq<str> for FixedString<N> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl<const N: usize> PartialEq<&str> for FixedString<N> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl<const N: usize> fmt::Display for FixedString<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<const N: usize> fmt::Debug for FixedString<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const N: usize> Wire for FixedString<N> {
    fn zero() -> Self {
        Self::default()
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        let mut field = [0; N];
        field[..self.0.len()].copy_from_slice(self.0.as_bytes());
        to.bytes(&field);
        Ok(())
    }

    /// The text ends at the first NUL, or with the field. What is not UTF-8 becomes U+FFFD as far as
    /// that fits.
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let field = from.bytes(N)?;
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        let mut text = String::from_utf8_lossy(text).into_owned();
        while text.len() >= N {
            text.pop();
        }
        Ok(Self(text))
    }
}

impl Wire for String {
    fn zero() -> Self {
        Self::new()
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.count::<u32>("text", self.len())?;
        to.bytes(self.as_bytes());
        Ok(())
    }

    /// What is not UTF-8 becomes U+FFFD.
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = u32::decode(from)?;
        let text = from.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(Self::from_utf8_lossy(text).into_owned())
    }
}
