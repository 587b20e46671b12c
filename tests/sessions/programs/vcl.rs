//! The same as `stack` over VPP's own TCP (`tcp=vcl`), with the engine `vpp` only.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use kit::lab::docker_test;
use kit::need::{Need, PYTHON};
use kit::{Container, Engine, Lab, wait};

use super::stack::{
    SOON, Site, ask, exchanges_with_a_station, gives_way_to_a_packet_client, hold, is_reset,
    owned_by, past_the_kernel, serve, site_with,
};

/// Runs `test` where the agents under test drive VPP.
fn on_vpp(test: impl FnOnce(&mut Lab) -> Result<()>) {
    if Engine::Vpp.needed("tcp=vcl is VPP's own TCP") {
        docker_test(&[Need::SessionPrograms, Need::Vpp], test);
    }
}

/// A network whose userspace container is in VPP's host stack.
fn site(lab: &Lab, subnet: u8) -> Result<Site> {
    let site = site_with(lab, subnet, &["-o", "tcp=vcl"])?;
    owned_by(lab, &site, &site.userspace, "vcl")?;
    Ok(site)
}

/// A byte, and many.
fn exchange(from: &Container, to: IpAddr) -> Result<()> {
    for amount in ["1", "20000000"] {
        ask(from, to, "stream", &["7", amount])?;
    }
    Ok(())
}

#[test]
fn vcl_and_tap_containers_exchange_streams_and_pings() {
    on_vpp(|lab| {
        let site = site(lab, 21)?;
        past_the_kernel(&site.userspace, || {
            let _there = serve(lab, &site.tap, false)?;
            for to in site.addresses(&site.tap)? {
                exchange(&site.userspace, to)?;
            }
            let _here = serve(lab, &site.userspace, true)?;
            for to in site.addresses(&site.userspace)? {
                exchange(&site.tap, to)?;
                site.tap.pings(to, SOON)?;
            }
            Ok(())
        })
    });
}

#[test]
fn vcl_finds_ports_closed_at_once() {
    on_vpp(|lab| {
        let site = site(lab, 22)?;
        for to in site.addresses(&site.tap)?.into_iter().chain(site.gateways()?) {
            ask(&site.userspace, to, "closed-stream", &["9"])?;
        }
        for to in site.addresses(&site.userspace)? {
            ask(&site.tap, to, "closed-stream", &["9"])?;
        }
        Ok(())
    });
}

#[test]
fn vcl_and_memif_containers_exchange_streams() {
    on_vpp(|lab| exchanges_with_a_station(lab, &site(lab, 23)?, "ask-stream", exchange));
}

#[test]
fn vcl_gives_its_address_to_a_packet_client_and_takes_it_back() {
    on_vpp(|lab| gives_way_to_a_packet_client(lab, &site(lab, 24)?, "vcl", exchange));
}

#[test]
fn vcl_connections_end_with_agent_and_vpp_and_come_again() {
    on_vpp(|lab| {
        let site = site(lab, 25)?;
        let _there = serve(lab, &site.tap, false)?;
        let _here = serve(lab, &site.userspace, true)?;
        let (inside, outside) = (site.addresses(&site.userspace)?, site.addresses(&site.tap)?);
        for vpp_too in [false, true] {
            let out = hold(&site.userspace, outside[0])?;
            if vpp_too {
                let vpp = lab.agent.vpp().expect("the suite runs on VPP");
                vpp.kill();
                vpp.start_again()?;
            } else {
                lab.crash()?;
            }
            is_reset(&out)?;
            owned_by(lab, &site, &site.userspace, "vcl")?;
            wait::until(SOON, "the server is known again", || {
                Ok((lab.agent.list("listeners")?.len() >= 2).then_some(()))
            })?;
            for (inside, outside) in inside.into_iter().zip(outside) {
                wait::until_ok(SOON, "VPP listens again", || exchange(&site.tap, inside))?;
                exchange(&site.userspace, outside)?;
            }
        }
        Ok(())
    });
}

/// A server that takes one connection and keeps it.
const KEEP: &str = "import socket, time; it = socket.create_server(('', 9)); print('serving', flush=True); \
    kept = it.accept(); time.sleep(600)";

/// A client whose end of the connection comes first.
const END: &str = "import socket, sys; socket.create_connection((sys.argv[1], 9)).close()";

#[test]
fn vpp_keeps_the_tables_of_connections_that_outlive_their_container() {
    on_vpp(|lab| {
        // Dropped last: a network with containers cannot be removed.
        let Site { network, tap, userspace } = site(lab, 26)?;
        let keeping = tap.exec_start(&[PYTHON, "-c", KEEP])?;
        keeping.line_after(0, SOON, "it serves", |line| (line == "serving").then_some(()))?;
        let (own, to) = (userspace.address(&network)?, tap.address(&network)?.to_string());
        userspace.exec_ok(&[PYTHON, "-c", END, &to])?;
        let vpp = lab.agent.vpp().context("the suite runs on VPP")?;
        let ours = format!("show session thread 0 lcl {own} verbose");
        wait::until(SOON, "its end is with VPP", || {
            Ok(vpp.cli(&ours)?.contains("FIN_WAIT").then_some(()))
        })?;
        userspace.remove()?;
        let (tables, sessions) = (vpp.cli("show ip table")?, vpp.cli(&ours)?);
        // In this order: what is in a table then was in it before.
        if sessions.contains("FIN_WAIT") {
            ensure!(tables.contains(":host"), "{sessions} but {tables}");
        }
        wait::until(SOON, "they go when VPP is done", || {
            Ok((!vpp.cli("show ip table")?.contains(":host")).then_some(()))
        })?;
        ensure!(!vpp.cli(&ours)?.contains("FIN_WAIT"), "tables went before connections");
        Ok(())
    });
}
