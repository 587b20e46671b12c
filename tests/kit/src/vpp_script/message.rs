//! VPP's messages by their names: what is in their bytes, and bytes for what is known. Pure.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use vpp_api_client::api::MESSAGES;
use vpp_api_client::message::{Header, Known};

/// Numbers that are the same in every VPP (VPP 26.06, `src/vlibmemory/vl_memory_msg_enum.h`).
pub(super) const SOCKCLNT_CREATE: u16 = 15;
/// As [`SOCKCLNT_CREATE`].
pub(super) const SOCKCLNT_CREATE_REPLY: u16 = 16;

/// Longest key that VPP's table has, in bytes.
const LONGEST_KEY: usize = 63;

/// Which number is which message, on one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    known: HashMap<u16, Known>,
}

impl Numbers {
    /// Those of a message table: pairs of a name with its checksum, and a number. What is not known is left out.
    pub(super) fn of(table: impl IntoIterator<Item = (String, u16)>) -> Self {
        let known =
            table.into_iter().filter_map(|(key, number)| Some((number, known(&key)?))).collect();
        Self { known }
    }

    /// Keys of all messages, sorted.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        let mut keys: Vec<_> = self.known.values().map(|it| it.identity.key).collect();
        keys.sort_unstable();
        keys
    }

    /// The number of a message.
    pub(super) fn number(&self, key: &str) -> Option<u16> {
        self.known.iter().find(|(_, known)| known.identity.key == key).map(|(number, _)| *number)
    }

    /// What a message is.
    pub(super) fn split<'a>(&self, message: &'a [u8]) -> Result<Parts<'a>> {
        let number = number_of(message).context("a message is shorter than its number")?;
        let known = match number {
            SOCKCLNT_CREATE => known_by_name("sockclnt_create"),
            SOCKCLNT_CREATE_REPLY => known_by_name("sockclnt_create_reply"),
            _ => self.known.get(&number).copied(),
        };
        let known = known.with_context(|| format!("message {number} is not known here"))?;
        let name = known.identity.name;
        ensure!(message.len() >= known.header.size(), "`{name}` is shorter than its header");
        let recoded = known.recode(message).with_context(|| format!("`{name}` is not sound"))?;
        Ok(Parts { known, message, text: recoded.text })
    }
}

/// A message, taken apart.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    known: Known,
    message: &'a [u8],
    /// Its fields, in words.
    pub(super) text: String,
}

impl Parts<'_> {
    /// Its name, with its checksum.
    pub(super) fn key(&self) -> &'static str {
        self.known.identity.key
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.known.identity.name
    }

    /// Its fields.
    pub(super) fn fields(&self) -> &[u8] {
        &self.message[self.known.header.size()..]
    }

    /// What the answer repeats; none for events.
    pub(super) fn context(&self) -> Option<u32> {
        let at = match self.known.header {
            Header::ClientAndContext => 6,
            Header::Context => 2,
            Header::Client | Header::Bare => return None,
        };
        Some(word(self.message, at))
    }

    /// Who asks; none for answers.
    pub(super) fn client(&self) -> Option<u32> {
        match self.known.header {
            Header::ClientAndContext | Header::Client => Some(word(self.message, 2)),
            Header::Context | Header::Bare => None,
        }
    }
}

/// The bytes of a message with these fields.
pub(super) fn join(
    key: &str,
    number: u16,
    client: u32,
    context: u32,
    fields: &[u8],
) -> Result<Vec<u8>> {
    let known = known(key).with_context(|| format!("`{key}` is not known here"))?;
    let mut message = number.to_be_bytes().to_vec();
    if matches!(known.header, Header::ClientAndContext | Header::Client) {
        message.extend(client.to_be_bytes());
    }
    if matches!(known.header, Header::ClientAndContext | Header::Context) {
        message.extend(context.to_be_bytes());
    }
    message.extend(fields);
    Ok(message)
}

/// The number that a message begins with.
pub(super) fn number_of(message: &[u8]) -> Option<u16> {
    message.first_chunk().map(|it| u16::from_be_bytes(*it))
}

fn known(key: &str) -> Option<Known> {
    let same = |known: &&Known| {
        let own = known.identity.key;
        own == key || own.get(..LONGEST_KEY) == Some(key)
    };
    MESSAGES.iter().find(same).copied()
}

fn known_by_name(name: &str) -> Option<Known> {
    MESSAGES.iter().find(|known| known.identity.name == name).copied()
}

fn word(message: &[u8], at: usize) -> u32 {
    let bytes = message[at..at + 4].try_into().expect("the header's length was compared");
    u32::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use vpp_api_client::api::interface::{DeleteLoopback, SwInterfaceEvent};
    use vpp_api_client::api::interface_types::InterfaceIndex;
    use vpp_api_client::message::{Addressing, Message as _, encode};

    use super::*;

    #[test]
    fn a_message_is_taken_apart_and_put_together_again() {
        let (request, event) = (DeleteLoopback::KEY, SwInterfaceEvent::KEY);
        let numbers = Numbers::of([(request.to_owned(), 100), (event.to_owned(), 101)]);
        let message = DeleteLoopback { sw_if_index: InterfaceIndex(7) };
        let bytes = encode(&message, Addressing { id: 100, client_index: 3, context: 9 }).unwrap();
        let parts = numbers.split(&bytes).unwrap();
        assert_eq!((parts.key(), parts.client(), parts.context()), (request, Some(3), Some(9)));
        assert!(parts.text.contains('7'), "{}", parts.text);
        assert_eq!(join(request, 100, 3, 9, parts.fields()).unwrap(), bytes);

        let bytes = encode(
            &SwInterfaceEvent::default(),
            Addressing { id: 101, client_index: 3, context: 9 },
        );
        let bytes = bytes.unwrap();
        let parts = numbers.split(&bytes).unwrap();
        assert_eq!((parts.key(), parts.context()), (event, None));
        assert_eq!(join(event, 101, 3, 9, parts.fields()).unwrap(), bytes);
    }

    #[test]
    fn what_is_unknown_or_too_short_is_refused() {
        let numbers = Numbers::of([(DeleteLoopback::KEY.to_owned(), 100), ("x_1".to_owned(), 5)]);
        assert_eq!(numbers.keys(), [DeleteLoopback::KEY]);
        for message in [&[0_u8][..], &[0, 5, 0, 0], &[0, 100, 0, 0, 0, 0, 0]] {
            assert!(numbers.split(message).is_err(), "{message:?}");
        }
    }
}
