//! testpmd against itself: if this fails, the machine or the kit is at fault, not memif-rs.

use anyhow::{Context as _, Result};
use kit::Network;
use kit::docker::RunOptions;
use kit::lab::Turn;
use kit::need::{Need, met};
use kit::testpmd::{Testpmd, TestpmdOptions};

#[test]
fn testpmd_reaches_testpmd() -> Result<()> {
    if !met(&[Need::Root, Need::Testpmd]) {
        return Ok(());
    }
    let _turn = Turn::take()?;
    let socket = kit::unique("anchor");
    let mut server =
        Testpmd::on_host(&TestpmdOptions { cpu: 0, ..TestpmdOptions::server(&socket) })?;
    let mut client = Testpmd::on_host(&TestpmdOptions::client(&socket))?;
    exchange(&mut server, &mut client)?;
    client.quit()?;
    server.quit()
}

#[test]
fn testpmd_reaches_testpmd_inside_containers() -> Result<()> {
    if !met(&[Need::Root, Need::Docker, Need::Busybox, Need::Testpmd]) {
        return Ok(());
    }
    let _turn = Turn::take()?;
    let network = Network::create("bridge", &[])?;
    let server = TestpmdOptions { cpu: 0, ..TestpmdOptions::server("anchor") };
    let mut server = Testpmd::in_container(&server, RunOptions::default().on(&network))?;
    // In the server's network namespace, where its abstract socket is.
    let place = format!("container:{}", server.container().context("it is in a container")?.name());
    let run = RunOptions::default().flags(&["--network", &place]);
    let mut client = Testpmd::in_container(&TestpmdOptions::client("anchor"), run)?;
    exchange(&mut server, &mut client)
}

/// Sends for a moment and compares both counts.
fn exchange(server: &mut Testpmd, client: &mut Testpmd) -> Result<()> {
    client.wait_link(true)?;
    server.wait_link(true)?;
    server.forward("rxonly")?;
    server.start()?;
    client.forward("txonly")?;
    client.start()?;
    client.wait_stats("the client sends", |it| it.tx_packets > 100_000)?;
    client.stop()?;
    let sent = client.settled_stats()?;
    let received = server.settled_stats()?;
    assert_eq!(received.rx_packets, sent.tx_packets);
    Ok(())
}
