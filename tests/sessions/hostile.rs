//! A container that means harm: it writes over the memory that it shares, floods the broker, holds what
//! it gets, sends what is no message, and names what is not its own. Its neighbours' bytes stay right, other
//! networks stay out of its reach, and nothing of it is left when it is removed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::engine::tcp_option;
use kit::lab::{Lab, docker_test};
use kit::leaks::Holdings;
use kit::need::{Need, PYTHON};
use kit::process::Process;
use kit::{Container, Image, wait};

use crate::pair::{PATIENCE, Pair, SOON, finish, no_sessions, no_sessions_within, resident};

/// How long each kind of harm is done, in seconds.
const SECONDS: &str = "4";

/// Bytes of a neighbour's stream, each way.
const STREAM: usize = 64 << 20;

fn hostile(container: &Container, arguments: &[&str]) -> Result<Process> {
    container.exec_start(&[&[PYTHON, "/programs/hostile.py"], arguments].concat())
}

/// The number in the last line of a hostile program, which says how often it did what it does.
fn did(process: Process) -> Result<u64> {
    let lines = finish(process)?;
    let last = lines.last().context("it says what it did")?;
    let number = last.rsplit(' ').next().unwrap_or_default();
    number.parse().with_context(|| lines.join("\n"))
}

/// A stream between the neighbours comes through whole while `harm` is done.
fn while_harmed(pair: &Pair, harm: impl IntoIterator<Item = Result<Process>>) -> Result<Vec<u64>> {
    let harm = harm.into_iter().collect::<Result<Vec<_>>>()?;
    // The server that the hostile one speaks to serves others.
    for (port, bytes) in [("9100", STREAM), ("9200", 1 << 20)] {
        let lines = finish(pair.start_client("stream", port, bytes)?)?;
        let whole = format!("ended {bytes} ");
        ensure!(lines.iter().any(|line| line.starts_with(&whole)), "{lines:?}");
    }
    harm.into_iter().map(did).collect()
}

fn harms(lab: &Lab, kind: &str) -> Result<()> {
    let pair = Pair::start(lab, kind)?;
    let server = pair.serve(&lab.agent, "serve", "9100")?;
    let _harmed = pair.serve(&lab.agent, "serve", "9200")?;
    while_harmed(&pair, [])?;
    no_sessions(&lab.agent)?;
    let before = (Holdings::settled(&lab.agent)?, resident(lab.agent.pid()?)?);
    let container =
        Container::run(&Image::session_programs()?, &RunOptions::default().on(&pair.network))?;
    let to = pair.address.as_str();
    for kind in ["scribble", "mute"] {
        let count = while_harmed(&pair, [hostile(&container, &[kind, to, "9200", SECONDS])])
            .with_context(|| kind.to_owned())?;
        ensure!(count[0] > 0, "{kind}: nothing was done");
    }
    for kind in ["malformed", "flood", "hold"] {
        let count = while_harmed(&pair, [hostile(&container, &[kind, SECONDS])])
            .with_context(|| kind.to_owned())?;
        ensure!(count[0] > 0, "{kind}: nothing was done");
    }
    // All at once, and the container is killed in the middle of it.
    let all: [&[&str]; 5] = [
        &["scribble", to, "9200", "60"],
        &["mute", to, "9200", "60"],
        &["malformed", "60"],
        &["flood", "60"],
        &["hold", "60"],
    ];
    let started = all.iter().map(|it| hostile(&container, it)).collect::<Result<Vec<_>>>()?;
    while_harmed(&pair, [])?;
    drop(container);
    drop(started);
    while_harmed(&pair, [])?;
    let said = server.output();
    ensure!(!said.iter().any(|line| line.contains("WRONG")), "{}", said.join("\n"));
    no_sessions(&lab.agent)?;
    before.0.nothing_left(&lab.agent)?;
    let after = resident(lab.agent.pid()?)?;
    ensure!(after < before.1 + (32 << 10), "the agent has {after} KiB, had {}", before.1);
    Ok(())
}

#[test]
fn neighbours_of_a_hostile_container_go_on_with_a_kernel_interface() {
    docker_test(&[Need::SessionPrograms], |lab| harms(lab, "auto"));
}

#[test]
fn neighbours_of_a_hostile_container_go_on_without_a_kernel_interface() {
    docker_test(&[Need::SessionPrograms], |lab| harms(lab, "userspace"));
}

#[test]
fn listeners_of_another_network_are_out_of_reach() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let pair = Pair::start(lab, "userspace")?;
        let _echo = pair.serve(&lab.agent, "echo", "9200")?;
        let other = lab.network(&["-o", "attach=userspace"])?;
        let container =
            Container::run(&Image::session_programs()?, &RunOptions::default().on(&other))?;
        let claimed = pair.client.address(&pair.network)?.to_string();
        let tries = hostile(&container, &["reach", &pair.address, "9200", &claimed])?;
        ensure!(did(tries)? == 0, "the other network was reached");
        let sessions = lab.agent.list("sessions")?;
        ensure!(sessions.is_empty(), "{sessions:?}");
        // The same program reaches it from where it may.
        let own =
            Container::run(&Image::session_programs()?, &RunOptions::default().on(&pair.network))?;
        let tries = hostile(&own, &["reach", &pair.address, "9200", &claimed])?;
        ensure!(did(tries)? == 1, "one way is no claim of another's address");
        finish(pair.start_client("loop", "9200", 100)?)?;
        Ok(())
    });
}

/// Whoever connects to a listener that never accepts waits, gives up, and harms nobody.
#[test]
fn a_listener_that_never_accepts_keeps_nobody_else_waiting() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let pair = Pair::start(lab, "userspace")?;
        let _echo = pair.serve(&lab.agent, "echo", "9200")?;
        let container =
            Container::run(&Image::session_programs()?, &RunOptions::default().on(&pair.network))?;
        let deaf = hostile(&container, &["deaf", "7777", "600"])?;
        let there = |line: &str| (line == "listening").then_some(());
        deaf.line_after(0, PATIENCE, "it listens", there)?;
        let address = container.address(&pair.network)?.to_string();
        let program = "import socket, sys; held = []\n\
                       while True:\n    held.append(socket.create_connection((sys.argv[1], 7777)))";
        let waiting = pair.client.exec_start(&[PYTHON, "-c", program, &address])?;
        wait::until(PATIENCE, "somebody waits", || {
            let sessions = lab.agent.list("sessions")?;
            Ok(sessions.iter().any(|it| it["state"] == "connecting").then_some(()))
        })?;
        finish(pair.start_client("loop", "9200", 500)?)?;
        drop(waiting);
        drop(deaf);
        // Whoever waited is refused then, or finds nobody there, and ends by itself: VPP looks for 66 seconds.
        drop(container);
        let vcl = tcp_option() == Some("tcp=vcl");
        no_sessions_within(&lab.agent, if vcl { Duration::from_secs(100) } else { SOON })?;
        Ok(())
    });
}
