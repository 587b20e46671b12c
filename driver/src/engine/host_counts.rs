//! What the agent's side of `userspace` containers counts, with the names that tables and metrics use.

use transport::HostCounters;

/// Packets of the container's kernel that passed: to name servers, and from them.
pub fn names_passed(counters: &HostCounters) -> [(&'static str, u64); 2] {
    let names = &counters.names;
    [("queries", names.queries), ("answers", names.answers)]
}

/// What was dropped, by reason: of the container's kernel, and by the network stack.
pub fn dropped(counters: &HostCounters) -> [(&'static str, u64); 11] {
    let HostCounters { names, stack } = counters;
    [
        ("kernel-stray", names.strays),
        ("name-unsent", names.unsent),
        ("name-untaken", names.untaken),
        ("stack-malformed", stack.malformed),
        ("stack-bad-checksum", stack.bad_checksum),
        ("stack-reassembly", stack.reassembly_failed),
        ("stack-backlog-full", stack.backlog_full),
        ("stack-half-open", stack.half_open_evicted),
        ("stack-datagrams-full", stack.udp_full),
        ("stack-unresolved", stack.udp_unresolved),
        ("stack-no-room", stack.no_room),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_differ() {
        let mut reasons = dropped(&HostCounters::default()).map(|it| it.0).to_vec();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), dropped(&HostCounters::default()).len());
    }
}
