//! Refusals, and peers that die in the middle of traffic.

use std::time::Duration;

use anyhow::{Result, ensure};
use kit::peer::{End, Job, Peer, Waiting};
use kit::testpmd::{Testpmd, TestpmdOptions};
use kit::wait;
use memif::{InterfaceId, Secret};

use crate::interop;

const SOON: Duration = Duration::from_secs(20);

fn server_with_secret() -> Result<End> {
    let mut ours = End::server();
    if let End::Server(config) = &mut ours {
        config.secret = Some(Secret::new("open sesame")?);
    }
    Ok(ours)
}

fn client(socket: &str, secret: Option<&str>) -> TestpmdOptions {
    let secret = secret.map(str::to_owned);
    TestpmdOptions { secret, ..TestpmdOptions::client(socket) }
}

#[test]
fn right_secret_is_taken_and_others_are_refused() -> Result<()> {
    interop(|| {
        for (secret, taken) in
            [(Some("open sesame"), true), (Some("open barley"), false), (None, false)]
        {
            let socket = kit::unique("secret");
            let peer = Peer::start(&socket, server_with_secret()?, Job::Sink, Waiting::Polling)?;
            let mut testpmd = Testpmd::on_host(&client(&socket, secret))?;
            if taken {
                testpmd.wait_link(true)?;
                ensure!(peer.counts().refusals == 0, "{:?}", peer.words());
            } else {
                peer.wait("the client is refused", |it| it.refusals > 0)?;
                ensure!(!testpmd.link_is_up()?, "{secret:?} was taken");
                ensure!(peer.counts().links == 0);
                wait::until_ok(SOON, "testpmd says that it is refused", || {
                    let said = testpmd.output();
                    ensure!(said.contains("Disconnect received"), "{said}");
                    Ok(())
                })?;
            }
        }
        Ok(())
    })
}

#[test]
fn our_client_is_refused_by_a_dpdk_server_with_another_secret() -> Result<()> {
    interop(|| {
        let socket = kit::unique("secret");
        let secret = Some("open sesame".to_owned());
        let options = TestpmdOptions { secret, ..TestpmdOptions::server(&socket) };
        let mut testpmd = Testpmd::on_host(&options)?;
        let wrong = Peer::start(&socket, End::client(), Job::Sink, Waiting::Polling)?;
        wrong.wait("our client is refused", |it| it.refusals > 0)?;
        ensure!(wrong.words().iter().any(|it| it.contains("ecret")), "{:?}", wrong.words());
        wrong.stop()?;
        ensure!(!testpmd.link_is_up()?);
        let mut ours = End::client();
        if let End::Client(config) = &mut ours {
            config.secret = Secret::new("open sesame")?;
        }
        let right = Peer::start(&socket, ours, Job::Sink, Waiting::Polling)?;
        right.wait_links(1)?;
        testpmd.wait_link(true)
    })
}

#[test]
fn unknown_interface_is_refused() -> Result<()> {
    interop(|| {
        let socket = kit::unique("id");
        let peer = Peer::start(&socket, End::server(), Job::Sink, Waiting::Polling)?;
        let options = TestpmdOptions { id: 9, ..TestpmdOptions::client(&socket) };
        let mut testpmd = Testpmd::on_host(&options)?;
        peer.wait("the client is refused", |it| it.refusals > 0)?;
        ensure!(!testpmd.link_is_up()?);
        let mut ours = End::client();
        if let End::Client(config) = &mut ours {
            config.id = InterfaceId::new(9);
        }
        let socket = kit::unique("id");
        let mut testpmd = Testpmd::on_host(&TestpmdOptions::server(&socket))?;
        let peer = Peer::start(&socket, ours, Job::Sink, Waiting::Polling)?;
        peer.wait("our client is refused", |it| it.refusals > 0)?;
        ensure!(!testpmd.link_is_up()?);
        Ok(())
    })
}

#[test]
fn second_client_is_refused_and_the_first_goes_on() -> Result<()> {
    interop(|| {
        let socket = kit::unique("second");
        let peer = Peer::start(&socket, End::server(), Job::Sink, Waiting::Polling)?;
        let mut first = Testpmd::on_host(&TestpmdOptions::client(&socket))?;
        first.wait_link(true)?;
        let mut second = Testpmd::on_host(&TestpmdOptions::client(&socket))?;
        peer.wait("the second is refused", |it| it.refusals > 0)?;
        ensure!(!second.link_is_up()?);
        first.forward("txonly")?;
        first.start()?;
        peer.wait("frames of the first come", |it| it.received > 10_000)?;
        ensure!(peer.counts().links == 1 && peer.counts().ended == 0);
        Ok(())
    })
}

#[test]
fn dpdk_client_dies_in_traffic_and_comes_back() -> Result<()> {
    interop(|| {
        let socket = kit::unique("dies");
        let peer = Peer::start(&socket, End::server(), Job::Sink, Waiting::Polling)?;
        for round in 1..=4 {
            let mut testpmd = Testpmd::on_host(&TestpmdOptions::client(&socket))?;
            peer.wait_links(round)?;
            testpmd.forward("txonly")?;
            testpmd.start()?;
            let before = peer.counts().received;
            peer.wait("frames come", |it| it.received > before + 10_000)?;
            testpmd.kill()?;
            peer.wait("the end is noticed", |it| it.ended == round)?;
        }
        let counts = peer.stop()?;
        ensure!(counts.faults == 0, "{counts:?}");
        Ok(())
    })
}

#[test]
fn dpdk_server_dies_in_traffic_and_comes_back() -> Result<()> {
    interop(|| {
        let socket = kit::unique("dies");
        // 64-byte frames without end; what a dead server had not read is lost with it.
        let job = Job::Probe { lengths: vec![64], count: u64::MAX, window: u64::MAX };
        let peer = Peer::start(&socket, End::client(), job, Waiting::Polling)?;
        for round in 1..=4 {
            let mut testpmd = Testpmd::on_host(&TestpmdOptions::server(&socket))?;
            peer.wait_links(round)?;
            testpmd.forward("rxonly")?;
            testpmd.start()?;
            testpmd.wait_stats("frames come", |it| it.rx_packets > 10_000)?;
            testpmd.kill()?;
            peer.wait("the end is noticed", |it| it.ended == round)?;
        }
        let counts = peer.stop()?;
        ensure!(counts.faults == 0, "{counts:?}");
        Ok(())
    })
}

#[test]
fn our_server_goes_and_a_dpdk_client_connects_to_the_next() -> Result<()> {
    interop(|| {
        let socket = kit::unique("goes");
        let first = Peer::start(&socket, End::server(), Job::Sink, Waiting::Polling)?;
        let mut testpmd = Testpmd::on_host(&TestpmdOptions::client(&socket))?;
        testpmd.wait_link(true)?;
        first.stop()?;
        testpmd.wait_link(false)?;
        let second = Peer::start(&socket, End::server(), Job::Sink, Waiting::Polling)?;
        // A client of DPDK does not retry by itself.
        testpmd.restart_port()?;
        testpmd.wait_link(true)?;
        second.wait_links(1)?;
        testpmd.forward("txonly")?;
        testpmd.start()?;
        second.wait("frames come", |it| it.received > 10_000)?;
        Ok(())
    })
}
