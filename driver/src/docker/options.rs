//! The options that this driver knows, as one table: key, values, default, meaning, parser.
//!
//! Docker hands options over as JSON of mixed types, and `docker run --network` lower-cases the
//! whole field. An unknown key is an error that names the nearest known one: a typing error must
//! never be a silently different network. Keys of Docker's own are tolerated.

mod text;
mod vhost;
mod vxlan;

use serde_json::Value;

use self::text::Text;
pub use self::vxlan::VxlanOptions;
use super::wire::Options;
use crate::model::{
    Antispoof, AttachKind, MemifOptions, PolicyOptions, RateLimit, SessionOptions, TcpStack,
    VhostOptions,
};

/// Every key of ours may be written with this in front.
pub const PREFIX: &str = "dockervpp.";

/// Docker's generic spelling of the MTU, also set by `default-network-opts` of `daemon.json`.
pub const DOCKER_MTU: &str = "com.docker.network.driver.mtu";

/// Where Docker puts the user's `-o` options of a network.
pub const GENERIC: &str = "com.docker.network.generic";

/// Docker's own keys that may stand among a network's `-o` options and say nothing to us here.
const DOCKER_NETWORK_KEYS: [&str; 3] = [
    "com.docker.network.enable_ipv4",
    "com.docker.network.enable_ipv6",
    "com.docker.network.internal",
];

/// What the user said about a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkOptions {
    /// The attach kind of endpoints that do not choose one.
    pub attach: AttachKind,
    /// MTU in bytes, when it was given.
    pub mtu: Option<u32>,
    /// Containers reach the gateway only.
    pub isolation: bool,
    /// What carries TCP of endpoints of kind `userspace`.
    pub tcp: TcpStack,
    /// The session options of endpoints that do not choose their own.
    pub session: SessionOptions,
    /// What endpoints may send that do not choose it.
    pub policy: PolicyOptions,
    /// The other hosts that have it.
    pub vxlan: VxlanOptions,
}

/// What the user said about an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Its attach kind, when it differs from the network's.
    pub attach: Option<AttachKind>,
    /// Its memif options.
    pub memif: MemifOptions,
    /// Its session options, as far as they differ from the network's.
    pub session: SessionOptions,
    /// What it may send, as far as that differs from the network's.
    pub policy: PolicyOptions,
    /// Its vhost-user options.
    pub vhost: VhostOptions,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec<T> {
    /// Its key, without [`PREFIX`].
    pub key: &'static str,
    /// What it accepts, for people.
    pub values: &'static str,
    /// What holds without it, for people.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    apply: fn(&mut T, &Text) -> Result<(), &'static str>,
}

const MTU: OptionSpec<NetworkOptions> = OptionSpec {
    key: "mtu",
    values: "576..65521",
    default: "1500; with vxlan.vni what the way to the peers leaves",
    doc: "Largest IP packet, in bytes; at least 1280 with IPv6. com.docker.network.driver.mtu means \
          the same.",
    apply: |options, text| text.mtu().map(|mtu| options.mtu = Some(mtu)),
};

/// Options of `docker network create -o KEY=VALUE`.
pub const NETWORK: &[OptionSpec<NetworkOptions>] = &[
    OptionSpec {
        key: "antispoof",
        values: Antispoof::VALUES,
        default: "full with the engine embedded; with vpp there is none",
        doc: "Under which addresses containers may send: their own Ethernet and IP addresses (full), any \
              IP address (mac: routers), or any (none). What else they send is dropped and counted.",
        apply: |options, text| text.antispoof().map(|it| options.policy.antispoof = Some(it)),
    },
    OptionSpec {
        key: "attach",
        values: ATTACH,
        default: "auto",
        doc: "What eth0 is in the containers: a TAP that works with any image (auto), an end of a veth \
              pair that does so on hosts without TAPs (veth), or a link that only shows the address \
              while all packets go through memif (userspace), or through a vhost-user socket as well \
              (vhost-user).",
        apply: |options, text| text.attach().map(|kind| options.attach = kind),
    },
    OptionSpec {
        key: "isolation",
        values: "true|false",
        default: "false",
        doc: "Containers reach the gateway only, not each other.",
        apply: |options, text| text.boolean().map(|on| options.isolation = on),
    },
    MTU,
    OptionSpec {
        key: "rate.bits",
        values: RateLimit::VALUES,
        default: "none; a burst of a tenth of a second",
        doc: "Bits of frames a second that each container may send; engine embedded only. Sessions through \
              shared memory are no frames.",
        apply: |options, text| text.rate().map(|rate| options.policy.bits = Some(rate)),
    },
    OptionSpec {
        key: "rate.packets",
        values: RateLimit::VALUES,
        default: "none; a burst of a tenth of a second",
        doc: "Frames a second that each container may send; engine embedded only.",
        apply: |options, text| text.rate().map(|rate| options.policy.packets = Some(rate)),
    },
    OptionSpec {
        key: "rate.sessions",
        values: RateLimit::VALUES,
        default: "none; a burst of one second",
        doc: "Sessions a second that each container may make.",
        apply: |options, text| text.rate().map(|rate| options.policy.sessions = Some(rate)),
    },
    OptionSpec {
        key: "session.limit",
        values: "0..1000000",
        default: "16384",
        doc: "Sessions that each container may have, made and accepted; 0 allows none.",
        apply: |options, text| text.limit().map(|limit| options.session.limit = Some(limit)),
    },
    OptionSpec {
        key: "session.ring",
        values: "4KiB..16MiB, a power of two",
        default: "256KiB",
        doc: "Size of the rings of sessions: one for each direction.",
        apply: |options, text| text.ring().map(|ring| options.session.ring = Some(ring)),
    },
    OptionSpec {
        key: "tcp",
        values: "stack|vcl",
        default: "stack",
        doc: "What carries TCP of userspace containers to whoever is no session: the agent's own \
              network stack, or VPP's (vcl; engine vpp only, and for containers that you trust: \
              docs/vpp.md).",
        apply: |options, text| text.tcp().map(|tcp| options.tcp = tcp),
    },
    vxlan::LOCAL,
    vxlan::PEERS,
    vxlan::PEERS_FILE,
    vxlan::PORT,
    vxlan::VNI,
];

/// Options of an endpoint: `docker run --network name=NET,driver-opt=KEY=VALUE`,
/// `docker network connect --driver-opt KEY=VALUE`, `driver_opts` of Compose.
pub const ENDPOINT: &[OptionSpec<EndpointOptions>] = &[
    OptionSpec {
        key: "antispoof",
        values: Antispoof::VALUES,
        default: "that of the network",
        doc: "Under which addresses this container may send.",
        apply: |options, text| text.antispoof().map(|it| options.policy.antispoof = Some(it)),
    },
    OptionSpec {
        key: "attach",
        values: ATTACH,
        default: "that of the network",
        doc: "What eth0 is in this container.",
        apply: |options, text| text.attach().map(|kind| options.attach = Some(kind)),
    },
    OptionSpec {
        key: "memif.queues",
        values: "1..16",
        default: "chosen by the engine",
        doc: "Largest number of memif queues in each direction.",
        apply: |options, text| text.queues().map(|queues| options.memif.queues = Some(queues)),
    },
    OptionSpec {
        key: "memif.secret",
        values: "1 to 24 bytes of text",
        default: "none: any memif client of the container is accepted",
        doc: "Secret that a memif client must send. `docker run` lower-cases it, `docker network \
              connect` does not.",
        apply: |options, text| text.secret().map(|secret| options.memif.secret = Some(secret)),
    },
    OptionSpec {
        key: "memif.trusted",
        values: "true|false",
        default: "false",
        doc: "Accept memory that the container could truncate under the agent (needed by zero-copy \
              DPDK and by VPP). Only for containers that you trust as much as the agent.",
        apply: |options, text| text.boolean().map(|on| options.memif.trusted = on),
    },
    OptionSpec {
        key: "rate.bits",
        values: RateLimit::VALUES,
        default: "that of the network",
        doc: "Bits of frames a second that this container may send; engine embedded only.",
        apply: |options, text| text.rate().map(|rate| options.policy.bits = Some(rate)),
    },
    OptionSpec {
        key: "rate.packets",
        values: RateLimit::VALUES,
        default: "that of the network",
        doc: "Frames a second that this container may send; engine embedded only.",
        apply: |options, text| text.rate().map(|rate| options.policy.packets = Some(rate)),
    },
    OptionSpec {
        key: "rate.sessions",
        values: RateLimit::VALUES,
        default: "that of the network",
        doc: "Sessions a second that this container may make.",
        apply: |options, text| text.rate().map(|rate| options.policy.sessions = Some(rate)),
    },
    OptionSpec {
        key: "session.limit",
        values: "0..1000000",
        default: "that of the network",
        doc: "Sessions that this container may have, made and accepted; 0 allows none.",
        apply: |options, text| text.limit().map(|limit| options.session.limit = Some(limit)),
    },
    OptionSpec {
        key: "session.ring",
        values: "4KiB..16MiB, a power of two",
        default: "that of the network",
        doc: "Size of the rings of sessions that this container makes: one for each direction.",
        apply: |options, text| text.ring().map(|ring| options.session.ring = Some(ring)),
    },
    vhost::MEMORY,
    vhost::QUEUES,
    vhost::SOCKET,
];

/// The attach kinds of this build.
const ATTACH: &str = if cfg!(feature = "vhost-user") {
    "auto|userspace|veth|vhost-user"
} else {
    "auto|userspace|veth"
};

/// Why options were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Nobody knows this key.
    #[error("unknown option `{key}`{}; {place} knows {known}", nearest_text(.nearest.as_deref()))]
    Unknown {
        /// The key as given.
        key: String,
        /// The known key that it resembles.
        nearest: Option<String>,
        /// Where it was given.
        place: &'static str,
        /// All known keys.
        known: String,
    },
    /// The value makes no sense.
    #[error("option `{key}` must be {expected}, not `{found}`")]
    BadValue {
        /// The key as given.
        key: String,
        /// What is accepted.
        expected: String,
        /// The value as given.
        found: String,
    },
    /// One option was given twice, in two spellings, with different values.
    #[error("option `{0}` is given twice with different values, with and without `{PREFIX}`")]
    Twice(String),
    /// Options that make no sense with or without each other.
    #[error("{0}")]
    Together(String),
    /// `com.docker.network.generic` is not an object.
    #[error("`{GENERIC}` must be a JSON object")]
    GenericNotObject,
}

impl NetworkOptions {
    /// Reads the options of a `CreateNetwork` or `GwAllocCheck` request.
    pub fn parse(options: &Options) -> Result<Self, OptionError> {
        let none = Options::new();
        let generic = match options.get(GENERIC) {
            None | Some(Value::Null) => &none,
            Some(Value::Object(generic)) => generic,
            Some(_) => return Err(OptionError::GenericNotObject),
        };
        // Only Docker writes the outer object; what is not Docker's there is treated as the user's.
        let outer = options.iter().filter(|(key, _)| !key.starts_with("com.docker."));
        let given: Vec<_> = generic.iter().chain(outer).collect();
        let mut parsed = Self::default();
        // First, so that the user's own `mtu` wins over a default of the daemon.
        if let Some(value) = generic.get(DOCKER_MTU) {
            MTU.set(&mut parsed, DOCKER_MTU, value)?;
        }
        let own = given.into_iter().filter(|(key, _)| {
            key.as_str() != DOCKER_MTU && !DOCKER_NETWORK_KEYS.contains(&key.as_str())
        });
        apply(NETWORK, &mut parsed, own, "a network of this driver")?;
        Ok(parsed)
    }
}

impl EndpointOptions {
    /// Reads the options of a `CreateEndpoint` request.
    pub fn parse(options: &Options) -> Result<Self, OptionError> {
        let mut parsed = Self::default();
        let own = options.iter().filter(|(key, _)| !key.starts_with("com.docker."));
        apply(ENDPOINT, &mut parsed, own, "an endpoint of this driver")?;
        Ok(parsed)
    }
}

/// Docker's flag for `--internal` among the options of a network.
pub fn is_internal(options: &Options) -> Result<bool, OptionError> {
    let key = "com.docker.network.internal";
    match options.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => Text::of(value)
            .and_then(|text| text.boolean().ok())
            .ok_or_else(|| bad_value(key, "true|false", value)),
    }
}

impl<T> OptionSpec<T> {
    fn set(&self, target: &mut T, key: &str, value: &Value) -> Result<(), OptionError> {
        let text = Text::of(value).ok_or_else(|| bad_value(key, self.values, value))?;
        (self.apply)(target, &text).map_err(|expected| bad_value(key, expected, value))
    }
}

fn apply<'a, T: 'static>(
    table: &'static [OptionSpec<T>],
    target: &mut T,
    given: impl Iterator<Item = (&'a String, &'a Value)>,
    place: &'static str,
) -> Result<(), OptionError> {
    let mut seen: Vec<(&str, Option<Text>)> = Vec::new();
    for (key, value) in given {
        let bare = key.strip_prefix(PREFIX).unwrap_or(key);
        let Some(spec) = table.iter().find(|spec| spec.key == bare) else {
            return Err(unknown(table, key, bare, place));
        };
        let text = Text::of(value);
        match seen.iter().find(|(earlier, _)| *earlier == bare) {
            Some((_, earlier)) if *earlier != text => {
                return Err(OptionError::Twice(bare.to_owned()));
            }
            _ => seen.push((spec.key, text)),
        }
        spec.set(target, key, value)?;
    }
    Ok(())
}

fn unknown<T>(table: &[OptionSpec<T>], key: &str, bare: &str, place: &'static str) -> OptionError {
    let nearest = table
        .iter()
        .map(|spec| (strsim::damerau_levenshtein(&bare.to_lowercase(), spec.key), spec.key))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(2))
        .map(|(_, known)| known.to_owned());
    let known = table.iter().map(|spec| format!("`{}`", spec.key)).collect::<Vec<_>>().join(", ");
    OptionError::Unknown { key: shortened(key), nearest, place, known }
}

fn nearest_text(nearest: Option<&str>) -> String {
    nearest.map(|key| format!(" (did you mean `{key}`?)")).unwrap_or_default()
}

fn bad_value(key: &str, expected: &str, value: &Value) -> OptionError {
    let found = Text::of(value).map_or_else(|| value.to_string(), |text| text.0);
    OptionError::BadValue {
        key: shortened(key),
        expected: expected.to_owned(),
        found: shortened(&found),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::docker::any_json;

    fn network(generic: &Value) -> Result<NetworkOptions, OptionError> {
        let mut options = Options::new();
        options.insert(GENERIC.into(), generic.clone());
        NetworkOptions::parse(&options)
    }

    fn endpoint(options: Value) -> Result<EndpointOptions, OptionError> {
        let Value::Object(options) = options else { panic!("not an object") };
        EndpointOptions::parse(&options)
    }

    #[test]
    fn every_json_type_and_spelling_is_read() {
        for mtu in [json!({"mtu": "9000"}), json!({"mtu": 9000}), json!({"dockervpp.mtu": "9000"})]
        {
            assert_eq!(network(&mtu).unwrap().mtu, Some(9000), "{mtu}");
        }
        for on in [json!(true), json!("TRUE"), json!(1), json!("yes")] {
            assert!(network(&json!({"isolation": on})).unwrap().isolation);
        }
        assert_eq!(network(&json!({"attach": "userspace"})).unwrap().attach, AttachKind::Userspace);
        assert_eq!(network(&json!({"attach": "veth"})).unwrap().attach, AttachKind::Veth);
        assert_eq!(network(&json!({"tcp": "VCL"})).unwrap().tcp, TcpStack::Vcl);
        assert_eq!(network(&json!(null)).unwrap(), NetworkOptions::default());
    }

    #[test]
    fn own_mtu_wins_over_dockers() {
        let both = json!({"com.docker.network.driver.mtu": "1400", "mtu": "9000"});
        assert_eq!(network(&both).unwrap().mtu, Some(9000));
        let dockers = json!({"com.docker.network.driver.mtu": "1400"});
        assert_eq!(network(&dockers).unwrap().mtu, Some(1400));
        let error = network(&json!({"com.docker.network.driver.mtu": "jumbo"})).unwrap_err();
        assert!(error.to_string().contains("`com.docker.network.driver.mtu` must be"), "{error}");
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let error = network(&json!({"attatch": "auto"})).unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown option `attatch` (did you mean `attach`?); a network of this driver knows \
             `antispoof`, `attach`, `isolation`, `mtu`, `rate.bits`, `rate.packets`, \
             `rate.sessions`, `session.limit`, `session.ring`, `tcp`, `vxlan.local`, `vxlan.peers`, \
             `vxlan.peers-file`, `vxlan.port`, `vxlan.vni`"
        );
        let error = endpoint(json!({"dockervpp.memif.secert": "x"})).unwrap_err().to_string();
        assert!(error.contains("did you mean `memif.secret`?"), "{error}");
        let error = network(&json!({"com.docker.network.bridge.name": "x"})).unwrap_err();
        assert!(!error.to_string().contains("did you mean"), "{error}");
    }

    #[test]
    fn dockers_own_keys_are_tolerated() {
        let dockers = json!({
            "com.docker.network.portmap": [],
            "com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}],
            "com.docker.network.endpoint.macaddress": "AkKsEQAC",
        });
        assert_eq!(endpoint(dockers).unwrap(), EndpointOptions::default());
        let mut outer = Options::new();
        outer.insert("com.docker.network.enable_ipv6".into(), json!(false));
        outer.insert("com.docker.network.something.new".into(), json!([1]));
        assert_eq!(NetworkOptions::parse(&outer).unwrap(), NetworkOptions::default());
    }

    #[test]
    fn bad_values_say_what_is_accepted() {
        for mtu in
            [json!(575), json!("65522"), json!(-1), json!("1500b"), json!([1500]), json!(null)]
        {
            let error = network(&json!({ "mtu": mtu })).unwrap_err().to_string();
            assert!(error.starts_with("option `mtu` must be"), "{error}");
        }
        let error = network(&json!({"tcp": "kernel"})).unwrap_err().to_string();
        assert_eq!(error, "option `tcp` must be stack|vcl, not `kernel`");
        let error = endpoint(json!({"memif.secret": "x".repeat(25)})).unwrap_err().to_string();
        assert!(error.contains("1 to 24 bytes"), "{error}");
        assert!(endpoint(json!({"memif.queues": 17})).is_err());
    }

    #[test]
    fn ring_sizes_have_units() {
        for ring in [json!("64KiB"), json!("64kib"), json!("64k"), json!(65536), json!("64 KiB")] {
            let read = network(&json!({ "session.ring": ring })).unwrap().session.ring.unwrap();
            assert_eq!(u32::from(read), 65_536, "{ring}");
        }
        for bad in ["3KiB", "100000", "32MiB", "4096MiB", "KiB", "64GiB", "-1"] {
            let error = endpoint(json!({ "session.ring": bad })).unwrap_err().to_string();
            assert!(error.contains("a power of two, 4KiB..16MiB"), "{error}");
        }
    }

    #[test]
    fn an_endpoint_takes_over_what_it_does_not_choose() {
        let network = network(&json!({"session.ring": "1MiB", "session.limit": 7})).unwrap();
        let own = endpoint(json!({"session.limit": "0"})).unwrap();
        let both = own.session.or(network.session);
        assert_eq!((both.ring, both.limit), (network.session.ring, Some(0)));
    }

    #[cfg(feature = "vhost-user")]
    #[test]
    fn options_of_a_vhost_user_device_are_read() {
        let options = endpoint(json!({
            "attach": "vhost-user",
            "vhost-user.socket": "vm-1.net",
            "vhost-user.queues": "4",
            "vhost-user.memory": "2GiB",
        }))
        .unwrap();
        assert_eq!(options.attach, Some(AttachKind::VhostUser));
        let VhostOptions { socket, queues, memory } = options.vhost;
        assert_eq!(socket.unwrap().as_str(), "vm-1.net");
        assert_eq!((queues, memory), (Some(4), Some(2048)));
        for bad in ["", ".", "..", ".hidden", "a/b", "../a", "a b", "a\0", &"x".repeat(65)] {
            assert!(endpoint(json!({"vhost-user.socket": bad})).is_err(), "{bad:?}");
        }
        for bad in ["0", "4096", "15MiB", "2TiB", "4194304GiB", "GiB"] {
            assert!(endpoint(json!({"vhost-user.memory": bad})).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn policies_are_read_and_taken_over() {
        let network = network(&json!({"antispoof": "MAC", "rate.bits": "1G", "rate.packets": 500}));
        let network = network.unwrap().policy;
        let own = endpoint(json!({"rate.bits": "none", "rate.sessions": "10/20"})).unwrap().policy;
        let both = own.or(network);
        assert_eq!(both.antispoof, Some(Antispoof::Mac));
        let limits: Vec<_> = both.limits().map(|(key, it)| format!("{key}={it}")).collect();
        assert_eq!(limits, ["rate.packets=500", "rate.sessions=10/20"]);
        let error = endpoint(json!({"antispoof": "some"})).unwrap_err().to_string();
        assert_eq!(error, "option `antispoof` must be full|mac|none, not `some`");
        let error = endpoint(json!({"rate.bits": "0"})).unwrap_err().to_string();
        assert!(error.starts_with("option `rate.bits` must be none or RATE"), "{error}");
    }

    #[test]
    fn two_spellings_must_agree() {
        assert!(network(&json!({"mtu": 1400, "dockervpp.mtu": "1400"})).is_ok());
        let error = network(&json!({"mtu": 1400, "dockervpp.mtu": 1500})).unwrap_err();
        assert_eq!(error, OptionError::Twice("mtu".into()));
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused_by_name(value in any_json()) {
            for spec in ENDPOINT {
                match endpoint(json!({ spec.key: value.clone() })) {
                    Ok(_) => {}
                    Err(error) => prop_assert!(error.to_string().contains(spec.key)),
                }
            }
        }

        #[test]
        fn every_mtu_in_range_is_read(mtu in 0u32..70_000) {
            let read = network(&json!({ "mtu": mtu.to_string() })).map(|options| options.mtu);
            if (576..=65_521).contains(&mtu) {
                prop_assert_eq!(read.unwrap(), Some(mtu));
            } else {
                prop_assert!(read.is_err());
            }
        }

        #[test]
        fn a_key_of_nobody_is_refused(key in "[a-z.]{1,12}") {
            prop_assume!(NETWORK.iter().all(|spec| spec.key != key));
            prop_assert!(network(&json!({ key.clone(): "1" })).is_err(), "{}", key);
        }
    }
}
