//! What networks need for their way out, and what the host does already.

use super::Finding;
use crate::commands::doctor::probe::{Firewalld, OutsideFacts, Trouble};

/// The packet filter, its command, forwarding, and a firewall that would refuse what is forwarded.
pub(super) fn judge(facts: &OutsideFacts) -> Vec<Finding> {
    let mut findings = vec![nf_tables(&facts.nf_tables), command(facts.nft), forwarding(facts)];
    findings.extend(firewalld(&facts.firewalld));
    findings
}

const MEANS: &str = "with the engine `embedded` only networks with `--internal` can be created";

fn nf_tables(present: &Result<bool, Trouble>) -> Finding {
    let check = "nf-tables";
    match present {
        Ok(true) => Finding::ok(check, "the kernel has nf_tables"),
        Ok(false) => Finding::warning(check, "the kernel has no nf_tables")
            .means(MEANS)
            .fix("modprobe nf_tables; or start the agent with `--outside none`"),
        Err(trouble) => Finding::info(check, format!("cannot be asked for: {}", trouble.words)),
    }
}

fn command(present: bool) -> Finding {
    if present {
        return Finding::ok("nft", "the command `nft` is there");
    }
    Finding::warning("nft", "there is no command `nft`")
        .means(MEANS)
        .fix("install the package nftables; or start the agent with `--outside none`")
}

fn forwarding(facts: &OutsideFacts) -> Finding {
    let state = |on: Option<bool>| match on {
        Some(true) => "forwards",
        Some(false) => "does not forward",
        None => "does not know",
    };
    let (four, six) = (state(facts.forwards_ipv4), state(facts.forwards_ipv6));
    let seen = format!("the host {four} IPv4 packets, and {six} IPv6 packets");
    let finding = Finding::info("forwarding", seen);
    if facts.forwards_ipv4 == Some(false) || facts.forwards_ipv6 == Some(false) {
        return finding.means("the agent turns it on with the first network that needs it");
    }
    finding
}

/// A zone of its own keeps containers from what the host offers; the policy accepts what they send elsewhere.
const LET_OUT: &str = "firewall-cmd --permanent --new-zone=dockervpp && \
    firewall-cmd --permanent --zone=dockervpp --add-interface=dvg+ && \
    firewall-cmd --permanent --new-policy=dockervpp-out && \
    firewall-cmd --permanent --policy=dockervpp-out --add-ingress-zone=dockervpp && \
    firewall-cmd --permanent --policy=dockervpp-out --add-egress-zone=ANY && \
    firewall-cmd --permanent --policy=dockervpp-out --set-target=ACCEPT && firewall-cmd --reload";

fn firewalld(firewalld: &Result<Firewalld, Trouble>) -> Option<Finding> {
    let check = "firewalld";
    match firewalld {
        Err(trouble) => {
            let seen = format!("its rules cannot be read: {}", trouble.words);
            Some(Finding::info(check, seen).means("whether it lets containers out is not known"))
        }
        Ok(Firewalld::Absent) => None,
        Ok(Firewalld::Told) => Some(Finding::ok(check, "firewalld knows the networks' gateways")),
        Ok(Firewalld::Stranger) => Some(
            Finding::warning(
                check,
                "firewalld filters, and knows no gateways (`dvg…`) of networks",
            )
            .means(
                "it rejects what containers send to the outside, unless a zone has their subnets",
            )
            .fix(LET_OUT),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let mut facts = OutsideFacts {
            nf_tables: Ok(true),
            nft: true,
            forwards_ipv4: Some(true),
            forwards_ipv6: Some(true),
            firewalld: Ok(Firewalld::Absent),
        };
        assert!(judge(&facts).iter().all(|it| it.verdict <= Verdict::Info && it.means.is_none()));
        facts.nft = false;
        facts.nf_tables = Ok(false);
        facts.forwards_ipv6 = Some(false);
        let findings = judge(&facts);
        let warnings: Vec<_> =
            findings.iter().filter(|it| it.verdict == Verdict::Warning).collect();
        assert_eq!(warnings.len(), 2, "{findings:?}");
        assert!(warnings.iter().all(|it| it.fix.as_ref().unwrap().contains("--outside none")));
        assert!(findings[2].seen.contains("does not forward IPv6"), "{findings:?}");
    }

    #[test]
    fn a_firewall_that_would_refuse_containers_is_named() {
        let judged = |firewalld| super::firewalld(&Ok(firewalld)).map(|it| it.verdict);
        assert_eq!(judged(Firewalld::Absent), None);
        assert_eq!(judged(Firewalld::Told), Some(Verdict::Ok));
        assert_eq!(judged(Firewalld::Stranger), Some(Verdict::Warning));
        let trouble =
            Trouble { kind: std::io::ErrorKind::Other, words: "not permitted".to_owned() };
        let unknown = firewalld(&Err(trouble)).unwrap();
        assert!(unknown.verdict == Verdict::Info && unknown.seen.contains("not permitted"));
        let filter = "table inet firewalld {\nchain filter_FWD {\n";
        assert_eq!(Firewalld::of(filter), Firewalld::Stranger);
        assert_eq!(Firewalld::of(&format!("{filter}iifname \"dvg*\" accept")), Firewalld::Told);
    }
}
