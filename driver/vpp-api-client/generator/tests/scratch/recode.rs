//! Reads and writes again what it is told: built by `papi.rs` with every message that definitions have.
//!
//! In: lines of a message's name and checksum, and its bytes. Out: the fields' bytes, or why not.

use std::collections::HashMap;
use std::io::{BufWriter, Write, stdin, stdout};

use vpp_api_client::api::MESSAGES;

fn main() {
    let known: HashMap<_, _> = MESSAGES.iter().map(|it| (it.identity.key, it)).collect();
    let mut out = BufWriter::new(stdout());
    for line in stdin().lines() {
        let line = line.expect("lines are text");
        let (key, digits) = line.split_once(' ').expect("a name and bytes");
        let Some(message) = known.get(key) else {
            writeln!(out, "no such message").expect("somebody reads");
            continue;
        };
        match message.recode(&bytes(digits)) {
            Ok(again) => {
                let fields: String = again.fields.iter().map(|it| format!("{it:02x}")).collect();
                writeln!(out, "{} {fields}", 2 * message.header.size()).expect("somebody reads");
            }
            Err(error) => writeln!(out, "{error}").expect("somebody reads"),
        }
    }
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal")).collect()
}
