//! The arguments of `dockervpp serve`, and what they can be.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{
    CONFIG_FILE, CONTROL_SOCKET, DOCKER_SOCKET, PLUGIN_SOCKET, STATE_DIR, VHOST_USER_DIR,
    VPP_API_SOCKET, VPP_STATS_SOCKET, parse_seconds,
};
use crate::engine::embedded::PublishBy;
use crate::metrics::MetricsAddress;

/// `serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// File with these options, as TOML; the command line comes first. The default one is read if it is there.
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE)]
    pub config: PathBuf,
    /// What forwards packets.
    #[arg(long, value_enum, default_value_t = EngineKind::Embedded)]
    pub engine: EngineKind,
    /// VPP's API socket, for the engine `vpp`.
    #[arg(long, value_name = "PATH", default_value = VPP_API_SOCKET)]
    pub vpp_api_socket: PathBuf,
    /// The socket at which VPP gives its counters away, for the engine `vpp`.
    #[arg(long, value_name = "PATH", default_value = VPP_STATS_SOCKET)]
    pub vpp_stats_socket: PathBuf,
    /// VPP's interface to the outside: addresses of containers are translated there, and published ports
    /// are reached. Without it networks have no way out.
    #[arg(long, value_name = "INTERFACE")]
    pub vpp_outside: Option<String>,
    /// The libvppcom that endpoints of networks with `tcp=vcl` use, for the engine `vpp`; otherwise the one of VPP's
    /// release is looked for in `LD_LIBRARY_PATH` and the usual folders.
    #[arg(long, value_name = "PATH")]
    pub vpp_vcl_library: Option<PathBuf>,
    /// How networks reach the outside with the engine `embedded`.
    #[arg(long, value_enum, default_value_t = OutsideKind::Host)]
    pub outside: OutsideKind,
    /// How TCP ports that are published lead to programs with sessions, with the engine `embedded`.
    #[arg(long, value_enum, default_value_t = PublishBy::Auto)]
    pub published_ports: PublishBy,
    /// Socket on which Docker finds the driver; its file name is the driver's name.
    #[arg(long, value_name = "PATH", default_value = PLUGIN_SOCKET)]
    pub plugin_socket: PathBuf,
    /// The name by which Docker knows the driver, if it is not that of the plugin socket's file: `NAME:TAG` of a
    /// managed plugin.
    #[arg(long, value_name = "NAME")]
    pub driver_name: Option<String>,
    /// Whose root directory leads to the network namespaces of containers and the kernel's settings: the agent's own,
    /// or, for a managed plugin, that of the process that started it.
    #[arg(long, value_enum, default_value_t = HostRootKind::Own)]
    pub host_root: HostRootKind,
    /// Socket of the agent's own API.
    #[arg(long, value_name = "PATH", default_value = CONTROL_SOCKET)]
    pub control_socket: PathBuf,
    /// Directory for networks and endpoints across restarts.
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
    /// Directory of the sockets of endpoints with `attach=vhost-user`, each in a folder of its own.
    #[arg(long, value_name = "DIR", default_value = VHOST_USER_DIR)]
    pub vhost_user_dir: PathBuf,
    /// Worker threads of the engine; a network lives on one of them.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// How long a worker polls after its last frame before it sleeps.
    #[arg(long, value_name = "US", default_value_t = 50)]
    pub spin_microseconds: u32,
    /// How often to look for containers that ended without Docker's saying so.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub collect_every: Duration,
    /// Socket of Docker's API, where the agent looks for networks and endpoints that Docker no
    /// longer has; `none`: it does not look.
    #[arg(long, value_name = "PATH", default_value = DOCKER_SOCKET, value_parser = parse_docker_socket)]
    pub docker_socket: DockerSocket,
    /// How often to compare with Docker while both agree.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub docker_every: Duration,
    /// Serve metrics for Prometheus at this socket: `unix:PATH` or `tcp:ADDRESS:PORT`; path `/metrics`.
    #[arg(long, value_name = "unix:/PATH")]
    pub metrics: Option<MetricsAddress>,
    /// Let `--metrics` be an address that other hosts reach. Everybody there can read the metrics.
    #[arg(long)]
    pub metrics_remote: bool,
    /// How log lines look, and where they go.
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// What is logged: a level, or `module=level` pairs separated by commas.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

/// Whether and where Docker is asked what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerSocket {
    /// It is not.
    None,
    /// Behind this socket.
    At(PathBuf),
}

/// The engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// The engine in the agent.
    Embedded,
    /// FD.io VPP, driven over its API socket.
    Vpp,
    /// `vpp` if VPP answers, `embedded` otherwise; networks that exist stay with their engine.
    Auto,
    /// No engine at all, for tests.
    #[value(hide = true)]
    Fake,
}

/// Whose root directory leads to what is the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostRootKind {
    /// The agent's own.
    Own,
    /// That of the process that started the agent.
    Parent,
}

/// How networks reach the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutsideKind {
    /// Through the host's kernel: it routes, translates addresses, and publishes ports.
    Host,
    /// Not at all: networks end at their gateway, and the host's packet filter is left alone.
    None,
}

/// The log formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `journal` where standard error leads to the systemd journal, `text` elsewhere.
    Auto,
    /// For people, on standard error.
    Text,
    /// One JSON object in each line, on standard error.
    Json,
    /// Entries of the systemd journal, with level and fields.
    Journal,
}

/// A path, the same as in `DOCKER_HOST` (`unix:///…`), or `none`.
fn parse_docker_socket(text: &str) -> Result<DockerSocket, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    match path {
        "" | "none" => Ok(DockerSocket::None),
        _ if path.contains("://") => {
            Err("only a unix socket on this host can be asked; `none` turns the look off"
                .to_owned())
        }
        _ if !path.starts_with('/') => {
            Err(format!("`{path}` is no absolute path; `none` turns the look off"))
        }
        _ => Ok(DockerSocket::At(PathBuf::from(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_is_behind_a_unix_socket_or_nowhere() {
        let at = |path: &str| Ok(DockerSocket::At(PathBuf::from(path)));
        assert_eq!(parse_docker_socket("/run/docker.sock"), at("/run/docker.sock"));
        assert_eq!(parse_docker_socket("unix:///run/user/1/d.sock"), at("/run/user/1/d.sock"));
        assert_eq!(parse_docker_socket("none"), Ok(DockerSocket::None));
        assert_eq!(parse_docker_socket(""), Ok(DockerSocket::None));
        for bad in ["tcp://10.0.0.1:2375", "docker.sock", "ssh://me@there"] {
            assert!(parse_docker_socket(bad).is_err(), "{bad}");
        }
    }
}
