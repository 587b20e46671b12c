//! Names: Docker's own name server answers in containers of every kind, for its names and for those of
//! the outside.

use std::time::Duration;

use anyhow::{Result, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::{Container, Engine, Image, Lab, Network, World, programs, wait};

const SOON: Duration = Duration::from_secs(20);

/// Resolves by the C library and prints the addresses, as unmodified programs do.
const LOOK_UP: &str = "import socket, sys; \
    print(*sorted({it[4][0] for it in socket.getaddrinfo(sys.argv[1], 80)}))";

/// Fetches what the server of that name serves.
const FETCH: &str = "import sys, urllib.request; \
    print(urllib.request.urlopen(f'http://{sys.argv[1]}:8000/', timeout=20).status)";

fn python<'a>(script: &'a str, name: &'a str) -> [&'a str; 4] {
    [kit::need::PYTHON, "-c", script, name]
}

fn looked_up(container: &Container, name: &str) -> Result<String> {
    Ok(container.exec_ok(&python(LOOK_UP, name))?.trim().to_owned())
}

fn dual_stack(lab: &Lab, attach: &str, subnet: u8) -> Result<Network> {
    let (v4, v6) = (format!("10.205.{subnet}.0/24"), format!("fd00:205:{subnet}::/64"));
    let (gateway4, gateway6) = (format!("10.205.{subnet}.1"), format!("fd00:205:{subnet}::1"));
    let pools = ["--subnet", &v4, "--gateway", &gateway4, "--subnet", &v6, "--gateway", &gateway6];
    lab.network(&[&["--ipv6", "-o", attach][..], &pools].concat())
}

#[test]
fn names_and_aliases_of_neighbours_are_known_in_every_kind() {
    docker_test(&[], |lab| {
        let image = Image::session_programs()?;
        for (subnet, attach) in (1..).zip(["attach=auto", "attach=userspace"]) {
            let network = dual_stack(lab, attach, subnet)?;
            let options = RunOptions::default().on(&network).shimmed()?;
            let serve = [kit::need::PYTHON, "-m", "http.server", "8000"];
            let server = Container::run(
                &image,
                &options.clone().flags(&["--network-alias", "web"]).command(&serve),
            )?;
            let added = ["--add-host", "elsewhere:192.0.2.7"];
            let client = Container::run(&image, &options.flags(&added))?;
            let address = server.address(&network)?.to_string();
            for name in [server.name(), "web"] {
                let found = looked_up(&client, name)?;
                ensure!(found.split(' ').any(|it| it == address), "{attach}: {name} is {found}");
                wait::until_ok(SOON, "the server answers by its name", || {
                    let status = client.exec_ok(&python(FETCH, name))?;
                    ensure!(status.trim() == "200", "{status}");
                    Ok(())
                })?;
            }
            ensure!(looked_up(&client, "elsewhere")? == "192.0.2.7");
            ensure!(!client.exec(&python(LOOK_UP, "nobody"))?.success, "{attach}: nobody is there");
        }
        Ok(())
    });
}

#[test]
fn names_of_the_outside_are_asked_of_the_name_server_that_is_given() {
    if Engine::under_test() != Engine::Embedded {
        return;
    }
    docker_test(&[], |lab| {
        let world = World::create(11)?;
        let [four, six] = world.addresses();
        let image = Image::session_programs()?;
        let known = [format!("host.test={four}"), format!("host.test={six}")];
        let at = format!("{four}:53");
        let arguments = [&at, &known[0], &known[1]].map(String::as_str);
        let server = world.start(programs::name_server()?.display(), &arguments)?;
        server.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
        let network = dual_stack(lab, "attach=auto", 3)?;
        let (options, dns) = (RunOptions::default().on(&network).shimmed()?, four.to_string());
        let one = Container::run(&image, &options.flags(&["--dns", &dns]))?;
        let found = looked_up(&one, "host.test")?;
        ensure!(found == format!("{four} {six}"), "host.test is {found}");
        ensure!(!one.exec(&python(LOOK_UP, "other.test"))?.success, "there is no such name");
        Ok(())
    });
}
