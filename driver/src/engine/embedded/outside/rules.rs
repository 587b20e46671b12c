//! The agent's nftables table as a script for `nft`: always the whole table, which takes the place of the
//! one before in one step. Pure.
//!
//! All that is put into the text are names of links, addresses and numbers, none of which can have a
//! meaning in nft's language.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use super::name::{Name, fingerprint};
use super::plan::{Gateway, Opening, Plan};
use crate::engine::Lead;
use crate::host::iptables::Family;

/// A script, and the name of a chain that only its table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// For `nft -f`.
    pub(super) text: String,
    /// An empty chain by which the table is known to be this one.
    pub(super) version: String,
}

/// What makes the table be as planned; without gateways there is none.
pub(super) fn script(name: &Name, plan: &Plan) -> Script {
    let name = name.as_str();
    // The first line makes the second one succeed.
    let mut text = format!("table inet {name}\ndelete table inet {name}\n");
    let body = body(plan);
    let version = format!("version-{:016x}", fingerprint(&body));
    if !plan.gateways.is_empty() {
        line(&mut text, format_args!("table inet {name} {{"));
        line(&mut text, format_args!("chain {version} {{\n}}"));
        text.push_str(&body);
        text.push_str("}\n");
    }
    Script { text, version }
}

fn body(plan: &Plan) -> String {
    let mut text = String::new();
    let links = plan.gateways.iter().map(|gateway| format!("\"{}\"", gateway.link));
    elements(&mut text, "set gateways { type ifname;", links);
    published(&mut text, &plan.openings);
    chain(&mut text, "prerouting", "nat hook prerouting priority dstnat", |text| {
        line(text, "fib daddr type local jump published");
    });
    // Loopback addresses cannot be those of a packet on another link: who connects to them is served by
    // the agent.
    chain(&mut text, "output", "nat hook output priority -100", |text| {
        line(text, "ip daddr != 127.0.0.0/8 fib daddr type local jump published");
        line(text, "ip6 daddr != ::1 fib daddr type local jump published");
    });
    chain(&mut text, "postrouting", "nat hook postrouting priority srcnat", |text| {
        for gateway in &plan.gateways {
            translated(text, gateway);
        }
    });
    chain(&mut text, "forward", "filter hook forward priority filter", |text| {
        guarded(text, &plan.vxlan_ports);
        forwarded(text, &plan.gateways);
    });
    text
}

/// Where published ports lead, by maps: as fast with a thousand as with one.
fn published(text: &mut String, openings: &[Opening]) {
    for family in Family::ALL {
        let (ip, address) = (word(family), address_type(family));
        // What is spliced must reach the socket of the host, which a translated packet never does.
        let led = openings.iter().filter(|it| it.at.lead == Lead::Packets);
        let leads = led.filter_map(|it| {
            let inside = it.target.of_family(family)?;
            let place = format!("{} . {}", it.at.protocol, it.at.host_port);
            Some((it.at.host_ip, place, format!("{inside} . {}", it.at.container_port)))
        });
        let (one, any): (Vec<_>, Vec<_>) = leads.partition(|(door, ..)| door.is_some());
        let any = any.into_iter().map(|(_, place, inside)| format!("{place} : {inside}"));
        let one = one.into_iter().filter_map(|(door, place, inside)| {
            let door = door.filter(|door| of(*door) == family)?;
            Some(format!("{door} . {place} : {inside}"))
        });
        let key = "inet_proto . inet_service";
        let value = format!("{address} . inet_service");
        elements(text, &format!("map {ip}-any {{ type {key} : {value};"), any);
        elements(text, &format!("map {ip}-one {{ type {address} . {key} : {value};"), one);
    }
    line(text, "chain published {");
    for family in Family::ALL.map(word) {
        for (map, key) in [("one", format!("{family} daddr . ")), ("any", String::new())] {
            line(
                text,
                format_args!(
                    "meta l4proto {{ tcp, udp }} \
                     dnat {family} to {key}meta l4proto . th dport map @{family}-{map}"
                ),
            );
        }
    }
    line(text, "}");
}

/// What leaves a network for the outside has the host's address, and so has what goes back into the
/// network that it came from: the answer must take the same way.
fn translated(text: &mut String, gateway: &Gateway) {
    for net in gateway.addresses() {
        let (ip, subnet, link) = (word(of(net.addr())), net.trunc(), &gateway.link);
        line(text, format_args!("{ip} saddr {subnet} oifname != @gateways masquerade"));
        line(
            text,
            format_args!("{ip} saddr {subnet} oifname \"{link}\" ct status dnat masquerade"),
        );
    }
}

/// What would be a frame of this host at others that have a network too.
fn guarded(text: &mut String, vxlan_ports: &BTreeSet<u16>) {
    if !vxlan_ports.is_empty() {
        let ports: Vec<_> = vxlan_ports.iter().map(ToString::to_string).collect();
        let ports = ports.join(", ");
        line(text, format_args!("iifname @gateways udp dport {{ {ports} }} counter drop"));
    }
}

fn forwarded(text: &mut String, gateways: &[Gateway]) {
    for gateway in gateways {
        for family in Family::ALL {
            let own = gateway.addresses().filter(|net| of(net.addr()) == family);
            let own: Vec<String> = own.map(|net| net.trunc().to_string()).collect();
            let (link, foreign) = (&gateway.link, foreign(family, &own));
            line(text, format_args!("iifname \"{link}\" {foreign} counter drop"));
        }
    }
    for direction in ["iifname", "oifname"] {
        line(
            text,
            format_args!("{direction} @gateways tcp flags syn tcp option maxseg size set rt mtu"),
        );
    }
    line(text, "oifname @gateways ct state established,related accept");
    line(text, "oifname @gateways ct status dnat accept");
    for gateway in gateways.iter().filter(|gateway| !gateway.isolated) {
        let link = &gateway.link;
        line(text, format_args!("iifname \"{link}\" oifname \"{link}\" accept"));
    }
    line(text, "oifname @gateways counter drop");
}

/// What matches packets of a family with none of a network's own source addresses.
fn foreign(family: Family, own: &[String]) -> String {
    match (family, own) {
        (Family::V4, []) => "meta nfproto ipv4".to_owned(),
        (Family::V6, []) => "meta nfproto ipv6".to_owned(),
        (_, own) => format!("{} saddr != {{ {} }}", word(family), own.join(", ")),
    }
}

fn of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

fn chain(text: &mut String, name: &str, hook: &str, rules: impl FnOnce(&mut String)) {
    line(text, format_args!("chain {name} {{"));
    line(text, format_args!("type {hook}; policy accept;"));
    rules(text);
    line(text, "}");
}

/// A set or map, whose elements may be none.
fn elements(text: &mut String, head: &str, all: impl Iterator<Item = String>) {
    let all = all.collect::<Vec<_>>().join(", ");
    let list = if all.is_empty() { String::new() } else { format!(" elements = {{ {all} }};") };
    line(text, format_args!("{head}{list} }}"));
}

fn line(text: &mut String, words: impl Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{words}");
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::{gateway, opening};
    use super::*;

    fn plan() -> Plan {
        Plan {
            gateways: vec![gateway()],
            openings: vec![opening(None, 8080), opening(Some("192.0.2.1"), 8081)],
            vxlan_ports: BTreeSet::new(),
        }
    }

    fn text(plan: &Plan) -> String {
        script(&Name::of("dockervpp"), plan).text
    }

    #[test]
    fn without_gateways_the_table_goes() {
        assert_eq!(text(&Plan::default()), "table inet dockervpp\ndelete table inet dockervpp\n");
    }

    #[test]
    fn published_ports_are_in_the_map_of_their_door() {
        let text = text(&plan());
        for element in [
            "elements = { tcp . 8080 : 10.1.0.2 . 80 };",
            "elements = { 192.0.2.1 . tcp . 8081 : 10.1.0.2 . 80 };",
            "elements = { tcp . 8080 : fd00:1::2 . 80 };",
        ] {
            assert_eq!(text.matches(element).count(), 1, "{element}: {text}");
        }
        assert!(!text.contains("8081 : fd00"), "an IPv4 door leads to IPv4: {text}");
    }

    #[test]
    fn what_is_spliced_is_left_to_the_socket_of_the_host() {
        let mut plan = plan();
        plan.openings[0].at.lead = Lead::Splice;
        let text = text(&plan);
        assert!(!text.contains("tcp . 8080"), "{text}");
        assert!(text.contains("tcp . 8081"), "{text}");
    }

    #[test]
    fn a_network_keeps_to_its_own_addresses_and_isolation_holds_at_the_gateway() {
        let mut plan = plan();
        let within = "iifname \"dvg0123456789ab\" oifname \"dvg0123456789ab\" accept";
        assert!(text(&plan).contains(within));
        assert!(text(&plan).contains("ip saddr != { 10.1.0.0/24 } counter drop"));
        plan.gateways[0].isolated = true;
        plan.gateways[0].ipv6.clear();
        assert!(!text(&plan).contains(within));
        assert!(text(&plan).contains("meta nfproto ipv6 counter drop"));
    }

    #[test]
    fn no_container_speaks_to_other_hosts_as_this_one() {
        assert!(!text(&plan()).contains("udp dport"));
        let vxlan_ports = BTreeSet::from([8472, 4789]);
        let text = text(&Plan { vxlan_ports, ..plan() });
        let rule = "iifname @gateways udp dport { 4789, 8472 } counter drop";
        assert!(text.find(rule) < text.find("ct state established"), "{text}");
        assert!(text.contains(rule));
    }

    #[test]
    fn the_version_changes_with_the_plan_only() {
        let version = |plan: &Plan| script(&Name::of("dockervpp"), plan).version;
        assert_eq!(version(&plan()), version(&plan()));
        let other = Plan { openings: Vec::new(), ..plan() };
        assert_ne!(version(&plan()), version(&other));
    }
}
