//! The socket at which metrics are read: `GET /metrics`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use miette::Diagnostic;
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use tokio::sync::watch;

use super::{Metrics, MetricsAddress};
use crate::server::{BoundSocket, ServerError};

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum MetricsError {
    /// Other hosts would reach them.
    #[error("other hosts could read the metrics at {0}")]
    #[diagnostic(
        code(dockervpp::metrics::remote),
        help("give a loopback address or a unix socket; if it is meant, add --metrics-remote")
    )]
    Remote(MetricsAddress),
    /// The unix socket.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unix(#[from] ServerError),
    /// The port.
    #[error("cannot listen on tcp:{address}")]
    #[diagnostic(code(dockervpp::metrics::listen), help("choose another port with --metrics"))]
    Tcp {
        /// The address and port.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A socket that is bound already.
#[derive(Debug)]
pub enum MetricsSocket {
    /// A unix socket.
    Unix(BoundSocket),
    /// A TCP port.
    Tcp(TcpListener, SocketAddr),
}

impl MetricsSocket {
    /// Binds. Addresses that other hosts reach are refused unless `remote`.
    pub fn bind(address: &MetricsAddress, remote: bool) -> Result<Self, MetricsError> {
        if address.is_remote() && !remote {
            return Err(MetricsError::Remote(address.clone()));
        }
        match address {
            MetricsAddress::Unix(path) => Ok(Self::Unix(BoundSocket::bind(path)?)),
            MetricsAddress::Tcp(address) => {
                let refused = |source| MetricsError::Tcp { address: *address, source };
                let listener = TcpListener::bind(address).map_err(refused)?;
                listener.set_nonblocking(true).map_err(refused)?;
                let bound = listener.local_addr().map_err(refused)?;
                Ok(Self::Tcp(listener, bound))
            }
        }
    }

    /// Where it is bound, with the port that the kernel chose for port 0.
    pub fn address(&self) -> String {
        match self {
            Self::Unix(socket) => format!("unix:{}", socket.path().display()),
            Self::Tcp(_, address) => format!("tcp:{address}"),
        }
    }

    /// Serves until `stop` becomes true.
    pub async fn serve(
        self,
        metrics: Arc<Metrics>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ServerError> {
        let router = Router::new().route("/metrics", get(scrape)).with_state(metrics);
        match self {
            Self::Unix(socket) => socket.serve(router, stop).await,
            Self::Tcp(listener, address) => {
                let path = format!("tcp:{address}").into();
                let refused = |source| ServerError::Listen { path, source };
                let serving = async {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    axum::serve(listener, router).await
                };
                // A scrape is worth nothing to an agent that stops.
                tokio::select! {
                    result = serving => result.map_err(refused),
                    _ = stop.wait_for(|stop| *stop) => Ok(()),
                }
            }
        }
    }
}

/// Asking the engine blocks.
async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    if let Ok(Ok(text)) = tokio::task::spawn_blocking(move || metrics.text()).await {
        return ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response();
    }
    tracing::error!("metrics could not be written");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
