//! One run of the program in two containers: starts both sides, carries what they tell each other, and
//! keeps what they write down.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::image::SHIM;
use kit::process::Process;
use kit::{Container, Network};

/// Longest silence of a side: longer than a case may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// What a line to the other side starts with.
const TELL: &str = "> ";
/// What a line of the record starts with.
const NOTE: &str = "| ";
/// The last line of a record.
const OVER: &str = "over";

/// What carries the program's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The kernel's TCP.
    Kernel,
    /// Sessions, by the preload library.
    Sessions,
}

/// Lines by case and side: side one first.
pub(crate) type Lines = BTreeMap<String, [Vec<String>; 2]>;

/// What both sides wrote down.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The lines, without the name of the case.
    pub(crate) lines: Lines,
    /// The cases in the order in which they ran.
    pub(crate) order: Vec<String>,
    /// What else the program said: messages of panics.
    pub(crate) said: Vec<String>,
}

impl Record {
    /// The record without the cases whose names contain one of `words`.
    pub(crate) fn without(&self, words: &[&str]) -> Self {
        let stays = |case: &str| !words.iter().any(|word| case.contains(word));
        let order = self.order.iter().filter(|case| stays(case)).cloned().collect();
        let lines = self.lines.iter().filter(|(case, _)| stays(case));
        let lines = lines.map(|(case, lines)| (case.clone(), lines.clone())).collect();
        Self { lines, order, said: self.said.clone() }
    }

    fn add(&mut self, side: usize, lines: Vec<String>) {
        for line in lines {
            let noted = line.strip_prefix(NOTE).and_then(|note| note.split_once(": "));
            match noted {
                Some((case, text)) => {
                    if !self.lines.contains_key(case) {
                        self.order.push(case.to_owned());
                    }
                    self.lines.entry(case.to_owned()).or_default()[side].push(text.to_owned());
                }
                None if line.starts_with(NOTE) || line.starts_with(TELL) => {}
                None => self.said.push(line),
            }
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.order {
            writeln!(f, "== {case}")?;
            for (side, lines) in ["one", "two"].iter().zip(&self.lines[case]) {
                for line in lines {
                    writeln!(f, "{side}: {line}")?;
                }
            }
        }
        for line in &self.said {
            writeln!(f, "said: {line}")?;
        }
        Ok(())
    }
}

/// A container, and what carries the sockets of the program in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) container: &'a Container,
    pub(crate) over: Over,
}

/// The two containers.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) network: &'a Network,
    pub(crate) one: Side<'a>,
    pub(crate) two: Side<'a>,
}

impl Stage<'_> {
    /// Runs the cases that `wanted` asks the program for, all if it is empty.
    pub(crate) fn run(&self, wanted: &[String]) -> Result<Record> {
        let mut one = self.start("one", [self.one, self.two], wanted)?;
        let mut two = self.start("two", [self.two, self.one], wanted)?;
        let (to_one, to_two) = (one.take_input()?, two.take_input()?);
        let (from_one, from_two) = thread::scope(|scope| {
            let from_two = scope.spawn(|| carry(&two, to_one));
            let from_one = carry(&one, to_two);
            (from_one, from_two.join())
        });
        let mut record = Record::default();
        record.add(0, from_one.context("side one")?);
        record.add(1, from_two.expect("carrying lines does not panic").context("side two")?);
        ensure!(!record.order.is_empty(), "no case was run: is {wanted:?} one?");
        Ok(record)
    }

    fn start(
        &self,
        role: &str,
        [Side { container: own, over }, Side { container: peer, .. }]: [Side<'_>; 2],
        wanted: &[String],
    ) -> Result<Process> {
        let text = |address: Result<IpAddr>| anyhow::Ok(address?.to_string());
        let network = self.network;
        let addresses = [
            text(own.address(network))?,
            text(own.address6(network))?,
            text(peer.address(network))?,
            text(peer.address6(network))?,
        ];
        let preload = format!("LD_PRELOAD={SHIM}");
        let mut command = match over {
            Over::Kernel => vec![],
            Over::Sessions => vec!["env", &preload],
        };
        command.extend(["conformance", role]);
        command.extend(addresses.iter().chain(wanted).map(String::as_str));
        own.exec_start(&command)
    }
}

/// Carries what `from` tells the other side, until its record is over; all of its lines.
fn carry(from: &Process, mut to: ChildStdin) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let what = "the record goes on";
        let line = from.line_after(lines.len(), PATIENCE, what, |line| Some(line.to_owned()))?;
        if let Some(told) = line.strip_prefix(TELL) {
            // A side that is over hears no more.
            let _ = writeln!(to, "{told}").and_then(|()| to.flush());
        }
        let over = line.strip_prefix(NOTE) == Some(OVER);
        lines.push(line);
        if over {
            return Ok(lines);
        }
    }
}
