//! Many connections, one after the other and at once, deaths of either side and of the agent: no byte
//! is lost or doubled, and nothing is left behind. `DOCKERVPP_TEST_DEEP=1` does more of it.

use anyhow::{Context as _, Result, ensure};
use kit::lab::docker_test;
use kit::need::Need;
use kit::process::Process;
use kit::wait;

use crate::pair::{PATIENCE, Pair, SOON, descriptors, finish, no_sessions, resident};

/// How much more a deep run does.
fn times() -> usize {
    if std::env::var_os("DOCKERVPP_TEST_DEEP").is_some() { 10 } else { 1 }
}

#[test]
fn ten_thousand_connections_come_and_go() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let pair = Pair::start(lab, "userspace")?;
        let _server = pair.serve(&lab.agent, "echo", "9100")?;
        finish(pair.start_client("loop", "9100", 1000)?)?;
        no_sessions(&lab.agent)?;
        let before = (descriptors(&pair.server)?, resident(lab.agent.pid()?)?);
        finish(pair.start_client("loop", "9100", 9000 * times())?)?;
        no_sessions(&lab.agent)?;
        let after = (descriptors(&pair.server)?, resident(lab.agent.pid()?)?);
        ensure!(
            before.0 == after.0,
            "the server's descriptors: {} before, {} after",
            before.0,
            after.0
        );
        ensure!(after.1 < before.1 + (16 << 10), "the agent has {} KiB, had {}", after.1, before.1);
        Ok(())
    });
}

#[test]
fn two_thousand_connections_are_held_at_once() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let pair = Pair::start(lab, "userspace")?;
        let _server = pair.serve(&lab.agent, "echo", "9100")?;
        let before = descriptors(&pair.server)?;
        for _ in 0..2 {
            let mut client = pair.start_client("hold", "9100", 2000)?;
            let held = |line: &str| line.contains("2000 held").then_some(());
            client.line_after(0, PATIENCE, "all are open", held)?;
            let open = lab.agent.list("sessions")?.len();
            ensure!(open == 2000, "{open} sessions are open");
            client.send("")?;
            finish(client)?;
            no_sessions(&lab.agent)?;
            let after = descriptors(&pair.server)?;
            ensure!(before == after, "the server's descriptors: {before} before, {after} after");
        }
        Ok(())
    });
}

/// What the processes of a server said of their streams; fails when one found a wrong byte.
fn said(server: &Process) -> Result<Vec<(String, u64, u64)>> {
    let lines = server.output();
    ensure!(!lines.iter().any(|line| line.contains("WRONG")), "{}", lines.join("\n"));
    let parsed = lines.iter().map(|line| {
        let mut words = line.split(' ');
        let how = words.next().context("how it ended")?.to_owned();
        let mut number = || words.next().and_then(|it| it.parse().ok());
        let (sent, received) = (number().context("sent")?, number().context("received")?);
        Ok((how, sent, received))
    });
    parsed.collect::<Result<_>>().with_context(|| lines.join("\n"))
}

#[test]
fn streams_of_killed_programs_are_right_up_to_their_end() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let pair = Pair::start(lab, "auto")?;
        let server = pair.serve(&lab.agent, "serve", "9100")?;
        let rounds = 8 * times();
        for round in 0..rounds {
            let clients: Vec<_> = (0..4)
                .map(|_| pair.start_client("stream", "9100", usize::MAX >> 2))
                .collect::<Result<_>>()?;
            wait::until(SOON, "all streams move", || {
                let sessions = lab.agent.list("sessions")?;
                let moving = |it: &&serde_json::Value| {
                    it["sent"]["bytes"].as_u64() > Some(1 << 20)
                        && it["received"]["bytes"].as_u64() > Some(1 << 20)
                };
                Ok((sessions.iter().filter(moving).count() >= clients.len()).then_some(()))
            })?;
            let mark = server.mark();
            if round % 2 == 0 {
                // Clients die; the processes of the server tell.
                pair.client.exec_ok(&["killall", "-9", "python3"])?;
                for at in 0..clients.len() {
                    server.line_after(mark + at, SOON, "a server notices", |_| Some(()))?;
                }
                drop(clients);
            } else {
                // The server's processes die, but not the one that accepts; the clients tell.
                let children = "kill -9 $(pidof python3 | tr ' ' '\\n' | sort -n | tail -n +2)";
                pair.server.exec_ok(&["sh", "-c", children])?;
                for client in clients {
                    let lines = finish(client)?;
                    ensure!(lines.iter().any(|line| line.starts_with("gone ")), "{lines:?}");
                }
            }
            no_sessions(&lab.agent).with_context(|| format!("round {round}"))?;
        }
        said(&server)?;
        // It still serves.
        let lines = finish(pair.start_client("stream", "9100", 1 << 24)?)?;
        ensure!(lines.iter().any(|line| line.starts_with("ended 16777216 ")), "{lines:?}");
        Ok(())
    });
}

#[test]
fn streams_go_on_when_the_agent_is_killed() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let pair = Pair::start(lab, "userspace")?;
        let server = pair.serve(&lab.agent, "serve", "9100")?;
        for _ in 0..2 * times() {
            let mark = server.mark();
            let size = 400 << 20;
            let clients: Vec<_> =
                (0..3).map(|_| pair.start_client("stream", "9100", size)).collect::<Result<_>>()?;
            wait::until(SOON, "all streams move", || {
                let sessions = lab.agent.list("sessions")?;
                let moves = |it: &&serde_json::Value| it["sent"]["bytes"].as_u64() > Some(1 << 20);
                Ok((sessions.iter().filter(moves).count() == clients.len()).then_some(()))
            })?;
            lab.crash()?;
            for client in clients {
                let lines = finish(client)?;
                ensure!(lines.iter().any(|it| it.starts_with("ended 419430400 ")), "{lines:?}");
            }
            for at in 0..3 {
                let whole = |line: &str| line.ends_with(" 419430400").then_some(());
                server.line_after(mark + at, SOON, "the server has all", whole)?;
            }
            // The same server, which was not started again, is found through the new agent.
            wait::until_ok(SOON, "a new connection is served", || {
                finish(pair.start_client("stream", "9100", 1 << 20)?)
            })?;
        }
        said(&server)?;
        Ok(())
    });
}
