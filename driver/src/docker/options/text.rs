//! Values of options: read as text, whatever JSON type they came as, and then as what they mean. Each reader answers
//! with what it would have accepted.

use serde_json::Value;

use super::ATTACH;
use crate::model::{Antispoof, AttachKind, RateLimit, RingBytes, TcpStack};

/// A value as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self(text.trim().to_owned())),
            Value::Number(number) => Some(Self(number.to_string())),
            Value::Bool(flag) => Some(Self(flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(super) fn attach(&self) -> Result<AttachKind, &'static str> {
        match self.0.to_ascii_lowercase().as_str() {
            "auto" => Ok(AttachKind::Auto),
            "userspace" => Ok(AttachKind::Userspace),
            "veth" => Ok(AttachKind::Veth),
            "vhost-user" if cfg!(feature = "vhost-user") => Ok(AttachKind::VhostUser),
            _ => Err(ATTACH),
        }
    }

    pub(super) fn tcp(&self) -> Result<TcpStack, &'static str> {
        match self.0.to_ascii_lowercase().as_str() {
            "stack" => Ok(TcpStack::Stack),
            "vcl" => Ok(TcpStack::Vcl),
            _ => Err("stack|vcl"),
        }
    }

    pub(super) fn antispoof(&self) -> Result<Antispoof, &'static str> {
        self.0.parse().map_err(|()| Antispoof::VALUES)
    }

    pub(super) fn rate(&self) -> Result<RateLimit, &'static str> {
        self.0.parse().map_err(|_| RateLimit::VALUES)
    }

    pub(super) fn boolean(&self) -> Result<bool, &'static str> {
        match self.0.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("true|false"),
        }
    }

    pub(super) fn mtu(&self) -> Result<u32, &'static str> {
        self.number(576, 65_521).ok_or("a number of bytes, 576..65521")
    }

    pub(super) fn queues(&self) -> Result<u16, &'static str> {
        self.number(1, 16)
            .and_then(|queues| u16::try_from(queues).ok())
            .ok_or("a number of queues, 1..16")
    }

    pub(super) fn limit(&self) -> Result<u32, &'static str> {
        self.number(0, 1_000_000).ok_or("a number of sessions, 0..1000000")
    }

    pub(super) fn ring(&self) -> Result<RingBytes, &'static str> {
        self.bytes()
            .and_then(|bytes| RingBytes::try_from(bytes).ok())
            .ok_or("a power of two, 4KiB..16MiB")
    }

    /// A number of bytes, with or without a unit of 1024 or 1024².
    fn bytes(&self) -> Option<u32> {
        let text = self.0.to_ascii_lowercase();
        let units = [("kib", 1 << 10), ("mib", 1 << 20), ("k", 1 << 10), ("m", 1 << 20)];
        let unit = units.iter().find(|(name, _)| text.ends_with(name));
        let (name, factor) = unit.copied().unwrap_or(("", 1));
        text.strip_suffix(name)?.trim_end().parse::<u32>().ok()?.checked_mul(factor)
    }

    pub(super) fn secret(&self) -> Result<String, &'static str> {
        let fits = (1..=24).contains(&self.0.len()) && !self.0.contains('\0');
        if fits { Ok(self.0.clone()) } else { Err("1 to 24 bytes of text") }
    }

    fn number(&self, low: u32, high: u32) -> Option<u32> {
        self.0.parse().ok().filter(|number| (low..=high).contains(number))
    }
}
