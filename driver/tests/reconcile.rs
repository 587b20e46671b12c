//! The agent compares itself with a Docker API that is scripted: what Docker verifiably does not
//! have goes, and nothing goes without proof.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod support;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use dockervpp::model::SandboxKey;
use dockervpp::reconcile::decide::Rules;
use dockervpp::reconcile::engine_api::EngineApi;
use dockervpp::reconcile::{Pace, Reconciler};
use dockervpp::server::BoundSocket;
use serde_json::{Value, json};
use support::{Agent, endpoint, join, network};
use tempfile::TempDir;
use tokio::sync::watch;

/// What Docker says.
#[derive(Debug, Clone)]
struct Script {
    daemon: String,
    networks: Value,
    /// Answers to other paths; without one, as a Docker that has nothing.
    other: Vec<(String, StatusCode, Value)>,
    /// Status of every answer to `GET /networks`.
    status: StatusCode,
    /// The daemon has another id at each question.
    fickle: bool,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Script>>;
type Change = fn(&mut Script);

/// A Docker API on a unix socket of its own.
struct FakeDocker {
    script: Shared,
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
    _stop: watch::Sender<bool>,
    _directory: TempDir,
}

async fn answer(State(script): State<Shared>, uri: Uri) -> (StatusCode, String) {
    let mut script = script.lock().unwrap();
    script.asked.push(uri.path().to_owned());
    if let Some((_, status, body)) = script.other.iter().find(|(path, ..)| path == uri.path()) {
        return (*status, body.to_string());
    }
    match uri.path() {
        "/info" if script.fickle => {
            (StatusCode::OK, json!({"ID": script.asked.len().to_string()}).to_string())
        }
        "/info" => (StatusCode::OK, json!({"ID": script.daemon}).to_string()),
        "/networks" => (script.status, script.networks.to_string()),
        "/containers/json" => (StatusCode::OK, "[]".to_owned()),
        path => match path.strip_prefix("/networks/") {
            Some(id) => (StatusCode::OK, json!({"Id": id, "Containers": {}}).to_string()),
            None => (StatusCode::NOT_FOUND, "{}".to_owned()),
        },
    }
}

impl FakeDocker {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let script = Arc::new(Mutex::new(Script {
            daemon: "ONE".to_owned(),
            networks: listed(&[]),
            other: Vec::new(),
            status: StatusCode::OK,
            fickle: false,
            asked: Vec::new(),
        }));
        let (stop, stopped) = watch::channel(false);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let bound = BoundSocket::bind(&socket).unwrap();
        runtime.spawn(bound.serve(router, stopped));
        Self { script, socket, runtime, _stop: stop, _directory: directory }
    }

    fn says(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// A comparison that needs two looks, at whatever distance.
    fn compared_with(&self, agent: &Agent) -> Comparison<'_> {
        self.comparison(agent, Duration::ZERO)
    }

    fn comparison(&self, agent: &Agent, grace: Duration) -> Comparison<'_> {
        let rules = Rules { grace, apart: Duration::from_nanos(1) };
        let long = Duration::from_hours(1);
        let short = Duration::from_millis(5);
        let pace = Pace { every: long, hurry: short, rest: short, rules };
        let api = EngineApi::new(&self.socket);
        let reconciler = Reconciler::new(Arc::clone(&agent.driver), "dockervpp", api, pace);
        Comparison { docker: self, reconciler }
    }
}

struct Comparison<'a> {
    docker: &'a FakeDocker,
    reconciler: Reconciler,
}

impl Comparison<'_> {
    fn look(&mut self) -> bool {
        self.docker.runtime.block_on(self.reconciler.look())
    }

    fn looks(&mut self, times: usize) {
        for _ in 0..times {
            self.look();
        }
    }
}

/// Docker's own networks, and these.
fn listed(ids: &[&str]) -> Value {
    let mut all = vec![json!({"Id": "0123", "Driver": "host", "Name": "host"})];
    all.extend(ids.iter().map(|id| json!({"Id": id, "Driver": "dockervpp", "Name": id})));
    Value::from(all)
}

fn with_networks(count: u8) -> Agent {
    let agent = Agent::start();
    for number in 1..=count {
        agent.ok("NetworkDriver.CreateNetwork", &network(&format!("n{number}"), number));
    }
    agent
}

fn networks(agent: &Agent) -> Vec<String> {
    agent.driver.snapshot().networks().map(|it| it.spec.id.to_string()).collect()
}

fn endpoints(agent: &Agent) -> Vec<String> {
    agent.driver.snapshot().endpoints().map(|it| it.spec.id.to_string()).collect()
}

#[test]
fn a_network_that_docker_does_not_have_frees_its_subnet() {
    let (agent, docker) = (with_networks(2), FakeDocker::start());
    docker.says(|script| script.networks = listed(&["n2"]));
    let mut comparison = docker.compared_with(&agent);
    let error = agent.refused("NetworkDriver.CreateNetwork", &network("n3", 1));
    assert!(error.contains("run the command again"), "{error}");
    assert!(comparison.look(), "a second look is wanted");
    assert_eq!(networks(&agent), ["n1", "n2"]);
    assert_eq!(agent.driver.docker_view().missing.len(), 1);
    comparison.look();
    assert_eq!(networks(&agent), ["n2"]);
    assert_eq!(agent.engine.networks().len(), 1);
    assert!(agent.driver.docker_view().missing.is_empty());
    agent.ok("NetworkDriver.CreateNetwork", &network("n3", 1));
}

#[test]
fn what_is_left_in_a_lost_network_goes_with_it() {
    let (agent, docker) = (with_networks(1), FakeDocker::start());
    agent.ok("NetworkDriver.CreateEndpoint", &endpoint("n1", "e1", "10.1.1.2/24"));
    docker.compared_with(&agent).looks(2);
    assert!(networks(&agent).is_empty() && endpoints(&agent).is_empty());
    assert!(agent.world.links().is_empty());
}

#[test]
fn nothing_is_concluded_from_a_strange_answer() {
    let agent = with_networks(1);
    let strange: [(&str, Change); 6] = [
        ("500", |script| script.status = StatusCode::INTERNAL_SERVER_ERROR),
        ("another success", |script| script.status = StatusCode::ACCEPTED),
        ("no list", |script| script.networks = json!({"message": "no"})),
        ("nothing in it", |script| script.networks = json!([])),
        ("no ids", |script| script.networks = json!([{"Name": "host", "Driver": "host"}])),
        ("another daemon each time", |script| script.fickle = true),
    ];
    for (what, change) in strange {
        let docker = FakeDocker::start();
        docker.says(change);
        docker.compared_with(&agent).looks(3);
        assert_eq!(networks(&agent), ["n1"], "{what}");
        let trouble = agent.driver.docker_view().trouble;
        assert!(trouble.is_some_and(|words| words.contains("Docker")), "{what}");
    }
}

#[test]
fn nothing_is_forgotten_while_docker_is_away() {
    let (agent, docker) = (with_networks(1), FakeDocker::start());
    let mut comparison = docker.compared_with(&agent);
    comparison.look();
    docker.says(|script| script.status = StatusCode::SERVICE_UNAVAILABLE);
    comparison.look();
    docker.says(|script| script.status = StatusCode::OK);
    comparison.look();
    assert_eq!(networks(&agent), ["n1"], "the two looks were not in a row");
    drop(comparison);
    std::fs::remove_file(&docker.socket).unwrap();
    docker.compared_with(&agent).looks(3);
    assert_eq!(networks(&agent), ["n1"]);
    let trouble = agent.get("/v1/info")["docker"]["trouble"].to_string();
    assert!(trouble.contains("cannot connect") && trouble.contains("docker.sock"), "{trouble}");
}

#[test]
fn another_daemon_begins_anew() {
    let (agent, docker) = (with_networks(1), FakeDocker::start());
    let mut comparison = docker.compared_with(&agent);
    comparison.look();
    docker.says(|script| script.daemon = "TWO".to_owned());
    comparison.look();
    assert_eq!(networks(&agent), ["n1"]);
    comparison.look();
    assert!(networks(&agent).is_empty());
}

#[test]
fn what_docker_named_a_moment_ago_stays() {
    let (agent, docker) = (with_networks(1), FakeDocker::start());
    docker.comparison(&agent, Duration::from_hours(1)).looks(4);
    assert_eq!(networks(&agent), ["n1"]);
}

#[test]
fn a_running_container_on_an_unlisted_network_stops_everything() {
    let (agent, docker) = (with_networks(2), FakeDocker::start());
    agent.ok("NetworkDriver.CreateEndpoint", &endpoint("n1", "e1", "10.1.1.2/24"));
    agent.ok("NetworkDriver.Join", &join("n1", "e1", "/run/netns/1"));
    let mut comparison = docker.compared_with(&agent);
    comparison.looks(3);
    assert_eq!(networks(&agent), ["n1", "n2"]);
    assert_eq!(agent.get("/v1/info")["docker"]["foreign"], json!(["n1"]));
    agent.world.kill(&SandboxKey("/run/netns/1".into()));
    comparison.looks(2);
    assert!(networks(&agent).is_empty());
}

#[test]
fn an_endpoint_goes_when_neither_network_nor_container_has_it() {
    let (agent, docker) = (with_networks(1), FakeDocker::start());
    for (id, address) in [("e1", "10.1.1.2/24"), ("e2", "10.1.1.3/24"), ("e3", "10.1.1.4/24")] {
        agent.ok("NetworkDriver.CreateEndpoint", &endpoint("n1", id, address));
        agent.ok("NetworkDriver.Join", &join("n1", id, &format!("/run/netns/{id}")));
    }
    docker.says(|script| {
        script.networks = listed(&["n1"]);
        let detail = json!({"Id": "n1", "Containers": {"c1": {"EndpointID": "e1"}}});
        let settings = json!({"Networks": {"n": {"NetworkID": "n1", "EndpointID": "e2"}}});
        let containers = json!([{"Id": "c2", "NetworkSettings": settings}]);
        script.other = vec![
            ("/networks/n1".to_owned(), StatusCode::OK, detail),
            ("/containers/json".to_owned(), StatusCode::OK, containers),
        ];
    });
    let mut comparison = docker.compared_with(&agent);
    comparison.look();
    assert_eq!(endpoints(&agent), ["e1", "e2", "e3"]);
    comparison.look();
    assert_eq!(endpoints(&agent), ["e1", "e2"]);
    // A network that went between two questions says nothing of its endpoints.
    docker.says(|script| {
        script.other = vec![("/networks/n1".to_owned(), StatusCode::NOT_FOUND, json!({}))];
    });
    comparison.looks(3);
    assert_eq!(endpoints(&agent), ["e1", "e2"]);
}

#[test]
fn networks_that_only_docker_has_are_shown() {
    let (agent, docker) = (with_networks(1), FakeDocker::start());
    docker.says(|script| script.networks = listed(&["n1", "n9"]));
    docker.compared_with(&agent).look();
    let view = agent.get("/v1/info")["docker"].clone();
    assert_eq!((&view["answered"], &view["unknown"]), (&json!(true), &json!(["n9"])));
    assert_eq!(view["missing"], json!([]));
}

#[test]
fn an_agent_without_networks_leaves_docker_in_peace() {
    let (agent, docker) = (Agent::start(), FakeDocker::start());
    docker.compared_with(&agent).looks(2);
    assert!(docker.script.lock().unwrap().asked.is_empty());
}

#[test]
fn a_refused_creation_makes_the_agent_look_at_once() {
    let (agent, docker) = (with_networks(1), FakeDocker::start());
    docker.says(|script| script.networks = listed(&["n1"]));
    let mut comparison = docker.compared_with(&agent);
    assert!(!comparison.look(), "both agree, so the next look is an hour away");
    docker.says(|script| script.networks = listed(&[]));
    docker.runtime.spawn(comparison.reconciler.run());
    // The user's retries; each is a call of its own, and the looks run beside them.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let reply = agent.post("NetworkDriver.CreateNetwork", &network("n2", 1));
        if reply.json().get("Err").is_none() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{reply:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(networks(&agent), ["n2"]);
}
