//! Small definitions of every shape: what is read of them, what is selected, what is written.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use vpp_api_generator::{Definitions, Selection, emit, select, unlike};

const HEADER: [&str; 2] = ["u16", "_vl_msg_id"];

/// A file that defines types.
fn types() -> Value {
    json!({
        "types": [["span", ["vl_api_colour_t", "colour"], ["u16", "length"]]],
        "unions": [["either", ["u8", "small"], ["vl_api_span_t", "wide"]]],
        "enums": [
            ["colour", ["COLOUR_API_RED", 0], ["COLOUR_API_BLUE", 7], {"enumtype": "u8"}],
            ["port_flags", ["PORT_API_FLAG_UP", 1], {"enumtype": "u32"}],
        ],
        "enumflags": [],
        "aliases": {"port_index": {"type": "u32"}},
        "messages": [], "services": {}, "imports": [], "options": {"version": "1.0.0"},
    })
}

/// A file that imports them (and so repeats them) and has messages. `crc` is that of `port_add`.
fn ports(crc: &str) -> Value {
    let mut file = types();
    file["imports"] = json!(["some/folder/port_types.api"]);
    file["messages"] = json!([
        ["port_add", HEADER, ["u32", "client_index"], ["u32", "context"],
            ["vl_api_port_index_t", "index", {"default": u32::MAX}],
            ["string", "tag", 8], ["string", "filter", 0], ["vl_api_either_t", "un"],
            ["vl_api_port_flags_t", "type"], {"crc": crc, "options": {}}],
        ["port_add_reply", HEADER, ["u32", "context"], ["i32", "retval"],
            {"crc": "0xe8d4e804", "options": {}}],
        ["port_dump", HEADER, ["u32", "client_index"], ["u32", "context"],
            {"crc": "0x00000002", "options": {}}],
        ["port_details", HEADER, ["u32", "context"], ["u8", "count"], ["u32", "between"],
            ["vl_api_span_t", "spans", 0, "count"], {"crc": "0x00000003", "options": {}}],
        ["port_event", HEADER, ["u32", "client_index"], ["u32", "pid"],
            {"crc": "0x00000004", "options": {"deprecated": null}}],
    ]);
    file["services"] = json!({
        "port_add": {"reply": "port_add_reply", "events": ["port_event"]},
        "port_dump": {"reply": "port_details", "stream": true},
    });
    file
}

fn read(ports: &Value) -> Definitions {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("core");
    fs::create_dir(&inner).expect("a folder");
    for (name, json) in [("port_types", &types()), ("port", ports)] {
        fs::write(inner.join(format!("{name}.api.json")), json.to_string()).expect("a file");
    }
    Definitions::read(folder.path()).expect("definitions")
}

fn written(definitions: &Definitions) -> BTreeMap<String, String> {
    emit::emit(definitions, &BTreeMap::new()).expect("everything can be expressed")
}

#[test]
fn types_stand_where_they_are_defined_and_nowhere_else() {
    let files = written(&read(&ports("0x00000001")));
    assert!(files["port_types.rs"].contains("pub struct Span {"));
    assert!(files["port_types.rs"].contains("pub struct Either(3)"), "the longest arm has 3 bytes");
    assert!(files["port_types.rs"].contains("BLUE = 7"));
    assert!(files["port_types.rs"].contains("flags! {\n    /// `port_flags`"));
    assert!(!files["port.rs"].contains("pub struct Span"));
    assert!(files["port.rs"].contains("use super::port_types::Span;"));
}

#[test]
fn messages_have_their_fields_and_their_answers() {
    let port = &written(&read(&ports("0x00000001")))["port.rs"];
    for part in [
        "pub index: PortIndex = PortIndex(4294967295),",
        "pub tag: FixedString<8>,",
        "pub filter: String,",
        "pub type_: PortFlags,",
        "message!(PortAdd, \"port_add\", 0x00000001, \"port_add_00000001\", ClientAndContext);",
        "type Reply = PortAddReply;",
        "PortAddReply, \"port_add_reply\", 0xe8d4e804",
        "type Details = PortDetails;",
        "to.count::<u8>(\"spans\", self.spans.len())?;",
        "let spans = from.list(count as usize)?;",
        "message!(PortEvent, \"port_event\", 0x00000004, \"port_event_00000004\", Client);",
        "impl crate::Event for PortEvent {}",
        "/// VPP calls it deprecated.",
    ] {
        assert!(port.contains(part), "{part}\n{port}");
    }
    assert!(!port.contains("pub count"), "a list says how long it is");
}

#[test]
fn a_selection_takes_answers_and_types_along_and_names_what_is_not_there() {
    let all = read(&ports("0x00000001"));
    let chosen = select(&all, &Selection::parse("port_dump # the list")).expect("it is there");
    let files = written(&chosen);
    assert!(files["port.rs"].contains("PortDetails") && !files["port.rs"].contains("PortAdd"));
    assert!(
        files["port_types.rs"].contains("Colour") && !files["port_types.rs"].contains("Either")
    );
    let absent = select(&all, &Selection::parse("port_dump port_frob")).expect_err("no such");
    assert_eq!(absent.to_string(), "no definition has the message(s) port_frob");
}

#[test]
fn an_older_layout_stands_beside_the_newest() {
    let (newest, old) = (read(&ports("0x00000001")), read(&ports("0x0000000a")));
    let selection = Selection::parse("port_add port_dump");
    let older = BTreeMap::from([
        ("v1".to_owned(), unlike(&old, &newest, &selection)),
        ("v2".to_owned(), unlike(&newest, &newest, &selection)),
    ]);
    let files = emit::emit(&newest, &older).expect("everything can be expressed");
    assert!(files["v1/port.rs"].contains("port_add_0000000a"));
    assert!(!files["v1/port.rs"].contains("PortDump"), "what is the same is not repeated");
    assert!(files["v1.rs"].contains("pub mod port_types;"));
    let api = &files["../api.rs"];
    assert!(api.contains("pub mod v1;") && !api.contains("pub mod v2;"), "{api}");
}

#[test]
fn definitions_that_are_none_are_refused_with_their_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = Definitions::read(folder.path()).expect_err("nothing there").to_string();
    assert!(empty.contains("has no *.api.json"), "{empty}");
    let mut odd = ports("0xnumber");
    odd["messages"][0][1] = json!(["u16", "_vl_msg_id"]);
    fs::write(folder.path().join("odd.api.json"), odd.to_string()).expect("a file");
    let said = Definitions::read(folder.path()).expect_err("no checksum").to_string();
    assert_eq!(said, "odd.api.json: port_add: `0xnumber` is no checksum");
}
