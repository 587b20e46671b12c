//! Whether anything of this host filters what comes to its own sockets. Pure.
//!
//! A forwarded packet never meets such rules, a connection to a socket of the host does. A host that filters its
//! input did not mean to close ports that were published, so there they lead in packets, as always.

use crate::host::iptables::Family;

/// Whether the chain `INPUT` does more than let everything in, from `iptables -S INPUT`.
pub(super) fn filtered_by_iptables(rules: &str) -> bool {
    let rules = rules.lines().map(str::trim).filter(|rule| !rule.is_empty());
    rules.into_iter().any(|rule| rule != "-P INPUT ACCEPT")
}

/// Whether a table of nftables filters input, from `nft list chains`. The tables of iptables are left out: there
/// the chain stands when it has no rule too, and iptables says whether it has one.
pub(super) fn filtered_by_nftables(chains: &str) -> bool {
    let mut of_iptables = false;
    for words in chains.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        match words[..] {
            ["table", family, name, ..] => {
                of_iptables = name == "filter" && Family::ALL.map(table_family).contains(&family);
            }
            ["type", "filter", "hook", "input", ..] if !of_iptables => return true,
            _ => {}
        }
    }
    false
}

fn table_family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERS: &str = "\
table ip filter {
\tchain DOCKER {
\t}
\tchain INPUT {
\t\ttype filter hook input priority filter; policy accept;
\t}
}
table inet dockervpp {
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t}
}
";

    #[test]
    fn any_rule_and_any_policy_but_to_accept_filters() {
        assert!(!filtered_by_iptables("-P INPUT ACCEPT\n"));
        assert!(filtered_by_iptables("-P INPUT DROP\n"));
        assert!(filtered_by_iptables("-P INPUT ACCEPT\n-A INPUT -j ufw-before-input\n"));
    }

    #[test]
    fn the_chains_of_iptables_are_its_own_affair() {
        assert!(!filtered_by_nftables(""));
        assert!(!filtered_by_nftables(DOCKERS));
        let firewalld = "table inet firewalld {\n\tchain filter_INPUT {\n\t\ttype filter hook input \
                         priority filter + 10; policy accept;\n\t}\n}\n";
        assert!(filtered_by_nftables(&format!("{DOCKERS}{firewalld}")));
        assert!(filtered_by_nftables(&DOCKERS.replace("table ip filter", "table inet filter")));
    }
}
