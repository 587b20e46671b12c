//! On what a VPP printed, and on arbitrary text.

use proptest::prelude::*;

use super::*;

/// What VPP 26.06 printed for `show session verbose 2`.
const SESSIONS: &str = include_str!("sessions.txt");

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn open_connections_are_told_with_their_fib() {
    let of = |local, fib| Connection { local: address(local), fib: Some(FibIndex(fib)) };
    let open = [of("10.5.0.3", 2), of("10.5.0.2", 1)];
    assert_eq!(connections(SESSIONS), open);
    assert!(untold_threads(SESSIONS).is_empty());
}

#[test]
fn connections_are_open_until_nothing_can_be_sent() {
    for state in ["SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1", "CLOSING", "LAST_ACK"] {
        let text = SESSIONS.replace("FIN_WAIT_2", state);
        assert_eq!(connections(&text), connections(SESSIONS), "{state}");
    }
    for state in ["CLOSED", "TIME_WAIT", "LISTEN", "SYN_SENT"] {
        let text = SESSIONS.replace("FIN_WAIT_2", state);
        assert_eq!(connections(&text), connections(SESSIONS)[..1], "{state}");
    }
    assert!(connections("show session: session layer is not enabled\n").is_empty());
    assert!(connections("[0:1] CLOSED\n").is_empty());
    assert!(connections("[0:1][U] 10.5.0.2:7->10.5.0.3:9\tESTABLISHED\n").is_empty());
}

#[test]
fn long_addresses_are_whole() {
    let long = "[3:70][T] fd00:1111:2222:3333:4444:5555:6666:7777:7->fd00::1:55974\tLAST_ACK\n fib_index 4\n";
    let local = address("fd00:1111:2222:3333:4444:5555:6666:7777");
    assert_eq!(connections(long), [Connection { local, fib: Some(FibIndex(4)) }]);
}

#[test]
fn threads_with_many_sessions_are_asked_page_by_page() {
    let many = "Thread 0: no sessions\r\n\
        Thread 1: 60 sessions. Verbose output suppressed. For more details use filters.\r\n\
        Thread 2: active sessions 0 closed 4\r\n\
        Thread 12: 51 sessions. Verbose output suppressed. For more details use filters.\r\n";
    assert_eq!(untold_threads(many), [1, 12]);
    assert_eq!(matched("Thread 1: 0 sessions matched filter\r\n"), 0);
    assert_eq!(matched("Thread 1: 60 sessions matched filter\r\n"), 60);
    assert_eq!(matched(""), 0);
}

#[test]
fn tables_have_places() {
    let text = "[0] table_id:0 ipv6-VRF:0\r\n[1] table_id:78 dvt:ep:e2e2:host\r\n\
        [2] table_id:4294967295 IP6-link-local:loop0\r\n";
    let found = fib_indices(text);
    assert_eq!(found.len(), 3);
    assert_eq!(found.get(&78), Some(&FibIndex(1)));
    assert!(fib_indices("Couldn't find table").is_empty());
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "[\\[\\]T:> 0-9a-f\\-\n]*|\\PC*") {
        connections(&text);
        untold_threads(&text);
        matched(&text);
        fib_indices(&text);
    }

    #[test]
    fn every_connection_keeps_its_own_fib(
        all in proptest::collection::vec((any::<IpAddr>(), any::<u32>(), any::<bool>()), 0..6),
    ) {
        let lines = all.iter().enumerate().map(|(index, (local, fib, open))| {
            let state = if *open { "ESTABLISHED" } else { "TIME_WAIT" };
            format!(
                "[0:{index}][T] {local}:9->{local}:10\t{state}\n rto 200\n \
                 next_node 0 opaque 0x0 fib_index {fib} sw_if_index 2\n cong: none"
            )
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let open = all.iter().filter(|(_, _, open)| *open);
        let wanted: Vec<_> = open
            .map(|(local, fib, _)| Connection { local: *local, fib: Some(FibIndex(*fib)) })
            .collect();
        prop_assert_eq!(connections(&text), wanted);
    }
}
