//! Compose: the example that people start from, as it is and over sessions, and a service that speaks packets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::docker;
use kit::lab::docker_test;
use kit::need::Need;
use kit::process::run;
use kit::{Engine, Image, Lab, World, programs, unique, wait};

const SOON: Duration = Duration::from_secs(30);

/// Where the published port is on the host.
const PORT: &str = "17200";

/// A project of Compose's; dropping it takes it down.
struct Project {
    name: String,
    files: Vec<PathBuf>,
    environment: Vec<(&'static str, String)>,
    down: bool,
}

impl Project {
    fn of(lab: &Lab, files: Vec<PathBuf>) -> Result<Self> {
        let image = Image::session_programs()?.name().to_owned();
        let environment = vec![
            ("DOCKERVPP_DRIVER", lab.agent.driver().to_owned()),
            ("DOCKERVPP_SHIM_FILE", programs::shim()?.canonicalize()?.display().to_string()),
            ("STORE_IMAGE", image.clone()),
            ("WEB_IMAGE", image),
            ("WEB_PORT", PORT.to_owned()),
        ];
        Ok(Self { name: unique("compose"), files, environment, down: false })
    }

    fn tell(&self, verb: &[&str]) -> Result<String> {
        let mut command = compose();
        for file in &self.files {
            command.arg("-f").arg(file);
        }
        command.args(["-p", &self.name]).args(verb).envs(self.environment.iter().cloned());
        run(&mut command)
    }

    fn container(&self, service: &str) -> Result<String> {
        self.tell(&["ps", "-q", service])
    }

    fn take_down(mut self) -> Result<()> {
        self.tell(&["down"])?;
        self.down = true;
        let filter = format!("label=com.docker.compose.project={}", self.name);
        for kind in ["container", "network"] {
            let all = if kind == "container" { &["-a"][..] } else { &[] };
            let left = docker(&[&[kind, "ls", "-q", "--filter", &filter], all].concat())?;
            ensure!(left.is_empty(), "a {kind} is left: {left}");
        }
        Ok(())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if !self.down
            && let Err(error) = self.tell(&["down", "-t", "1"])
        {
            eprintln!("left behind: {}: {error:#}", self.name);
        }
    }
}

/// Compose as a plugin of the `docker` command, or as a program of its own.
fn compose() -> Command {
    let mut plugin = Command::new("docker");
    plugin.arg("compose");
    let is_there = Command::new("docker").args(["compose", "version"]).output();
    if is_there.is_ok_and(|it| it.status.success()) {
        plugin
    } else {
        Command::new("docker-compose")
    }
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/compose").join(file)
}

fn compose_test(test: impl FnOnce(&mut Lab) -> Result<()>) {
    if Engine::Embedded.needed("VPP has a way out of its own, by --vpp-outside") {
        docker_test(&[Need::Compose, Need::SessionPrograms], test);
    }
}

/// What `web` says to somebody outside.
fn visited(world: &World) -> Result<String> {
    let url = format!("http://{}:{PORT}/", world.host()[0]);
    run(&mut world.command("curl", &["-sS", "--fail", "--max-time", "10", &url]))
}

fn example_counts_visits(
    lab: &Lab,
    number: u8,
    files: &[&str],
    check: impl FnOnce(&Lab) -> Result<()>,
) -> Result<()> {
    let world = World::create(number)?;
    // The image of the tests has no Python on its path.
    let folder = tempfile::tempdir()?;
    let python = folder.path().join("python.yaml");
    let command = [kit::need::PYTHON, "-u", "/app/web.py"].join(", ");
    fs::write(&python, format!("services: {{web: {{command: [{command}]}}}}\n"))?;
    let files = files.iter().map(|it| example(it)).chain([python]).collect();
    let project = Project::of(lab, files)?;
    project.tell(&["up", "-d"])?;
    // Each visit is counted, also by those that came before `store` was there; then one follows another.
    let first = wait::until_ok(SOON, "the published port is reached", || visited(&world))?;
    let visit = |text: &str| text.split(' ').nth(1).and_then(|it| it.parse::<u32>().ok());
    let first = visit(&first).with_context(|| first.clone())?;
    let expected = format!("visit {} from {}", first + 1, world.addresses()[0]);
    let second = visited(&world)?;
    ensure!(second == expected, "{second}, not {expected}");
    check(lab)?;
    project.take_down()
}

#[test]
fn the_example_works_as_it_is_and_leaves_nothing() {
    compose_test(|lab| {
        example_counts_visits(lab, 41, &["compose.yaml"], |lab| {
            ensure!(lab.agent.list("sessions")?.is_empty(), "nobody asked for sessions");
            Ok(())
        })
    });
}

#[test]
fn the_example_works_over_sessions_and_leaves_nothing() {
    compose_test(|lab| {
        let files = ["compose.yaml", "compose.sessions.yaml"];
        example_counts_visits(lab, 42, &files, |lab| {
            let listeners = lab.agent.list("listeners")?;
            for address in ["*:6379", "*:8000"] {
                ensure!(
                    listeners.iter().any(|it| it["address"] == address),
                    "nobody listens at {address}: {listeners:?}"
                );
            }
            Ok(())
        })
    });
}

/// A server that speaks TCP over memif, by its own network stack, and a client that knows its name.
#[test]
fn a_service_that_speaks_packets_is_found_by_its_name_and_its_published_port() {
    compose_test(|lab| {
        let world = World::create(43)?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("compose.yaml");
        let (address, mac) = ("10.208.1.10", "02:00:00:d0:01:0a");
        let text = format!(
            "services:
  web:
    image: ${{WEB_IMAGE}}
    command: [memif-station, '@dockervpp/memif', '{mac}', '{address}/24@10.208.1.1', 'fd00:208:1::a/64', serve, '7000']
    mac_address: '{mac}'
    ports: ['${{WEB_PORT}}:7000']
    networks: {{fast: {{ipv4_address: {address}}}}}
  client:
    image: ${{STORE_IMAGE}}
    command: [sleep, '1000000']
    networks: [fast]
networks:
  fast:
    driver: ${{DOCKERVPP_DRIVER}}
    ipam: {{config: [{{subnet: 10.208.1.0/24, gateway: 10.208.1.1}}]}}
"
        );
        fs::write(&file, text)?;
        let project = Project::of(lab, vec![file])?;
        project.tell(&["up", "-d"])?;
        let client = project.container("client")?;
        let echo = "import socket; it = socket.create_connection(('web', 7000), 10); it.sendall(b'hello'); \
                    print(it.recv(5).decode())";
        wait::until_ok(SOON, "the server answers by its name", || {
            let said = docker(&["exec", &client, kit::need::PYTHON, "-c", echo])?;
            ensure!(said == "hello", "{said}");
            Ok(())
        })?;
        let endpoints = lab.agent.list("endpoints")?;
        ensure!(endpoints.iter().any(|it| it["owner"] == "memif"), "{endpoints:?}");
        let to = format!("{}:{PORT}", world.host()[0]);
        run(
            &mut world.command(programs::netprobe()?.display(), &["ask", "stream", &to, "1048576"])
        )?;
        project.take_down()
    });
}
