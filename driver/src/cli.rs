//! The command line.

mod serve;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub use self::serve::{DockerSocket, EngineKind, HostRootKind, LogFormat, OutsideKind, ServeArgs};
use crate::commands::doctor::DoctorArgs;

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
    fn seconds_are_positive() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "x", "NaN", "inf"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
