//! From a path to a call of the driver, and back to a reply.
//!
//! Docker posts without a Content-Type, and takes only status 200 for an answer: errors are 200
//! with `{"Err": text}`. Wrong paths and methods, which Docker never sends, get 404 and 405 with
//! the same body. Calls block, so each runs on a thread of the blocking pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{debug, error, trace, warn};

use super::request::RequestError;
use super::wire;
use crate::driver::{Driver, DriverError};
use crate::engine::with_chosen_ports;
use crate::state::EndpointRecord;

/// The largest request that is read, in bytes; Docker's are a few hundred.
pub const BODY_LIMIT: usize = 1 << 20;

const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Why a call was answered with an error.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// No body where the protocol has one.
    #[error(
        "the request has no body: Docker repeats a call like this when the agent was restarted \
         in the middle of it; run the command again"
    )]
    Empty,
    /// The body is not the JSON of this call.
    #[error("the request cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl From<RequestError> for CallError {
    fn from(error: RequestError) -> Self {
        Self::Driver(error.into())
    }
}

type Answer = Result<Vec<u8>, CallError>;
type Handler = fn(&Driver, &[u8]) -> Answer;

/// Marks an answer that tells Docker of an error, whose status is that of success.
#[derive(Debug, Clone, Copy)]
pub struct Refused;

/// Every call of the protocol that a network driver may get.
const CALLS: [(&str, Handler); 16] = [
    ("/Plugin.Activate", activate),
    ("/NetworkDriver.GetCapabilities", capabilities),
    ("/NetworkDriver.GwAllocCheck", gateway_allocation),
    ("/NetworkDriver.AllocateNetwork", local_scope),
    ("/NetworkDriver.FreeNetwork", local_scope),
    ("/NetworkDriver.CreateNetwork", create_network),
    ("/NetworkDriver.DeleteNetwork", delete_network),
    ("/NetworkDriver.CreateEndpoint", create_endpoint),
    ("/NetworkDriver.EndpointOperInfo", oper_info),
    ("/NetworkDriver.DeleteEndpoint", delete_endpoint),
    ("/NetworkDriver.Join", join),
    ("/NetworkDriver.Leave", leave),
    ("/NetworkDriver.ProgramExternalConnectivity", program_external),
    ("/NetworkDriver.RevokeExternalConnectivity", revoke_external),
    ("/NetworkDriver.DiscoverNew", discover),
    ("/NetworkDriver.DiscoverDelete", discover),
];

/// The paths of all calls.
pub fn call_names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|(name, _)| *name)
}

/// The plugin's HTTP service.
pub fn router(driver: Arc<Driver>) -> Router {
    Router::new().fallback(serve).with_state(driver)
}

async fn serve(State(driver): State<Arc<Driver>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let Some((name, handler)) = CALLS.into_iter().find(|(name, _)| *name == path) else {
        return error_reply(StatusCode::NOT_FOUND, &format!("{path} is not a call of this plugin"));
    };
    let name = name.trim_start_matches('/');
    if parts.method != Method::POST {
        let text = format!("{name} must be called with POST, not {}", parts.method);
        return error_reply(StatusCode::METHOD_NOT_ALLOWED, &text);
    }
    let body = match to_bytes(body, BODY_LIMIT).await {
        Ok(body) => body,
        Err(error) => {
            let text = format!(
                "{name}: the request cannot be read, or is larger than {BODY_LIMIT} bytes: {error}"
            );
            return error_reply(StatusCode::OK, &text);
        }
    };
    call(name, handler, driver, body).await
}

async fn call(name: &'static str, handler: Handler, driver: Arc<Driver>, body: Bytes) -> Response {
    trace!(call = name, body = %String::from_utf8_lossy(&body).escape_debug(), "request");
    match tokio::task::spawn_blocking(move || handler(&driver, &body)).await {
        Ok(Ok(reply)) => {
            debug!(call = name, "answered");
            json(StatusCode::OK, reply)
        }
        Ok(Err(error)) => {
            warn!(call = name, %error, "refused");
            error_reply(StatusCode::OK, &error.to_string())
        }
        Err(panic) => {
            error!(call = name, %panic, "the call failed inside the agent");
            let text = format!("{name} failed inside the agent; its log says where");
            error_reply(StatusCode::OK, &text)
        }
    }
}

fn activate(_: &Driver, _: &[u8]) -> Answer {
    reply(&wire::ActivateReply { implements: vec!["NetworkDriver".to_owned()] })
}

fn capabilities(_: &Driver, _: &[u8]) -> Answer {
    reply(&wire::CapabilitiesReply {
        scope: "local".to_owned(),
        connectivity_scope: "local".to_owned(),
        gw_alloc_checker: true,
    })
}

/// Containers of an internal network are offered no gateway, so an address reserved for one would
/// be wasted. (`--gateway` is honoured all the same.)
fn gateway_allocation(_: &Driver, body: &[u8]) -> Answer {
    let internal = decode::<wire::GwAllocCheckRequest>(body)?.parse()?;
    reply(&wire::GwAllocCheckReply { skip_ipv4: internal, skip_ipv6: internal })
}

fn local_scope(_: &Driver, _: &[u8]) -> Answer {
    Err(DriverError::LocalScope.into())
}

fn create_network(driver: &Driver, body: &[u8]) -> Answer {
    driver.create_network(&decode::<wire::CreateNetworkRequest>(body)?.parse()?)?;
    reply(&wire::EmptyReply {})
}

fn delete_network(driver: &Driver, body: &[u8]) -> Answer {
    driver.delete_network(&decode::<wire::NetworkRequest>(body)?.parse()?)?;
    reply(&wire::EmptyReply {})
}

fn create_endpoint(driver: &Driver, body: &[u8]) -> Answer {
    let request = decode::<wire::CreateEndpointRequest>(body)?.parse()?;
    let record = driver.create_endpoint(&request)?;
    let interface = record.mac_generated.then(|| wire::EndpointInterface {
        mac_address: record.spec.mac.to_string(),
        ..wire::EndpointInterface::default()
    });
    reply(&wire::CreateEndpointReply { interface })
}

fn delete_endpoint(driver: &Driver, body: &[u8]) -> Answer {
    let (network, endpoint) = decode::<wire::EndpointRequest>(body)?.parse()?;
    driver.delete_endpoint(&network, &endpoint)?;
    reply(&wire::EmptyReply {})
}

/// Docker asks often and shows an error to the user, so an endpoint that is not there has nothing
/// to say.
fn oper_info(driver: &Driver, body: &[u8]) -> Answer {
    let (_, endpoint) = decode::<wire::EndpointRequest>(body)?.parse()?;
    let state = driver.snapshot();
    let value = state.find_endpoint(&endpoint).map(|record| facts(driver, record));
    reply(&wire::OperInfoReply { value: value.unwrap_or_default() })
}

fn facts(driver: &Driver, record: &EndpointRecord) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("dockervpp.attach".to_owned(), record.spec.attach.to_string()),
        ("dockervpp.engine".to_owned(), driver.engine().name().to_owned()),
        ("dockervpp.mac".to_owned(), record.spec.mac.to_string()),
    ]);
    let published = driver.engine().published(&record.spec.id);
    if !published.is_empty() {
        let ports = with_chosen_ports(&record.ports, &published);
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        facts.insert("dockervpp.ports".to_owned(), ports.join(" "));
    }
    if let Ok(Some(status)) = driver.engine().endpoint_status(&record.spec.id) {
        facts.insert("dockervpp.owner".to_owned(), status.owner.to_owned());
        facts.insert("dockervpp.sockets".to_owned(), status.sockets.join(" "));
    }
    facts
}

fn join(driver: &Driver, body: &[u8]) -> Answer {
    let request: wire::JoinRequest = decode(body)?;
    let (network, endpoint, sandbox) = request.parse()?;
    let joined = driver.join(&network, &endpoint, &sandbox, request.ports()?)?;
    let text = |address: Option<String>| address.unwrap_or_default();
    let gateways = joined.gateways;
    reply(&wire::JoinReply {
        interface_name: wire::InterfaceName {
            src_name: joined.link.to_string(),
            dst_prefix: "eth".to_owned(),
            dst_name: text(joined.ifname.map(String::from)),
        },
        gateway: text(gateways.ipv4.map(|address| address.to_string())),
        gateway_ipv6: text(gateways.ipv6.map(|address| address.to_string())),
        disable_gateway_service: gateways.ipv4.is_none() && gateways.ipv6.is_none(),
    })
}

fn leave(driver: &Driver, body: &[u8]) -> Answer {
    let (network, endpoint) = decode::<wire::EndpointRequest>(body)?.parse()?;
    driver.leave(&network, &endpoint)?;
    reply(&wire::EmptyReply {})
}

fn program_external(driver: &Driver, body: &[u8]) -> Answer {
    let request: wire::EndpointRequest = decode(body)?;
    let (network, endpoint) = request.parse()?;
    driver.program_external(&network, &endpoint, request.ports()?)?;
    reply(&wire::EmptyReply {})
}

fn revoke_external(driver: &Driver, body: &[u8]) -> Answer {
    let (network, endpoint) = decode::<wire::EndpointRequest>(body)?.parse()?;
    driver.revoke_external(&network, &endpoint)?;
    reply(&wire::EmptyReply {})
}

/// Swarm tells of other nodes; a network of this host does not need them.
fn discover(_: &Driver, _: &[u8]) -> Answer {
    reply(&wire::EmptyReply {})
}

fn decode<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, CallError> {
    if body.trim_ascii().is_empty() {
        return Err(CallError::Empty);
    }
    Ok(serde_json::from_slice::<Option<T>>(body)?.unwrap_or_default())
}

fn reply<T: Serialize>(reply: &T) -> Answer {
    Ok(serde_json::to_vec(reply)?)
}

fn error_reply(status: StatusCode, text: &str) -> Response {
    let reply = wire::ErrorReply { err: text.to_owned() };
    let body = serde_json::to_vec(&reply).expect("a text is always JSON");
    let mut response = json(status, body);
    response.extensions_mut().insert(Refused);
    response
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    }
    response
}
