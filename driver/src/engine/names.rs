//! What is counted of the name service of `userspace` containers, with the names that tables and metrics use.

use stack::NameCounters;

/// Packets that passed: to name servers, and from them.
pub fn passed(counters: &NameCounters) -> [(&'static str, u64); 2] {
    [("queries", counters.queries), ("answers", counters.answers)]
}

/// Packets that were dropped, by reason.
pub fn dropped(counters: &NameCounters) -> [(&'static str, u64); 3] {
    [
        ("kernel-stray", counters.strays),
        ("name-unsent", counters.unsent),
        ("name-untaken", counters.untaken),
    ]
}
