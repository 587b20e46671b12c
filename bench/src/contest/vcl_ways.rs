//! How programs with VPP's own preload library reach each other: what VPP is told, and what the library is. Pure.

use crate::benchmark::VclWay;

/// The address that VPP has where nothing goes through its TCP.
pub(super) const ADDRESS: &str = "10.79.0.1";

/// One of two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Server,
    Client,
}

impl End {
    pub(super) const BOTH: [Self; 2] = [Self::Server, Self::Client];

    /// In names and addresses.
    fn number(self) -> u8 {
        match self {
            Self::Server => 1,
            Self::Client => 2,
        }
    }

    /// The app namespace.
    fn namespace(self) -> String {
        format!("bench{}", self.number())
    }

    /// The name of the library's configuration.
    pub(super) fn file(self) -> String {
        format!("vcl{}.conf", self.number())
    }
}

impl VclWay {
    /// Where the server is reached.
    pub(super) fn address(self) -> &'static str {
        match self {
            Self::CutThrough => ADDRESS,
            Self::Pipe => "10.79.0.1",
            Self::Gateways => "10.79.1.2",
        }
    }

    /// Whether bytes go through VPP.
    pub(super) fn is_through_tcp(self) -> bool {
        self != Self::CutThrough
    }

    /// What VPP is told.
    pub(super) fn commands(self) -> Vec<String> {
        match self {
            Self::CutThrough => loopback(),
            Self::Pipe => pipe(),
            Self::Gateways => gateways(),
        }
    }

    /// The library's configuration at one end; `sockets` is VPP's folder of app sockets.
    pub(super) fn configuration(self, end: End, sockets: &str) -> String {
        let scope = match self {
            Self::CutThrough => {
                format!(
                    "  app-socket-api {sockets}/default\n  app-scope-local\n  app-scope-global\n"
                )
            }
            Self::Pipe | Self::Gateways => {
                let namespace = end.namespace();
                format!(
                    "  app-socket-api {sockets}/{namespace}\n  namespace-id {namespace}\n  namespace-secret 0\n  \
                     app-scope-global\n"
                )
            }
        };
        format!(
            "vcl {{\n{scope}  use-mq-eventfd\n  rx-fifo-size 4000000\n  tx-fifo-size 4000000\n  \
             event-queue-size 100000\n  segment-size 268435456\n  add-segment-size 268435456\n}}\n"
        )
    }
}

fn loopback() -> Vec<String> {
    vec![
        "create loopback interface".to_owned(),
        "set interface state loop0 up".to_owned(),
        format!("set interface ip address loop0 {ADDRESS}/24"),
    ]
}

/// A pipe, each end with an address in a table of its own: two addresses of one table cannot speak TCP with each other.
fn pipe() -> Vec<String> {
    let mut commands = vec!["pipe create".to_owned(), "set interface state pipe0 up".to_owned()];
    for end in End::BOTH {
        let number = end.number();
        let (interface, table) = (format!("pipe0.{}", number - 1), 70 + number);
        commands.extend([
            format!("ip table add {table}"),
            format!("set interface ip table {interface} {table}"),
            format!("set interface state {interface} up"),
            format!("set interface ip address {interface} 10.79.0.{number}/24"),
            format!("app ns add id {} secret 0 if {interface}", end.namespace()),
        ]);
    }
    commands
}

/// As the agent makes it (docs/vpp.md): a loopback of its own, in a bridge domain and a table of its own, a pipe from there
/// to the network's bridge domain, its gateway there, and routes between the networks' tables.
fn gateways() -> Vec<String> {
    let mut commands = Vec::new();
    for end in End::BOTH {
        let n = end.number();
        let (host, gateway) = (format!("loop1{n}"), format!("loop2{n}"));
        let (inner, outer) = (format!("pipe{n}.0"), format!("pipe{n}.1"));
        commands.push(format!("pipe create instance {n}"));
        for (domain, loopback, table, pipe, address) in [
            (format!("1{n}"), &host, format!("7{n}"), &inner, format!("10.79.{n}.2/24")),
            (format!("2{n}"), &gateway, format!("8{n}"), &outer, format!("10.79.{n}.1/24")),
        ] {
            commands.extend([
                format!("create bridge-domain {domain}"),
                format!("create loopback interface instance {domain}"),
                format!("ip table add {table}"),
                format!("set interface ip table {loopback} {table}"),
                format!("set interface l2 bridge {loopback} {domain} bvi"),
                format!("set interface l2 bridge {pipe} {domain}"),
                format!("set interface state {loopback} up"),
                format!("set interface state {pipe} up"),
                format!("set interface ip address {loopback} {address}"),
            ]);
        }
        commands.extend([
            format!("set interface state pipe{n} up"),
            format!("ip route add 0.0.0.0/0 table 7{n} via 10.79.{n}.1 {host}"),
            format!("app ns add id {} secret 0 if {host}", end.namespace()),
        ]);
    }
    for (here, there) in [(1, 2), (2, 1)] {
        commands.push(format!(
            "ip route add 10.79.{there}.0/24 table 8{here} via ip4-lookup-in-table 8{there}"
        ));
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn through_tcp_each_end_has_a_namespace_and_no_local_scope() {
        for way in [VclWay::Pipe, VclWay::Gateways] {
            let files = End::BOTH.map(|end| way.configuration(end, "/s"));
            for (file, namespace) in files.iter().zip(["bench1", "bench2"]) {
                assert!(file.contains(&format!("app-socket-api /s/{namespace}\n")), "{file}");
                assert!(!file.contains("app-scope-local"), "{file}");
                let made = format!("app ns add id {namespace} ");
                assert_eq!(way.commands().iter().filter(|it| it.starts_with(&made)).count(), 1);
            }
        }
        let file = VclWay::CutThrough.configuration(End::Client, "/s");
        assert!(file.contains("app-socket-api /s/default\n  app-scope-local\n"), "{file}");
    }

    #[test]
    fn the_server_has_the_address_that_clients_are_told() {
        for way in [VclWay::CutThrough, VclWay::Pipe, VclWay::Gateways] {
            let address = format!(" {}/24", way.address());
            assert!(way.commands().iter().any(|it| it.ends_with(&address)), "{way:?}");
        }
    }
}
