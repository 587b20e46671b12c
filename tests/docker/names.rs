//! Names: Docker's own name server answers in containers of every kind, for its names and for those of
//! the outside.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::need::Need;
use kit::process::{Process, run};
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

/// A name server outside, at an address of each IP version, and the name that it knows.
struct Outside {
    world: World,
    servers: Vec<Process>,
}

const KNOWN: &str = "host.test";

impl Outside {
    fn start(subnet: u8) -> Result<Self> {
        let world = World::create(subnet)?;
        let known = world.addresses().map(|address| format!("{KNOWN}={address}"));
        let mut servers = Vec::new();
        for address in world.addresses() {
            let at = SocketAddr::new(address, 53).to_string();
            let arguments = [&at, &known[0], &known[1]].map(String::as_str);
            let server = world.start(programs::name_server()?.display(), &arguments)?;
            server.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
            servers.push(server);
        }
        Ok(Self { world, servers })
    }

    /// What the name is known to be.
    fn addresses(&self) -> String {
        let [four, six] = self.world.addresses();
        format!("{four} {six}")
    }

    /// Whether the server of that IP version was asked for a name, over UDP or TCP.
    fn was_asked(&self, server: usize, name: &str, over: &str) -> bool {
        let about = |it: &String| it.contains(&format!(" {name} ")) && it.ends_with(over);
        self.servers[server].output().iter().any(about)
    }

    /// What a name server says may be read after its answer came.
    fn is_asked(&self, server: usize, name: &str, over: &str) -> Result<()> {
        wait::until(SOON, &format!("a name server is asked for {name} over {over}"), || {
            Ok(self.was_asked(server, name, over).then_some(()))
        })
    }

    /// A container finds the name, and that another one is none.
    fn is_known_to(&self, container: &Container) -> Result<()> {
        let found = looked_up(container, KNOWN)?;
        ensure!(found == self.addresses(), "{KNOWN} is {found}");
        let unknown = container.exec(&python(LOOK_UP, "other.test"))?;
        ensure!(!unknown.success, "there is no such name");
        ensure!(unknown.errors.contains(NO_SUCH_NAME), "{}", unknown.errors);
        Ok(())
    }
}

/// What the C library says when a name server knew that there is no such name: not that none answered.
const NO_SUCH_NAME: &str = "Name or service not known";

/// Tests of what the embedded engine does.
fn outside_test(needs: &[Need], test: impl FnOnce(&mut Lab) -> Result<()>) {
    if Engine::Embedded.needed("VPP has a way out of its own, by --vpp-outside") {
        docker_test(needs, test);
    }
}

fn counted(lab: &Lab, kind: &str, what: &str) -> Result<u64> {
    let all = lab.agent.list("counters")?;
    Ok(all.iter().filter_map(|it| it[kind][what].as_u64()).sum())
}

#[test]
fn names_of_the_outside_are_asked_of_the_name_server_that_is_given() {
    outside_test(&[], |lab| {
        let outside = Outside::start(11)?;
        let image = Image::session_programs()?;
        for (subnet, attach) in (11..).zip(["attach=auto", "attach=userspace"]) {
            let network = dual_stack(lab, attach, subnet)?;
            for (server, address) in outside.world.addresses().into_iter().enumerate() {
                let dns = ["--dns", &address.to_string()];
                let options = RunOptions::default().on(&network).flags(&dns);
                let with = Container::run(&image, &options.clone().shimmed()?)?;
                outside.is_known_to(&with).with_context(|| format!("{attach}, {address}"))?;
                let without = Container::run(&image, &options)?;
                outside.is_known_to(&without).context("without the preload library")?;
                outside.is_asked(server, KNOWN, "UDP")?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_name_server_among_the_containers_can_be_asked() {
    docker_test(&[], |lab| {
        let network = dual_stack(lab, "attach=userspace", 4)?;
        let auto = format!("name={},driver-opt=attach=auto", network.name());
        let serve = ["name-server", "0.0.0.0:53", "host.test=192.0.2.9"];
        let options = RunOptions::default().flags(&["--network", &auto]).command(&serve);
        let image = Image::session_programs()?;
        let server = Container::run(&image, &options)?;
        let dns = ["--dns", &server.address(&network)?.to_string()];
        let options = RunOptions::default().on(&network).flags(&dns).shimmed()?;
        let client = Container::run(&image, &options)?;
        wait::until_ok(SOON, "the name server answers", || {
            let found = looked_up(&client, KNOWN)?;
            ensure!(found == "192.0.2.9", "{KNOWN} is {found}");
            Ok(())
        })
    });
}

#[test]
fn programs_reach_by_name_what_is_outside() {
    outside_test(&[], |lab| {
        let outside = Outside::start(12)?;
        let serve = ["-m", "http.server", "8000", "--bind", "::"];
        let _web = outside.world.start(kit::need::PYTHON, &serve)?;
        let network = dual_stack(lab, "attach=userspace", 5)?;
        let [four, _] = outside.world.addresses().map(|address| address.to_string());
        let options = RunOptions::default().on(&network).flags(&["--dns", &four]).shimmed()?;
        let client = Container::run(&Image::session_programs()?, &options)?;
        wait::until_ok(SOON, "the server outside answers by its name", || {
            let status = client.exec_ok(&python(FETCH, KNOWN))?;
            ensure!(status.trim() == "200", "{status}");
            Ok(())
        })?;
        ensure!(counted(lab, "names", "queries")? > 0 && counted(lab, "names", "answers")? > 0);
        ensure!(counted(lab, "drops", "kernel-stray")? == 0, "all else went by sessions");
        Ok(())
    });
}

#[test]
fn programs_linked_against_musl_know_names_of_the_outside() {
    outside_test(&[Need::Musl], |lab| {
        let folder = tempfile::tempdir()?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/docker/inside/look_up.c");
        let program = folder.path().join("look_up");
        let arguments = ["-std=c11", "-O2", "-Wall", "-Werror", "-static", "-o"];
        run(Command::new("musl-gcc").args(arguments).arg(&program).arg(source))?;
        let mount = format!("{}:/programs:ro", folder.path().display());
        let outside = Outside::start(13)?;
        let network = dual_stack(lab, "attach=userspace", 6)?;
        for address in outside.world.addresses() {
            let flags = ["-v", &mount, "--dns", &address.to_string()];
            let options = RunOptions::default().on(&network).flags(&flags);
            let container = Container::run(&Image::busybox()?, &options)?;
            let found = container.exec_ok(&["/programs/look_up", KNOWN])?;
            ensure!(found.trim() == outside.addresses(), "{KNOWN} is {found}");
            ensure!(!container.exec(&["/programs/look_up", "other.test"])?.success);
        }
        Ok(())
    });
}

/// Asks a name server over TCP for an address, and prints the code and the number of answers.
const OVER_TCP: &str = "import socket, struct, sys; \
    name = b''.join(bytes([len(it)]) + it for it in sys.argv[1].encode().split(b'.')) + bytes(1); \
    asked = struct.pack('>6H', 7, 256, 1, 0, 0, 0) + name + struct.pack('>2H', 1, 1); \
    it = socket.create_connection((sys.argv[2], 53), timeout=10).makefile('rwb'); \
    it.write(struct.pack('>H', len(asked)) + asked); it.flush(); \
    answer = it.read(struct.unpack('>H', it.read(2))[0]); \
    print(answer[3] & 15, struct.unpack('>H', answer[6:8])[0])";

#[test]
fn name_servers_are_asked_over_tcp_too() {
    outside_test(&[], |lab| {
        let outside = Outside::start(14)?;
        let network = dual_stack(lab, "attach=userspace", 7)?;
        let container = Container::idle(&Image::session_programs()?, &network)?;
        for (server, address) in outside.world.addresses().into_iter().enumerate() {
            let address = address.to_string();
            for (name, expected) in [(KNOWN, "0 1"), ("other.test", "3 0")] {
                let ask = [kit::need::PYTHON, "-c", OVER_TCP, name, &address];
                let said = container.exec_ok(&ask)?;
                ensure!(said.trim() == expected, "{address}, {name}: {said}");
                outside.is_asked(server, name, "TCP")?;
            }
        }
        ensure!(counted(lab, "drops", "kernel-stray")? == 0);
        Ok(())
    });
}

#[test]
fn names_of_the_outside_are_known_after_a_crash_of_the_agent() {
    outside_test(&[], |lab| {
        let outside = Outside::start(15)?;
        let network = dual_stack(lab, "attach=userspace", 8)?;
        let [four, six] = outside.world.addresses().map(|address| address.to_string());
        let dns = ["--dns", &four, "--dns", &six];
        let options = RunOptions::default().on(&network).flags(&dns).shimmed()?;
        let container = Container::run(&Image::session_programs()?, &options)?;
        for _ in 0..2 {
            outside.is_known_to(&container)?;
            lab.crash()?;
        }
        wait::until_ok(SOON, "the new agent passes questions on", || {
            outside.is_known_to(&container)
        })
    });
}

#[test]
fn internal_networks_know_names_of_containers_alone() {
    outside_test(&[], |lab| {
        let outside = Outside::start(16)?;
        let pools = ["--subnet", "10.205.9.0/24", "--ipv6", "--subnet", "fd00:205:9::/64"];
        let inside = ["--internal", "-o", "attach=userspace"];
        let network = lab.network(&[&inside[..], &pools].concat())?;
        let [four, _] = outside.world.addresses().map(|address| address.to_string());
        let options = RunOptions::default().on(&network).flags(&["--dns", &four]);
        let image = Image::session_programs()?;
        let other = Container::run(&image, &options.clone().flags(&["--network-alias", "web"]))?;
        let container = Container::run(&image, &options.shimmed()?)?;
        let address = other.address(&network)?.to_string();
        ensure!(looked_up(&container, "web")?.split(' ').any(|it| it == address));
        ensure!(!container.exec(&python(LOOK_UP, KNOWN))?.success, "there is no way outside");
        for server in 0..2 {
            ensure!(!outside.was_asked(server, KNOWN, "UDP"), "the outside was asked");
        }
        Ok(())
    });
}

/// Sends one datagram.
const SEND: &str = "import socket, sys; \
    family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET; \
    socket.socket(family, socket.SOCK_DGRAM).sendto(b'stray', (sys.argv[1], 5353))";

/// Connects to port 80, and says what came of it.
const CONNECT: &str = "import socket, sys; \
    socket.create_connection((sys.argv[1], 80), timeout=1)";

#[test]
fn what_is_not_for_a_name_server_is_dropped_and_counted() {
    outside_test(&[], |lab| {
        let outside = Outside::start(17)?;
        let serve = ["-m", "http.server", "80", "--bind", "::"];
        let _web = outside.world.start(kit::need::PYTHON, &serve)?;
        let network = dual_stack(lab, "attach=userspace", 10)?;
        // Without the preload library, so that the kernel has to do it.
        let container = Container::idle(&Image::session_programs()?, &network)?;
        let to_world = || -> Result<u64> {
            let seen = lab.agent.list("counters")?;
            Ok(seen.iter().filter_map(|it| it["rx_frames"].as_u64()).sum())
        };
        let sent_before = to_world()?;
        for address in outside.world.addresses() {
            let address = address.to_string();
            let strays = || counted(lab, "drops", "kernel-stray");
            let attempts: [(&[&str], bool); 3] = [
                (&["ping", "-c", "1", "-W", "1", &address], false),
                (&[kit::need::PYTHON, "-c", CONNECT, &address], false),
                (&[kit::need::PYTHON, "-c", SEND, &address], true),
            ];
            for (attempt, succeeds) in attempts {
                let before = strays()?;
                let outcome = container.exec(attempt)?;
                ensure!(outcome.success == succeeds, "{attempt:?}: {}", outcome.errors);
                wait::until(SOON, &format!("{attempt:?} is counted"), || {
                    Ok((strays()? > before).then_some(()))
                })?;
            }
        }
        ensure!(counted(lab, "names", "queries")? == 0, "nothing was passed on");
        ensure!(to_world()? == sent_before, "the endpoint sent something");
        Ok(())
    });
}
