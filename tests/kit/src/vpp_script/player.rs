//! A VPP that answers from a recording.

use std::io::{Write as _, stderr};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use vpp_api_client::api::memclnt::{ControlPingReply, MessageTableEntry, SockclntCreateReply};
use vpp_api_client::message::{Addressing, Message as _, encode};

use super::entry::{Asked, Entry, Recording, Said};
use super::message::{Numbers, Parts, SOCKCLNT_CREATE, SOCKCLNT_CREATE_REPLY, join, number_of};
use super::script::{Script, Unexpected};
use super::stream::{Listening, receive, send};
use super::varying::{Folders, without_numbers};

/// How long an engine may take for what it is expected to ask by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first number of a message.
const FIRST: u16 = 100;

/// What the first client is called, so that an index is no other number by chance.
const FIRST_CLIENT: u32 = 7000;

/// A VPP that answers from a recording, and takes nothing that was not recorded.
///
/// The first thing that was not recorded ends it: its clients are disconnected, and everything that is asked of it
/// from then on says what happened.
#[derive(Debug)]
pub struct ScriptedVpp {
    stage: Arc<Stage>,
    path: PathBuf,
    listening: Option<Listening>,
}

#[derive(Debug)]
struct Stage {
    keys: Vec<String>,
    numbers: Numbers,
    folders: Folders,
    play: Mutex<Play>,
    moved: Condvar,
}

#[derive(Debug)]
struct Play {
    script: Script,
    failure: Option<String>,
    /// Who is connected, with its client index; the last one hears events.
    clients: Vec<(u32, UnixStream)>,
    last_client: u32,
}

impl ScriptedVpp {
    /// Listens on `path`, with a recording and the messages that VPP had, by their keys.
    pub(super) fn start(
        path: &Path,
        recording: Recording,
        keys: Vec<String>,
        folders: Folders,
    ) -> Result<Self> {
        let numbers = Numbers::of(keys.iter().cloned().zip(FIRST..));
        let play = Play {
            script: Script::new(recording.entries),
            failure: None,
            clients: Vec::new(),
            last_client: FIRST_CLIENT,
        };
        let (play, moved) = (Mutex::new(play), Condvar::new());
        let stage = Arc::new(Stage { keys, numbers, folders, play, moved });
        let mut this = Self { stage, path: path.to_owned(), listening: None };
        this.listen()?;
        Ok(this)
    }

    fn listen(&mut self) -> Result<()> {
        let stage = Arc::clone(&self.stage);
        let listening = Listening::start(&self.path, move |stream| stage.serve(&stream));
        let context = || format!("cannot listen on {}", self.path.display());
        self.listening = Some(listening.with_context(context)?);
        Ok(())
    }

    /// Has the engine hear the events that come next, and waits until it has asked what was recorded after them.
    ///
    /// # Errors
    /// When something else happens than was recorded.
    pub fn settle(&self) -> Result<()> {
        self.stage.settle()?;
        self.step(&Entry::Settled)
    }

    /// What VPP's command line printed, after all is settled.
    ///
    /// # Errors
    /// As [`ScriptedVpp::settle`].
    pub fn command(&self, command: &str) -> Result<String> {
        self.stage.settle()?;
        self.command_at_once(command)
    }

    /// As [`ScriptedVpp::command`], before the engine can do anything.
    ///
    /// # Errors
    /// As [`ScriptedVpp::settle`].
    pub fn command_at_once(&self, command: &str) -> Result<String> {
        let recorded = self.stage.folders.to_recorded(command);
        let printed = self.stage.playing(|play| play.script.command(&recorded))?;
        Ok(self.stage.folders.to_live(&printed))
    }

    /// Is gone, as a VPP that was killed.
    ///
    /// # Errors
    /// As [`ScriptedVpp::settle`].
    pub fn kill(&mut self) -> Result<()> {
        self.stage.settle()?;
        self.step(&Entry::Killed)?;
        self.listening = None;
        self.stage.disconnect();
        Ok(())
    }

    /// Is there again.
    ///
    /// # Errors
    /// As [`ScriptedVpp::settle`].
    pub fn start_again(&mut self) -> Result<()> {
        self.step(&Entry::Started)?;
        self.listen()
    }

    /// Whether anybody is connected.
    pub fn has_clients(&self) -> bool {
        !self.stage.lock().clients.is_empty()
    }

    /// Checks that all that was recorded has happened.
    ///
    /// # Errors
    /// As [`ScriptedVpp::settle`].
    pub fn finish(&self) -> Result<()> {
        self.stage.playing(|play| play.script.end())
    }

    fn step(&self, step: &Entry) -> Result<()> {
        self.stage.playing(|play| play.script.step(step))
    }
}

impl Drop for ScriptedVpp {
    fn drop(&mut self) {
        // A scenario may not see what its engine was told.
        if let Some(failure) = &self.stage.lock().failure
            && !thread::panicking()
        {
            panic!("{failure}");
        }
    }
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, Play> {
        // A thread that panicked has failed the test.
        self.play.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a step of the scenario.
    fn playing<T>(&self, step: impl FnOnce(&mut Play) -> Result<T, Unexpected>) -> Result<T> {
        let mut play = self.lock();
        if let Some(failure) = &play.failure {
            bail!("{failure}");
        }
        let done = step(&mut play).map_err(|unexpected| self.fail(&mut play, &unexpected));
        self.moved.notify_all();
        done
    }

    /// Ends everything: this is not what was recorded.
    fn fail(&self, play: &mut Play, what: &dyn std::fmt::Display) -> anyhow::Error {
        let failure = format!("not as recorded: {what}");
        if play.failure.is_none() {
            // Past the capture of the test harness: the test may fail by what the engine makes of it.
            let _ = writeln!(stderr(), "{failure}");
            play.failure = Some(failure.clone());
        }
        disconnect(play);
        self.moved.notify_all();
        anyhow::Error::msg(failure)
    }

    fn disconnect(&self) {
        disconnect(&mut self.lock());
    }

    /// Plays what the engine does by itself.
    fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut play = self.lock();
        loop {
            if let Some(failure) = &play.failure {
                bail!("{failure}");
            }
            if let Some(event) = play.script.event() {
                self.tell(&mut play, &event)?;
                continue;
            }
            if !matches!(play.script.next(), Some(Entry::Asked(..))) {
                return Ok(());
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                let nothing = play.script.nothing();
                return Err(self.fail(&mut play, &nothing));
            };
            let woken = self.moved.wait_timeout(play, left);
            play = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn tell(&self, play: &mut Play, event: &Said) -> Result<()> {
        let Some((client, stream)) = play.clients.last() else {
            return Err(self.fail(play, &format!("nobody is there to hear {}", event.key)));
        };
        let message = self.message(event, *client, 0)?;
        Ok(send(stream, &message)?)
    }

    /// A message of the recording, for this run.
    fn message(&self, said: &Said, client: u32, context: u32) -> Result<Vec<u8>> {
        let number = self.numbers.number(&said.key);
        let number = number.with_context(|| format!("the recorded VPP had no {}", said.key))?;
        join(&said.key, number, client, context, &self.folders.bytes_to_live(&said.bytes))
    }

    /// Serves a client until one side has enough.
    fn serve(&self, stream: &UnixStream) {
        let client = {
            let mut play = self.lock();
            play.last_client += 1;
            play.last_client
        };
        if let Err(error) = self.converse(stream, client) {
            let mut play = self.lock();
            if play.failure.is_none() {
                self.fail(&mut play, &format_args!("{error:#}"));
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        self.lock().clients.retain(|(other, _)| *other != client);
    }

    fn converse(&self, stream: &UnixStream, client: u32) -> Result<()> {
        while let Some(message) = receive(stream)? {
            let parts = self.numbers.split(&message)?;
            let context = parts.context().unwrap_or_default();
            let registers = number_of(&message) == Some(SOCKCLNT_CREATE);
            ensure!(
                registers || parts.client() == Some(client),
                "{} came from client {:?}, which is {client}",
                parts.name(),
                parts.client()
            );
            if parts.name() == "control_ping" {
                let pong = self.pong(client, context)?;
                let _whole = self.lock();
                send(stream, &pong)?;
                continue;
            }
            // Held until all is sent: an event that comes next follows it.
            let mut play = self.lock();
            let answers = self.answer(&mut play, &parts)?;
            if registers {
                send(stream, &self.welcome(client, context)?)?;
                play.clients.push((client, stream.try_clone()?));
            }
            for said in answers {
                send(stream, &self.message(&said, client, context)?)?;
            }
        }
        Ok(())
    }

    fn answer(&self, play: &mut Play, parts: &Parts<'_>) -> Result<Vec<Said>> {
        if let Some(failure) = &play.failure {
            bail!("{failure}");
        }
        let fields = without_numbers(parts.name(), &parts.text);
        let fields = self.folders.to_recorded(&fields);
        let asked = Asked { key: parts.key().to_owned(), fields };
        let answers = play.script.ask(&asked).map_err(|unexpected| self.fail(play, &unexpected));
        self.moved.notify_all();
        answers
    }

    fn welcome(&self, client: u32, context: u32) -> Result<Vec<u8>> {
        let entries =
            self.keys.iter().zip(FIRST..).map(|(key, index)| {
                Ok(MessageTableEntry { index, name: key.as_str().try_into()? })
            });
        let message_table = entries.collect::<Result<_>>()?;
        let reply = SockclntCreateReply { response: 0, index: client, message_table };
        let addressing = Addressing { id: SOCKCLNT_CREATE_REPLY, client_index: client, context };
        Ok(encode(&reply, addressing)?)
    }

    fn pong(&self, client: u32, context: u32) -> Result<Vec<u8>> {
        let number = self.numbers.number(ControlPingReply::KEY);
        let id = number.context("the recorded VPP answered no pings")?;
        let reply = ControlPingReply { retval: 0, client_index: client, vpe_pid: 1 };
        Ok(encode(&reply, Addressing { id, client_index: client, context })?)
    }
}

fn disconnect(play: &mut Play) {
    for (_, stream) in play.clients.drain(..) {
        // Fails for who has gone already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests;
