//! What VPP counts of packets: whether a workload went through it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::Vpp;

use crate::benchmark::Work;

/// What VPP's TCP counts of segments with data, in every state.
const WITH_DATA: &str = "Packets pushed into rx fifo";

/// Bytes of data in a packet of an MTU of 1500, at most.
const SEGMENT: f64 = 1460.0;

/// Packets with data that VPP's TCP has received so far.
pub(super) fn received_by_tcp(vpp: &Vpp) -> Result<u64> {
    Ok(counted(&vpp.cli("show errors")?, WITH_DATA))
}

/// Bytes that VPP has sent so far by the route to a prefix in the table whose name has this tag.
pub(super) fn routed(vpp: &Vpp, tag: &str, prefix: &str) -> Result<u64> {
    // Of all tables: numbers from 2^31 on are negative to this command (v26.06 `ip4_show_fib`), which then shows all anyway.
    let shown = vpp.cli("show ip fib")?;
    by_route(&shown, tag, prefix).with_context(|| format!("no route of {tag} to {prefix}: {shown}"))
}

/// The sum of a counter over all nodes, as `show errors` prints it.
fn counted(shown: &str, reason: &str) -> u64 {
    let lines = shown.lines().filter(|line| line.contains(reason));
    lines.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

/// The bytes of the counter `to:[packets:bytes]` of a route, as `show ip fib` prints it behind the name of its table.
fn by_route(shown: &str, tag: &str, prefix: &str) -> Option<u64> {
    let lines =
        shown.lines().skip_while(|line| !(line.contains("fib_index:") && line.contains(tag)));
    let mut own = lines.skip(1).take_while(|line| !line.contains("fib_index:"));
    own.find(|line| line.trim() == prefix)?;
    let (_, counter) = own.find_map(|line| line.split_once(" to:["))?;
    counter.split_once(']')?.0.split_once(':')?.1.parse().ok()
}

/// What a run that took `length` and came to `value` must at least have sent one way: half of the bytes of a stream, so that
/// the ends of the run do not matter, and of work that waits for answers more packets than connecting takes.
pub(super) fn least_bytes(work: Work, value: f64, length: Duration) -> f64 {
    match work {
        Work::Stream => value * 1e9 / 8.0 * length.as_secs_f64().max(1.0) / 2.0,
        Work::Redis { requests, .. } => f64::from(requests) * 8.0,
        Work::PingPong { .. } | Work::Web { .. } => 6400.0,
    }
}

/// The same in packets of VPP's TCP.
fn least_packets(work: Work, value: f64, length: Duration) -> f64 {
    match work {
        Work::Stream => least_bytes(work, value, length) / SEGMENT,
        Work::Redis { requests, .. } => f64::from(requests),
        Work::PingPong { .. } | Work::Web { .. } => 100.0,
    }
}

/// # Errors
/// When so few packets went through VPP's TCP that the work cannot have.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub(super) fn went_through_tcp(
    packets: u64,
    work: Work,
    value: f64,
    length: Duration,
) -> Result<()> {
    let least = least_packets(work, value, length);
    ensure!(packets as f64 >= least, "{packets} packets went through VPP's TCP, not {least:.0}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_nodes_are_summed() {
        let shown = "   Count                  Node              Reason               Severity \n\
                     \x20       5           session-queue     Packets transmitted       info   \n\
                     \x20  301706        tcp4-established     Packets pushed into rx fifo info   \n\
                     \x20       4           tcp4-rcv-process     Packets pushed into rx fifo info   \n";
        assert_eq!(counted(shown, WITH_DATA), 301_710);
        assert_eq!(counted("", WITH_DATA), 0);
    }

    #[test]
    fn a_route_counts_bytes_in_its_own_table() {
        let table = |name: &str, counter: &str| {
            format!(
                "{name}, fib_index:1, flow hash:[src dst ] epoch:0 flags:none locks:[API:1, ]\n0.0.0.0/0\n  \
                 unicast-ip4-chain\n  [@0]: dpo-load-balance: [proto:ip4 index:8 buckets:1 uRPF:7 to:[1:2]]\n    [0] [@0]: \
                 dpo-drop ip4\n10.79.2.0/24\n  unicast-ip4-chain\n  [@0]: dpo-load-balance: [proto:ip4 index:26 \
                 buckets:1 uRPF:29 to:[{counter}]]\n    [0] [@12]: dst-address,unicast lookup in x:net:b\n"
            )
        };
        let shown = table("x:net:a", "12:3456") + &table("x:net:b", "7:89");
        assert_eq!(by_route(&shown, "net:a", "10.79.2.0/24"), Some(3456));
        assert_eq!(by_route(&shown, "net:b", "10.79.2.0/24"), Some(89));
        assert_eq!(by_route(&shown, "net:b", "10.79.2.0/25"), None);
        assert_eq!(by_route(&shown, "net:c", "10.79.2.0/24"), None);
    }

    #[test]
    fn a_stream_that_vpp_did_not_see_is_refused() {
        let second = Duration::from_secs(1);
        // 1.168 Gbit/s are 100,000 packets a second.
        assert!(went_through_tcp(100_000, Work::Stream, 1.168, second).is_ok());
        let error = went_through_tcp(20, Work::Stream, 1.168, second).unwrap_err();
        assert_eq!(error.to_string(), "20 packets went through VPP's TCP, not 50000");
        let work = Work::Redis { clients: 1, pipeline: 1, requests: 5000 };
        assert!(went_through_tcp(4999, work, 1.0, second).is_err());
    }
}
