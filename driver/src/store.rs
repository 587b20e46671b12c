//! The state on disk: `state.redb` in the state directory, one record per network and endpoint.
//!
//! A commit has reached the disk when it returns. The first file is made aside and renamed, so a
//! file that is there was once whole; one that cannot be read is reported and never written to.
//! A lock file keeps a second agent out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError,
};
use serde::de::DeserializeOwned;

use crate::state::{Change, EndpointRecord, NetworkRecord, State};

/// The layout of the tables; raised when older agents could no longer read them.
pub const SCHEMA: u64 = 1;

/// The state file's name in the state directory.
pub const FILE: &str = "state.redb";

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Words about the whole: `engine` is the engine that made the networks.
const WORDS: TableDefinition<&str, &str> = TableDefinition::new("words");
const NETWORKS: TableDefinition<&str, &[u8]> = TableDefinition::new("networks");
const ENDPOINTS: TableDefinition<&str, &[u8]> = TableDefinition::new("endpoints");

/// The engine of networks from before the engine was written down.
const FIRST_ENGINE: &str = "embedded";

/// The open state file. One agent at a time has it.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
    _lock: File,
}

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    /// The directory or a file in it cannot be made or opened.
    #[error("cannot open {path}")]
    #[diagnostic(
        code(dockervpp::state::open),
        help("run the agent as root, or choose a directory that it may write with --state-dir")
    )]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another agent has it.
    #[error("another agent{} uses the state directory {path}", pid_text(*.pid))]
    #[diagnostic(
        code(dockervpp::state::in_use),
        help(
            "stop that agent, or give this one directories and sockets of its own (--state-dir, --plugin-socket, --control-socket)"
        )
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other agent.
        pid: Option<u32>,
    },
    /// The file is not what an agent left behind.
    #[error("the state file {path} is damaged: {reason}")]
    #[diagnostic(
        code(dockervpp::state::damaged),
        help("nothing was changed. Restore it from a backup, or stop the containers on dockervpp networks, move it aside (`mv {path} {path}.damaged`) and start the agent again: it starts empty, and the networks must be removed and created again with `docker network`", path = .path.display())
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A newer version wrote it.
    #[error("the state file {path} has schema {found}, this version knows up to {SCHEMA}")]
    #[diagnostic(
        code(dockervpp::state::newer),
        help("a newer dockervpp wrote it: run that version or a later one. Nothing was changed")
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
    },
    /// A change did not reach the disk.
    #[error("cannot save the state in {path}: {source}")]
    #[diagnostic(
        code(dockervpp::state::write),
        help("is the disk full or read-only? Nothing was changed; repeat the command afterwards")
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The database's answer.
        source: Box<redb::Error>,
    },
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Store {
    /// Opens the state in `directory`, which is made if it does not exist, and reads it.
    pub fn open(directory: &Path) -> Result<(Self, State), StoreError> {
        let open = |source| StoreError::Open { path: directory.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(open)?;
        let lock = lock(directory)?;
        let path = directory.join(FILE);
        if !path.try_exists().map_err(open)? {
            create(directory, &path)?;
        }
        rehearse(&path)?;
        let database = Builder::new().open(&path).map_err(|error| opening(&path, error.into()))?;
        let state = load(&database, &path)?;
        Ok((Self { database, path, _lock: lock }, state))
    }

    /// The engine that the networks of `state` were made with; none when there are none.
    pub fn engine_of(&self, state: &State) -> Result<Option<String>, StoreError> {
        if state.networks().next().is_none() {
            return Ok(None);
        }
        let engine = word(&self.database, "engine").map_err(|error| opening(&self.path, error))?;
        Ok(Some(engine.unwrap_or_else(|| FIRST_ENGINE.to_owned())))
    }

    /// Notes the engine that makes networks from now on.
    pub fn record_engine(&self, name: &str) -> Result<(), StoreError> {
        let write = || {
            let transaction = self.database.begin_write()?;
            transaction.open_table(WORDS)?.insert("engine", name)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|source: redb::Error| StoreError::Write {
            path: self.path.clone(),
            source: source.into(),
        })
    }

    /// Makes the changes durable, all or none; on the disk when this returns.
    pub fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        write(&self.database, changes)
            .map_err(|source| StoreError::Write { path: self.path.clone(), source: source.into() })
    }
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let open = |source| StoreError::Open { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(open)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::InUse { path: directory.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(open(source)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(open)?;
    Ok(file)
}

/// Makes an empty state file under another name and renames it when it is whole.
fn create(directory: &Path, path: &Path) -> Result<(), StoreError> {
    let aside = directory.join("state.redb.new");
    let open = |source| StoreError::Open { path: aside.clone(), source };
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(open(error)),
        _ => {}
    }
    let database = Builder::new().create(&aside).map_err(|error| opening(&aside, error.into()))?;
    initialise(&database).map_err(|error| opening(&aside, error))?;
    drop(database);
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o600)).map_err(open)?;
    fs::rename(&aside, path).map_err(open)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(open)
}

fn initialise(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("schema", SCHEMA)?;
    transaction.open_table(NETWORKS)?;
    transaction.open_table(ENDPOINTS)?;
    transaction.commit()?;
    Ok(())
}

/// Opens and reads a copy in memory, because opening the file itself may already repair it, and a
/// file that turns out to be damaged must stay as it was found.
fn rehearse(path: &Path) -> Result<(), StoreError> {
    let bytes =
        fs::read(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    let damaged =
        |reason: &str| StoreError::Damaged { path: path.to_owned(), reason: reason.into() };
    if bytes.is_empty() {
        return Err(damaged("it is empty"));
    }
    let rehearsal = || {
        let copy = InMemoryBackend::new();
        let filled = copy.set_len(bytes.len() as u64).and_then(|()| copy.write(0, &bytes));
        filled.map_err(|error| damaged(&error.to_string()))?;
        let database = Builder::new()
            .set_check_integrity_on_open(true)
            .create_with_backend(copy)
            .map_err(|error| opening(path, error.into()))?;
        load(&database, path).map(drop)
    };
    catch_unwind(AssertUnwindSafe(rehearsal))
        .unwrap_or_else(|_| Err(damaged("the database in it contradicts itself")))
}

fn load(database: &Database, path: &Path) -> Result<State, StoreError> {
    let damaged = |reason| StoreError::Damaged { path: path.to_owned(), reason };
    match schema(database).map_err(|error| opening(path, error))? {
        Some(SCHEMA) => {}
        Some(found) if found > SCHEMA => {
            return Err(StoreError::Newer { path: path.to_owned(), found });
        }
        other => return Err(damaged(format!("it names no known schema (found {other:?})"))),
    }
    let networks: Vec<NetworkRecord> = records(database, NETWORKS, path)?;
    let endpoints: Vec<EndpointRecord> = records(database, ENDPOINTS, path)?;
    State::from_records(networks, endpoints).map_err(|error| damaged(error.to_string()))
}

fn word(database: &Database, key: &str) -> Result<Option<String>, redb::Error> {
    match database.begin_read()?.open_table(WORDS) {
        Ok(words) => Ok(words.get(key)?.map(|word| word.value().to_owned())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn schema(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get("schema")?.map(|schema| schema.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn records<T: DeserializeOwned>(
    database: &Database,
    table: TableDefinition<&str, &[u8]>,
    path: &Path,
) -> Result<Vec<T>, StoreError> {
    let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let table = database.begin_read()?.open_table(table)?;
        let mut rows = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            rows.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(rows)
    };
    let rows = read().map_err(|error| opening(path, error))?;
    rows.into_iter()
        .map(|(key, value)| {
            serde_json::from_slice(&value).map_err(|error| StoreError::Damaged {
                path: path.to_owned(),
                reason: format!("record {key} cannot be read: {error}"),
            })
        })
        .collect()
}

fn write(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut networks = transaction.open_table(NETWORKS)?;
        let mut endpoints = transaction.open_table(ENDPOINTS)?;
        for change in changes {
            match change {
                Change::PutNetwork(record) => {
                    let value = to_json(record)?;
                    networks.insert(record.spec.id.as_str(), value.as_slice())?;
                }
                Change::DropNetwork(id) => drop(networks.remove(id.as_str())?),
                Change::PutEndpoint(record) => {
                    let value = to_json(record)?;
                    endpoints.insert(record.spec.id.as_str(), value.as_slice())?;
                }
                Change::DropEndpoint(id) => drop(endpoints.remove(id.as_str())?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn to_json<T: serde::Serialize>(record: &T) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(record).map_err(|error| redb::Error::Io(error.into()))
}

/// What the database says while the file is opened: of the kernel, or of the content.
fn opening(path: &Path, error: redb::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        redb::Error::Io(source) if source.raw_os_error().is_some() => {
            StoreError::Open { path, source }
        }
        redb::Error::DatabaseAlreadyOpen => {
            let path = path.parent().map_or_else(|| path.clone(), Path::to_owned);
            StoreError::InUse { path, pid: None }
        }
        error => StoreError::Damaged { path, reason: error.to_string() },
    }
}
