//! The options of networks that other hosts have too.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dataplane::vxlan::{DEFAULT_PORT, Peer, PeersError, Vni};

use super::{NetworkOptions, OptionError, OptionSpec, Text};
use crate::model::vxlan::{MtuSource, PeerList, VxlanSpec};

/// What the user said about the other hosts of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VxlanOptions {
    vni: Option<Vni>,
    /// As they were written: what they are without a port depends on another option.
    peers: Vec<String>,
    peers_file: Option<PathBuf>,
    local: Option<IpAddr>,
    port: Option<u16>,
}

pub(super) const LOCAL: OptionSpec<NetworkOptions> = OptionSpec {
    key: "vxlan.local",
    values: "an IPv4 or IPv6 address of this host",
    default: "any; the kernel chooses by its routes",
    doc: "The address that the other hosts have as their peer.",
    apply: |options, text| local(text).map(|local| options.vxlan.local = Some(local)),
};

pub(super) const PEERS: OptionSpec<NetworkOptions> = OptionSpec {
    key: "vxlan.peers",
    values: "ADDRESS[:PORT],..., at most 64",
    default: "none",
    doc: "The other hosts of the network, each by an IPv4 or IPv6 address. Addresses of this host are left out, so that \
          all hosts can have one list.",
    apply: |options, text| peers(text).map(|peers| options.vxlan.peers = peers),
};

pub(super) const PEERS_FILE: OptionSpec<NetworkOptions> = OptionSpec {
    key: "vxlan.peers-file",
    values: "an absolute path",
    default: "none",
    doc: "A file of this host that names other hosts of the network, one in a line; # begins a comment. Changes hold at \
          once; of a file with a mistake in it nothing does.",
    apply: |options, text| file(text).map(|file| options.vxlan.peers_file = Some(file)),
};

pub(super) const PORT: OptionSpec<NetworkOptions> = OptionSpec {
    key: "vxlan.port",
    values: "1..65535",
    default: "4789",
    doc: "The UDP port, here and at peers that are named without one.",
    apply: |options, text| port(text).map(|port| options.vxlan.port = Some(port)),
};

pub(super) const VNI: OptionSpec<NetworkOptions> = OptionSpec {
    key: "vxlan.vni",
    values: "1..16777215",
    default: "none: the network is on this host only",
    doc: "Makes the network one L2 segment with those of other hosts that have the same number, over UDP (RFC 7348; not \
          encrypted: docs/security.md). Engine embedded only. Give each host a --ip-range of its own, and vxlan.peers or \
          vxlan.peers-file. The MTU is what the way there leaves, unless it is given.",
    apply: |options, text| vni(text).map(|vni| options.vxlan.vni = Some(vni)),
};

impl VxlanOptions {
    /// What they say together; `None` when they say nothing.
    pub fn spec(&self, network: &NetworkOptions) -> Result<Option<VxlanSpec>, OptionError> {
        let refuse = |what: &str| Err(OptionError::Together(what.to_owned()));
        let Some(vni) = self.vni else {
            let Self { vni: _, peers, peers_file, local, port } = self;
            let given = [
                (!peers.is_empty(), PEERS.key),
                (peers_file.is_some(), PEERS_FILE.key),
                (local.is_some(), LOCAL.key),
                (port.is_some(), PORT.key),
            ];
            return match given.into_iter().find(|(given, _)| *given) {
                Some((_, key)) => refuse(&format!("option `{key}` needs `vxlan.vni`")),
                None => Ok(None),
            };
        };
        if self.peers.is_empty() && self.peers_file.is_none() {
            return refuse("option `vxlan.vni` needs `vxlan.peers` or `vxlan.peers-file`");
        }
        if network.isolation {
            return refuse(
                "options `vxlan.vni` and `isolation` exclude each other: isolated containers reach their gateway only, \
                 and that is on their own host",
            );
        }
        let port = self.port.unwrap_or(DEFAULT_PORT);
        let peers: Result<Vec<_>, _> =
            self.peers.iter().map(|text| Peer::parse(text, port)).collect();
        let peers = peers.and_then(PeerList::new).map_err(|error| together(&error))?;
        if let Some(local) = self.local
            && let Some(peer) =
                peers.as_slice().iter().find(|it| it.ip().is_ipv4() != local.is_ipv4())
        {
            return refuse(&format!(
                "option `vxlan.peers`: {peer} is of another IP version than `vxlan.local`, {local}"
            ));
        }
        let mtu = if network.mtu.is_some() { MtuSource::Chosen } else { MtuSource::Underlay };
        let (peers_file, local) = (self.peers_file.clone(), self.local);
        Ok(Some(VxlanSpec { vni, peers, peers_file, local, port, mtu }))
    }
}

fn together(error: &PeersError) -> OptionError {
    OptionError::Together(format!("option `vxlan.peers`: {error}"))
}

fn vni(text: &Text) -> Result<Vni, &'static str> {
    text.0.parse().map_err(|_| "a number, 1..16777215")
}

fn peers(text: &Text) -> Result<Vec<String>, &'static str> {
    let peers: Vec<_> = text.0.split(',').map(|peer| peer.trim().to_owned()).collect();
    let sound = peers.iter().all(|peer| peer.parse::<Peer>().is_ok());
    sound.then_some(peers).ok_or(
        "IPv4 and IPv6 addresses of hosts, separated by commas, each with or without a UDP port \
         (192.0.2.1,192.0.2.2:4789,2001:db8::1,[2001:db8::2]:4789)",
    )
}

fn file(text: &Text) -> Result<PathBuf, &'static str> {
    let sound = Path::new(&text.0).is_absolute() && !text.0.contains('\0');
    if sound { Ok(PathBuf::from(&text.0)) } else { Err("the absolute path of a file on this host") }
}

fn local(text: &Text) -> Result<IpAddr, &'static str> {
    let peer = text.0.parse().ok().and_then(|ip| Peer::new(ip, DEFAULT_PORT).ok());
    peer.map(Peer::ip).ok_or("an IPv4 or IPv6 address of this host, not a link-local one")
}

fn port(text: &Text) -> Result<u16, &'static str> {
    text.0.parse().ok().filter(|port| *port != 0).ok_or("a UDP port, 1..65535")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{GENERIC, Options};
    use super::*;

    fn spec(options: &Value) -> Result<Option<VxlanSpec>, String> {
        let mut outer = Options::new();
        outer.insert(GENERIC.into(), options.clone());
        let options = NetworkOptions::parse(&outer).map_err(|error| error.to_string())?;
        options.vxlan.spec(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn all_of_them_together() {
        let read = spec(&json!({
            "vxlan.vni": 42, "vxlan.peers": "192.0.2.2, 192.0.2.1:4789,192.0.2.2", "vxlan.port": "8472",
            "vxlan.local": "192.0.2.9", "vxlan.peers-file": "/etc/peers", "mtu": 1450,
        }));
        let read = read.unwrap().unwrap();
        let peers: Vec<String> = read.peers.clone().into();
        assert_eq!(peers, ["192.0.2.1", "192.0.2.2:8472"]);
        assert_eq!((read.vni.get(), read.port, read.mtu), (42, 8472, MtuSource::Chosen));
        assert_eq!(read.vtep().to_string(), "192.0.2.9:8472");
        let read = spec(&json!({"vxlan.vni": "1", "vxlan.peers": "2001:db8::1"})).unwrap().unwrap();
        assert_eq!((read.mtu, read.vtep().to_string().as_str()), (MtuSource::Underlay, "*:4789"));
        assert_eq!(spec(&json!({"mtu": 9000})), Ok(None));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let many: Vec<_> = (1..=65).map(|n| format!("192.0.2.{n}")).collect();
        for (options, words) in [
            (json!({"vxlan.vni": 0}), "`vxlan.vni` must be a number"),
            (json!({"vxlan.vni": 16_777_216}), "`vxlan.vni` must be a number"),
            (json!({"vxlan.vni": 1}), "needs `vxlan.peers`"),
            (json!({"vxlan.peers": "192.0.2.1"}), "`vxlan.peers` needs `vxlan.vni`"),
            (json!({"vxlan.peers-file": "/x"}), "`vxlan.peers-file` needs `vxlan.vni`"),
            (json!({"vxlan.local": "192.0.2.1"}), "`vxlan.local` needs `vxlan.vni`"),
            (json!({"vxlan.port": 1}), "`vxlan.port` needs `vxlan.vni`"),
            (json!({"vxlan.port": 0}), "a UDP port"),
            (json!({"vxlan.local": "::"}), "an IPv4 or IPv6 address of this host"),
            (json!({"vxlan.peers-file": "peers"}), "absolute path"),
            (json!({"vxlan.vni": 1, "vxlan.peers": "host"}), "addresses of hosts"),
            (json!({"vxlan.vni": 1, "vxlan.peers": ""}), "addresses of hosts"),
            (
                json!({"vxlan.vni": 1, "vxlan.peers": many.join(",")}),
                "65 peers are more than the 64",
            ),
            (json!({"vxlan.vni": 1, "vxlan.peers": "192.0.2.1,192.0.2.1:1"}), "named twice"),
            (
                json!({"vxlan.vni": 1, "vxlan.peers": "192.0.2.1", "vxlan.local": "2001:db8::1"}),
                "another IP version",
            ),
            (
                json!({"vxlan.vni": 1, "vxlan.peers": "192.0.2.1", "isolation": true}),
                "exclude each other",
            ),
            (json!({"vxlan.vn": 1}), "did you mean `vxlan.vni`?"),
        ] {
            let error = spec(&options).unwrap_err();
            assert!(error.contains(words), "{options}: {error}");
        }
    }
}
