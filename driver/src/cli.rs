//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::commands::doctor::DoctorArgs;

/// Where Docker looks for the driver.
pub const PLUGIN_SOCKET: &str = "/run/docker/plugins/dockervpp.sock";

/// Where the agent's own API is.
pub const CONTROL_SOCKET: &str = "/run/dockervpp/control.sock";

/// Where the state is kept.
pub const STATE_DIR: &str = "/var/lib/dockervpp";

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
    Serve(ServeArgs),
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
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages to a directory.
    Man(ManArgs),
}

/// `serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What forwards packets.
    #[arg(long, value_enum, default_value_t = EngineKind::Embedded)]
    pub engine: EngineKind,
    /// Socket on which Docker finds the driver; its file name is the driver's name.
    #[arg(long, value_name = "PATH", default_value = PLUGIN_SOCKET)]
    pub plugin_socket: PathBuf,
    /// Socket of the agent's own API.
    #[arg(long, value_name = "PATH", default_value = CONTROL_SOCKET)]
    pub control_socket: PathBuf,
    /// Directory for networks and endpoints across restarts.
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
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
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: a level, or `module=level` pairs separated by commas.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

/// The engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// The engine in the agent.
    Embedded,
    /// No engine at all, for tests.
    #[value(hide = true)]
    Fake,
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
    /// Ports that containers want published.
    Ports,
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
    fn seconds_are_positive() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "x", "NaN", "inf"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
