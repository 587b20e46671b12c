//! The one thing that a table of our own cannot do. Pure.
//!
//! A packet is forwarded when no chain drops it, and Docker lets the chain `FORWARD` of iptables drop
//! what nobody accepts there. So what goes to and from our gateways is accepted in that chain: by a chain
//! of our own, at the end, where whatever others refuse or accept has been done before.

use std::fmt::Write as _;

use super::name::Name;
use super::plan::Gateway;
use crate::host::iptables::Family;

/// How Docker names its bridges: it decides itself who reaches them.
const DOCKERS: [&str; 2] = ["docker+", "br-+"];

/// Whether the chain `FORWARD` drops what no rule accepts, from `iptables -S FORWARD`.
pub(super) fn drops(rules: &str) -> bool {
    rules.lines().any(|rule| rule.trim() == "-P FORWARD DROP")
}

/// Whether it leads to our chain.
pub(super) fn leads_to(rules: &str, name: &Name) -> bool {
    let jump = format!("-A FORWARD -j {}", name.as_str());
    rules.lines().any(|rule| rule.trim() == jump)
}

/// Our chain as input of `iptables-restore`.
pub(super) fn chain(name: &Name, gateways: &[Gateway], family: Family) -> String {
    let name = name.as_str();
    let mut text = format!("*filter\n:{name} - [0:0]\n");
    let mut rule = |words: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "-A {name} {words}");
    };
    let links: Vec<&str> =
        gateways.iter().filter(|it| has(it, family)).map(|it| it.link.as_str()).collect();
    for link in &links {
        rule(&format!("-o {link} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"));
    }
    for gateway in gateways.iter().filter(|it| has(it, family) && !it.isolated) {
        let link = &gateway.link;
        rule(&format!("-i {link} -o {link} -j ACCEPT"));
    }
    for link in &links {
        rule(&format!("-o {link} -j RETURN"));
    }
    for link in &links {
        for docker in DOCKERS {
            rule(&format!("-i {link} -o {docker} -j RETURN"));
        }
        rule(&format!("-i {link} -j ACCEPT"));
    }
    text.push_str("COMMIT\n");
    text
}

/// Whether the gateway has addresses of the family.
pub(super) fn has(gateway: &Gateway, family: Family) -> bool {
    match family {
        Family::V4 => !gateway.ipv4.is_empty(),
        Family::V6 => !gateway.ipv6.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::gateway;
    use super::*;

    #[test]
    fn the_chain_accepts_answers_and_published_ports_and_leaves_dockers_bridges_to_docker() {
        let name = Name::of("dockervpp");
        let expected = "*filter\n\
            :dockervpp - [0:0]\n\
            -A dockervpp -o dvg0123456789ab -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\n\
            -A dockervpp -i dvg0123456789ab -o dvg0123456789ab -j ACCEPT\n\
            -A dockervpp -o dvg0123456789ab -j RETURN\n\
            -A dockervpp -i dvg0123456789ab -o docker+ -j RETURN\n\
            -A dockervpp -i dvg0123456789ab -o br-+ -j RETURN\n\
            -A dockervpp -i dvg0123456789ab -j ACCEPT\n\
            COMMIT\n";
        assert_eq!(chain(&name, &[gateway()], Family::V4), expected);
        let old = Gateway { ipv6: Vec::new(), ..gateway() };
        assert!(!chain(&name, &[old], Family::V6).contains("dvg"));
        let isolated = Gateway { isolated: true, ..gateway() };
        assert!(!chain(&name, &[isolated], Family::V6).contains("-i dvg0123456789ab -o dvg"));
    }

    #[test]
    fn rules_are_read() {
        let name = Name::of("dockervpp");
        let rules = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j dockervpp\n";
        assert!(drops(rules) && leads_to(rules, &name));
        assert!(!leads_to(rules, &Name::of("other")));
        assert!(!drops("-P FORWARD ACCEPT\n"));
    }
}
