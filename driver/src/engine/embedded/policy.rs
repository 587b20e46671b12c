//! What an endpoint may send, as its port of the data path is told. Pure.

use dataplane::{Antispoof, PortPolicy, Rate};

use crate::model::{self, EndpointSpec, RateLimit};

/// Frames that may pass at once unless said otherwise: a tenth of a second's worth, but at least this many.
const LEAST_PACKETS: u64 = 32;
/// Bits likewise: a segment of 64 KiB with its headers.
const LEAST_BITS: u64 = 65_550 * 8;

/// The policy of an endpoint's port. Addresses are checked unless the endpoint was relieved of that.
pub(super) fn port_policy(endpoint: &EndpointSpec) -> PortPolicy {
    let policy = &endpoint.policy;
    PortPolicy {
        antispoof: match policy.antispoof.unwrap_or(model::Antispoof::Full) {
            model::Antispoof::Full => Antispoof::Full,
            model::Antispoof::Mac => Antispoof::Mac,
            model::Antispoof::None => Antispoof::None,
        },
        ipv4: endpoint.ipv4.map(|net| net.addr()),
        ipv6: endpoint.ipv6.map(|net| net.addr()),
        packets: rate(policy.packets, LEAST_PACKETS),
        bits: rate(policy.bits, LEAST_BITS),
    }
}

fn rate(limit: Option<RateLimit>, least_burst: u64) -> Option<Rate> {
    let (per_second, burst) = limit?.rate(|rate| (rate / 10).max(least_burst))?;
    Some(Rate { per_second, burst })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AttachKind, MemifOptions, PolicyOptions, SessionOptions, VhostOptions};

    fn endpoint(policy: PolicyOptions) -> EndpointSpec {
        EndpointSpec {
            id: "e1".parse().unwrap(),
            network: "n1".parse().unwrap(),
            mac: "02:42:0a:00:00:02".parse().unwrap(),
            ipv4: Some("10.0.0.2/24".parse().unwrap()),
            ipv6: None,
            attach: AttachKind::Auto,
            memif: MemifOptions::default(),
            vhost: VhostOptions::default(),
            session: SessionOptions::default(),
            policy,
        }
    }

    #[test]
    fn addresses_are_checked_unless_said_otherwise() {
        let policy = port_policy(&endpoint(PolicyOptions::default()));
        let expected = PortPolicy {
            antispoof: Antispoof::Full,
            ipv4: Some("10.0.0.2".parse().unwrap()),
            ..PortPolicy::default()
        };
        assert_eq!(policy, expected);
        for (asked, given) in
            [(model::Antispoof::Mac, Antispoof::Mac), (model::Antispoof::None, Antispoof::None)]
        {
            let options = PolicyOptions { antispoof: Some(asked), ..PolicyOptions::default() };
            assert_eq!(port_policy(&endpoint(options)).antispoof, given);
        }
    }

    #[test]
    fn bursts_follow_from_rates() {
        let packets = |text: &str| rate(Some(text.parse().unwrap()), LEAST_PACKETS);
        assert_eq!(packets("none"), None);
        assert_eq!(packets("100"), Some(Rate { per_second: 100, burst: 32 }));
        assert_eq!(packets("5k"), Some(Rate { per_second: 5000, burst: 500 }));
        assert_eq!(packets("5k/1"), Some(Rate { per_second: 5000, burst: 1 }));
    }
}
