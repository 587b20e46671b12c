//! What differs between two runs of the same scenario, and how recordings have it instead. Pure.

use anyhow::{Result, ensure};
use vpp_api_client::api::interface::SwInterfaceEvent;
use vpp_api_client::api::vpe::ShowVersionReply;
use vpp_api_client::message::{Addressing, Message, decode, encode};
use vpp_api_client::wire::FixedString;

/// What folders are called in recordings: the scenario's, and VPP's.
const FOLDERS: [&str; 2] = ["/tmp/dvtFOLDER", "/tmp/vppFOLDER"];

/// Fields of requests that are another number in each run, by the message.
const NUMBERS: [(&str, &str); 2] =
    [("want_interface_events", "pid"), ("app_namespace_add_del_v4", "secret")];

/// The folders of a run.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    live: [String; 2],
}

impl Folders {
    /// The scenario's, and VPP's. Their names must be as long as those in recordings: texts in messages have a fixed
    /// size, and the rest of the message stays where it is.
    pub(super) fn new(scenario: String, vpp: String) -> Result<Self> {
        let live = [scenario, vpp];
        for (live, recorded) in live.iter().zip(FOLDERS) {
            ensure!(live.len() == recorded.len(), "{live} is not as long as {recorded}");
        }
        Ok(Self { live })
    }

    /// A text as recordings have it.
    pub(super) fn to_recorded(&self, text: &str) -> String {
        let renamed = replace(text.as_bytes(), self.live.iter().map(String::as_str).zip(FOLDERS));
        String::from_utf8(renamed).expect("one text was replaced by another")
    }

    /// Bytes as recordings have them.
    pub(super) fn bytes_to_recorded(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, self.live.iter().map(String::as_str).zip(FOLDERS))
    }

    /// Bytes of a recording as this run has them.
    pub(super) fn bytes_to_live(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, FOLDERS.into_iter().zip(self.live.iter().map(String::as_str)))
    }

    /// A text of a recording as this run has it.
    pub(super) fn to_live(&self, text: &str) -> String {
        let renamed = self.bytes_to_live(text.as_bytes());
        String::from_utf8(renamed).expect("one text was replaced by another")
    }
}

fn replace<'a>(bytes: &[u8], pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (from, to) in pairs {
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(from.len()).position(|it| it == from.as_bytes())
        {
            at += found;
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            at += to.len();
        }
    }
    bytes
}

/// A request's fields in words, with `_` for numbers that are another in each run.
pub(super) fn without_numbers(name: &str, fields: &str) -> String {
    let mut text = fields.to_owned();
    for (_, field) in NUMBERS.iter().filter(|(message, _)| *message == name) {
        let label = format!("{field}: ");
        if let Some(at) = text.find(&label) {
            let start = at + label.len();
            let digits = text[start..].chars().take_while(char::is_ascii_digit).count();
            text.replace_range(start..start + digits, "_");
        }
    }
    text
}

/// A message of VPP's without what tells where and when VPP was built, and which process was recorded; others as they
/// are.
pub(super) fn without_origin(message: &[u8], key: &str) -> Result<Vec<u8>> {
    match key {
        ShowVersionReply::KEY => changed(message, |reply: &mut ShowVersionReply| {
            reply.build_date = FixedString::default();
            reply.build_directory = FixedString::default();
        }),
        // The one that asked for events.
        SwInterfaceEvent::KEY => changed(message, |event: &mut SwInterfaceEvent| event.pid = 0),
        _ => Ok(message.to_vec()),
    }
}

/// A message with other fields behind the same header.
fn changed<M: Message>(message: &[u8], change: impl FnOnce(&mut M)) -> Result<Vec<u8>> {
    let mut read: M = decode(message)?;
    change(&mut read);
    let (header, _) = message.split_at(M::HEADER.size());
    let written = encode(&read, Addressing { id: 0, client_index: 0, context: 0 })?;
    Ok([header, &written[header.len()..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_renamed_there_and_back_and_nothing_moves() {
        let folders = Folders::new("/tmp/dvtabcdef".to_owned(), "/tmp/vpp123456".to_owned());
        let folders = folders.unwrap();
        let live = b"\0/tmp/dvtabcdef/links/x\0/tmp/vpp123456/y /tmp/dvtabcdef\0\0";
        let recorded = folders.bytes_to_recorded(live);
        let expected = b"\0/tmp/dvtFOLDER/links/x\0/tmp/vppFOLDER/y /tmp/dvtFOLDER\0\0";
        assert_eq!(recorded, expected);
        assert_eq!(folders.bytes_to_live(&recorded), live);
        assert!(Folders::new("/tmp/dvt".to_owned(), "/tmp/vpp123456".to_owned()).is_err());
    }

    #[test]
    fn numbers_of_a_run_are_left_out_where_they_are_such() {
        let text = "WantInterfaceEvents { enable_disable: 1, pid: 4711 }";
        let plain = "WantInterfaceEvents { enable_disable: 1, pid: _ }";
        assert_eq!(without_numbers("want_interface_events", text), plain);
        assert_eq!(without_numbers("another", text), text);
    }

    #[test]
    fn a_version_says_nothing_of_its_build() {
        let reply = ShowVersionReply {
            retval: 0,
            program: "vpe".try_into().unwrap(),
            version: "26.06-release".try_into().unwrap(),
            build_date: "today".try_into().unwrap(),
            build_directory: "/somewhere".try_into().unwrap(),
        };
        let bytes = encode(&reply, Addressing { id: 7, client_index: 0, context: 9 }).unwrap();
        let plain = without_origin(&bytes, ShowVersionReply::KEY).unwrap();
        let read: ShowVersionReply = decode(&plain).unwrap();
        assert_eq!((&*read.version, &*read.build_date), ("26.06-release", ""));
        assert_eq!((plain.len(), &plain[..6]), (bytes.len(), &bytes[..6]));
        assert_eq!(without_origin(&bytes, "other_1").unwrap(), bytes);
    }

    #[test]
    fn an_event_does_not_say_who_asked_for_it() {
        let event = SwInterfaceEvent { pid: 4711, deleted: true, ..Default::default() };
        let bytes = encode(&event, Addressing { id: 7, client_index: 5, context: 0 }).unwrap();
        let plain = without_origin(&bytes, SwInterfaceEvent::KEY).unwrap();
        let read: SwInterfaceEvent = decode(&plain).unwrap();
        assert_eq!(read, SwInterfaceEvent { pid: 0, ..event });
        assert_eq!((plain.len(), &plain[..6]), (bytes.len(), &bytes[..6]));
    }
}
