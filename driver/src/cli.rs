//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::commands::doctor::DoctorArgs;
use crate::metrics::MetricsAddress;

/// Where Docker looks for the driver.
pub const PLUGIN_SOCKET: &str = "/run/docker/plugins/dockervpp.sock";

/// Where Docker's own API is.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Where the agent's own API is.
pub const CONTROL_SOCKET: &str = "/run/dockervpp/control.sock";

/// Where the agent's options may be written down.
pub const CONFIG_FILE: &str = "/etc/dockervpp/config.toml";

/// Where VPP listens for clients of its API.
pub const VPP_API_SOCKET: &str = "/run/vpp/api.sock";

/// Where VPP gives its counters away.
pub const VPP_STATS_SOCKET: &str = "/run/vpp/stats.sock";

/// Where the folders of vhost-user sockets are.
pub const VHOST_USER_DIR: &str = "/run/dockervpp/vhost-user";

/// Where the state is kept.
pub const STATE_DIR: &str = "/var/lib/dockervpp";

/// Where the preload library is on this host.
pub const SHIM_FILE: &str = "/usr/lib/dockervpp/libvcl_shim.so";

/// Where the preload library is in containers.
pub const SHIM_INSIDE: &str = "/usr/lib/dockervpp/libvcl_shim.so";

const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure, 2 wrong usage, 3 the agent is not \
                          running (or, for `serve`, already running).";

/// A Docker network driver whose data path stays in user space.
#[derive(Debug, Parser)]
#[command(name = "dockervpp", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent: Docker's driver and the engine.
    Serve(Box<ServeArgs>),
    /// `docker run` with the preload library in the container.
    ///
    /// Everything behind the own options is given to `docker run` as it is, with a mount and
    /// `LD_PRELOAD` added; libraries that the container preloads already are kept. Terminal, signals
    /// and exit code are Docker's own.
    #[command(disable_help_flag = true)]
    Run(RunArgs),
    /// Print a CDI file with which `docker run --device dockervpp.io/shim=default` preloads the library.
    Cdi(CdiArgs),
    /// Show what a running agent has.
    Show(ShowArgs),
    /// Write the frames of a network or an endpoint to a pcapng file.
    Capture(CaptureArgs),
    /// Remove a network or endpoint that Docker no longer has.
    ///
    /// This is for objects whose removal the agent missed, because it was not running then. What a
    /// running container uses is refused.
    Forget(ForgetArgs),
    /// Look for what this host lacks, and name the command that helps.
    Doctor(DoctorArgs),
    /// List the options of networks and endpoints.
    Options(OptionsArgs),
    /// Check, show and explain the configuration of the agent.
    Config(ConfigArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages to a directory.
    Man(ManArgs),
    /// What the agent starts for an endpoint with `tcp=vcl`: standard input is the socket to the agent.
    #[command(name = "vcl-process", hide = true, disable_help_flag = true)]
    VclProcess {
        /// Where to attach.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

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
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: a level, or `module=level` pairs separated by commas.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

/// `run`
#[derive(Debug, Args)]
#[command(
    override_usage = "dockervpp run [--shim FILE] [--driver NAME] [--docker FILE] [OPTIONS OF docker run] --network NETWORK IMAGE [COMMAND]…",
    after_help = "Example: dockervpp run --rm --network fast redis redis-server"
)]
pub struct RunArgs {
    /// The preload library on this host.
    #[arg(long, value_name = "FILE", env = "DOCKERVPP_SHIM_FILE", default_value = SHIM_FILE)]
    pub shim: PathBuf,
    /// The name under which Docker knows the agent's driver.
    #[arg(long, value_name = "NAME", env = "DOCKERVPP_DRIVER", default_value = "dockervpp")]
    pub driver: String,
    /// The `docker` command.
    #[arg(long, value_name = "FILE", env = "DOCKERVPP_DOCKER", default_value = "docker")]
    pub docker: PathBuf,
    /// Print help. (`-h` is Docker's.)
    #[arg(long, action = clap::ArgAction::HelpLong)]
    pub help: Option<bool>,
    /// What `docker run` is told.
    #[arg(
        value_name = "ARGUMENT",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub docker_arguments: Vec<OsString>,
}

/// `cdi`
#[derive(Debug, Args)]
#[command(after_help = "Example: dockervpp cdi >/etc/cdi/dockervpp.json")]
pub struct CdiArgs {
    /// The preload library on this host.
    #[arg(long, value_name = "FILE", env = "DOCKERVPP_SHIM_FILE", default_value = SHIM_FILE)]
    pub shim: PathBuf,
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
    /// For people.
    Text,
    /// One JSON object in each line.
    Json,
}

/// Where the agent is.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Socket of the agent's own API.
    #[arg(long, value_name = "PATH", default_value = CONTROL_SOCKET)]
    pub control_socket: PathBuf,
}

/// `show`
#[derive(Debug, Args)]
#[command(after_help = "Docker does not tell drivers the names of networks and containers; \
    `docker network ls --no-trunc` shows which network has which id, `docker network inspect` \
    which endpoints it has.")]
pub struct ShowArgs {
    /// What to show.
    #[arg(value_enum)]
    pub what: ShowWhat,
    /// Only this network: its id or the start of it.
    #[arg(long, value_name = "ID")]
    pub network: Option<String>,
    /// Print JSON with whole ids.
    #[arg(long)]
    pub json: bool,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// What `show` can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShowWhat {
    /// Networks with their subnets and settings.
    Networks,
    /// Endpoints with their addresses, and who owns each address now.
    Endpoints,
    /// Forwarding tables.
    Fdb,
    /// Frames, bytes and drops of each endpoint.
    Counters,
    /// Sessions: sockets of containers whose bytes go through shared memory.
    Sessions,
    /// Where containers listen for sessions.
    Listeners,
    /// Ports that containers want published.
    Ports,
    /// Other hosts that have networks too, by VXLAN, with frames, bytes and drops.
    Vxlan,
}

/// `capture`
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("scope").required(true).args(["network", "endpoint"]),
    after_help = "Docker does not tell drivers the names of networks and containers; `docker \
        network ls --no-trunc` shows which network has which id, `dockervpp show endpoints` which \
        endpoints there are.\n\nExample: dockervpp capture --network 3f2a -w - | tcpdump -nr -"
)]
pub struct CaptureArgs {
    /// All frames of this network: its id or the start of it.
    #[arg(long, value_name = "ID")]
    pub network: Option<String>,
    /// All frames of this endpoint: its id or the start of it.
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// File to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub write: PathBuf,
    /// Bytes kept of each frame.
    #[arg(short, long, value_name = "BYTES", default_value_t = 262_144,
          value_parser = clap::value_parser!(u32).range(14..=262_144))]
    pub snaplen: u32,
    /// Stop after so many frames.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub duration: Option<Duration>,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// `forget`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("object").required(true).args(["network", "endpoint"]))]
pub struct ForgetArgs {
    /// This network: its id or the start of it.
    #[arg(long, value_name = "ID")]
    pub network: Option<String>,
    /// This endpoint: its id or the start of it.
    #[arg(long, value_name = "ID")]
    pub endpoint: Option<String>,
    /// Where the agent is.
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// `options`
#[derive(Debug, Args)]
pub struct OptionsArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// The verbs of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Say whether a configuration file can be used, and what is wrong with it.
    #[command(
        after_help = "Exit codes: 0 it can be used, 1 it has mistakes or cannot be read, 2 wrong usage."
    )]
    Check(ConfigCheckArgs),
    /// Show which options `dockervpp serve` would run with, and where each comes from.
    ///
    /// Takes the options of `serve`.
    Show(Box<ConfigShowArgs>),
    /// Print a file that explains every option.
    Sample,
}

/// `config check`
#[derive(Debug, Args)]
pub struct ConfigCheckArgs {
    /// The file.
    #[arg(value_name = "FILE", default_value = CONFIG_FILE)]
    pub path: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `config show`
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// As of `serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The directory, which must exist.
    pub directory: PathBuf,
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

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration >= Duration::from_millis(1) => Ok(duration),
        _ => Err("must be at least 0.001 seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_dockers_stays_dockers() {
        let parse = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Run(arguments) => arguments,
            other => panic!("{other:?}"),
        };
        let run =
            parse("dockervpp run --driver mine -h host -it --shim=x img cmd --driver other --help");
        assert_eq!(run.driver, "mine");
        assert_eq!(run.docker_arguments.first().unwrap(), "-h");
        assert_eq!(run.docker_arguments.last().unwrap(), "--help");
        assert_eq!(run.docker_arguments.len(), 9);
        assert!(Cli::try_parse_from(["dockervpp", "run"]).is_err());
    }

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

    #[test]
    fn seconds_are_positive() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "x", "NaN", "inf"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
