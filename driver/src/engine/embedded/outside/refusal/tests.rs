//! What counts as refusing, and what does not: rules of Docker, of agents and of operators.

use super::*;

/// Docker 20.10's, with an agent's.
const DOCKERS: &str = "\
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-ISOLATION-STAGE-2
-N DOCKER-USER
-N dockervpp
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i br-0123456789ab -o br-0123456789ab -j DROP
-A FORWARD -j dockervpp
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
-A dockervpp -o dvg0123456789ab -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
-A dockervpp -o dvg0123456789ab -j RETURN
-A dockervpp -i dvg0123456789ab -j ACCEPT
";

/// Docker 28's.
const NEWER: &str = "\
-P INPUT ACCEPT
-P FORWARD DROP
-N DOCKER-FORWARD
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
";

#[test]
fn dockers_rules_and_an_agents_refuse_nothing_of_ours() {
    assert!(!by_iptables("", true));
    assert!(!by_iptables(DOCKERS, true));
    assert!(!by_iptables(NEWER, true));
    assert!(!by_iptables("-P INPUT ACCEPT\n-P FORWARD ACCEPT\n", true));
}

#[test]
fn any_rule_and_any_policy_of_input_but_to_accept_filters() {
    assert!(by_iptables("-P INPUT DROP\n", true));
    assert!(by_iptables("-P INPUT ACCEPT\n-P FORWARD DROP\n", false), "no chain of ours is there");
    assert!(by_iptables("-P INPUT ACCEPT\n-A INPUT -j ufw-before-input\n", true));
}

#[test]
fn what_refuses_packets_to_a_gateway_is_seen() {
    for rule in [
        "-A DOCKER-USER -i eth0 -j DROP",
        "-A DOCKER-USER -s 192.0.2.0/24 -j REJECT --reject-with icmp-port-unreachable",
        "-A DOCKER-USER -i eth0 ! -o docker0 -j DROP",
        "-A DOCKER-USER -o dvg0123456789ab -j DROP",
        "-A DOCKER-USER -o dv+ -j DROP",
        "-A DOCKER-USER -o dvg0+ -j DROP",
        "-A DOCKER-USER -o + -j DROP",
        "-A DOCKER-USER -j NFQUEUE --queue-num 0",
        "-A DOCKER-USER -j LOG",
        "-A DOCKER-USER -g DOCKER",
        "-A DOCKER-USER -m comment --comment \"x -o docker0 -j ACCEPT\" -j DROP",
        "-A DOCKER-USER -m comment --comment \"-j ACCEPT\" -j DROP",
        "-A DOCKER-USER -p tcp -m comment --comment -o -j DROP",
        // A bridge of Docker's that is internal.
        "-A DOCKER-ISOLATION-STAGE-1 ! -d 172.18.0.0/16 -i br-0123456789ab -j DROP",
        "-A FORWARD -j ufw-before-forward",
        "-A FORWARD -j LIBVIRT_FWO",
        "-A FORWARD -j RETURN",
        "-A FORWARD -j DROP",
        "-A dockervpp -j DROP",
        "-I what is this",
    ] {
        assert!(by_iptables(&format!("{DOCKERS}{rule}\n"), true), "{rule}");
    }
    for rule in [
        "-A DOCKER-USER -s 192.0.2.0/24 -j RETURN",
        "-A DOCKER-USER -i eth0 -o docker0 -j DROP",
        "-A DOCKER-USER -s 192.0.2.0/24",
        "-A DOCKER-USER ! -s 192.0.2.0/24 -o br-+ -j DROP",
        "-A DOCKER-ISOLATION-STAGE-1 ! -s 172.18.0.0/16 -o br-0123456789ab -j DROP",
        // Nobody leads there.
        "-A mine -j DROP",
    ] {
        assert!(!by_iptables(&format!("{DOCKERS}{rule}\n"), true), "{rule}");
    }
}

#[test]
fn chains_that_lead_in_circles_end() {
    let circle = "-A FORWARD -j DOCKER-A\n-A DOCKER-A -j DOCKER-B\n-A DOCKER-B -j DOCKER-A\n";
    assert!(!by_iptables(circle, true));
}

const NFTABLES: &str = "\
table ip filter {
\tchain DOCKER {
\t}
\tchain INPUT {
\t\ttype filter hook input priority filter; policy accept;
\t}
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
table ip nat {
\tchain INPUT {
\t\ttype nat hook input priority 100; policy accept;
\t}
\tchain PREROUTING {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t}
}
table inet dockervpp-other {
\tchain version-0123456789abcdef {
\t}
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t}
}
table bridge mine {
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t}
}
";

#[test]
fn the_chains_of_iptables_are_its_own_affair_where_it_told_of_them() {
    assert!(!by_nftables("", &[]));
    assert!(!by_nftables(NFTABLES, &Family::ALL));
    assert!(!by_nftables(NFTABLES, &[Family::V4]));
    assert!(by_nftables(NFTABLES, &[Family::V6]), "iptables did not tell of its own");
    assert!(by_nftables(NFTABLES, &[]), "iptables told of none");
}

#[test]
fn other_chains_at_the_hooks_filter() {
    for table in [
        "table inet firewalld {\n\tchain filter_INPUT {\n\t\ttype filter hook input priority filter + 10; policy accept;\n",
        "table inet mine {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy accept;\n",
        // The same table as that of iptables, in lower case: nobody's but the operator's.
        "table ip filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n",
        "table ip filter {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n",
        "table ip mangle {\n\tchain FORWARD {\n\t\ttype filter hook forward priority mangle; policy accept;\n",
        "table inet filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n",
        "table inet mine {\n\tchain INPUT {\n\t\ttype nat hook input priority 100; policy accept;\n",
        // It looks like an agent's.
        "table inet dockervpp-mine {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n",
        "table inet dockervpp-other {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n",
    ] {
        assert!(by_nftables(&format!("{NFTABLES}{table}\t}}\n}}\n"), &Family::ALL), "{table}");
    }
}
