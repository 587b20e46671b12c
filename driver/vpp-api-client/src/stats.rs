//! Counters of VPP, read from its memory without asking it: interfaces, errors of nodes, buffers.
//!
//! VPP gives a descriptor of the memory to who connects to `/run/vpp/stats.sock`. It is read here with
//! `pread`, never mapped: a copy by the kernel cannot be pulled away underneath, and needs no `unsafe`. Whether
//! the directory changed meanwhile shows by its epoch; what was read is then read again.
//! (Facts: VPP 26.06, `src/vlib/stats/shared.h`, `src/vpp-api/client/stat_client.[ch]`; layout version 2.)
//!
//! ```no_run
//! use vpp_api_client::stats::Stats;
//!
//! let stats = Stats::connect("/run/vpp/stats.sock")?;
//! for interface in stats.interfaces()? {
//!     println!("{}: {} packets in", interface.name, interface.rx.packets);
//! }
//! # Ok::<(), vpp_api_client::stats::StatsError>(())
//! ```

mod interfaces;
mod layout;
mod memory;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub use interfaces::InterfaceCounters;
pub use layout::LayoutError;

use layout::{Directory, Header, Memory};
use memory::Segment;

/// How often a reading is begun again because VPP changed the directory meanwhile.
const ATTEMPTS: usize = 200;
/// How long a change of the directory is given.
const PAUSE: Duration = Duration::from_millis(1);

/// VPP's counters. Reading blocks for some milliseconds at most; connecting waits for VPP.
///
/// When VPP stops, the memory stays as it was: [`heartbeat`](Self::heartbeat) stands still. Connect again when
/// VPP was started again.
#[derive(Debug)]
pub struct Stats<M = Segment> {
    memory: M,
}

/// Counters cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// Nobody gives the memory away.
    #[error("cannot get VPP's counters from {}: {source}; is VPP running, with `statseg` in its configuration?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The memory is of a layout that is not known here.
    #[error("VPP's counters have layout version {0}; 2 is known")]
    Version(u64),
    /// The memory is not what its version promises.
    #[error("VPP's counters cannot be understood: {0}")]
    Layout(LayoutError),
    /// VPP did not stop changing the directory.
    #[error("VPP's directory of counters changes all the time: try again")]
    Busy,
    /// There is no such counter.
    #[error("VPP has no counter `{0}`")]
    Absent(String),
}

/// Packets and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a counter has. Rows are VPP's threads, the main thread first; columns are what is counted, such as
/// interfaces by `sw_if_index`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// One number.
    Scalar(u64),
    /// Numbers.
    Simple(Vec<Vec<u64>>),
    /// Packets and bytes.
    Combined(Vec<Vec<Traffic>>),
    /// Names, such as of interfaces by `sw_if_index`; `None` where there is nothing any more.
    Names(Vec<Option<String>>),
    /// Nothing, or a kind that is not known here.
    Other,
}

impl Value {
    /// The number, or the sum of the numbers; of packets where there are packets and bytes.
    pub fn total(&self) -> u64 {
        match self {
            Self::Scalar(value) => *value,
            Self::Simple(rows) => rows.iter().flatten().fold(0, |sum, it| sum.wrapping_add(*it)),
            Self::Combined(rows) => {
                rows.iter().flatten().fold(0, |sum, it| sum.wrapping_add(it.packets))
            }
            Self::Names(_) | Self::Other => 0,
        }
    }
}

impl Stats {
    /// Asks VPP for its counters' memory.
    ///
    /// # Errors
    /// [`StatsError::Connect`], [`StatsError::Version`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, StatsError> {
        let path = path.as_ref();
        let failed = |source| StatsError::Connect { path: path.to_owned(), source };
        Self::of(Segment::connect(path).map_err(failed)?)
    }
}

impl<M: Memory> Stats<M> {
    fn of(memory: M) -> Result<Self, StatsError> {
        match Header::read(&memory).map_err(StatsError::Layout)?.version {
            2 => Ok(Self { memory }),
            other => Err(StatsError::Version(other)),
        }
    }

    /// A number that VPP increases as long as it runs.
    ///
    /// # Errors
    /// As [`Stats::read`].
    pub fn heartbeat(&self) -> Result<u64, StatsError> {
        self.read("/sys/heartbeat").map(|it| it.total())
    }

    /// Names of all counters.
    ///
    /// # Errors
    /// [`StatsError::Layout`], [`StatsError::Busy`].
    pub fn names(&self) -> Result<Vec<String>, StatsError> {
        self.consistently(|directory| Ok(directory.names().map(|(name, _)| name).collect()))
    }

    /// One counter.
    ///
    /// # Errors
    /// [`StatsError::Absent`], [`StatsError::Layout`], [`StatsError::Busy`].
    pub fn read(&self, name: &str) -> Result<Value, StatsError> {
        let mut found = self.select(|it| it == name)?;
        found.pop().map(|(_, value)| value).ok_or_else(|| StatsError::Absent(name.to_owned()))
    }

    /// All counters whose names are wanted, as they are at one time of the directory.
    ///
    /// # Errors
    /// [`StatsError::Layout`], [`StatsError::Busy`].
    pub fn select(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Value)>, StatsError> {
        self.consistently(|directory| {
            let names = directory.names().filter(|(name, _)| wanted(name));
            names.map(|(name, at)| Ok((name, directory.value(at)?))).collect()
        })
    }

    /// Counters of all interfaces that VPP has.
    ///
    /// # Errors
    /// [`StatsError::Layout`], [`StatsError::Busy`].
    pub fn interfaces(&self) -> Result<Vec<InterfaceCounters>, StatsError> {
        self.select(|name| name.starts_with("/if/")).map(|it| interfaces::assemble(&it))
    }

    /// Errors and other events that nodes count (`/err/NODE/WHAT`), with how often they were; those that never
    /// were are left out.
    ///
    /// # Errors
    /// [`StatsError::Layout`], [`StatsError::Busy`].
    pub fn errors(&self) -> Result<Vec<(String, u64)>, StatsError> {
        let all = self.select(|name| name.starts_with("/err/"))?;
        let counted = all.into_iter().map(|(name, value)| (name, value.total()));
        Ok(counted.filter(|(_, count)| *count > 0).collect())
    }

    /// Reads while the directory stays as it is.
    fn consistently<T>(
        &self,
        read: impl Fn(&Directory<'_, M>) -> Result<T, LayoutError>,
    ) -> Result<T, StatsError> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                thread::sleep(PAUSE);
            }
            let before = Header::read(&self.memory).map_err(StatsError::Layout)?;
            if before.in_progress {
                continue;
            }
            let result = Directory::read(&self.memory, &before).and_then(|it| read(&it));
            if Header::read(&self.memory).map_err(StatsError::Layout)? == before {
                return result.map_err(StatsError::Layout);
            }
        }
        Err(StatsError::Busy)
    }
}

#[cfg(test)]
mod tests;
