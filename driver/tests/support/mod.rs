//! What the driver's test binaries share: an in-process agent on a real unix socket with a fake
//! engine, and the smallest HTTP client that can also misbehave.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockervpp::control::api;
use dockervpp::docker::routes;
use dockervpp::driver::Driver;
use dockervpp::engine::fake::{FakeEngine, World};
use dockervpp::server::BoundSocket;
use dockervpp::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

/// A status code and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text of the error; fails the test if the call succeeded.
    pub(crate) fn error(&self) -> String {
        let json = self.json();
        json["Err"].as_str().unwrap_or_else(|| panic!("no error in {self:?}")).to_owned()
    }
}

/// Sends one request with exactly these bytes and reads the answer.
pub(crate) fn exchange(socket: &Path, method: &str, path: &str, body: &[u8]) -> Reply {
    let mut stream = UnixStream::connect(socket).expect("the socket is served");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the request head is sent");
    // A server that refuses a long body may stop reading it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("the head is text");
    let mut body = answer.split_off(end + 4);
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Reply { status: status.expect("a status"), head, body }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|bytes| bytes == b"\r\n") {
        let length = std::str::from_utf8(&body[..end]).expect("a chunk length");
        let length = usize::from_str_radix(length, 16).expect("a chunk length");
        whole.extend(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
    whole
}

/// An agent in this process.
pub(crate) struct Agent {
    pub(crate) world: World,
    pub(crate) engine: Arc<FakeEngine>,
    pub(crate) driver: Arc<Driver>,
    pub(crate) plugin: PathBuf,
    pub(crate) control: PathBuf,
    stop: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
    _directory: TempDir,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::with_engine(|engine| engine)
    }

    pub(crate) fn with_engine(adjust: impl FnOnce(FakeEngine) -> FakeEngine) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let world = World::default();
        let engine = Arc::new(adjust(FakeEngine::on(&world)));
        let (store, state) = Store::open(&directory.path().join("state")).expect("a new state");
        let driver = Arc::new(Driver::new(Arc::clone(&engine) as _, store, state));
        driver.restore();
        let plugin = directory.path().join("plugin.sock");
        let control = directory.path().join("control.sock");
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let services = [
            (&plugin, routes::router(Arc::clone(&driver))),
            (&control, api::router(Arc::clone(&driver), stopped.clone())),
        ];
        for (path, router) in services {
            let socket = BoundSocket::bind(path).expect("a socket");
            runtime.spawn(socket.serve(router, stopped.clone()));
        }
        let runtime = Some(runtime);
        Self { world, engine, driver, plugin, control, stop, runtime, _directory: directory }
    }

    /// Posts to the plugin like Docker.
    pub(crate) fn post(&self, call: &str, body: &Value) -> Reply {
        exchange(&self.plugin, "POST", &format!("/{call}"), body.to_string().as_bytes())
    }

    /// Posts, and expects success.
    pub(crate) fn ok(&self, call: &str, body: &Value) -> Value {
        let reply = self.post(call, body);
        let json = reply.json();
        assert!(reply.status == 200 && json.get("Err").is_none(), "{call}: {reply:?}");
        json
    }

    /// Posts, and expects an error.
    pub(crate) fn refused(&self, call: &str, body: &Value) -> String {
        let reply = self.post(call, body);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.error()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let reply = exchange(&self.control, "GET", path, b"");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
    }
}

/// The body of a `CreateNetwork` for one IPv4 subnet whose first address is the gateway.
pub(crate) fn network(id: &str, third: u8) -> Value {
    json!({
        "NetworkID": id,
        "Options": {"com.docker.network.enable_ipv6": false, "com.docker.network.generic": {}},
        "IPv4Data": [{"AddressSpace": "LocalDefault", "Pool": format!("10.1.{third}.0/24"),
                      "Gateway": format!("10.1.{third}.1/24")}],
        "IPv6Data": [],
    })
}

/// The body of a `CreateEndpoint`.
pub(crate) fn endpoint(network: &str, id: &str, address: &str) -> Value {
    json!({
        "NetworkID": network,
        "EndpointID": id,
        "Interface": {"Address": address, "AddressIPv6": "", "MacAddress": ""},
        "Options": {"com.docker.network.portmap": [], "com.docker.network.endpoint.exposedports": []},
    })
}

/// The body of calls that name an endpoint.
pub(crate) fn named(network: &str, id: &str) -> Value {
    json!({"NetworkID": network, "EndpointID": id})
}

/// The body of a `Join`.
pub(crate) fn join(network: &str, id: &str, sandbox: &str) -> Value {
    json!({"NetworkID": network, "EndpointID": id, "SandboxKey": sandbox,
           "Options": {"com.docker.network.portmap": []}})
}
