//! The macros that generated code is written in.

use crate::wire::{Wire, Writer};

/// A structure whose fields follow each other on the wire; `= value` is the definitions' default.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(pub $field:ident: $type:ty $(= $default:expr)?),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(pub $field: $type),*
        }

        impl $crate::wire::Wire for $name {
            fn zero() -> Self {
                Self { $($field: $crate::definition::initial!($type $(, $default)?)),* }
            }

            #[allow(unused_variables)]
            fn encode(
                &self,
                to: &mut $crate::wire::Writer,
            ) -> Result<(), $crate::wire::EncodeError> {
                $($crate::wire::Wire::encode(&self.$field, to)?;)*
                Ok(())
            }

            #[allow(unused_variables)]
            fn decode(
                from: &mut $crate::wire::Reader<'_>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                Ok(Self { $($field: $crate::wire::Wire::decode(from)?),* })
            }
        }

        $crate::definition::default_is_zero!($name);
    };
}

macro_rules! initial {
    ($type:ty) => {
        <$type as $crate::wire::Wire>::zero()
    };
    ($type:ty, $default:expr) => {
        $default
    };
}

macro_rules! default_is_zero {
    ($name:ident) => {
        impl Default for $name {
            fn default() -> Self {
                $crate::wire::Wire::zero()
            }
        }
    };
}

/// What VPP knows a structure as.
macro_rules! message {
    ($name:ident, $vpp:literal, $crc:literal, $key:literal, $header:ident) => {
        impl $crate::Message for $name {
            const NAME: &'static str = $vpp;
            const CRC: u32 = $crc;
            const KEY: &'static str = $key;
            const HEADER: $crate::Header = $crate::Header::$header;
        }
    };
}

/// A reply that has a verdict and nothing else.
macro_rules! verdict {
    ($(#[$meta:meta])* $name:ident, $vpp:literal, $crc:literal, $key:literal) => {
        $crate::definition::wire_struct! {
            $(#[$meta])*
            pub struct $name {
                pub retval: i32,
            }
        }

        $crate::definition::message!($name, $vpp, $crc, $key, Context);

        impl $crate::Reply for $name {
            fn retval(&self) -> i32 {
                self.retval
            }
        }
    };
}

/// A number with names. Numbers without a name are kept: a newer VPP may have more.
macro_rules! enumeration {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($number:ty) {
            $($constant:ident = $value:literal),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $number);

        impl $name {
            $(pub const $constant: Self = Self($value);)*
        }

        impl std::fmt::Debug for $name {
            #[allow(unreachable_patterns)]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.0 {
                    $($value => f.write_str(stringify!($constant)),)*
                    other => write!(f, "{}({other})", stringify!($name)),
                }
            }
        }

        $crate::definition::wire_newtype!($name, $number);
    };
}

/// A set of flags. Flags without a name are kept.
macro_rules! flags {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($number:ty) {
            $($constant:ident = $value:literal),* $(,)?
        }
    ) => {
        bitflags::bitflags! {
            $(#[$meta])*
            #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $name: $number {
                $(const $constant = $value;)*
                const _ = !0;
            }
        }

        impl $crate::wire::Wire for $name {
            fn zero() -> Self {
                Self::empty()
            }

            fn encode(
                &self,
                to: &mut $crate::wire::Writer,
            ) -> Result<(), $crate::wire::EncodeError> {
                $crate::wire::Wire::encode(&self.bits(), to)
            }

            fn decode(
                from: &mut $crate::wire::Reader<'_>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                $crate::wire::Wire::decode(from).map(Self::from_bits_retain)
            }
        }
    };
}

/// A number or array with a meaning of its own.
macro_rules! newtype {
    ($(#[$meta:meta])* pub struct $name:ident(number $number:ty)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $number);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$number> for $name {
            fn from(value: $number) -> Self {
                Self(value)
            }
        }

        $crate::definition::wire_newtype!($name, $number);
    };
    ($(#[$meta:meta])* pub struct $name:ident(array $array:ty)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name(pub $array);

        $crate::definition::wire_newtype!($name, $array);
        $crate::definition::default_is_zero!($name);
    };
}

macro_rules! wire_newtype {
    ($name:ident, $inner:ty) => {
        impl $crate::wire::Wire for $name {
            fn zero() -> Self {
                Self(<$inner as $crate::wire::Wire>::zero())
            }

            fn encode(
                &self,
                to: &mut $crate::wire::Writer,
            ) -> Result<(), $crate::wire::EncodeError> {
                $crate::wire::Wire::encode(&self.0, to)
            }

            fn decode(
                from: &mut $crate::wire::Reader<'_>,
            ) -> Result<Self, $crate::wire::DecodeError> {
                $crate::wire::Wire::decode(from).map(Self)
            }
        }
    };
}

/// Bytes whose meaning another field tells: as long as the longest arm, each arm at their front.
macro_rules! union {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($size:literal) {
            $($get:ident / $from:ident: $type:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            $(
                pub fn $from(value: &$type) -> Self {
                    Self($crate::definition::union_bytes(value))
                }

                pub fn $get(&self) -> Result<$type, $crate::wire::DecodeError> {
                    $crate::wire::Wire::decode(&mut $crate::wire::Reader::new(&self.0))
                }
            )*
        }

        $crate::definition::wire_newtype!($name, [u8; $size]);
        $crate::definition::default_is_zero!($name);
    };
}

/// The bytes of one arm of a union, and zeros after it.
pub(crate) fn union_bytes<const N: usize>(value: &impl Wire) -> [u8; N] {
    let mut to = Writer::default();
    value.encode(&mut to).expect("arms of unions have no lists");
    let arm = to.into_bytes();
    let mut bytes = [0; N];
    bytes[..arm.len()].copy_from_slice(&arm);
    bytes
}

pub(crate) use {
    default_is_zero, enumeration, flags, initial, message, newtype, union, verdict, wire_newtype,
    wire_struct,
};
