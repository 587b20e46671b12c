//! Whether anything of this host may refuse who comes by a published port. Pure.
//!
//! A packet to a published port is forwarded, and meets `FORWARD`; a connection to a socket of the host meets `INPUT`.
//! What refuses forwarded packets was made to refuse them, and who filters the host's input did not mean to close
//! ports that were published. So a port is spliced only where neither can refuse anything. Rules that are not
//! understood count as such that refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::name::Name;
use crate::host::iptables::Family;

/// How the gateways of agents are named, for rules that tell links apart.
const GATEWAYS: &str = "dvg";

/// Whether a table of iptables may refuse connections to the host, or packets to our gateways, from
/// `iptables -t TABLE -S`. `accepted` says whether it is the table in which what goes to our gateways is accepted
/// before the policy of `FORWARD` decides (`forward`).
pub(super) fn by_iptables(listing: &str, accepted: bool) -> bool {
    let lines: Vec<Vec<&str>> = listing.lines().map(|it| it.split_whitespace().collect()).collect();
    let mut rules: BTreeMap<&str, Vec<&[&str]>> = BTreeMap::new();
    for words in &lines {
        match words[..] {
            ["-P", "INPUT", policy, ..] if policy != "ACCEPT" => return true,
            ["-P", "FORWARD", policy, ..] if policy != "ACCEPT" && !accepted => return true,
            ["-P" | "-N", ..] | [] => {}
            ["-A", chain, ref rule @ ..] => rules.entry(chain).or_default().push(rule),
            _ => return true,
        }
    }
    let mut on_the_way = BTreeSet::new();
    rules.contains_key("INPUT") || refuses(&rules, "FORWARD", &mut on_the_way)
}

/// Whether a chain may refuse packets to our gateways.
fn refuses<'a>(
    rules: &BTreeMap<&'a str, Vec<&[&'a str]>>,
    chain: &'a str,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    if !seen.insert(chain) {
        return false;
    }
    let of_chain = rules.get(chain).map_or(&[][..], Vec::as_slice);
    of_chain.iter().any(|rule| {
        if elsewhere(rule) {
            return false;
        }
        match target(rule) {
            None | Some("ACCEPT") => false,
            // There is nothing to return to: the policy decides.
            Some("RETURN") => chain == "FORWARD",
            Some(target) if is_chain(target) => refuses(rules, target, seen),
            Some(_) => true,
        }
    })
}

/// Whether it is a chain that Docker or an agent made, or what they lead to: targets of the kernel that refuse have
/// other names.
fn is_chain(target: &str) -> bool {
    target.starts_with("DOCKER") || Name::is_one(target)
}

/// What a rule does; `None` if it only counts. It counts as unknown unless it is the rule's end: then it is in
/// no comment.
fn target<'a>(rule: &[&'a str]) -> Option<&'a str> {
    match rule {
        [.., "-j", target] => Some(target),
        _ if rule.iter().any(|word| matches!(*word, "-j" | "-g")) => Some(""),
        _ => None,
    }
}

/// Whether a rule is for packets to other links than our gateways. Links are told before all that could look like
/// one, and in the order of `iptables -S`.
fn elsewhere(rule: &[&str]) -> bool {
    match rule {
        ["-s" | "-d" | "-i", _, rest @ ..] | ["!", "-s" | "-d" | "-i", _, rest @ ..] => {
            elsewhere(rest)
        }
        ["-o", link, ..] => match link.strip_suffix('+') {
            Some(start) => !start.starts_with(GATEWAYS) && !GATEWAYS.starts_with(start),
            None => !link.starts_with(GATEWAYS),
        },
        _ => false,
    }
}

/// A chain of nftables, as `nft list chains` tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chain<'a> {
    family: &'a str,
    table: &'a str,
    name: &'a str,
    /// Its type and hook, if it has one.
    hooked: Option<(&'a str, &'a str)>,
}

/// Whether a table of nftables may refuse connections to the host, or forwarded packets, from `nft list chains`.
/// Left out are the chains of iptables in the families of which `iptables` told the rules, and those of agents.
pub(super) fn by_nftables(listing: &str, told: &[Family]) -> bool {
    let chains = chains(listing);
    chains.iter().any(|it| {
        let Some((kind, "input" | "forward")) = it.hooked else { return false };
        // Others see no packets of IP, or those that are forwarded and those that are not alike.
        let concerns = matches!(it.family, "ip" | "ip6" | "inet");
        let of_iptables = match (kind, it.table, it.name) {
            ("filter", "filter", "INPUT" | "FORWARD") => {
                told.iter().any(|family| table_family(*family) == it.family)
            }
            // iptables lets nobody refuse anything in this table.
            ("nat", "nat", "INPUT") => told.iter().any(|family| table_family(*family) == it.family),
            _ => false,
        };
        concerns && !of_iptables && !is_agents(it, &chains)
    })
}

/// Whether it is the chain by which an agent lets nothing but answers and published ports to its own gateways.
fn is_agents(chain: &Chain<'_>, all: &[Chain<'_>]) -> bool {
    let version = |it: &Chain<'_>| {
        it.family == "inet" && it.table == chain.table && it.name.starts_with("version-")
    };
    chain.family == "inet"
        && chain.name == "forward"
        && chain.hooked == Some(("filter", "forward"))
        && Name::is_one(chain.table)
        && all.iter().any(version)
}

fn chains(listing: &str) -> Vec<Chain<'_>> {
    let (mut family, mut table) = ("", "");
    let mut chains: Vec<Chain<'_>> = Vec::new();
    for words in listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
        match words[..] {
            ["table", of, name, ..] => (family, table) = (of, name),
            ["chain", name, ..] => chains.push(Chain { family, table, name, hooked: None }),
            ["type", kind, "hook", hook, ..] => {
                if let Some(chain) = chains.last_mut() {
                    chain.hooked = Some((kind, hook));
                }
            }
            _ => {}
        }
    }
    chains
}

fn table_family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

#[cfg(test)]
mod tests;
