//! Agreement with Docker: what it no longer has is forgotten, without an operator.
//!
//! Docker tells a driver once. If the agent dies after it stored a network and before Docker heard
//! so, or is away when Docker removes one, nobody tells it again, and the network would hold its
//! subnet for ever. So Docker itself is asked, over its API socket: soon after the start, from time
//! to time, and when a creation is refused because of a network that may be such a one.
//!
//! * [`decide`]: what may be forgotten, pure.
//! * [`engine_api`]: Docker's answers.
//! * this file: asks, lets the driver forget, and says what it saw.
//!
//! Runs beside the plugin's service and never inside one of its calls: Docker holds locks while it
//! waits for a driver.

pub mod decide;
pub mod engine_api;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::{debug, error, info, warn};

use self::decide::{Rules, Sightings, Verdict};
use self::engine_api::{AskError, EngineApi, Seen};
use crate::driver::Driver;
use crate::model::NetworkId;

/// Since Docker last named an object: longer than the 15 seconds for which it repeats a call.
pub const GRACE: Duration = Duration::from_secs(30);

/// Between the two looks that must both miss an object.
pub const APART: Duration = Duration::from_secs(4);

/// Between looks while something is missing.
const HURRY: Duration = Duration::from_secs(5);

/// Between looks at the least, however often something is refused.
const REST: Duration = Duration::from_secs(1);

/// When Docker is asked, and how patiently its answers are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between looks while both sides agree.
    pub every: Duration,
    /// Between looks while something is missing.
    pub hurry: Duration,
    /// Between looks at the least.
    pub rest: Duration,
    /// What is proof.
    pub rules: Rules,
}

impl Pace {
    /// The usual pace, with a look `every` so often while both sides agree.
    pub fn new(every: Duration) -> Self {
        let rules = Rules { grace: GRACE, apart: APART };
        Self { every, hurry: HURRY.min(every), rest: REST, rules }
    }
}

/// What the last look has shown, for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerView {
    /// The socket on which Docker is asked; `null` if it is not asked at all.
    pub socket: Option<PathBuf>,
    /// Docker has answered, and the lists below are of its last answer.
    pub answered: bool,
    /// Why the last look failed.
    pub trouble: Option<String>,
    /// Networks that the agent has and Docker has not; they are forgotten soon.
    pub missing: Vec<NetworkId>,
    /// Networks of this kind on which containers run: they belong to another Docker, and nothing is
    /// forgotten.
    pub foreign: Vec<NetworkId>,
    /// Networks that Docker has with this driver and the agent does not know.
    pub unknown: Vec<NetworkId>,
}

/// Compares the agent's networks and endpoints with Docker's until it is dropped.
#[derive(Debug)]
pub struct Reconciler {
    driver: Arc<Driver>,
    /// The name by which Docker knows the driver.
    driver_name: String,
    api: EngineApi,
    pace: Pace,
    sightings: Sightings,
}

impl Reconciler {
    /// Will ask the Docker behind `api`.
    pub fn new(driver: Arc<Driver>, driver_name: &str, api: EngineApi, pace: Pace) -> Self {
        let sightings = Sightings::new(pace.rules);
        driver.saw_docker(DockerView {
            socket: Some(api.socket().to_owned()),
            ..DockerView::default()
        });
        Self { driver, driver_name: driver_name.to_owned(), api, pace, sightings }
    }

    /// Looks again and again; ends only with the task that it runs in.
    pub async fn run(mut self) {
        let driver = Arc::clone(&self.driver);
        loop {
            let wait = if self.look().await { self.pace.hurry } else { self.pace.every };
            tokio::time::sleep(self.pace.rest).await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = driver.docker_doubted() => debug!("a network of the agent is in the way"),
            }
        }
    }

    /// Asks Docker once, and forgets what it verifiably does not have. Says whether another look
    /// soon could do more.
    pub async fn look(&mut self) -> bool {
        let driver = Arc::clone(&self.driver);
        let Some(ours) = blocking(move || driver.docker_should_have(Instant::now())).await else {
            return false;
        };
        if ours.networks.is_empty() && ours.endpoints.is_empty() {
            // Nothing could be forgotten: Docker is left in peace.
            self.sightings.reset();
            let view = self.driver.docker_view();
            self.driver.saw_docker(DockerView { missing: vec![], foreign: vec![], ..view });
            return false;
        }
        let asked = Instant::now();
        match self.api.look(&ours).await {
            Ok(seen) => {
                let verdict = self.sightings.look(asked, &ours, &seen.theirs);
                self.tell(&seen, &verdict);
                self.forget(&verdict).await;
                self.drop_forgotten_from_view();
                verdict.undecided
            }
            Err(error) => {
                self.sightings.reset();
                self.tell_trouble(&error);
                false
            }
        }
    }

    async fn forget(&self, verdict: &Verdict) {
        let grace = self.pace.rules.grace;
        for id in verdict.endpoints.clone() {
            let driver = Arc::clone(&self.driver);
            blocking(move || match driver.forget_endpoint_unknown_to_docker(&id, grace) {
                Ok(true) => warn!(endpoint = id.short(), "forgotten: Docker does not have it"),
                Ok(false) => {}
                Err(error) => warn!(endpoint = id.short(), %error, "cannot forget an endpoint"),
            })
            .await;
        }
        for id in verdict.networks.clone() {
            let driver = Arc::clone(&self.driver);
            blocking(move || match driver.forget_network_unknown_to_docker(&id, grace) {
                Ok(true) => warn!(network = id.short(), "forgotten: Docker does not have it"),
                Ok(false) => {}
                Err(error) => warn!(network = id.short(), %error, "cannot forget a network"),
            })
            .await;
        }
    }

    /// Notes the outcome, and writes to the log what has changed since the last one.
    fn tell(&self, seen: &Seen, verdict: &Verdict) {
        let before = self.driver.docker_view();
        let known = self.driver.snapshot();
        let of_ours = seen.listed.iter().filter(|it| it.driver == self.driver_name);
        let unknown: Vec<NetworkId> = of_ours
            .filter(|it| known.find_network(&it.id).is_none())
            .map(|it| it.id.clone())
            .collect();
        let socket = self.api.socket().display();
        if before.trouble.is_some() || !before.answered {
            info!(%socket, "Docker answers: what it no longer has is forgotten");
        }
        if !verdict.foreign.is_empty() && verdict.foreign != before.foreign {
            warn!(
                networks = shorts(&verdict.foreign),
                %socket,
                "containers run on networks that this Docker does not have: does another Docker \
                 use this driver? Nothing is forgotten by itself; name the right socket with \
                 --docker-socket, or use `dockervpp forget`"
            );
        }
        if !verdict.missing.is_empty() && verdict.missing != before.missing {
            info!(networks = shorts(&verdict.missing), "Docker does not list these networks");
        }
        self.driver.saw_docker(DockerView {
            socket: before.socket,
            answered: true,
            trouble: None,
            missing: verdict.missing.clone(),
            foreign: verdict.foreign.clone(),
            unknown,
        });
    }

    fn drop_forgotten_from_view(&self) {
        let state = self.driver.snapshot();
        let mut view = self.driver.docker_view();
        view.missing.retain(|id| state.find_network(id).is_some());
        self.driver.saw_docker(view);
    }

    fn tell_trouble(&self, error: &AskError) {
        let before = self.driver.docker_view();
        let trouble = error.to_string();
        if before.trouble.as_ref() != Some(&trouble) {
            info!(
                "{trouble}; until it answers, networks that Docker no longer has need `dockervpp \
                 forget`"
            );
        }
        self.driver.saw_docker(DockerView { trouble: Some(trouble), ..before });
    }
}

fn shorts(networks: &[NetworkId]) -> String {
    networks.iter().map(NetworkId::short).collect::<Vec<_>>().join(" ")
}

/// The driver's methods block; `None` after a panic, which is logged.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Some(value),
        Err(panic) => {
            error!(%panic, "comparing with Docker failed inside the agent");
            None
        }
    }
}
