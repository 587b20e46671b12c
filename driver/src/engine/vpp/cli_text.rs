//! What VPP tells on its command line and not by its API. Pure.

use crate::engine::MemifClient;

/// An app namespace, in the words of `show app ns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamespaceLine {
    /// Its name.
    pub(super) id: String,
    /// VPP's name of its interface; empty or another word if it has none.
    pub(super) interface: String,
    /// The path of its socket.
    pub(super) socket: String,
}

/// The namespaces in what `show app ns` prints (`src/vnet/session/application_namespace.c` of VPP 26.06), of those
/// with an interface, and whose name and socket are words.
pub(super) fn namespaces(text: &str) -> Vec<NamespaceLine> {
    let text = without_colours(text);
    let lines = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [index, secret, interface, id, socket]
                if index.parse::<u32>().is_ok() && secret.parse::<u64>().is_ok() =>
            {
                let [interface, id, socket] = [interface, id, socket].map(str::to_owned);
                Some(NamespaceLine { id, interface, socket })
            }
            _ => None,
        }
    });
    lines.collect()
}

/// Without the escapes (ECMA-48, `CSI … m`) that VPP colours tables with.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// Why VPP's host stack cannot be used, in what `show app ns id default api-clients` prints.
pub(super) fn host_stack_trouble(text: &str) -> Option<&'static str> {
    if text.contains("session layer is not enabled") {
        Some("VPP's host stack is not enabled")
    } else if text.contains("app socket api not enabled") {
        Some("VPP's host stack has no app sockets")
    } else {
        None
    }
}

/// The largest packet that VPP's TCP makes, in bytes, in what `show tcp config` prints
/// (`src/vnet/tcp/tcp_cli.c` of VPP 26.06).
pub(super) fn tcp_mtu(text: &str) -> Option<u32> {
    let label = "default mtu:";
    let line = text.lines().map(str::trim).find(|line| line.starts_with(label))?;
    line[label.len()..].trim().parse().ok()
}

/// The packets that a stream has sent, in what `show packet-generator` prints (`src/vnet/pg/cli.c` of VPP 26.06).
pub(super) fn packets_generated(text: &str, stream: &str) -> Option<u64> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find_map(|words| match words[..] {
        [name, "Yes" | "No", count, ..] if name == stream => count.parse().ok(),
        _ => None,
    })
}

/// Where a node of an interface leads to beside `error-drop`: what those that had it before have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// It is new, or was always of an interface that leads nowhere.
    Nothing,
    /// The other end of a pipe.
    Pipe,
    /// Something else, as a loopback's.
    Other,
}

/// Where a node leads to, in what `show vlib graph NODE` prints (`src/vlib/node_cli.c` and `node_format.c` of VPP
/// 26.06): the nodes that follow have their number behind them, in brackets.
pub(super) fn follows(text: &str) -> Follows {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.windows(2).find(|pair| pair[1] == "[1]") {
        None => Follows::Nothing,
        Some(["pipe-rx", _]) => Follows::Pipe,
        Some(_) => Follows::Other,
    }
}

/// The client in what `show memif NAME` prints (`src/plugins/memif/cli.c` of VPP 26.06).
pub(super) fn memif_client(text: &str) -> Option<MemifClient> {
    let after = |label: &str| {
        let line = text.lines().map(str::trim).find(|line| line.starts_with(label))?;
        Some(line[label.len()..].trim())
    };
    let connected = after("flags ")?.split(' ').any(|flag| flag == "connected");
    let number = |label: &str| {
        let mut words = text.split_whitespace().skip_while(|word| *word != label);
        words.nth(1)?.parse::<u32>().ok()
    };
    let queues = |label| number(label).and_then(|count| u16::try_from(count).ok());
    connected.then(|| MemifClient {
        name: after("remote-name ").unwrap_or_default().trim_matches('"').to_owned(),
        // The interface is the master: slave to master is from the client.
        rx_queues: queues("num-s2m-rings").unwrap_or_default(),
        tx_queues: queues("num-m2s-rings").unwrap_or_default(),
        ring_size: number("ring-size").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTED: &str = "interface memif1/0\n  remote-name \"DPDK 22.11.9\"\n  \
        remote-interface \"net_memif0\"\n  socket-id 1 id 0 mode ethernet\n  \
        flags admin-up connected\n  listener-fd 18 conn-fd 19\n  \
        num-s2m-rings 2 num-m2s-rings 1 buffer-size 0 num-regions 1\n  \
        region 0 size 65792 fd 20\n    slave-to-master ring 0:\n      \
        region 0 offset 0 ring-size 1024 int-fd 21\n      head 0 tail 0 flags 0x0001 interrupts 0\n";

    #[test]
    fn a_connected_client_has_a_name_and_rings() {
        let client = memif_client(CONNECTED).unwrap();
        assert_eq!(client.name, "DPDK 22.11.9");
        assert_eq!((client.rx_queues, client.tx_queues, client.ring_size), (2, 1, 1024));
    }

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(memif_client(&CONNECTED.replace("up connected", "up")), None);
        assert_eq!(memif_client(""), None);
    }

    #[test]
    fn namespaces_are_lines_of_a_table() {
        let text = "\x1b[33mIndex\x1b[0m \x1b[33mSecret\x1b[0m \x1b[33mInterface           \x1b[0m \
            \x1b[33mId                   \x1b[0m \x1b[33mSocket                         \x1b[0m\n\
            0    \x1b[0m 0     \x1b[0m DELETED (4294967295)\x1b[0m default              \x1b[0m \
            /run/vpp/app_ns_sockets/default\x1b[0m\n\
            1    \x1b[0m 18446744073709551615     \x1b[0m loop3               \x1b[0m \
            dockervpp:ep:e1:host\x1b[0m /run/d/e1.app           \x1b[0m\n";
        let found = namespaces(text);
        let [NamespaceLine { id, interface, socket }] = &found[..] else { panic!("{found:?}") };
        assert_eq!([id, interface, socket], ["dockervpp:ep:e1:host", "loop3", "/run/d/e1.app"]);
        assert_eq!(namespaces("session layer is not enabled"), []);
    }

    #[test]
    fn a_node_is_known_by_what_follows() {
        let heading = "           Name                      Next                    Previous         \n\
            memif0/7-tx                     error-drop [0]       interface-output-arc-end \n";
        let of = |rest: &str| follows(&format!("{heading}{rest}"));
        assert_eq!(of(""), Follows::Nothing);
        assert_eq!(of("                 pipe-rx [1]        memif0/7-output \n"), Follows::Pipe);
        let loopback = "      ethernet-input [1]     memif0/7-output \n      l2-input [2] \n";
        assert_eq!(of(loopback), Follows::Other);
        assert_eq!(follows("show vlib graph: unknown node"), Follows::Nothing);
    }

    #[test]
    fn packets_are_counted_by_stream() {
        let text = "Name               Enabled        Count     Parameters\n\
            own                  No             1       limit 1, rate 1.00e6 pps, size 64-64, \n\
            other                Yes            0       limit 1, \n";
        assert_eq!(packets_generated(text, "own"), Some(1));
        assert_eq!(packets_generated(text, "other"), Some(0));
        assert_eq!(packets_generated("no streams currently defined", "own"), None);
    }

    #[test]
    fn what_the_host_stack_lacks_is_named() {
        let trouble = |text: &str| host_stack_trouble(text).unwrap_or_default();
        assert!(trouble("show app ns: session layer is not enabled\n").contains("not enabled"));
        assert!(trouble("app socket api not enabled!\n").contains("app sockets"));
        assert_eq!(trouble("socket: /run/vpp/app_ns_sockets/default\n"), "");
        assert_eq!(tcp_mtu("min rx fifo: 4k\n  default mtu: 1500\n"), Some(1500));
        assert_eq!(tcp_mtu("nothing"), None);
    }
}
