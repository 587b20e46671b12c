//! Keeps VPP as the driver wants it.
//!
//! What the driver wants is an [`Inventory`]. Whenever it changes, something at VPP changes, VPP comes
//! back, and from time to time, all of VPP's objects that are this agent's are compared with it, and the
//! difference is carried out. There is no other way in which VPP is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use vpp_api_client::api::interface::{SwInterfaceEvent, WantInterfaceEvents};
use vpp_api_client::api::vpe::ShowVersion;
use vpp_api_client::{Client, Error, Events, Options};

use super::apply::{carry_out, nudge, tag_all};
use super::diff::{Step, diff};
use super::hosts::Hosts;
use super::inspect::inspect;
use super::lent::LentAddresses;
use super::linger;
use super::observe::{Claims, Sight, Viewer};
use super::plan::Inventory;
use super::required::REQUIRED;
use super::state::State;
use super::tag::{Owner, Side, Tag};
use crate::engine::EngineError;

/// Between comparisons while nothing seems to happen.
const EVERY: Duration = Duration::from_secs(10);

/// Events that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(5);

/// Events that are taken together at most.
const MANY: usize = 1000;

/// Between attempts to reach VPP.
const RETRY: Duration = Duration::from_millis(250);

/// What a call waits for VPP when it is not there.
const PATIENCE: Duration = Duration::from_secs(3);

/// What VPP may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why nothing is known.
const UNTRIED: &str = "it has not answered yet";

/// How VPP is reached, and whose objects are kept there.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// VPP's API socket.
    pub(super) socket: PathBuf,
    /// Whose objects.
    pub(super) owner: Owner,
    /// Where the agent's own sockets are.
    pub(super) directory: PathBuf,
    /// VPP's name of the operator's interface to the outside, if networks have a way out.
    pub(super) outside: Option<String>,
    /// The processes of endpoints in VPP's host stack.
    pub(super) hosts: Arc<Hosts>,
    /// Who of the agent's stacks has its address.
    pub(super) lent: Arc<LentAddresses>,
}

/// The thread that talks with VPP, and what it last saw there.
#[derive(Debug)]
pub(super) struct Controller {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    supervisor: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    setting: Setting,
    inventory: Mutex<Numbered>,
    /// VPP while it is there, and why it is not otherwise.
    vpp: watch::Sender<Presence>,
    /// Held by who compares.
    compared: tokio::sync::Mutex<Compared>,
}

/// The inventory, with a number for each of its changes.
#[derive(Debug, Default)]
struct Numbered {
    inventory: Inventory,
    number: u64,
}

#[derive(Debug, Clone)]
enum Presence {
    /// It was not tried yet.
    Unknown,
    Here(Client),
    Away(String),
}

/// The outcome of a comparison.
#[derive(Debug, Default)]
struct Compared {
    /// The number of the inventory.
    number: u64,
    /// VPP has not been restarted since.
    valid: bool,
    /// What VPP refused.
    failed: BTreeMap<Tag, String>,
    sight: Sight,
}

impl Controller {
    /// Starts the thread, and waits for its first attempt to reach VPP, which need not be there.
    pub(super) fn start(setting: Setting) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("vpp")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            setting,
            inventory: Mutex::default(),
            vpp: watch::Sender::new(Presence::Unknown),
            compared: tokio::sync::Mutex::default(),
        });
        let supervisor = runtime.spawn(supervise(Arc::clone(&shared))).abort_handle();
        let controller = Self { shared, runtime: Some(runtime), supervisor };
        controller.block_on(async {
            let mut presence = controller.shared.vpp.subscribe();
            let known = presence.wait_for(|presence| !matches!(presence, Presence::Unknown));
            // What comes too late is seen later.
            let _ = tokio::time::timeout(PATIENCE, known).await;
        });
        Ok(controller)
    }

    /// Changes what the driver wants; VPP follows with [`Controller::settle`].
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Inventory) -> T) -> T {
        let mut numbered = self.shared.numbered();
        numbered.number += 1;
        change(&mut numbered.inventory)
    }

    /// Has VPP follow the inventory; an error if it does not for what `concerns` picks.
    pub(super) fn settle(&self, concerns: impl Fn(&Tag) -> bool) -> Result<(), EngineError> {
        self.block_on(async {
            let client = self.shared.client(PATIENCE).await?;
            let number = self.shared.numbered().number;
            let mut compared = self.shared.compared.lock().await;
            if !(compared.valid && compared.number >= number) {
                let compare = self.shared.compare(&client, &mut compared).await;
                compare.map_err(|error| self.shared.unreachable(&error.to_string()))?;
            }
            match compared.failed.iter().find(|(tag, _)| concerns(tag)) {
                None => Ok(()),
                Some((_, why)) => Err(EngineError::Vpp(why.clone())),
            }
        })
    }

    /// As [`Controller::settle`], but where VPP is away, that is how it is: it follows when it is back. Nor is
    /// it asked for each of the things that the agent remembers, but for all of them at the end.
    pub(super) fn settle_or_later(
        &self,
        concerns: impl Fn(&Tag) -> bool,
    ) -> Result<(), EngineError> {
        if !self.is_whole() {
            return Ok(());
        }
        match self.presence() {
            Presence::Here(_) => match self.settle(concerns) {
                Err(EngineError::VppAway { .. }) => Ok(()),
                other => other,
            },
            Presence::Away(_) | Presence::Unknown => Ok(()),
        }
    }

    /// Whether the inventory is all that the driver remembers.
    pub(super) fn is_whole(&self) -> bool {
        self.shared.numbered().inventory.whole
    }

    /// What VPP has refused and still lacks, in words.
    pub(super) fn refusals(&self) -> Vec<String> {
        let words = |(tag, why): (&Tag, &String)| format!("{}: {why}", tag.subject());
        self.block_on(async {
            self.shared.compared.lock().await.failed.iter().map(words).collect()
        })
    }

    /// VPP's name of the interface to the outside.
    pub(super) fn outside(&self) -> Option<&str> {
        self.shared.setting.outside.as_deref()
    }

    /// The outside interface that VPP lacks.
    pub(super) fn missing_outside(&self) -> Option<&str> {
        let named = self.shared.setting.outside.as_deref()?;
        self.sight().numbers.outside.is_none().then_some(named)
    }

    /// Why VPP is away, if it is.
    pub(super) fn trouble(&self) -> Option<String> {
        match self.presence() {
            Presence::Here(_) => None,
            Presence::Away(why) => Some(why),
            Presence::Unknown => Some(UNTRIED.to_owned()),
        }
    }

    /// Asks VPP something, with what was last seen there.
    pub(super) fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Client, &Sight) -> Result<T, Error>,
    ) -> Result<T, EngineError> {
        self.block_on(async {
            let client = self.shared.client(Duration::ZERO).await?;
            let sight = self.shared.compared.lock().await.sight.clone();
            question(&client, &sight).await.map_err(|error| match error {
                error if super::apply::is_loss(&error) => {
                    self.shared.unreachable(&error.to_string())
                }
                error => EngineError::Vpp(error.to_string()),
            })
        })
    }

    /// What was last seen at VPP.
    pub(super) fn sight(&self) -> Sight {
        self.block_on(async { self.shared.compared.lock().await.sight.clone() })
    }

    fn presence(&self) -> Presence {
        self.shared.vpp.borrow().clone()
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it is there until the controller is dropped").block_on(future)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.supervisor.abort();
        if let Some(runtime) = self.runtime.take() {
            // Also from within another runtime, where waiting is not allowed.
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn numbered(&self) -> MutexGuard<'_, Numbered> {
        // Changes are single insertions and removals.
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// VPP, for which this waits if it is not there.
    async fn client(&self, patience: Duration) -> Result<Client, EngineError> {
        let mut presence = self.vpp.subscribe();
        let here = presence.wait_for(|presence| matches!(presence, Presence::Here(_)));
        if let Ok(Ok(here)) = tokio::time::timeout(patience, here).await
            && let Presence::Here(client) = &*here
        {
            return Ok(client.clone());
        }
        match &*self.vpp.borrow() {
            Presence::Here(client) => Ok(client.clone()),
            Presence::Away(why) => Err(self.unreachable(why)),
            Presence::Unknown => Err(self.unreachable(UNTRIED)),
        }
    }

    fn unreachable(&self, why: &str) -> EngineError {
        EngineError::VppAway { socket: self.setting.socket.clone(), why: why.to_owned() }
    }

    /// Looks at VPP, and makes it as it should be.
    async fn compare(&self, client: &Client, compared: &mut Compared) -> Result<(), Error> {
        compared.valid = false;
        let (mut inventory, number) = {
            let numbered = self.numbered();
            (numbered.inventory.clone(), numbered.number)
        };
        let Setting { owner, directory, outside, .. } = &self.setting;
        let mut claims = Claims::of(&inventory.wanted(&State::default(), &BTreeSet::new()));
        claims.sockets.extend(inventory.sockets());
        let viewer = Viewer { owner, claims: &claims, directory };
        let mut sight = inspect(client, viewer, outside.as_deref()).await?;
        inventory.way_out = sight.numbers.outside.is_some();
        tag_all(client, owner, &sight.numbers, &sight.adopted).await?;
        let mut wanted = inventory.wanted(&sight.state, &sight.connected);
        self.take_leave(&diff(&sight.state, &wanted)).await;
        let leaving = sight.leaving_hosts(&wanted);
        wanted.linger(&sight.state, &linger::busy(client, &leaving).await?);
        let steps = diff(&sight.state, &wanted);
        let failed = if steps.is_empty() {
            BTreeMap::new()
        } else {
            let failed = carry_out(client, owner, &mut sight.numbers, &steps).await?;
            sight.state = wanted;
            failed
        };
        let failed: BTreeMap<Tag, String> =
            failed.into_iter().map(|(tag, error)| (tag, error.to_string())).collect();
        for (tag, why) in &failed {
            if compared.failed.get(tag) != Some(why) {
                let subject = tag.subject();
                tracing::warn!(%subject, "VPP is not as it should be: {why}");
            }
        }
        let made = steps.iter().filter_map(|step| match step {
            Step::AddNamespace(host, _) => Some(host.clone()),
            _ => None,
        });
        self.setting.lent.follow(&sight);
        self.setting.hosts.follow(&sight, |tag| failed.contains_key(tag), &made.collect());
        *compared = Compared { number, valid: true, failed, sight };
        Ok(())
    }

    /// Before VPP gives an endpoint's address to a memif client or a front end, or removes its host, the endpoint's peers
    /// are told.
    async fn take_leave(&self, steps: &[Step]) {
        let given_away = steps.iter().filter_map(|step| match step {
            Step::Unpin(_, tag) | Step::DeleteNamespace(tag) => Some(tag.clone()),
            _ => None,
        });
        let leaving = self.setting.hosts.leave(&given_away.collect());
        if !leaving.is_empty() {
            // Fails when it panics; then there is nothing to wait for.
            let _ = tokio::task::spawn_blocking(|| leaving.wait()).await;
        }
    }
}

/// Whether VPP answers at `socket` as it must; says why not.
pub(super) fn probe(socket: &Path) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let reached = runtime.block_on(reach(socket));
    reached.map(drop).map_err(|error| error.to_string())
}

/// A VPP that has all that is needed.
async fn reach(socket: &Path) -> Result<Client, Error> {
    let options = Options { name: "dockervpp".to_owned(), timeout: ANSWER, ..Options::default() };
    let client = Client::connect_with(socket, options).await?;
    client.require(REQUIRED)?;
    Ok(client)
}

/// Connects, keeps VPP as it should be while it is there, and connects again.
async fn supervise(shared: Arc<Shared>) {
    let mut told = None;
    loop {
        let why = match connect(&shared).await {
            Ok((client, events)) => {
                told = None;
                let error = stay(&shared, &client, events).await;
                shared.compared.lock().await.valid = false;
                let why = error.to_string();
                tracing::warn!("{why}; what VPP has forgotten it is told again when it is back");
                why
            }
            Err(error) => {
                let why = error.to_string();
                if told.as_ref() != Some(&why) {
                    tracing::warn!("{why}; it is tried again");
                    told = Some(why.clone());
                }
                why
            }
        };
        shared.vpp.send_replace(Presence::Away(why));
        tokio::time::sleep(RETRY).await;
    }
}

async fn connect(shared: &Shared) -> Result<(Client, Events<SwInterfaceEvent>), Error> {
    let client = reach(&shared.setting.socket).await?;
    let version = client.request(&ShowVersion {}).await?.version;
    shared.setting.hosts.meet(&version);
    let events = client.events::<SwInterfaceEvent>()?;
    let subscription = WantInterfaceEvents { enable_disable: 1, pid: std::process::id() };
    client.request(&subscription).await?;
    Ok((client, events))
}

/// Keeps VPP as it should be until it is gone.
async fn stay(shared: &Shared, client: &Client, mut events: Events<SwInterfaceEvent>) -> Error {
    tracing::info!(socket = %shared.setting.socket.display(), "VPP is there");
    // Before it is as it should be: who asks from now on has it made so.
    shared.vpp.send_replace(Presence::Here(client.clone()));
    let mut first = true;
    let mut whole = false;
    loop {
        let knows_all = shared.numbered().inventory.whole;
        {
            let mut compared = shared.compared.lock().await;
            if let Err(error) = shared.compare(client, &mut compared).await {
                return error;
            }
            let woken = first || knows_all != whole;
            if woken && let Err(error) = wake_links(client, &compared.sight).await {
                return error;
            }
        }
        first = false;
        whole = knows_all;
        tokio::select! {
            loss = client.closed() => return Error::Disconnected(loss),
            event = events.recv() => match event {
                // Lost ones are made up for by the comparison.
                Ok(_) | Err(Error::EventsLost { .. }) => {
                    drain(&mut events).await;
                }
                Err(error) => return error,
            },
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Takes the events that come with the one that was taken.
async fn drain(events: &mut Events<SwInterfaceEvent>) {
    for _ in 0..MANY {
        let event = tokio::time::timeout(SETTLE, events.recv()).await;
        if !matches!(event, Ok(Ok(_) | Err(Error::EventsLost { .. }))) {
            return;
        }
    }
}

/// Has VPP connect now to the agent's sockets, which it may have tried while no agent was there.
async fn wake_links(client: &Client, sight: &Sight) -> Result<(), Error> {
    let idle = sight.numbers.interfaces.iter().find(|(tag, _)| {
        matches!(tag, Tag::Port(_, Side::Link)) && !sight.connected.contains(*tag)
    });
    match idle {
        // All are tried when one is.
        Some((_, index)) => match nudge(client, *index).await {
            Err(Error::Refused { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        },
        None => Ok(()),
    }
}
