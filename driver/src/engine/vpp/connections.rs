//! Connections in what VPP's `show session … verbose 2` prints (`src/vnet/session/session_cli.c` and
//! `src/vnet/tcp/tcp_cli.c` of VPP 26.06), and the numbers of FIBs in them. Pure.
//!
//! VPP names a FIB there by its place in VPP's memory, which is not the number of the table; `show ip table` and
//! `show ip6 table` (`src/vnet/ip/lookup.c`) have both.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// VPP's place of a FIB, among those of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FibIndex(pub(super) u32);

/// A connection of VPP's TCP that could still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    /// Its own address.
    pub(super) local: IpAddr,
    /// Where its peer is looked up, if VPP says it.
    pub(super) fib: Option<FibIndex>,
}

/// What sends nothing that nobody asked for, or not for longer than its app is there.
const QUIET: [&str; 4] = [
    "CLOSED",
    "TIME_WAIT",
    "LISTEN",
    // VPP frees it with the app (`app_worker_free`), and the app with its namespace.
    "SYN_SENT",
];

/// Those that could still send after their app is gone.
pub(super) fn connections(text: &str) -> Vec<Connection> {
    let mut found = Vec::new();
    // Of the session that the lines are about, if it counts.
    let mut current: Option<Connection> = None;
    for line in text.lines() {
        if line.starts_with('[') {
            found.extend(current.take());
            current = opening(line).map(|local| Connection { local, fib: None });
        } else if let Some(connection) = &mut current {
            connection.fib = connection.fib.or_else(|| fib_of(line));
        }
    }
    found.extend(current);
    found
}

/// The own address in the first line of a session, `[THREAD:SESSION][PROTOCOL] LOCAL:PORT->REMOTE:PORT STATE`, if it
/// could still send.
fn opening(line: &str) -> Option<IpAddr> {
    let (local, rest) = line.split_once("->")?;
    if QUIET.iter().any(|it| rest.contains(it)) {
        return None;
    }
    let (protocol, local) = local.split_once(' ')?;
    let address = local.rsplit_once(':')?.0;
    protocol.ends_with("[T]").then(|| address.parse().ok()).flatten()
}

fn fib_of(line: &str) -> Option<FibIndex> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "fib_index");
    words.nth(1)?.parse().ok().map(FibIndex)
}

/// Threads with more sessions than VPP shows when it is asked for all of them: 50.
pub(super) fn untold_threads(text: &str) -> Vec<u32> {
    let lines = text.lines().filter(|line| line.contains("Verbose output suppressed"));
    let threads = lines.filter_map(|line| line.strip_prefix("Thread ")?.split_once(':'));
    threads.filter_map(|(thread, _)| thread.parse().ok()).collect()
}

/// How many sessions a filter matched.
pub(super) fn matched(text: &str) -> u64 {
    let counts = text.lines().filter_map(|line| {
        let count = line.strip_prefix("Thread ")?.split_once(": ")?.1;
        count.split_once(" sessions matched filter")?.0.parse::<u64>().ok()
    });
    counts.sum()
}

/// The places of FIBs by the numbers of their tables, in what `show ip table` or `show ip6 table` prints.
pub(super) fn fib_indices(text: &str) -> BTreeMap<u32, FibIndex> {
    let lines = text.lines().filter_map(|line| {
        let (index, rest) = line.strip_prefix('[')?.split_once("] table_id:")?;
        let number = rest.split_whitespace().next()?;
        Some((number.parse().ok()?, FibIndex(index.parse().ok()?)))
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
