//! The containers in which programs of benchmarks run.

use std::fs;
use std::rc::Rc;

use anyhow::{Result, bail};
use kit::docker::RunOptions;
use kit::{Agent, Container, Image, Network};

use super::Fixtures;
use crate::benchmark::Joint;

/// A network, and which programs on it have the preload library.
#[derive(Debug)]
pub(super) struct Joined {
    /// To be dropped before the agent that serves it.
    pub(super) network: Network,
    /// `None` where Docker's own driver serves it.
    pub(super) agent: Option<Rc<Agent>>,
    pub(super) server_has_shim: bool,
    pub(super) client_has_shim: bool,
}

impl Fixtures {
    /// Makes the network of a joint between containers.
    pub(super) fn join(&mut self, joint: Joint) -> Result<Joined> {
        match joint {
            Joint::DockerBridge => Ok(Joined {
                network: Network::create("bridge", &[])?,
                agent: None,
                server_has_shim: false,
                client_has_shim: false,
            }),
            Joint::Ours { attach, server, client } => {
                let agent = self.agent()?;
                let option = format!("attach={attach}");
                let network = Network::create(agent.driver(), &["-o", &option])?;
                Ok(Joined {
                    network,
                    agent: Some(agent),
                    server_has_shim: server,
                    client_has_shim: client,
                })
            }
            Joint::Loopback | Joint::UnixSocket => bail!("{joint:?} has no containers"),
        }
    }
}

/// The files that programs in containers read; to be kept as long as the containers.
#[derive(Debug)]
pub(super) struct Files(tempfile::TempDir);

impl Files {
    /// nginx's configuration and page, and a user for it.
    pub(super) fn make() -> Result<Self> {
        const NGINX: &str = "user root; daemon off; worker_processes 1; pid /tmp/nginx.pid;
error_log stderr; events { worker_connections 1024; }
http {
  access_log off; sendfile on; keepalive_requests 1000000000;
  client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3;
  uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
  server { listen 8080 backlog=4096; location / { root /bench/page; } }
}
";
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        fs::write(path.join("nginx.conf"), NGINX)?;
        fs::write(path.join("passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        fs::write(path.join("group"), "root:x:0:\n")?;
        fs::create_dir(path.join("page"))?;
        fs::write(path.join("page/index.html"), "x".repeat(612))?;
        Ok(Self(folder))
    }

    /// Starts a container on one CPU with these files, with the preload library if it is to have it.
    pub(super) fn run(&self, network: &Network, place: &Place<'_>) -> Result<Container> {
        let folder = self.0.path().display();
        let mounts = [("", "bench"), ("/passwd", "etc/passwd"), ("/group", "etc/group")]
            .map(|(file, inside)| format!("{folder}{file}:/{inside}:ro"));
        let cpu = place.cpu.to_string();
        let mut flags = vec!["--cpuset-cpus", &cpu];
        flags.extend(mounts.iter().flat_map(|mount| ["-v", mount]));
        flags.extend(place.flags);
        let options = RunOptions::default().flags(&flags).on(network).command(place.command);
        let options = if place.shim { options.shimmed()? } else { options };
        Container::run(&Image::session_programs()?, &options)
    }
}

/// Where a program runs, and which.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// Whether it has the preload library.
    pub(super) shim: bool,
    /// The only CPU that it may use.
    pub(super) cpu: usize,
    /// More flags of `docker run`.
    pub(super) flags: &'a [&'a str],
    /// Nothing for a container that idles until something is executed in it.
    pub(super) command: &'a [&'a str],
}
