//! Metrics for Prometheus, in its text format (version 0.0.4), when asked for with `--metrics`.
//!
//! * `address`: where they are served.
//! * `collect`: what the agent has and has counted.
//! * `server`: the socket.
//!
//! Names begin with `dockervpp_`. Labels are ids, and names that this program chooses; nothing that a
//! container can choose is one, so that no container can make their number grow.

mod address;
mod collect;
mod server;
mod vxlan;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::docker::routes::{self, Refused};
use crate::driver::Driver;

pub use address::MetricsAddress;
pub use server::{MetricsError, MetricsSocket};

/// Upper bounds of the durations that are told apart, in seconds. Docker gives up after 15.
const DURATIONS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0];

/// A kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    api: &'static str,
    request: String,
    outcome: &'static str,
}

/// What is measured, and how to read it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Docker.
    Docker,
    /// The command line, and other users of the agent's own API.
    Control,
}

impl Metrics {
    /// Metrics of an agent.
    pub fn new(driver: Arc<Driver>) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATIONS);
        let requests = Family::new_with_constructor(histogram);
        let mut registry = Registry::with_prefix("dockervpp");
        let help = "Time from a request to the head of its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, requests.clone());
        registry.register_collector(Box::new(collect::Agent(driver)));
        Self { registry, requests }
    }

    /// Measures the requests that `router` answers.
    pub fn measure(self: &Arc<Self>, api: Api, router: Router) -> Router {
        let state = (Arc::clone(self), api);
        router.layer(middleware::from_fn_with_state(state, record))
    }

    /// All of it in Prometheus's text format.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

async fn record(
    State((metrics, api)): State<(Arc<Metrics>, Api)>,
    request: Request,
    next: Next,
) -> Response {
    let name = name(&request);
    let started = Instant::now();
    let response = next.run(request).await;
    let refused =
        !response.status().is_success() || response.extensions().get::<Refused>().is_some();
    let labels = RequestLabels {
        api: match api {
            Api::Docker => "docker",
            Api::Control => "control",
        },
        request: name,
        outcome: if refused { "refused" } else { "answered" },
    };
    metrics.requests.get_or_create(&labels).observe(started.elapsed().as_secs_f64());
    response
}

/// The request's name: its route, one of Docker's calls, or `unknown`.
fn name(request: &Request) -> String {
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        return route.as_str().to_owned();
    }
    let call = routes::call_names().find(|call| *call == request.uri().path());
    call.map_or("unknown", |call| call.trim_start_matches('/')).to_owned()
}
