//! A client of a few lines against a recording of a few lines.

use vpp_api_client::api::interface::{DeleteLoopback, SwInterfaceEvent, SwInterfaceSetMtu};
use vpp_api_client::api::interface_types::InterfaceIndex;
use vpp_api_client::api::memclnt::{ControlPing, SockclntCreate};
use vpp_api_client::message::decode;

use super::*;
use crate::vpp_script::format;

const KEYS: [&str; 5] = [
    DeleteLoopback::KEY,
    "delete_loopback_reply_e8d4e804",
    SwInterfaceEvent::KEY,
    ControlPing::KEY,
    ControlPingReply::KEY,
];

struct Client {
    stream: UnixStream,
    index: u32,
}

impl Client {
    fn connect(vpp: &ScriptedVpp) -> Self {
        let stream = UnixStream::connect(&vpp.path).unwrap();
        let mut client = Self { stream, index: 0 };
        client.ask(SOCKCLNT_CREATE, &SockclntCreate { name: "a client".try_into().unwrap() }, 1);
        let welcome = client.hear().unwrap();
        let welcome: SockclntCreateReply = decode(&welcome).unwrap();
        let names: Vec<_> = welcome.message_table.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(names, KEYS);
        client.index = welcome.index;
        client
    }

    fn ask<M: vpp_api_client::Message>(&self, id: u16, message: &M, context: u32) {
        let addressing = Addressing { id, client_index: self.index, context };
        send(&self.stream, &encode(message, addressing).unwrap()).unwrap();
    }

    fn delete(&self, index: u32, context: u32) {
        self.ask(FIRST, &DeleteLoopback { sw_if_index: InterfaceIndex(index) }, context);
    }

    fn hear(&self) -> Option<Vec<u8>> {
        receive(&self.stream).unwrap()
    }
}

fn played(folder: &Path, text: &str) -> ScriptedVpp {
    let recording = format::read(&format!("version 1\n{text}")).unwrap();
    let folders = Folders::new("/tmp/dvtabcdef".to_owned(), "/tmp/vppabcdef".to_owned());
    let keys = KEYS.map(str::to_owned).to_vec();
    ScriptedVpp::start(&folder.join("api.sock"), recording, keys, folders.unwrap()).unwrap()
}

fn text() -> String {
    let name = "SockclntCreate { name: \"a client\" }";
    let delete = "DeleteLoopback { sw_if_index: InterfaceIndex(7) }";
    let key = DeleteLoopback::KEY;
    format!(
        "> {} {name}\n> {key} {delete}\n<1 {} (4) # -\n!2 {} (4)00000007(2)01 # -\n= settled\n\
         $ show x in /tmp/dvtFOLDER\n| y in /tmp/vppFOLDER\n= killed\n= started\n> {} {name}\n",
        SockclntCreate::KEY,
        KEYS[1],
        SwInterfaceEvent::KEY,
        SockclntCreate::KEY,
    )
}

#[test]
fn what_was_recorded_is_answered_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut vpp = played(folder.path(), &text());
    let client = Client::connect(&vpp);
    client.ask(FIRST + 3, &ControlPing {}, 5);
    assert_eq!(client.hear().unwrap()[..6], [0, 104, 0, 0, 0, 5]);
    client.delete(7, 6);
    assert_eq!(client.hear().unwrap(), [0, 101, 0, 0, 0, 6, 0, 0, 0, 0]);
    vpp.settle().unwrap();
    let event = client.hear().unwrap();
    assert_eq!(event[..2], [0, 102]);
    assert_eq!(event[2..6], client.index.to_be_bytes());
    assert_eq!(vpp.command("show x in /tmp/dvtabcdef").unwrap(), "y in /tmp/vppabcdef");
    vpp.kill().unwrap();
    assert_eq!(client.hear(), None);
    assert!(UnixStream::connect(&vpp.path).is_err());
    vpp.start_again().unwrap();
    Client::connect(&vpp);
    vpp.finish().unwrap();
}

#[test]
fn what_was_not_recorded_ends_it_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let vpp = played(folder.path(), &text());
    let client = Client::connect(&vpp);
    client.delete(8, 6);
    assert_eq!(client.hear(), None, "there is no answer");
    let failure = vpp.finish().unwrap_err().to_string();
    assert!(failure.contains("there was the request delete_loopback_"), "{failure}");
    assert!(failure.contains("InterfaceIndex(8)"), "{failure}");
    assert!(failure.contains("expected: the request delete_loopback_"), "{failure}");
    assert!(vpp.settle().is_err());
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(vpp)));
    assert!(dropped.is_err(), "a test that does not ask fails all the same");
}

#[test]
fn what_comes_from_nobody_or_is_of_an_unrecorded_kind_ends_it() {
    for (id, message) in [
        (FIRST, encode(&DeleteLoopback::default(), addressing(FIRST, 1)).unwrap()),
        (99, encode(&SwInterfaceSetMtu::default(), addressing(99, 0)).unwrap()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let vpp = played(folder.path(), &text());
        let client = Client::connect(&vpp);
        send(&client.stream, &message).unwrap();
        assert_eq!(client.hear(), None, "{id}");
        assert!(vpp.finish().is_err());
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(vpp)));
    }
}

fn addressing(id: u16, client_index: u32) -> Addressing {
    Addressing { id, client_index, context: 3 }
}

#[test]
fn a_scenario_that_does_something_else_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut vpp = played(folder.path(), "$ show x\n");
    let error = vpp.kill().unwrap_err().to_string();
    assert!(error.contains("there was the end of VPP"), "{error}");
    assert!(error.contains("expected: the command `show x`"), "{error}");
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(vpp)));
}
