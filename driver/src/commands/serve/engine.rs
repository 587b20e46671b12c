//! Which engine the agent runs, and starting it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataplane::WorkerConfig;
use miette::Diagnostic;
use tracing::info;
use transport::vcl::Program;

use super::driver_name;
use crate::cli::{EngineKind, HostRootKind, OutsideKind, ServeArgs};
use crate::engine::embedded::{EmbeddedEngine, EmbeddedOptions, WayOut};
use crate::engine::fake::{FakeEngine, World};
use crate::engine::vpp::{VclOptions, VppEngine, VppOptions};
use crate::engine::{AttachmentOptions, Engine, EngineError};
use crate::host::root::{HostRoot, HostRootError};

/// Why no engine was started.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(super) enum ChoiceError {
    /// The networks belong to another engine.
    #[error("the networks in {directory} were made with the engine `{made}`, not `{asked}`")]
    #[diagnostic(
        code(dockervpp::engine::changed),
        help(
            "start the agent with `--engine {made}`; to change the engine, remove the networks \
             first (`docker network rm`). Nothing was changed"
        )
    )]
    Changed { directory: String, made: String, asked: &'static str },
    /// VPP and the agent do not have the same files.
    #[error(
        "the engine `vpp` needs an agent that shares VPP's files, and this one has the root directory of its own"
    )]
    #[diagnostic(
        code(dockervpp::engine::apart),
        help("run the agent as a service of the host instead of a managed plugin")
    )]
    Apart,
    /// The host's files are out of reach.
    #[error("the host's files are out of reach")]
    #[diagnostic(
        code(dockervpp::engine::host_root),
        help(
            "a managed plugin needs `pidhost` and CAP_SYS_PTRACE in its config.json; a service of the host needs no `--host-root`"
        )
    )]
    HostRoot(#[from] HostRootError),
    /// The engine does not start.
    #[error("the engine does not start")]
    #[diagnostic(
        code(dockervpp::engine::start),
        help("`dockervpp doctor` says what this host lacks")
    )]
    Start(#[from] EngineError),
}

/// An engine that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    Embedded,
    Vpp,
    Fake,
}

impl Chosen {
    /// As [`Engine::name`].
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Vpp => "vpp",
            Self::Fake => "fake",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Embedded, Self::Vpp, Self::Fake].into_iter().find(|it| it.name() == name)
    }
}

/// Chooses the engine. `made` is the one that the remembered networks were made with, if there are any;
/// they stay with it, because containers run on them.
pub(super) fn choose(arguments: &ServeArgs, made: Option<&str>) -> Result<Chosen, ChoiceError> {
    let asked = match arguments.engine {
        EngineKind::Embedded => Chosen::Embedded,
        EngineKind::Vpp => Chosen::Vpp,
        EngineKind::Fake => Chosen::Fake,
        EngineKind::Auto => {
            let chosen = made.and_then(Chosen::named);
            if let Some(chosen) = chosen {
                info!(engine = chosen.name(), "the engine that the networks were made with");
                return Ok(chosen);
            }
            return Ok(by_looking(&arguments.vpp_api_socket));
        }
    };
    match made {
        Some(made) if made != asked.name() => Err(ChoiceError::Changed {
            directory: arguments.state_dir.display().to_string(),
            made: made.to_owned(),
            asked: asked.name(),
        }),
        _ => Ok(asked),
    }
}

fn by_looking(socket: &Path) -> Chosen {
    match VppEngine::probe(socket) {
        Ok(()) => {
            info!(engine = "vpp", socket = %socket.display(), "VPP answers");
            Chosen::Vpp
        }
        Err(why) => {
            info!(engine = "embedded", "{why}");
            Chosen::Embedded
        }
    }
}

/// Starts the engine.
pub(super) fn start(chosen: Chosen, arguments: &ServeArgs) -> Result<Arc<dyn Engine>, ChoiceError> {
    let host = match arguments.host_root {
        HostRootKind::Own => HostRoot::own(),
        HostRootKind::Parent if chosen == Chosen::Vpp => return Err(ChoiceError::Apart),
        HostRootKind::Parent => HostRoot::of_parent()?,
    };
    let attachment = AttachmentOptions {
        workers: WorkerConfig {
            workers: usize::from(arguments.workers),
            spin: Duration::from_micros(arguments.spin_microseconds.into()),
        },
        owner: driver_name(arguments),
        vhost_directory: arguments.vhost_user_dir.clone(),
        host,
        ..AttachmentOptions::default()
    };
    Ok(match chosen {
        Chosen::Embedded => Arc::new(EmbeddedEngine::start(EmbeddedOptions {
            attachment,
            way_out: match arguments.outside {
                OutsideKind::Host => WayOut::Host,
                OutsideKind::None => WayOut::None,
            },
            publish: arguments.published_ports,
        })?),
        Chosen::Vpp => Arc::new(VppEngine::start(VppOptions {
            api_socket: arguments.vpp_api_socket.clone(),
            stats_socket: arguments.vpp_stats_socket.clone(),
            outside: arguments.vpp_outside.clone(),
            vcl: VclOptions {
                program: Program::own("vcl-process"),
                library: arguments.vpp_vcl_library.clone(),
            },
            directory: links_directory(&arguments.control_socket),
            attachment,
        })?),
        Chosen::Fake => Arc::new(FakeEngine::on(&World::default())),
    })
}

/// Where the agent and VPP meet: beside the agent's own socket.
fn links_directory(control_socket: &Path) -> std::path::PathBuf {
    control_socket.with_extension("vpp")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn arguments(engine: &str) -> ServeArgs {
        let line =
            ["dockervpp", "serve", "--vpp-api-socket", "/nowhere/api.sock", "--engine", engine];
        match Cli::try_parse_from(line).unwrap().command {
            Command::Serve(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn networks_stay_with_the_engine_that_made_them() {
        for asked in ["embedded", "vpp"] {
            assert_eq!(choose(&arguments(asked), None).unwrap().name(), asked);
            assert_eq!(choose(&arguments(asked), Some(asked)).unwrap().name(), asked);
            let other = if asked == "vpp" { "embedded" } else { "vpp" };
            let error = choose(&arguments(asked), Some(other)).unwrap_err();
            assert!(error.to_string().contains(other), "{error}");
        }
    }

    #[test]
    fn auto_keeps_what_there_is_and_is_embedded_without_vpp() {
        assert_eq!(choose(&arguments("auto"), Some("vpp")).unwrap(), Chosen::Vpp);
        assert_eq!(choose(&arguments("auto"), Some("embedded")).unwrap(), Chosen::Embedded);
        assert_eq!(choose(&arguments("auto"), None).unwrap(), Chosen::Embedded);
    }
}
