//! A relay between an engine and a real VPP, which writes down what they say to each other.
//!
//! Everything passes, except VPP's events: those wait until the scenario lets the engine hear them.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use vpp_api_client::api::memclnt::SockclntCreateReply;
use vpp_api_client::api::vpe::ShowVersionReply;
use vpp_api_client::message::{Message as _, decode};

use super::entry::{Asked, Entry, Said};
use super::message::{Numbers, SOCKCLNT_CREATE_REPLY, number_of};
use super::script::without_repetitions;
use super::stream::{Listening, receive, send};
use super::varying::{Folders, without_numbers, without_origin};
use crate::wait;

/// An engine that says nothing for this long has done with what it heard: longer than it lets events gather, and
/// longer than between its attempts to connect.
const QUIET: Duration = Duration::from_millis(400);

/// How long it may take until all is quiet.
const PATIENCE: Duration = Duration::from_mins(1);

/// What neither side is to be recorded of: pings, and VPP's question whether a client lives.
const UNRECORDED: [&str; 4] =
    ["control_ping", "control_ping_reply", "memclnt_keepalive", "memclnt_keepalive_reply"];

/// The relay.
#[derive(Debug)]
pub(super) struct Recorder {
    shared: Arc<Shared>,
    path: PathBuf,
    listening: Option<Listening>,
}

#[derive(Debug)]
struct Shared {
    back: PathBuf,
    folders: Folders,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    entries: Vec<Entry>,
    /// Which entry has the request with a context.
    asked: HashMap<u32, usize>,
    numbers: Numbers,
    version: String,
    /// Events that the engine has not heard, with their bytes.
    held: Vec<(Said, Vec<u8>)>,
    engine: Option<UnixStream>,
    /// How many engines have come.
    came: usize,
    /// An engine was connected when VPP ended, and will come again.
    awaited: bool,
    last: Instant,
    trouble: Option<String>,
}

impl Recorder {
    /// Listens on `path`, and relays to VPP at `back`.
    pub(super) fn start(path: &Path, back: &Path, folders: Folders) -> Result<Self> {
        let log = Log {
            entries: Vec::new(),
            asked: HashMap::new(),
            numbers: Numbers::default(),
            version: String::new(),
            held: Vec::new(),
            engine: None,
            came: 0,
            awaited: false,
            last: Instant::now(),
            trouble: None,
        };
        let shared = Shared { back: back.to_owned(), folders, log: Mutex::new(log) };
        let mut this = Self { shared: Arc::new(shared), path: path.to_owned(), listening: None };
        this.listen()?;
        Ok(this)
    }

    fn listen(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let listening = Listening::start(&self.path, move |engine| shared.serve(&engine));
        let context = || format!("cannot listen on {}", self.path.display());
        self.listening = Some(listening.with_context(context)?);
        Ok(())
    }

    /// Lets the engine hear VPP's events, and waits until it has done with them.
    pub(super) fn settle(&self) -> Result<()> {
        loop {
            wait::until_ok(PATIENCE, "engine and VPP are quiet", || self.shared.lock().quiet())?;
            if !self.shared.lock().let_events_through()? {
                return Ok(());
            }
        }
    }

    /// Whether an engine is connected.
    pub(super) fn has_engine(&self) -> bool {
        self.shared.lock().engine.is_some()
    }

    /// Writes down what the scenario did.
    pub(super) fn note(&self, entry: Entry) {
        let entry = match entry {
            Entry::Command(command, printed) => {
                let recorded = |text: &str| self.shared.folders.to_recorded(text);
                Entry::Command(recorded(&command), recorded(&printed))
            }
            other => other,
        };
        self.shared.lock().entries.push(entry);
    }

    /// VPP is about to be killed: nobody is served.
    pub(super) fn close(&mut self) {
        self.listening = None;
        let mut log = self.shared.lock();
        log.held.clear();
        if let Some(engine) = log.engine.take() {
            log.awaited = true;
            // Fails when it has gone already.
            let _ = engine.shutdown(Shutdown::Both);
        }
    }

    /// VPP is there again.
    pub(super) fn open(&mut self) -> Result<()> {
        self.listen()
    }

    /// What was written down, VPP's version, and the keys of its messages.
    pub(super) fn finish(self) -> Result<(Vec<Entry>, String, Vec<&'static str>)> {
        let mut log = self.shared.lock();
        if let Some(trouble) = &log.trouble {
            bail!("the recording is not whole: {trouble}");
        }
        let entries = without_repetitions(std::mem::take(&mut log.entries));
        Ok((entries, log.version.clone(), log.numbers.keys()))
    }
}

impl Log {
    fn quiet(&self) -> Result<()> {
        if let Some(trouble) = &self.trouble {
            bail!("the recording is not whole: {trouble}");
        }
        if self.awaited && self.engine.is_none() {
            bail!("the engine has not come again");
        }
        let quiet = self.last.elapsed();
        if quiet < QUIET {
            bail!("something was said {quiet:?} ago");
        }
        Ok(())
    }

    /// Whether there were any.
    fn let_events_through(&mut self) -> Result<bool> {
        let held = std::mem::take(&mut self.held);
        let Some(engine) = self.engine.as_ref().filter(|_| !held.is_empty()) else {
            return Ok(false);
        };
        for (said, message) in held {
            send(engine, &message)?;
            self.entries.push(Entry::Event(said));
        }
        self.last = Instant::now();
        Ok(true)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        // A thread that panicked has failed the recording.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: &Arc<Self>, engine: &UnixStream) {
        let relayed = self.relay(engine);
        if let Err(error) = relayed {
            self.lock().trouble.get_or_insert(format!("{error:#}"));
        }
    }

    fn relay(self: &Arc<Self>, engine: &UnixStream) -> Result<()> {
        let vpp = UnixStream::connect(&self.back).context("VPP takes no client")?;
        let number = {
            let mut log = self.lock();
            log.engine = Some(engine.try_clone()?);
            log.came += 1;
            log.awaited = false;
            log.asked.clear();
            log.came
        };
        let back = thread::spawn({
            let (shared, vpp) = (Arc::clone(self), vpp.try_clone()?);
            let engine = engine.try_clone()?;
            move || {
                let relayed = shared.answers(&vpp, &engine);
                let _ = engine.shutdown(Shutdown::Both);
                relayed
            }
        });
        let relayed = self.requests(engine, &vpp);
        let _ = vpp.shutdown(Shutdown::Both);
        let answered = back.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        let mut log = self.lock();
        if log.came == number {
            // What VPP still said is heard by nobody.
            log.engine = None;
            log.held.clear();
        }
        relayed.and(answered)
    }

    fn requests(&self, engine: &UnixStream, vpp: &UnixStream) -> Result<()> {
        while let Some(message) = receive(engine)? {
            let mut log = self.lock();
            log.last = Instant::now();
            let parts = log.numbers.split(&message)?;
            if !UNRECORDED.contains(&parts.name()) {
                let fields = without_numbers(parts.name(), &parts.text);
                let fields = self.folders.to_recorded(&fields);
                let asked = Asked { key: parts.key().to_owned(), fields };
                let context = parts.context();
                let at = log.entries.len();
                log.entries.push(Entry::Asked(asked, Vec::new()));
                log.asked.extend(context.map(|context| (context, at)));
            }
            drop(log);
            send(vpp, &message)?;
        }
        Ok(())
    }

    fn answers(&self, vpp: &UnixStream, engine: &UnixStream) -> Result<()> {
        while let Some(message) = receive(vpp)? {
            let mut log = self.lock();
            if number_of(&message) == Some(SOCKCLNT_CREATE_REPLY) {
                let reply: SockclntCreateReply = decode(&message)?;
                let table = reply.message_table.into_iter();
                log.numbers = Numbers::of(table.map(|it| (it.name.into(), it.index)));
                send(engine, &message)?;
                continue;
            }
            let passes = self.answer(&mut log, &message)?;
            if passes {
                send(engine, &message)?;
            }
        }
        Ok(())
    }

    /// Writes down what VPP said; whether the engine is to hear it now.
    fn answer(&self, log: &mut Log, message: &[u8]) -> Result<bool> {
        let parts = log.numbers.split(message)?;
        if UNRECORDED.contains(&parts.name()) {
            return Ok(true);
        }
        let plain = without_origin(message, parts.key())?;
        let parts = log.numbers.split(&plain)?;
        let said = Said {
            key: parts.key().to_owned(),
            bytes: self.folders.bytes_to_recorded(parts.fields()),
            fields: self.folders.to_recorded(&parts.text),
        };
        let context = parts.context();
        if parts.key() == ShowVersionReply::KEY {
            let reply: ShowVersionReply = decode(message)?;
            log.version = reply.version.to_string();
        }
        let Some(context) = context else {
            log.held.push((said, message.to_vec()));
            return Ok(false);
        };
        log.last = Instant::now();
        let at = log.asked.get(&context).copied();
        let entry = at.and_then(|at| log.entries.get_mut(at));
        let Some(Entry::Asked(_, answers)) = entry else {
            bail!("{} answers nothing that was asked", said.key);
        };
        answers.push(said);
        Ok(true)
    }
}
