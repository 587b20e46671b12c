//! `dockervpp serve`: the agent.
//!
//! Everything is restored before Docker's socket appears, so the first call that Docker makes finds
//! what it left. SIGTERM and SIGINT end the agent in order; networks and endpoints stay in the
//! state, and the next start takes them up again.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::WorkerConfig;
use miette::{IntoDiagnostic, WrapErr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::cli::{EngineKind, LogFormat, ServeArgs};
use crate::control::api;
use crate::docker::routes;
use crate::driver::Driver;
use crate::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use crate::engine::fake::{FakeEngine, World};
use crate::engine::{Engine, EngineError};
use crate::server::{self, BoundSocket, ServerError};
use crate::store::Store;

/// Runs the agent until it is told to stop.
pub fn run(arguments: &ServeArgs) -> miette::Result<()> {
    start_logging(arguments)?;
    let started = Instant::now();
    // The state and the sockets are claimed before the engine starts: while another agent is
    // alive nothing of its work may be touched.
    let (store, state) = Store::open(&arguments.state_dir)?;
    server::clear(&arguments.plugin_socket)?;
    let control = BoundSocket::bind(&arguments.control_socket)?;
    let engine = engine(arguments)
        .into_diagnostic()
        .wrap_err("the engine does not start; `dockervpp doctor` says what this host lacks")?;
    for warning in engine.warnings() {
        warn!("{warning}");
    }
    let driver = Arc::new(Driver::new(engine, store, state));
    let report = driver.restore();
    let plugin = BoundSocket::bind(&arguments.plugin_socket)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().into_diagnostic()?;
    let ready = || {
        info!(
            networks = report.networks,
            running = report.running,
            idle = report.idle,
            removed = report.removed,
            failed = report.failed,
            engine = driver.engine().name(),
            plugin = %arguments.plugin_socket.display(),
            control = %arguments.control_socket.display(),
            elapsed = ?started.elapsed(),
            "ready"
        );
    };
    let every = arguments.collect_every;
    let result = runtime.block_on(serve(&driver, control, plugin, every, ready));
    // Calls that outlived their time must not keep a stopped agent alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    info!("stopped; containers keep their endpoints and the next start takes them up");
    result
}

async fn serve(
    driver: &Arc<Driver>,
    control: BoundSocket,
    plugin: BoundSocket,
    collect_every: Duration,
    ready: impl FnOnce(),
) -> miette::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let (stop, stopped) = watch::channel(false);
    let mut services = JoinSet::new();
    let control_api = api::router(Arc::clone(driver), stopped.clone());
    services.spawn(control.serve(control_api, stopped.clone()));
    services.spawn(plugin.serve(routes::router(Arc::clone(driver)), stopped));
    let collector = tokio::spawn(collect(Arc::clone(driver), collect_every));
    ready();

    let mut ended = None;
    tokio::select! {
        _ = terminate.recv() => info!("told to terminate"),
        _ = interrupt.recv() => info!("interrupted"),
        Some(service) = services.join_next() => ended = Some(service),
    }
    stop.send_replace(true);
    collector.abort();
    let mut outcome = ended.map_or(Ok(()), finished);
    while let Some(service) = services.join_next().await {
        outcome = outcome.and(finished(service));
    }
    outcome
}

fn finished(
    service: Result<Result<(), ServerError>, tokio::task::JoinError>,
) -> miette::Result<()> {
    service.into_diagnostic().wrap_err("a service of the agent failed")?.map_err(Into::into)
}

/// Looks for what Docker has forgotten, from time to time.
async fn collect(driver: Arc<Driver>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let driver = Arc::clone(&driver);
        let collecting = tokio::task::spawn_blocking(move || driver.collect(Instant::now()));
        if let Err(error) = collecting.await {
            warn!(%error, "looking for forgotten endpoints failed");
        }
    }
}

fn engine(arguments: &ServeArgs) -> Result<Arc<dyn Engine>, EngineError> {
    match arguments.engine {
        EngineKind::Embedded => {
            let options = EmbeddedOptions {
                workers: WorkerConfig {
                    workers: usize::from(arguments.workers),
                    spin: Duration::from_micros(arguments.spin_microseconds.into()),
                },
                owner: driver_name(&arguments.plugin_socket),
                ..EmbeddedOptions::default()
            };
            Ok(Arc::new(EmbeddedEngine::start(options)?))
        }
        EngineKind::Fake => Ok(Arc::new(FakeEngine::on(&World::default()))),
    }
}

/// The name by which Docker knows the driver: that of its socket.
fn driver_name(plugin_socket: &Path) -> String {
    let stem = plugin_socket.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| "dockervpp".to_owned())
}

fn start_logging(arguments: &ServeArgs) -> miette::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log)
        .into_diagnostic()
        .wrap_err_with(|| format!("`{}` is not a log filter such as `info`", arguments.log))?;
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match arguments.log_format {
        LogFormat::Text => logging.try_init(),
        LogFormat::Json => logging.json().try_init(),
    };
    started.map_err(|error| miette::miette!("cannot start logging: {error}"))
}
