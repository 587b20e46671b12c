//! What endpoints may send is checked by the agent's own bridge. Here VPP forwards, so nobody may rely on
//! such a check. Pure.

use crate::engine::EngineError;
use crate::model::{Antispoof, NetworkSpec, PolicyOptions, RateLimit};

/// Refuses what would not hold; sessions are the broker's, and their rate holds everywhere.
pub(super) fn check(policy: &PolicyOptions) -> Result<(), EngineError> {
    let antispoof = policy.antispoof.filter(|it| *it != Antispoof::None);
    let rate = |limit: Option<RateLimit>| limit.filter(|it| *it != RateLimit::None);
    let what = antispoof
        .map(|it| format!("antispoof={it}"))
        .or_else(|| rate(policy.packets).map(|it| format!("rate.packets={it}")))
        .or_else(|| rate(policy.bits).map(|it| format!("rate.bits={it}")));
    match what {
        None => Ok(()),
        Some(option) => Err(EngineError::Host {
            what: format!("`{option}` is for the agent's own bridge, and here VPP forwards"),
            remedy: "leave the option out, or run the agent with `--engine embedded` (docs/vpp.md)"
                .to_owned(),
        }),
    }
}

/// Refuses networks that other hosts have too: their frames are put into datagrams by the agent's own bridge.
pub(super) fn check_hosts(network: &NetworkSpec) -> Result<(), EngineError> {
    let Some(vxlan) = &network.vxlan else { return Ok(()) };
    Err(EngineError::Host {
        what: format!("`vxlan.vni={}` is for the agent's own bridge, and here VPP forwards", vxlan.vni),
        remedy: "leave the options `vxlan.*` out, or run the agent with `--engine embedded` (docs/vpp.md)"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_several_hosts_are_refused_with_what_to_do() {
        let spec = r#"{"id":"n","ipv4":[],"ipv6":[],"mtu":1450,"internal":false,"isolation":false,"attach":"auto",
            "vxlan":{"vni":9,"peers":["192.0.2.1"],"peers_file":null,"local":null,"port":4789,"mtu":"chosen"}}"#;
        let spec: NetworkSpec = serde_json::from_str(spec).unwrap();
        let error = check_hosts(&spec).unwrap_err().to_string();
        assert!(error.contains("vxlan.vni=9") && error.contains("--engine embedded"), "{error}");
        assert!(check_hosts(&NetworkSpec { vxlan: None, ..spec }).is_ok());
    }

    #[test]
    fn what_would_not_hold_is_refused_by_its_name() {
        let limit = Some("100".parse().unwrap());
        let none = PolicyOptions::default();
        let cases = [
            ("antispoof=full", PolicyOptions { antispoof: Some(Antispoof::Full), ..none }),
            ("antispoof=mac", PolicyOptions { antispoof: Some(Antispoof::Mac), ..none }),
            ("rate.packets=100", PolicyOptions { packets: limit, ..none }),
            ("rate.bits=100", PolicyOptions { bits: limit, ..none }),
        ];
        for (option, policy) in cases {
            let error = check(&policy).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains("--engine embedded"), "{error}");
        }
        let off = PolicyOptions {
            antispoof: Some(Antispoof::None),
            packets: Some(RateLimit::None),
            sessions: limit,
            ..none
        };
        assert!(check(&off).is_ok() && check(&none).is_ok());
    }
}
