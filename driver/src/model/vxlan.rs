//! A network that other hosts have too.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use dataplane::vxlan::{Peer, PeersError, Vni, VtepAddress};
use serde::{Deserialize, Serialize};

/// How a network goes on behind other hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VxlanSpec {
    /// The identifier of its segment.
    #[serde(with = "vni_number")]
    pub vni: Vni,
    /// The other hosts that were named with the network; this host may be among them.
    pub peers: PeerList,
    /// A file that names others, and is watched.
    pub peers_file: Option<PathBuf>,
    /// The address of this host that datagrams come to and from; `None` is any.
    pub local: Option<IpAddr>,
    /// The UDP port that they come to.
    pub port: u16,
    /// Where the network's MTU is from.
    pub mtu: MtuSource,
}

impl VxlanSpec {
    /// The UDP ports at which the hosts receive. Those of a file have the network's own.
    pub fn ports(&self) -> BTreeSet<u16> {
        let named = self.peers.as_slice().iter().map(|peer| peer.port());
        named.chain([self.port]).collect()
    }

    /// Where datagrams come in.
    pub fn vtep(&self) -> VtepAddress {
        VtepAddress { ip: self.local, port: self.port }
    }
}

/// Who chose an MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtuSource {
    /// The user.
    Chosen,
    /// What the way to the other hosts leaves, when the network was made.
    Underlay,
}

/// Hosts, each once, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct PeerList(Vec<Peer>);

impl PeerList {
    /// # Errors
    /// [`PeersError`] when there are too many, or one twice with different ports.
    pub fn new(peers: impl IntoIterator<Item = Peer>) -> Result<Self, PeersError> {
        Peer::list(peers).map(Self)
    }

    /// The hosts.
    pub fn as_slice(&self) -> &[Peer] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for PeerList {
    type Error = PeersError;

    fn try_from(texts: Vec<String>) -> Result<Self, PeersError> {
        let peers: Result<Vec<Peer>, _> = texts.iter().map(|text| text.parse()).collect();
        Self::new(peers?)
    }
}

impl From<PeerList> for Vec<String> {
    fn from(list: PeerList) -> Self {
        list.0.iter().map(ToString::to_string).collect()
    }
}

mod vni_number {
    use dataplane::vxlan::Vni;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(vni: &Vni, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(vni.get())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vni, D::Error> {
        Vni::new(u32::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_checked() {
        let spec = VxlanSpec {
            vni: Vni::new(7).unwrap(),
            peers: PeerList::new(["192.0.2.1:8472".parse().unwrap()]).unwrap(),
            peers_file: Some("/etc/dockervpp/peers".into()),
            local: "2001:db8::1".parse().ok(),
            port: 4789,
            mtu: MtuSource::Underlay,
        };
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<VxlanSpec>(&text).unwrap(), spec);
        for (good, bad) in [("\"vni\":7", "\"vni\":0"), ("192.0.2.1:8472", "224.0.0.1")] {
            assert!(text.contains(good), "{text}");
            assert!(serde_json::from_str::<VxlanSpec>(&text.replace(good, bad)).is_err(), "{bad}");
        }
    }
}
