//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};

/// An Ethernet address; printed and parsed as `02:00:5e:00:53:01`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

/// Text is no Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no Ethernet address: six pairs of hexadecimal digits with colons are")]
pub struct MacError(pub String);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|octet| format!("{octet:02x}"));
        f.pad(&pairs.join(":"))
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 6]> for MacAddress {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl FromStr for MacAddress {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let wrong = || MacError(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(wrong)?;
            if part.len() != 2 || !part.bytes().all(|it| it.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        parts.next().is_none().then_some(Self(octets)).ok_or_else(wrong)
    }
}

impl Wire for MacAddress {
    fn zero() -> Self {
        Self::default()
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.0.encode(to)
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Wire::decode(from).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_address_are_one() {
        let address: MacAddress = "02:00:5e:00:53:aF".parse().expect("an address");
        assert_eq!(address.to_string(), "02:00:5e:00:53:af");
        for wrong in
            ["", "02:00:5e:00:53", "02:00:5e:00:53:0", "02:00:5e:00:53:01:02", "+2:00:5e:00:53:01"]
        {
            assert_eq!(wrong.parse::<MacAddress>(), Err(MacError(wrong.to_owned())));
        }
    }
}
