//! `dockervpp serve`: the agent.
//!
//! Everything is restored before Docker's socket appears, so the first call that Docker makes finds
//! what it left. SIGTERM and SIGINT end the agent in order; networks and endpoints stay in the
//! state, and the next start takes them up again.

mod engine;
mod service_manager;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use miette::{IntoDiagnostic, WrapErr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::cli::{DockerSocket, HostRootKind, ServeArgs};
use crate::config;
use crate::control::api;
use crate::docker::routes;
use crate::driver::Driver;
use crate::logging;
use crate::metrics::{Api, Metrics, MetricsSocket};
use crate::reconcile::engine_api::EngineApi;
use crate::reconcile::{Pace, Reconciler};
use crate::server::{self, BoundSocket, ServerError};
use crate::store::Store;
use service_manager::Watchdog;

/// As [`run`], with what command line and configuration file say. `matches` are those of `serve`.
pub fn run_as(matches: &clap::ArgMatches) -> miette::Result<()> {
    run(&config::effective(matches)?.arguments)
}

/// Runs the agent until it is told to stop.
pub fn run(arguments: &ServeArgs) -> miette::Result<()> {
    logging::start(arguments.log_format, &arguments.log)?;
    let started = Instant::now();
    allow_descriptors();
    // The state and the sockets are claimed before the engine starts: while another agent is
    // alive nothing of its work may be touched.
    let (store, state) = Store::open(&arguments.state_dir)?;
    server::clear(&arguments.plugin_socket)?;
    let control = BoundSocket::bind(&arguments.control_socket)?;
    let chosen = engine::choose(arguments, store.engine_of(&state)?.as_deref())?;
    store.record_engine(chosen.name())?;
    let engine = engine::start(chosen, arguments)?;
    for warning in engine.warnings() {
        warn!("{warning}");
    }
    let driver = Arc::new(Driver::new(engine, store, state));
    let report = driver.restore();
    let plugin = BoundSocket::bind(&arguments.plugin_socket)?;
    let metrics = arguments.metrics.as_ref();
    let metrics =
        metrics.map(|at| MetricsSocket::bind(at, arguments.metrics_remote)).transpose()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().into_diagnostic()?;
    let metrics_at = metrics.as_ref().map(MetricsSocket::address);
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
            metrics = metrics_at,
            elapsed = ?started.elapsed(),
            "ready"
        );
        service_manager::ready(&driver);
    };
    let watchdog = Watchdog::start(&driver, runtime.handle())
        .into_diagnostic()
        .wrap_err("cannot start the watchdog's thread")?;
    let sockets = Sockets { control, plugin, metrics };
    let result = runtime.block_on(serve(&driver, sockets, arguments, ready));
    drop(watchdog);
    // Calls that outlived their time must not keep a stopped agent alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if arguments.host_root == HostRootKind::Parent {
        remove_empty_folders(arguments);
    }
    info!("stopped; containers keep their endpoints and the next start takes them up");
    result
}

/// What is served on.
struct Sockets {
    control: BoundSocket,
    plugin: BoundSocket,
    metrics: Option<MetricsSocket>,
}

async fn serve(
    driver: &Arc<Driver>,
    sockets: Sockets,
    arguments: &ServeArgs,
    ready: impl FnOnce(),
) -> miette::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    let (stop, stopped) = watch::channel(false);
    let mut services = JoinSet::new();
    let mut control_api = api::router(Arc::clone(driver), stopped.clone());
    let mut plugin_api = routes::router(Arc::clone(driver));
    if let Some(socket) = sockets.metrics {
        let metrics = Arc::new(Metrics::new(Arc::clone(driver)));
        control_api = metrics.measure(Api::Control, control_api);
        plugin_api = metrics.measure(Api::Docker, plugin_api);
        services.spawn(socket.serve(metrics, stopped.clone()));
    }
    services.spawn(sockets.control.serve(control_api, stopped.clone()));
    services.spawn(sockets.plugin.serve(plugin_api, stopped));
    let mut upkeep = JoinSet::new();
    upkeep.spawn(collect(Arc::clone(driver), arguments.collect_every));
    ready();
    // After Docker is served: what it waits for must not wait for it.
    match &arguments.docker_socket {
        DockerSocket::At(socket) => {
            upkeep.spawn(reconciler(driver, socket, arguments).run());
        }
        DockerSocket::None => info!(
            "Docker is not asked what it has (`--docker-socket none`): networks that it no longer \
             has need `dockervpp forget`"
        ),
    }

    let mut ended = None;
    tokio::select! {
        _ = terminate.recv() => info!("told to terminate"),
        _ = interrupt.recv() => info!("interrupted"),
        Some(service) = services.join_next() => ended = Some(service),
    }
    service_manager::stopping();
    stop.send_replace(true);
    upkeep.abort_all();
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

fn reconciler(driver: &Arc<Driver>, socket: &Path, arguments: &ServeArgs) -> Reconciler {
    let name = driver_name(arguments);
    let pace = Pace::new(arguments.docker_every);
    Reconciler::new(Arc::clone(driver), &name, EngineApi::new(socket), pace)
}

/// Removes the folders of sockets, unless something is in them: nobody else does when a managed plugin is removed.
fn remove_empty_folders(arguments: &ServeArgs) {
    let folders = [Some(arguments.vhost_user_dir.as_path()), arguments.control_socket.parent()];
    for folder in folders.into_iter().flatten() {
        if let Err(error) = std::fs::remove_dir(folder) {
            tracing::debug!(folder = %folder.display(), %error, "a folder stays");
        }
    }
}

/// Takes all the descriptors that the service manager allows: each session needs one.
fn allow_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// The name by which Docker knows the driver: that of its socket, unless another one is given.
fn driver_name(arguments: &ServeArgs) -> String {
    if let Some(name) = &arguments.driver_name {
        return name.clone();
    }
    let stem = arguments.plugin_socket.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| "dockervpp".to_owned())
}
