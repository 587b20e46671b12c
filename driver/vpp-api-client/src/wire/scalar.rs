//! Numbers, truth values, arrays and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Bounded, DecodeError, EncodeError, Reader, Wire, Writer};

macro_rules! number {
    ($($number:ty: $to:ident $from:ident),* $(,)?) => { $(
        impl Wire for $number {
            fn zero() -> Self {
                <$number>::default()
            }

            fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
                to.bytes(&self.$to());
                Ok(())
            }

            fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$number>::$from(bytes(from)?))
            }
        }
    )* };
}

// VPP sends floating point numbers in its own byte order (VPP 26.06, vppinfra/byte_order.h:
// clib_host_to_net_f64 changes nothing); its socket is local, so that order is ours.
number! {
    u8: to_be_bytes from_be_bytes,
    u16: to_be_bytes from_be_bytes,
    u32: to_be_bytes from_be_bytes,
    u64: to_be_bytes from_be_bytes,
    i8: to_be_bytes from_be_bytes,
    i16: to_be_bytes from_be_bytes,
    i32: to_be_bytes from_be_bytes,
    i64: to_be_bytes from_be_bytes,
    f64: to_ne_bytes from_ne_bytes,
}

macro_rules! bounded {
    ($($number:ty)*) => { $(
        impl Bounded for $number {
            const MOST: u64 = <$number>::MAX as u64;
        }
    )* };
}

bounded!(u8 u16 u32);

/// The next `N` bytes.
fn bytes<const N: usize>(from: &mut Reader<'_>) -> Result<[u8; N], DecodeError> {
    let taken = from.bytes(N)?;
    Ok(taken.try_into().expect("as many bytes were taken"))
}

impl Wire for bool {
    fn zero() -> Self {
        false
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        u8::from(*self).encode(to)
    }

    /// Any number but 0 is true, as in C.
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(u8::decode(from)? != 0)
    }
}

impl<T: Wire, const N: usize> Wire for [T; N] {
    fn zero() -> Self {
        std::array::from_fn(|_| T::zero())
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.list(self)
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let entries: Vec<T> = from.list(N)?;
        let whole: Result<[T; N], _> = entries.try_into();
        Ok(whole.unwrap_or_else(|_| unreachable!("`list` gives as many entries as asked for")))
    }
}

impl Wire for Ipv4Addr {
    fn zero() -> Self {
        Self::UNSPECIFIED
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.bytes(&self.octets());
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from(bytes::<4>(from)?))
    }
}

impl Wire for Ipv6Addr {
    fn zero() -> Self {
        Self::UNSPECIFIED
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        to.bytes(&self.octets());
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from(bytes::<16>(from)?))
    }
}

/// `vl_api_address_t`: a family (0 is IPv4, 1 IPv6) and 16 bytes, of which IPv4 uses the first four.
impl Wire for IpAddr {
    fn zero() -> Self {
        Self::V4(Ipv4Addr::UNSPECIFIED)
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        match self {
            Self::V4(address) => {
                to.bytes(&[0]);
                to.bytes(&address.octets());
                to.bytes(&[0; 12]);
            }
            Self::V6(address) => {
                to.bytes(&[1]);
                to.bytes(&address.octets());
            }
        }
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = from.position();
        match u8::decode(from)? {
            0 => {
                let address = Ipv4Addr::decode(from)?;
                from.bytes(12)?;
                Ok(address.into())
            }
            1 => Ok(Ipv6Addr::decode(from)?.into()),
            value => Err(DecodeError::Unknown { at, of: "address family", value: value.into() }),
        }
    }
}
