//! The VPP of a scenario: one that runs, with or without a recorder, or a recording.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::counters::Counters;
use super::entry::{Entry, Recording};
use super::format;
use super::player::ScriptedVpp;
use super::recorder::Recorder;
use super::varying::Folders;
use crate::vpp::Vpp;
use crate::wait;

/// With it scenarios on a real VPP are recorded.
const RECORD: &str = "DOCKERVPP_TEST_VPP_RECORD";

/// The file, beside the recordings, with the keys of all messages that the recorded VPP has, of those that are known.
const MESSAGES: &str = "messages.txt";

/// How long VPP may take for what a scenario waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where recordings are.
#[derive(Debug, Clone)]
pub struct Recordings {
    folder: PathBuf,
}

impl Recordings {
    /// Those in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The scenarios of which there are recordings, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn scenarios(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            if file != MESSAGES {
                names.push(file.trim_end_matches(".txt").to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn file(&self, scenario: &str) -> PathBuf {
        self.folder.join(format!("{scenario}.txt"))
    }

    /// The messages that VPP had, and what happened.
    fn read(&self, scenario: &str) -> Result<(Vec<String>, Recording)> {
        let text = |path: &Path| {
            let why = || format!("there is no {}: `make vpp-record` makes it", path.display());
            fs::read_to_string(path).with_context(why)
        };
        let messages = text(&self.folder.join(MESSAGES))?;
        let keys = messages.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
        let file = self.file(scenario);
        let recording = format::read(&text(&file)?);
        Ok((keys.collect(), recording.with_context(|| file.display().to_string())?))
    }

    fn write(&self, scenario: &str, recording: &Recording, keys: &[&str]) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let heading = format!(
            "# Messages of VPP {} that are known here, written down by `make vpp-record`.\n",
            recording.version
        );
        fs::write(self.folder.join(MESSAGES), heading + &keys.join("\n") + "\n")?;
        Ok(fs::write(self.file(scenario), format::write(recording))?)
    }
}

/// The VPP of a scenario, and a folder for its engine.
#[derive(Debug)]
pub struct Scene {
    cast: Cast,
    folder: TempDir,
}

#[derive(Debug)]
enum Cast {
    Real(Vpp),
    Recorded { vpp: Vpp, recorder: Recorder, file: (Recordings, String) },
    Played { vpp: ScriptedVpp, folder: TempDir, _counters: Counters },
}

impl Scene {
    /// Whether the environment asks for recordings.
    pub fn records() -> bool {
        env::var_os(RECORD).is_some_and(|value| !value.is_empty())
    }

    /// A VPP that runs. It is recorded where the environment asks for it.
    ///
    /// # Errors
    /// When VPP is not found, or does not start.
    pub fn real(recordings: &Recordings, scenario: &str) -> Result<Self> {
        let folder = folder("dvt")?;
        let vpp = Vpp::start(&[])?;
        if !Self::records() {
            return Ok(Self { cast: Cast::Real(vpp), folder });
        }
        let folders = folders(&folder, vpp.folder())?;
        let recorder =
            Recorder::start(&folder.path().join("api.sock"), &vpp.api_socket(), folders)?;
        let file = (recordings.clone(), scenario.to_owned());
        Ok(Self { cast: Cast::Recorded { vpp, recorder, file }, folder })
    }

    /// The recording of a scenario.
    ///
    /// # Errors
    /// When there is none.
    pub fn played(recordings: &Recordings, scenario: &str) -> Result<Self> {
        let (keys, recording) = recordings.read(scenario)?;
        let own = folder("dvt")?;
        let vpp_folder = folder("vpp")?;
        let folders = folders(&own, vpp_folder.path())?;
        let path = vpp_folder.path().join("api.sock");
        let vpp = ScriptedVpp::start(&path, recording, keys, folders)?;
        let counters = Counters::serve(&vpp_folder.path().join("stats.sock"))?;
        let cast = Cast::Played { vpp, folder: vpp_folder, _counters: counters };
        Ok(Self { cast, folder: own })
    }

    /// The engine's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket of the binary API, for the engine.
    pub fn api_socket(&self) -> PathBuf {
        match &self.cast {
            Cast::Real(vpp) => vpp.api_socket(),
            Cast::Recorded { .. } => self.folder.path().join("api.sock"),
            Cast::Played { folder, .. } => folder.path().join("api.sock"),
        }
    }

    /// The socket that gives the counters' memory away.
    pub fn stats_socket(&self) -> PathBuf {
        match &self.cast {
            Cast::Real(vpp) | Cast::Recorded { vpp, .. } => vpp.stats_socket(),
            Cast::Played { folder, .. } => folder.path().join("stats.sock"),
        }
    }

    /// The libvppcom of the VPP that runs; none where none does.
    pub fn library(&self) -> Option<&Path> {
        match &self.cast {
            Cast::Real(vpp) | Cast::Recorded { vpp, .. } => Some(&vpp.files().library),
            Cast::Played { .. } => None,
        }
    }

    /// Waits until the engine has heard VPP's events and has done what it does by itself. A VPP that is not recorded
    /// needs no such help: there the scenario waits for what it looks for.
    ///
    /// # Errors
    /// When something else happens than was recorded.
    pub fn settle(&self) -> Result<()> {
        match &self.cast {
            Cast::Real(_) => Ok(()),
            Cast::Recorded { recorder, .. } => {
                recorder.settle()?;
                recorder.note(Entry::Settled);
                Ok(())
            }
            Cast::Played { vpp, .. } => vpp.settle(),
        }
    }

    /// Waits until no engine is connected any more, after the scenario has dropped it: what VPP says from then on is
    /// heard by nobody.
    ///
    /// # Errors
    /// When it stays.
    pub fn until_engine_is_gone(&self) -> Result<()> {
        let connected = || match &self.cast {
            Cast::Real(_) => false,
            Cast::Recorded { recorder, .. } => recorder.has_engine(),
            Cast::Played { vpp, .. } => vpp.has_clients(),
        };
        wait::until(PATIENCE, "the engine is gone", || Ok((!connected()).then_some(())))
    }

    /// Does a command of VPP's command line, after all is [settled](Scene::settle), and returns what it printed.
    ///
    /// # Errors
    /// When VPP does not answer, or something else happens than was recorded.
    pub fn cli(&self, command: &str) -> Result<String> {
        self.cli_until(command, "VPP answers", |_| true)
    }

    /// As [`Scene::cli`], again and again until what it prints is as wanted; `what` says what is waited for.
    ///
    /// # Errors
    /// As [`Scene::cli`]; and when it is never as wanted.
    pub fn cli_until(
        &self,
        command: &str,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let ask = |vpp: &Vpp| {
            wait::until_ok(PATIENCE, what, || {
                let printed = vpp.cli(command)?;
                ensure!(wanted(&printed), "`{command}` prints: {printed}");
                Ok(printed)
            })
        };
        match &self.cast {
            Cast::Real(vpp) => ask(vpp),
            Cast::Recorded { vpp, recorder, .. } => {
                recorder.settle()?;
                let printed = ask(vpp)?;
                recorder.note(Entry::Command(command.to_owned(), printed.clone()));
                Ok(printed)
            }
            Cast::Played { vpp, .. } => {
                let printed = vpp.command(command)?;
                ensure!(wanted(&printed), "{what}: not in the recording, where it is {printed}");
                Ok(printed)
            }
        }
    }

    /// Kills VPP.
    ///
    /// # Errors
    /// When something else happens than was recorded.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.cast {
            Cast::Real(vpp) => vpp.kill(),
            Cast::Recorded { vpp, recorder, .. } => {
                recorder.settle()?;
                recorder.note(Entry::Killed);
                recorder.close();
                vpp.kill();
            }
            Cast::Played { vpp, .. } => vpp.kill()?,
        }
        Ok(())
    }

    /// Starts VPP again after [`Scene::kill`], and has it do `commands` before the engine comes.
    ///
    /// # Errors
    /// When it does not start, or something else happens than was recorded.
    pub fn start_again(&mut self, commands: &[&str]) -> Result<()> {
        match &mut self.cast {
            Cast::Real(vpp) => {
                vpp.start_again()?;
                commands.iter().try_for_each(|command| vpp.cli(command).map(drop))
            }
            Cast::Recorded { vpp, recorder, .. } => {
                vpp.start_again()?;
                for command in commands {
                    let printed = vpp.cli(command)?;
                    recorder.note(Entry::Command((*command).to_owned(), printed));
                }
                recorder.note(Entry::Started);
                recorder.open()
            }
            Cast::Played { vpp, .. } => {
                for command in commands {
                    vpp.command_at_once(command)?;
                }
                vpp.start_again()
            }
        }
    }

    /// The scenario is over: the recording is written, or was played to its end.
    ///
    /// # Errors
    /// When it cannot be written, or was not.
    pub fn finish(self) -> Result<()> {
        match self.cast {
            Cast::Real(_) => Ok(()),
            Cast::Recorded { recorder, file: (recordings, scenario), .. } => {
                let (entries, version, keys) = recorder.finish()?;
                let recording = Recording { version, day: today()?, entries };
                recordings.write(&scenario, &recording, &keys)
            }
            Cast::Played { vpp, .. } => vpp.finish(),
        }
    }
}

/// A folder whose name has the length that those in recordings have.
fn folder(prefix: &str) -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix(prefix).rand_bytes(6).tempdir_in("/tmp")?)
}

fn folders(scenario: &TempDir, vpp: &Path) -> Result<Folders> {
    Folders::new(scenario.path().display().to_string(), vpp.display().to_string())
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output()?;
    ensure!(output.status.success(), "`date` fails");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
