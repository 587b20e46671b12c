//! The server's side of the agent's own API.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::watch;
use tracing::error;

use super::capture::{Captures, Limits};
use super::{CAPTURE_HEADER, Failure, Info, views};
use crate::driver::{Driver, DriverError};
use crate::engine::{CaptureScope, EngineError};
use crate::model::{EndpointId, NetworkId};
use crate::state::{self, Ambiguous, StateError};

/// Bytes of each frame that a capture keeps unless it says otherwise.
const SNAP_LENGTH: u32 = 262_144;

#[derive(Debug, Clone)]
struct Api {
    driver: Arc<Driver>,
    captures: Arc<Captures>,
    agent_stops: watch::Receiver<bool>,
}

/// The service; captures end when `agent_stops` becomes true.
pub fn router(driver: Arc<Driver>, agent_stops: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/networks", get(networks))
        .route("/v1/networks/{id}", delete(forget_network))
        .route("/v1/endpoints", get(endpoints))
        .route("/v1/endpoints/{id}", delete(forget_endpoint))
        .route("/v1/fdb", get(fdb))
        .route("/v1/counters", get(counters))
        .route("/v1/vxlan", get(vxlan))
        .route("/v1/sessions", get(sessions))
        .route("/v1/listeners", get(listeners))
        .route("/v1/ports", get(ports))
        .route("/v1/capture", get(capture))
        .route("/v1/captures/{number}", delete(stop_capture))
        .route("/v1/collect", post(collect))
        .fallback(unknown)
        .with_state(Api { driver, captures: Arc::default(), agent_stops })
}

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("name either a network or an endpoint")]
    Scope,
    #[error("capture {0} is not running")]
    NoCapture(u64),
    #[error("{0} is not in this version of the API")]
    NoPath(String),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("the call failed inside the agent; its log says where")]
    Panic,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Ambiguous(Ambiguous::None { .. }) | Self::NoCapture(_) | Self::NoPath(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Scope => StatusCode::BAD_REQUEST,
            Self::Ambiguous(Ambiguous::Several { .. })
            | Self::Driver(DriverError::State(
                StateError::InUse { .. } | StateError::Joined { .. },
            )) => StatusCode::CONFLICT,
            Self::Driver(_) | Self::Engine(_) | Self::Thread(_) | Self::Panic => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(Failure { error: self.to_string() })).into_response()
    }
}

type Answer<T> = Result<Json<T>, ApiError>;

#[derive(Debug, Default, Deserialize)]
struct Selection {
    network: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CaptureQuery {
    network: Option<String>,
    endpoint: Option<String>,
    snaplen: Option<u32>,
    count: Option<u64>,
    duration_ms: Option<u64>,
}

/// Calls to the driver and the engine block.
async fn blocking<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce(&Driver) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let driver = Arc::clone(&api.driver);
    tokio::task::spawn_blocking(move || work(&driver)).await.unwrap_or_else(|panic| {
        error!(%panic, "a call of the agent's own API failed");
        Err(ApiError::Panic)
    })
}

/// Whether a record of this network is wanted.
fn selector(
    state: &state::State,
    selection: &Selection,
) -> Result<impl Fn(&NetworkId) -> bool + use<>, Ambiguous> {
    let only =
        selection.network.as_deref().map(|prefix| state.resolve_network(prefix)).transpose()?;
    Ok(move |network: &NetworkId| only.as_ref().is_none_or(|only| only == network))
}

async fn info(State(api): State<Api>) -> Answer<Info> {
    let info = blocking(&api, |driver| {
        Ok(Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: driver.engine().name().to_owned(),
            pid: std::process::id(),
            warnings: driver.engine().warnings(),
            docker: driver.docker_view(),
        })
    });
    info.await.map(Json)
}

async fn networks(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::Network>> {
    let state = api.driver.snapshot();
    let wanted = selector(&state, &selection)?;
    let records = state.networks().filter(|record| wanted(&record.spec.id));
    Ok(Json(records.map(|record| views::network(record, &state)).collect()))
}

async fn endpoints(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::Endpoint>> {
    let list = blocking(&api, move |driver| {
        let state = driver.snapshot();
        let wanted = selector(&state, &selection)?;
        let records = state.endpoints().filter(|record| wanted(&record.spec.network));
        records
            .map(|record| {
                let status = driver.engine().endpoint_status(&record.spec.id)?;
                let network = state.network(&record.spec.network).map_err(DriverError::from)?;
                Ok(views::endpoint(record, &network.spec, status))
            })
            .collect()
    });
    list.await.map(Json)
}

async fn fdb(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::FdbEntry>> {
    let list = blocking(&api, move |driver| {
        let state = driver.snapshot();
        let wanted = selector(&state, &selection)?;
        let mut list = Vec::new();
        for record in state.networks().filter(|record| wanted(&record.spec.id)) {
            match driver.engine().fdb(&record.spec.id) {
                Ok(lines) => {
                    list.extend(lines.into_iter().map(|line| views::fdb(&record.spec.id, line)));
                }
                // Deleted since the snapshot, or not restored yet.
                Err(EngineError::NoNetwork(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(list)
    });
    list.await.map(Json)
}

async fn counters(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::Counters>> {
    let list = blocking(&api, move |driver| {
        let state = driver.snapshot();
        let wanted = selector(&state, &selection)?;
        let mut list = Vec::new();
        for record in state.endpoints().filter(|record| wanted(&record.spec.network)) {
            if let Some(status) = driver.engine().endpoint_status(&record.spec.id)? {
                list.push(views::counters(record, &status));
            }
        }
        Ok(list)
    });
    list.await.map(Json)
}

async fn vxlan(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::Vxlan>> {
    let list = blocking(&api, move |driver| {
        let state = driver.snapshot();
        let wanted = selector(&state, &selection)?;
        let mut list = Vec::new();
        for record in state.networks().filter(|record| wanted(&record.spec.id)) {
            if let Some(status) = driver.engine().vxlan(&record.spec.id)? {
                list.push(views::vxlan(&record.spec, &status));
            }
        }
        Ok(list)
    });
    list.await.map(Json)
}

/// Which network each endpoint belongs to.
fn networks_of(state: &state::State) -> HashMap<&EndpointId, &NetworkId> {
    let records = state.endpoints();
    records.map(|record| (&record.spec.id, &record.spec.network)).collect()
}

async fn sessions(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::sessions::Session>> {
    let list = blocking(&api, move |driver| {
        let sessions = driver.engine().sessions();
        let state = driver.snapshot();
        let wanted = selector(&state, &selection)?;
        let networks = networks_of(&state);
        let network = |endpoint: &Option<EndpointId>| networks.get(endpoint.as_ref()?).copied();
        let shown = sessions.into_iter().filter_map(|status| {
            let network = network(&status.client).or_else(|| network(&status.server))?;
            wanted(network).then(|| super::sessions::session(network, status))
        });
        Ok(shown.collect())
    });
    list.await.map(Json)
}

async fn listeners(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::sessions::Listener>> {
    let list = blocking(&api, move |driver| {
        let listeners = driver.engine().listeners();
        let state = driver.snapshot();
        let wanted = selector(&state, &selection)?;
        let networks = networks_of(&state);
        let shown = listeners.into_iter().filter_map(|status| {
            let network = networks.get(&status.endpoint).copied()?;
            wanted(network).then(|| super::sessions::listener(network, status))
        });
        Ok(shown.collect())
    });
    list.await.map(Json)
}

async fn ports(
    State(api): State<Api>,
    Query(selection): Query<Selection>,
) -> Answer<Vec<super::PublishedPort>> {
    let list = blocking(&api, move |driver| {
        let state = driver.snapshot();
        let wanted = selector(&state, &selection)?;
        let records = state.endpoints().filter(|record| wanted(&record.spec.network));
        let shown = records
            .flat_map(|record| views::ports(record, &driver.engine().published(&record.spec.id)));
        Ok(shown.collect())
    });
    list.await.map(Json)
}

async fn capture(
    State(api): State<Api>,
    Query(query): Query<CaptureQuery>,
) -> Result<Response, ApiError> {
    let state = api.driver.snapshot();
    let scope = match (&query.network, &query.endpoint) {
        (Some(prefix), None) => CaptureScope::Network(state.resolve_network(prefix)?),
        (None, Some(prefix)) => CaptureScope::Endpoint(state.resolve_endpoint(prefix)?),
        _ => return Err(ApiError::Scope),
    };
    let snap_length = query.snaplen.unwrap_or(SNAP_LENGTH).min(SNAP_LENGTH);
    let asked = scope.clone();
    let source =
        blocking(&api, move |driver| Ok(driver.engine().capture(&asked, snap_length)?)).await?;
    let limits =
        Limits { frames: query.count, duration: query.duration_ms.map(Duration::from_millis) };
    let (number, body) = api
        .captures
        .start(source, &scope, snap_length, limits, api.agent_stops.clone())
        .map_err(ApiError::Thread)?;
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/x-pcapng".to_owned()),
        (CAPTURE_HEADER, number.to_string()),
    ];
    Ok((headers, body).into_response())
}

async fn stop_capture(
    State(api): State<Api>,
    Path(number): Path<u64>,
) -> Result<StatusCode, ApiError> {
    if api.captures.stop(number) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::NoCapture(number))
    }
}

async fn collect(State(api): State<Api>) -> Answer<crate::driver::Collected> {
    blocking(&api, |driver| Ok(driver.collect(Instant::now()))).await.map(Json)
}

async fn forget_network(
    State(api): State<Api>,
    Path(prefix): Path<String>,
) -> Answer<Vec<NetworkId>> {
    let forgotten = blocking(&api, move |driver| {
        let id = driver.snapshot().resolve_network(&prefix)?;
        driver.forget_network(&id)?;
        Ok(vec![id])
    });
    forgotten.await.map(Json)
}

async fn forget_endpoint(
    State(api): State<Api>,
    Path(prefix): Path<String>,
) -> Answer<Vec<EndpointId>> {
    let forgotten = blocking(&api, move |driver| {
        let id = driver.snapshot().resolve_endpoint(&prefix)?;
        driver.forget_endpoint(&id)?;
        Ok(vec![id])
    });
    forgotten.await.map(Json)
}

async fn unknown(uri: axum::http::Uri) -> ApiError {
    ApiError::NoPath(uri.path().to_owned())
}
