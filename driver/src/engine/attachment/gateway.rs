//! The gateway's Ethernet address. Pure.

use dataplane::MacAddr;

use crate::model::NetworkId;

/// The gateway's Ethernet address: the same after every restart, so that neighbour caches of
/// running containers stay right. Locally administered, and its first octet `06` keeps it apart from the
/// `02:42:…` that Docker hands out.
pub(in crate::engine) fn gateway_mac(network: &NetworkId) -> MacAddr {
    // FNV-1a, 64 bit: not a secret, only evenly spread.
    let hash = network.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The upper bytes are the better mixed ones.
    let [first, second, third, fourth, fifth, ..] = hash.to_be_bytes();
    MacAddr([0x06, first, second, third, fourth, fifth])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_gateway_address_is_part_of_the_running_state_and_must_not_change() {
        let mac = gateway_mac(&"0123456789abcdef".parse().unwrap());
        assert_eq!(mac.to_string(), "06:2e:37:39:13:e5");
    }

    proptest! {
        #[test]
        fn gateway_addresses_are_local_unicast_and_differ(a in "[a-f0-9]{64}", b in "[a-f0-9]{64}") {
            let [first, second] = [&a, &b].map(|id| gateway_mac(&id.parse().unwrap()));
            prop_assert!(first.is_unicast());
            prop_assert_eq!(first.0[0] & 2, 2);
            prop_assert_eq!(a == b, first == second);
        }
    }
}
