//! The three questions to Docker's own API, asked over its unix socket.
//!
//! Only status 200 with the expected JSON is an answer; anything else is an [`AskError`], and then
//! nothing is concluded. Must not be used while a call of Docker's is being served: Docker may hold
//! locks until it is answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::decide::{DaemonId, Ours, Theirs};
use crate::model::{EndpointId, NetworkId};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer that is read, in bytes: a thousand containers make about a megabyte.
const ANSWER_LIMIT: usize = 64 << 20;

/// Why Docker did not say what it has.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens, or the socket is not there or not ours.
    #[error("cannot connect to Docker's API at {path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It took too long.
    #[error("Docker did not answer `GET {0}` within {limit} s", limit = PATIENCE.as_secs())]
    Late(String),
    /// The conversation broke off.
    #[error("Docker's answer to `GET {path}` broke off: {reason}")]
    Broken {
        /// What was asked.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// Another status than 200.
    #[error("Docker answered `GET {path}` with {status}")]
    Status {
        /// What was asked.
        path: String,
        /// The answer.
        status: StatusCode,
    },
    /// Not what Docker's API describes.
    #[error("Docker's answer to `GET {path}` makes no sense: {reason}")]
    Malformed {
        /// What was asked.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another daemon came in the middle.
    #[error("another Docker daemon took over {0} during the look")]
    Changed(PathBuf),
}

/// A network as Docker lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: NetworkId,
    /// The name of its driver.
    pub driver: String,
}

/// All that one look has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Every network.
    pub listed: Vec<Listed>,
    /// What to compare with.
    pub theirs: Theirs,
}

/// Docker behind one socket.
#[derive(Debug, Clone)]
pub struct EngineApi {
    socket: PathBuf,
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkItem {
    id: NetworkId,
    driver: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkDetail {
    id: NetworkId,
    containers: HashMap<String, Attached>,
}

#[derive(Deserialize)]
struct Attached {
    #[serde(rename = "EndpointID")]
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerItem {
    network_settings: Option<Settings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    networks: Option<HashMap<String, Attachment>>,
}

#[derive(Deserialize)]
struct Attachment {
    #[serde(rename = "NetworkID", default)]
    network: String,
    #[serde(rename = "EndpointID", default)]
    endpoint: String,
}

impl EngineApi {
    /// Docker behind `socket`; nothing is asked yet.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What Docker has, as far as it concerns `ours`, which was taken before.
    ///
    /// # Errors
    /// If a single answer is missing or strange.
    pub async fn look(&self, ours: &Ours) -> Result<Seen, AskError> {
        let daemon = self.daemon().await?;
        let listed = self.networks().await?;
        let mut networks: BTreeSet<NetworkId> = listed.iter().map(|it| it.id.clone()).collect();
        let occupied: BTreeSet<&NetworkId> =
            ours.endpoints.values().map(|endpoint| &endpoint.network).collect();
        let mut endpoints = BTreeMap::new();
        for id in occupied.into_iter().filter(|id| networks.contains(id)) {
            if let Some(known) = self.endpoints(id).await? {
                endpoints.insert(id.clone(), known);
            }
        }
        if !ours.endpoints.is_empty() {
            for (network, endpoint) in self.attachments().await? {
                // A second witness: Docker keeps it apart from the network's own list.
                if let Some(known) = endpoints.get_mut(&network) {
                    known.insert(endpoint);
                }
                networks.insert(network);
            }
        }
        if self.daemon().await? != daemon {
            return Err(AskError::Changed(self.socket.clone()));
        }
        Ok(Seen { listed, theirs: Theirs { daemon, networks, endpoints } })
    }

    async fn daemon(&self) -> Result<DaemonId, AskError> {
        let Info { id } = self.get("/info").await?;
        if id.is_empty() {
            return Err(malformed("/info", "the daemon has no ID"));
        }
        Ok(DaemonId(id))
    }

    async fn networks(&self) -> Result<Vec<Listed>, AskError> {
        let list: Vec<NetworkItem> = self.get("/networks").await?;
        if list.is_empty() {
            // `none` and `host` are always there; Docker shows none when it cannot read its store.
            return Err(malformed("/networks", "not even Docker's own networks are in it"));
        }
        Ok(list.into_iter().map(|it| Listed { id: it.id, driver: it.driver }).collect())
    }

    /// The endpoints of a network; `None` if it went a moment ago.
    async fn endpoints(&self, id: &NetworkId) -> Result<Option<BTreeSet<EndpointId>>, AskError> {
        let path = format!("/networks/{id}");
        let detail: NetworkDetail = match self.get(&path).await {
            Err(AskError::Status { status: StatusCode::NOT_FOUND, .. }) => return Ok(None),
            other => other?,
        };
        if detail.id != *id {
            return Err(malformed(&path, "it is about another network"));
        }
        let attached = detail.containers.into_values().map(|it| it.endpoint);
        let ids: Result<_, _> =
            attached.filter(|id| !id.is_empty()).map(EndpointId::try_from).collect();
        ids.map(Some).map_err(|error| malformed(&path, &error.to_string()))
    }

    /// What running containers are attached to.
    async fn attachments(&self) -> Result<Vec<(NetworkId, EndpointId)>, AskError> {
        const PATH: &str = "/containers/json";
        let list: Vec<ContainerItem> = self.get(PATH).await?;
        let networks = list.into_iter().filter_map(|it| it.network_settings?.networks);
        let attached = networks
            .flat_map(HashMap::into_values)
            .filter(|it| !it.network.is_empty() && !it.endpoint.is_empty());
        let ids = attached.map(|it| {
            let network = it.network.parse().map_err(|error| (error, PATH));
            Ok((network?, it.endpoint.parse().map_err(|error| (error, PATH))?))
        });
        ids.collect::<Result<_, (crate::model::ParseIdError, _)>>()
            .map_err(|(error, path)| malformed(path, &error.to_string()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        let asking = self.fetch(path);
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        let body = answer.map_err(|_| AskError::Late(path.to_owned()))??;
        serde_json::from_slice(&body).map_err(|error| malformed(path, &error.to_string()))
    }

    async fn fetch(&self, path: &str) -> Result<Bytes, AskError> {
        let broken = |reason: String| AskError::Broken { path: path.to_owned(), reason };
        let connected = UnixStream::connect(&self.socket).await;
        let stream =
            connected.map_err(|source| AskError::Connect { path: self.socket.clone(), source })?;
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = opened.map_err(|error| broken(error.to_string()))?;
        // Ends with this function, whatever comes.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let request = Request::get(path).header(hyper::header::HOST, "docker");
        let request =
            request.body(Empty::<Bytes>::new()).map_err(|error| broken(error.to_string()))?;
        let response =
            sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(AskError::Status { path: path.to_owned(), status });
        }
        let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        Ok(body.map_err(|error| broken(error.to_string()))?.to_bytes())
    }
}

fn malformed(path: &str, reason: &str) -> AskError {
    AskError::Malformed { path: path.to_owned(), reason: reason.to_owned() }
}
