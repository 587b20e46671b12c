//! The message table: which number this VPP gave to which message. Pure.

use std::collections::HashMap;
use std::fmt;

use crate::message::Identity;

/// Longest key in VPP's table, in bytes; what is longer is cut (VPP 26.06, `socket_api.c`).
const LONGEST_KEY: usize = 63;

/// Numbers of messages by name and checksum.
#[derive(Debug, Default)]
pub(crate) struct MessageTable {
    numbers: HashMap<String, u16>,
}

impl FromIterator<(String, u16)> for MessageTable {
    fn from_iter<I: IntoIterator<Item = (String, u16)>>(entries: I) -> Self {
        Self { numbers: entries.into_iter().collect() }
    }
}

impl MessageTable {
    /// The number of a message.
    pub(crate) fn number(&self, wanted: Identity) -> Result<u16, Mismatch> {
        let key = &wanted.key[..wanted.key.len().min(LONGEST_KEY)];
        self.numbers.get(key).copied().ok_or_else(|| self.mismatch(wanted))
    }

    fn mismatch(&self, wanted: Identity) -> Mismatch {
        let mut theirs: Vec<u32> =
            self.numbers.keys().filter_map(|key| checksum(key, wanted.name)).collect();
        theirs.sort_unstable();
        Mismatch { name: wanted.name, ours: wanted.crc, theirs }
    }
}

/// The checksum in `key`, if it is that of message `name`.
fn checksum(key: &str, name: &str) -> Option<u32> {
    let digits = key.strip_prefix(name)?.strip_prefix('_')?;
    (digits.len() == 8).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// A message that this VPP does not have as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The message's name.
    pub name: &'static str,
    /// Checksum of the layout that is known here.
    pub ours: u32,
    /// Checksums that VPP has under that name; none when it has no such message.
    pub theirs: Vec<u32>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ours, theirs } = self;
        if theirs.is_empty() {
            return write!(
                f,
                "VPP has no message `{name}` (CRC {ours:08x}): the plugin that brings it is not \
                 loaded, or this release does not have it"
            );
        }
        write!(
            f,
            "VPP has message `{name}` with another layout: CRC {ours:08x} is known here, VPP has"
        )?;
        for crc in theirs {
            write!(f, " {crc:08x}")?;
        }
        f.write_str("; it is of another release")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Identity = Identity { name: "tap_create", crc: 7, key: "tap_create_00000007" };

    fn table(keys: &[&str]) -> MessageTable {
        keys.iter().zip(20..).map(|(key, number)| ((*key).to_owned(), number)).collect()
    }

    #[test]
    fn a_message_is_found_by_name_and_checksum() {
        let table = table(&["tap_create_00000006", "tap_create_00000007"]);
        assert_eq!(table.number(WANTED), Ok(21));
    }

    #[test]
    fn a_message_of_another_layout_is_named_with_both_checksums() {
        let table =
            table(&["tap_create_0000000a", "tap_create_00000006", "tap_create_v2_00000007"]);
        let mismatch = table.number(WANTED).expect_err("another layout");
        assert_eq!(mismatch.theirs, [6, 10]);
        let text = mismatch.to_string();
        assert!(text.contains("00000007") && text.contains("00000006 0000000a"), "{text}");
    }

    #[test]
    fn a_message_that_is_absent_is_named() {
        let mismatch = table(&[]).number(WANTED).expect_err("absent");
        assert!(mismatch.to_string().contains("no message `tap_create`"), "{mismatch}");
    }

    #[test]
    fn keys_longer_than_the_table_has_room_for_are_found() {
        let key = "a_message_whose_name_is_so_long_that_the_table_has_no_room_12345678";
        let wanted = Identity { name: &key[..key.len() - 9], crc: 0x1234_5678, key };
        assert_eq!(table(&[&key[..63]]).number(wanted), Ok(20));
    }
}
