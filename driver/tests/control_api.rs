//! The agent's own API over a real unix socket, with a fake engine behind.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod support;

use serde_json::{Value, json};
use support::{Agent, Reply, endpoint, exchange, join, network};

fn populated() -> Agent {
    let agent = Agent::start();
    agent.ok("NetworkDriver.CreateNetwork", &network("abc1", 0));
    agent.ok("NetworkDriver.CreateNetwork", &network("abd2", 1));
    agent.ok("NetworkDriver.CreateEndpoint", &endpoint("abc1", "e1", "10.1.0.2/24"));
    agent.ok("NetworkDriver.CreateEndpoint", &endpoint("abd2", "e2", "10.1.1.2/24"));
    agent.ok("NetworkDriver.Join", &join("abc1", "e1", "/run/netns/1"));
    agent
}

fn call(agent: &Agent, method: &str, path: &str) -> Reply {
    exchange(&agent.control, method, path, b"")
}

fn refusal(agent: &Agent, method: &str, path: &str, status: u16) -> String {
    let reply = call(agent, method, path);
    assert_eq!(reply.status, status, "{reply:?}");
    reply.json()["error"].as_str().unwrap().to_owned()
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

#[test]
fn lists_can_be_narrowed_to_a_network() {
    let agent = populated();
    assert_eq!(ids(&agent.get("/v1/networks")), ["abc1", "abd2"]);
    assert_eq!(ids(&agent.get("/v1/networks?network=abd")), ["abd2"]);
    assert_eq!(ids(&agent.get("/v1/endpoints")), ["e1", "e2"]);
    let endpoints = agent.get("/v1/endpoints?network=abc");
    assert_eq!(ids(&endpoints), ["e1"]);
    assert_eq!(endpoints[0]["phase"], "joined");
    assert_eq!(endpoints[0]["sandbox"], "/run/netns/1");
    assert_eq!(endpoints[0]["ipv4"], "10.1.0.2/24");
    let fdb = agent.get("/v1/fdb?network=abc1");
    assert_eq!(fdb[0]["mac"], "02:42:0a:01:00:02");
    assert_eq!(fdb[0]["endpoint"], "e1");
    assert_eq!(agent.get("/v1/counters").as_array().unwrap().len(), 2);
    assert_eq!(agent.get("/v1/info")["engine"], "fake");
}

#[test]
fn a_prefix_must_name_one_object() {
    let agent = populated();
    let error = refusal(&agent, "GET", "/v1/endpoints?network=ab", 409);
    assert_eq!(error, "several networks have ids that begin with `ab`: abc1, abd2");
    let error = refusal(&agent, "GET", "/v1/networks?network=x", 404);
    assert!(error.contains("no network has an id that begins with `x`"), "{error}");
    let error = refusal(&agent, "GET", "/v1/networks?network=", 409);
    assert!(error.contains("several networks"), "{error}");
    refusal(&agent, "GET", "/v1/capture", 400);
    refusal(&agent, "GET", "/v2/networks", 404);
}

#[test]
fn only_what_nobody_uses_is_forgotten() {
    let agent = populated();
    let error = refusal(&agent, "DELETE", "/v1/networks/abc1", 409);
    assert!(error.contains("still has 1 endpoints"), "{error}");
    let error = refusal(&agent, "DELETE", "/v1/endpoints/e1", 409);
    assert!(error.contains("already joined to /run/netns/1"), "{error}");
    assert_eq!(call(&agent, "DELETE", "/v1/endpoints/e2").status, 200);
    assert_eq!(call(&agent, "DELETE", "/v1/networks/abd").status, 200);
    assert_eq!(ids(&agent.get("/v1/networks")), ["abc1"]);
    agent.world.kill(&dockervpp::model::SandboxKey("/run/netns/1".into()));
    let collected = call(&agent, "POST", "/v1/collect").json();
    assert_eq!(collected, json!({"endpoints": ["e1"], "networks": []}));
    assert_eq!(call(&agent, "DELETE", "/v1/networks/abc1").status, 200);
    assert!(agent.engine.networks().is_empty());
}

#[test]
fn a_capture_ends_at_its_limits() {
    let agent = populated();
    for query in ["endpoint=e1&count=2", "network=abc1&duration_ms=20"] {
        let reply = call(&agent, "GET", &format!("/v1/capture?{query}&snaplen=40"));
        assert_eq!(reply.status, 200);
        assert!(reply.head.contains("dockervpp-capture: "), "{}", reply.head);
        assert!(reply.body.starts_with(b"\n\r\r\n"), "a section header comes first");
    }
    let error = refusal(&agent, "DELETE", "/v1/captures/77", 404);
    assert!(error.contains("capture 77 is not running"), "{error}");
}
