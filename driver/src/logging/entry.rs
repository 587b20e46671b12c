//! One entry of the systemd journal, as its socket takes it (systemd, "Native Journal Protocol"). Pure.

#![forbid(unsafe_code)]

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

/// Longest text of an entry: the journal's socket takes datagrams of about 200 KiB.
const LONGEST: usize = 48 << 10;

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Entry {
    message: String,
    /// Name and value of each field, in order.
    fields: Vec<(&'static str, String)>,
    /// Values of fields as they are shown behind the message.
    shown: String,
}

impl Entry {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut entry = Self::default();
        event.record(&mut entry);
        entry
    }

    /// The line for people: the fields stand behind the message, as in the text format.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}{}", self.message, self.shown);
        let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text
    }

    /// The datagram.
    pub(super) fn encode(&self, metadata: &Metadata<'_>, program: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, "MESSAGE", &self.text());
        put(&mut bytes, "PRIORITY", priority(*metadata.level()));
        put(&mut bytes, "SYSLOG_IDENTIFIER", program);
        put(&mut bytes, "TARGET", metadata.target());
        for (name, value) in &self.fields {
            if value.len() <= LONGEST
                && let Some(name) = field_name(name)
            {
                put(&mut bytes, &name, value);
            }
        }
        bytes
    }

    fn keep(&mut self, field: &Field, value: String, shown: impl fmt::Display) {
        if field.name() == "message" {
            self.message = value;
            return;
        }
        // Writing to a string cannot fail.
        let _ = write!(self.shown, " {}={shown}", field.name());
        self.fields.push((field.name(), value));
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.to_owned(), format_args!("{value:?}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        self.keep(field, value.clone(), value);
    }
}

/// The level as syslog numbers it (RFC 5424, section 6.2.1).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// What the journal takes for a name: capitals, digits and underscores, the first a capital. Names of its own, and of
/// what stands in every entry, are nobody else's.
fn field_name(name: &str) -> Option<String> {
    const TAKEN: [&str; 4] = ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "TARGET"];
    let character =
        |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(character).take(64).collect();
    let is_name = name.starts_with(|first: char| first.is_ascii_uppercase());
    Some(name).filter(|name| is_name && !TAKEN.contains(&name.as_str()))
}

/// A value with a line end in it goes with its length.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend((value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_one(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, name, value);
        bytes
    }

    #[test]
    fn a_value_of_several_lines_goes_with_its_length() {
        assert_eq!(put_one("NETWORK", "abc"), b"NETWORK=abc\n");
        assert_eq!(put_one("ERROR", "a\nb"), b"ERROR\n\x03\0\0\0\0\0\0\0a\nb\n");
    }

    #[test]
    fn names_are_made_such_as_the_journal_takes() {
        assert_eq!(field_name("network").as_deref(), Some("NETWORK"));
        assert_eq!(field_name("client.name").as_deref(), Some("CLIENT_NAME"));
        assert_eq!(field_name(&"x".repeat(80)).map(|it| it.len()), Some(64));
        for none in ["", "_pid", "1st", "message", "priority", "é"] {
            assert_eq!(field_name(none), None, "{none}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let entry = Entry { message: "é".repeat(LONGEST), ..Entry::default() };
        assert!(entry.text().len() <= LONGEST && entry.text().ends_with('é'));
    }
}
