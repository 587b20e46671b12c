//! The plugin as Docker sees it: HTTP over a real unix socket, a fake engine behind.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod support;

use serde_json::{Value, json};
use support::{Agent, endpoint, exchange, join, named, network};

const CREATE_NETWORK: &str = "NetworkDriver.CreateNetwork";
const CREATE_ENDPOINT: &str = "NetworkDriver.CreateEndpoint";
const JOIN: &str = "NetworkDriver.Join";

#[test]
fn a_container_comes_and_goes() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    let created = agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.2/24"));
    assert_eq!(
        created,
        json!({"Interface": {"Address": "", "AddressIPv6": "", "MacAddress": "02:42:0a:01:00:02"}})
    );
    let joined = agent.ok(JOIN, &join("n1", "e1", "/run/netns/1"));
    assert_eq!(joined["InterfaceName"], json!({"SrcName": "fke1", "DstPrefix": "eth"}));
    assert_eq!(joined["Gateway"], "10.1.0.1");
    assert_eq!(joined["DisableGatewayService"], false);
    let info = agent.ok("NetworkDriver.EndpointOperInfo", &named("n1", "e1"));
    assert_eq!(info["Value"]["dockervpp.attach"], "auto");
    agent.ok("NetworkDriver.ProgramExternalConnectivity", &named("n1", "e1"));
    agent.ok("NetworkDriver.RevokeExternalConnectivity", &named("n1", "e1"));
    agent.ok("NetworkDriver.Leave", &named("n1", "e1"));
    agent.ok("NetworkDriver.DeleteEndpoint", &named("n1", "e1"));
    agent.ok("NetworkDriver.DeleteNetwork", &json!({"NetworkID": "n1"}));
    assert_eq!(agent.driver.snapshot().endpoints().count(), 0);
    assert_eq!(agent.driver.snapshot().networks().count(), 0);
    assert!(agent.engine.endpoints().is_empty() && agent.engine.networks().is_empty());
    assert!(agent.world.links().is_empty());
}

#[test]
fn the_plugin_introduces_itself() {
    let agent = Agent::start();
    let reply = exchange(&agent.plugin, "POST", "/Plugin.Activate", b"");
    assert_eq!(reply.body, br#"{"Implements":["NetworkDriver"]}"#);
    assert!(reply.head.contains("application/vnd.docker.plugins.v1"), "{}", reply.head);
    let reply = exchange(&agent.plugin, "POST", "/NetworkDriver.GetCapabilities", b"");
    assert_eq!(
        reply.json(),
        json!({"Scope": "local", "ConnectivityScope": "local", "GwAllocChecker": true})
    );
}

#[test]
fn an_internal_network_has_no_gateway_for_containers() {
    let agent = Agent::start();
    let internal = json!({"Options": {"com.docker.network.internal": true}});
    let skipped = agent.ok("NetworkDriver.GwAllocCheck", &internal);
    assert_eq!(skipped, json!({"SkipIPv4": true, "SkipIPv6": true}));
    let skipped = agent.ok("NetworkDriver.GwAllocCheck", &json!({"Options": null}));
    assert_eq!(skipped, json!({"SkipIPv4": false, "SkipIPv6": false}));
    let mut body = network("n1", 0);
    body["Options"]["com.docker.network.internal"] = true.into();
    agent.ok(CREATE_NETWORK, &body);
    agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.2/24"));
    let joined = agent.ok(JOIN, &join("n1", "e1", "/run/netns/1"));
    assert_eq!(joined["Gateway"], "");
    assert_eq!(joined["DisableGatewayService"], true);
}

#[test]
fn two_families_several_subnets_and_a_chosen_name() {
    let agent = Agent::start();
    agent.ok(
        CREATE_NETWORK,
        &json!({
            "NetworkID": "n1",
            "IPv4Data": [{"Pool": "10.1.0.0/24", "Gateway": "10.1.0.1/24"},
                         {"Pool": "10.2.0.0/24", "Gateway": "10.2.0.254/24"}],
            "IPv6Data": [{"Pool": "fd00:1::/64", "Gateway": "fd00:1::1/64"}],
        }),
    );
    agent.ok(
        CREATE_ENDPOINT,
        &json!({
            "NetworkID": "n1", "EndpointID": "e1",
            "Interface": {"Address": "10.2.0.7/24", "AddressIPv6": "fd00:1::7/64",
                          "MacAddress": "02:00:00:00:00:07"},
            "Options": {"com.docker.network.endpoint.ifname": "data0"},
        }),
    );
    let joined = agent.ok(JOIN, &join("n1", "e1", "/run/netns/1"));
    assert_eq!(joined["Gateway"], "10.2.0.254");
    assert_eq!(joined["GatewayIPv6"], "fd00:1::1");
    assert_eq!(joined["InterfaceName"]["DstName"], "data0");
}

#[test]
fn only_what_was_left_empty_is_answered() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    let mut body = endpoint("n1", "e1", "10.1.0.2/24");
    body["Interface"]["MacAddress"] = "02:00:00:00:00:01".into();
    assert_eq!(agent.ok(CREATE_ENDPOINT, &body), json!({}));
    let mut same_mac = endpoint("n1", "e2", "10.1.0.3/24");
    same_mac["Interface"]["MacAddress"] = "02:00:00:00:00:01".into();
    let error = agent.refused(CREATE_ENDPOINT, &same_mac);
    assert!(error.contains("02:00:00:00:00:01 already belongs to endpoint e1"), "{error}");
    // The address that would be derived from 10.1.0.4 is taken by hand: another is found.
    let mut thief = endpoint("n1", "e3", "10.1.0.5/24");
    thief["Interface"]["MacAddress"] = "02:42:0a:01:00:04".into();
    agent.ok(CREATE_ENDPOINT, &thief);
    let reply = agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e4", "10.1.0.4/24"));
    let mac = reply["Interface"]["MacAddress"].as_str().unwrap();
    assert!(mac.starts_with("02:") && mac != "02:42:0a:01:00:04", "{mac}");
}

#[test]
fn repetitions_succeed_and_contradictions_do_not() {
    let agent = Agent::start();
    for _ in 0..2 {
        agent.ok(CREATE_NETWORK, &network("n1", 0));
    }
    let error = agent.refused(CREATE_NETWORK, &network("n1", 1));
    assert!(error.contains("network n1 exists already with other settings"), "{error}");
    let first = agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.2/24"));
    assert_eq!(agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.2/24")), first);
    let error = agent.refused(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.3/24"));
    assert!(error.contains("endpoint e1 exists already with other settings"), "{error}");
    let first = agent.ok(JOIN, &join("n1", "e1", "/run/netns/1"));
    assert_eq!(agent.ok(JOIN, &join("n1", "e1", "/run/netns/1")), first);
    let error = agent.refused(JOIN, &join("n1", "e1", "/run/netns/2"));
    assert!(error.contains("already joined to /run/netns/1"), "{error}");
    for call in ["Leave", "Leave", "DeleteEndpoint", "DeleteEndpoint"] {
        agent.ok(&format!("NetworkDriver.{call}"), &named("n1", "e1"));
    }
    for _ in 0..2 {
        agent.ok("NetworkDriver.DeleteNetwork", &json!({"NetworkID": "n1"}));
    }
}

#[test]
fn what_is_unknown_is_named_with_a_remedy() {
    let agent = Agent::start();
    let error = agent.refused(CREATE_ENDPOINT, &endpoint("nowhere", "e1", "10.1.0.2/24"));
    assert!(error.contains("does not know network nowhere"), "{error}");
    assert!(error.contains("`docker network rm`"), "{error}");
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    let error = agent.refused(JOIN, &join("n1", "nobody", "/run/netns/1"));
    assert!(error.contains("does not know endpoint nobody"), "{error}");
    assert!(error.contains("start the container again"), "{error}");
    agent.ok(CREATE_NETWORK, &network("n2", 2));
    agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.2/24"));
    let error = agent.refused(JOIN, &join("n2", "e1", "/run/netns/1"));
    assert!(error.contains("endpoint e1 belongs to network n1, not to n2"), "{error}");
    let info = agent.ok("NetworkDriver.EndpointOperInfo", &named("n1", "nobody"));
    assert_eq!(info, json!({"Value": {}}));
    for call in ["Leave", "DeleteEndpoint", "RevokeExternalConnectivity"] {
        agent.ok(&format!("NetworkDriver.{call}"), &named("nowhere", "nobody"));
    }
    agent.ok("NetworkDriver.DeleteNetwork", &json!({"NetworkID": "nowhere"}));
}

#[test]
fn bad_networks_are_refused_whole() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    let option = |options: Value| {
        let mut body = network("n2", 2);
        body["Options"]["com.docker.network.generic"] = options;
        body
    };
    let pool = |pool: &str| json!({"NetworkID": "n2", "IPv4Data": [{"Pool": pool}]});
    let cases = [
        (option(json!({"mtu": "65522"})), "option `mtu` must be a number of bytes, 576..65521"),
        (option(json!({"mtuu": "9000"})), "did you mean `mtu`?"),
        (option(json!({"dockervpp.attatch": "auto"})), "did you mean `attach`?"),
        (
            option(json!({"attach": "macvlan"})),
            "`attach` must be auto|userspace|veth|vhost-user, not `macvlan`",
        ),
        (pool("10.0.0.0/8"), "subnet 10.0.0.0/8 overlaps subnet 10.1.0.0/24 of network n1"),
        (pool("10.1.0.128/25"), "overlaps"),
        (pool("10.1.0.0/33"), "is not an IPv4 subnet"),
        (json!({"NetworkID": "n2"}), "has no subnet"),
        (json!({}), "NetworkID"),
    ];
    for (body, expected) in cases {
        let error = agent.refused(CREATE_NETWORK, &body);
        assert!(error.contains(expected), "{body}: {error}");
    }
    assert_eq!(agent.driver.snapshot().networks().count(), 1);
    assert_eq!(agent.engine.calls().len(), 1);
}

#[test]
fn bad_endpoints_are_refused_whole() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    let option = |options: Value| {
        let mut body = endpoint("n1", "e1", "10.1.0.2/24");
        body["Options"] = options;
        body
    };
    let cases = [
        (endpoint("n1", "e1", "10.9.0.2/24"), "10.9.0.2 is in none of the subnets of network n1"),
        (endpoint("n1", "e1", "10.1.0.1/24"), "10.1.0.1 is the network's gateway"),
        (endpoint("n1", "e1", ""), "neither an IPv4 nor an IPv6 address"),
        (option(json!({"dockervpp.memif.secrt": "x"})), "did you mean `memif.secret`?"),
        (option(json!({"memif.queues": "0"})), "`memif.queues` must be a number of queues, 1..16"),
        (option(json!({"colour": "red"})), "unknown option `colour`"),
    ];
    for (body, expected) in cases {
        let error = agent.refused(CREATE_ENDPOINT, &body);
        assert!(error.contains(expected), "{body}: {error}");
    }
    assert_eq!(agent.driver.snapshot().endpoints().count(), 0);
    assert_eq!(agent.engine.calls().len(), 1);
}

#[test]
fn broken_requests_get_words() {
    let agent = Agent::start();
    let post = |body: &[u8]| exchange(&agent.plugin, "POST", "/NetworkDriver.CreateNetwork", body);
    let huge = vec![b' '; (1 << 20) + 1];
    let deep = "[".repeat(5000);
    let cases: [(&[u8], &str); 7] = [
        (b"", "the request has no body"),
        (b"  \n", "the request has no body"),
        (b"{\"NetworkID\": ", "cannot be read"),
        (b"[1, 2]", "cannot be read"),
        (b"{\"NetworkID\": 5}", "expected a string"),
        (&huge, "larger than 1048576 bytes"),
        (deep.as_bytes(), "cannot be read"),
    ];
    for (body, expected) in cases {
        let reply = post(body);
        assert_eq!(reply.status, 200);
        assert!(reply.error().contains(expected), "{}: {reply:?}", body.len());
    }
    assert!(post(b"null").error().contains("NetworkID: `` is not an object id"));
    let reply = exchange(&agent.plugin, "GET", "/NetworkDriver.CreateNetwork", b"");
    assert_eq!(reply.status, 405);
    assert!(reply.head.to_lowercase().contains("allow: post"), "{reply:?}");
    assert!(reply.error().contains("must be called with POST, not GET"), "{reply:?}");
    let reply = exchange(&agent.plugin, "POST", "/NetworkDriver.Fly", b"{}");
    assert_eq!(reply.status, 404);
    assert!(reply.error().contains("/NetworkDriver.Fly is not a call of this plugin"), "{reply:?}");
    // It still works.
    agent.ok(CREATE_NETWORK, &network("n1", 0));
}

#[test]
fn swarm_wide_networks_are_refused() {
    let agent = Agent::start();
    for call in ["AllocateNetwork", "FreeNetwork"] {
        let error = agent.refused(&format!("NetworkDriver.{call}"), &json!({"NetworkID": "n"}));
        assert!(error.contains("local to their host"), "{error}");
    }
    for call in ["DiscoverNew", "DiscoverDelete"] {
        let data = json!({"DiscoveryType": 1, "DiscoveryData": {"Address": "10.0.0.1"}});
        assert_eq!(agent.ok(&format!("NetworkDriver.{call}"), &data), json!({}));
    }
}

#[test]
fn an_address_that_docker_hands_out_again_is_free() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    agent.ok(CREATE_ENDPOINT, &endpoint("n1", "old", "10.1.0.2/24"));
    agent.ok(JOIN, &join("n1", "old", "/run/netns/1"));
    let error = agent.refused(CREATE_ENDPOINT, &endpoint("n1", "new", "10.1.0.2/24"));
    assert!(error.contains("address 10.1.0.2 already belongs to endpoint old"), "{error}");
    agent.world.kill(&dockervpp::model::SandboxKey("/run/netns/1".into()));
    let reply = agent.ok(CREATE_ENDPOINT, &endpoint("n1", "new", "10.1.0.2/24"));
    assert_eq!(reply["Interface"]["MacAddress"], "02:42:0a:01:00:02");
    let ids: Vec<_> =
        agent.driver.snapshot().endpoints().map(|record| record.spec.id.to_string()).collect();
    assert_eq!(ids, ["new"]);
}

#[test]
fn fifty_containers_start_and_stop_together() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    std::thread::scope(|scope| {
        for index in 2..52 {
            let agent = &agent;
            scope.spawn(move || {
                let id = format!("e{index}");
                agent.ok(CREATE_ENDPOINT, &endpoint("n1", &id, &format!("10.1.0.{index}/24")));
                agent.ok(JOIN, &join("n1", &id, &format!("/run/netns/{index}")));
            });
        }
    });
    let macs: std::collections::BTreeSet<_> =
        agent.driver.snapshot().endpoints().map(|record| record.spec.mac).collect();
    assert_eq!(macs.len(), 50);
    assert!(agent.engine.endpoints().values().all(Option::is_some));
    std::thread::scope(|scope| {
        for index in 2..52 {
            let agent = &agent;
            scope.spawn(move || {
                let body = named("n1", &format!("e{index}"));
                agent.ok("NetworkDriver.Leave", &body);
                agent.ok("NetworkDriver.DeleteEndpoint", &body);
            });
        }
    });
    assert_eq!(agent.driver.snapshot().endpoints().count(), 0);
    assert!(agent.engine.endpoints().is_empty());
}

#[test]
fn published_ports_are_remembered_and_shown() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.2/24"));
    let mut body = join("n1", "e1", "/run/netns/1");
    body["Options"]["com.docker.network.portmap"] =
        json!([{"Proto": 6, "Port": 80, "HostPort": 8080, "HostPortEnd": 8080}]);
    agent.ok(JOIN, &body);
    agent.ok("NetworkDriver.ProgramExternalConnectivity", &named("n1", "e1"));
    let ports = agent.get("/v1/ports");
    assert_eq!(ports[0]["mapping"]["host_port"], 8080);
    assert_eq!(ports[0]["served"], false);
    let endpoints = agent.get("/v1/endpoints");
    assert_eq!(endpoints[0]["external"], true);
    assert_eq!(endpoints[0]["phase"], "joined");
}

#[test]
fn ports_that_the_engine_refuses_are_an_error_and_not_asked_for_again() {
    let agent = Agent::start();
    agent.ok(CREATE_NETWORK, &network("n1", 0));
    agent.ok(CREATE_ENDPOINT, &endpoint("n1", "e1", "10.1.0.2/24"));
    agent.ok(JOIN, &join("n1", "e1", "/run/netns/1"));
    let mut body = named("n1", "e1");
    body["Options"] = json!({"com.docker.network.portmap": [{"Proto": 132, "Port": 80}]});
    let error = agent.refused("NetworkDriver.ProgramExternalConnectivity", &body);
    assert!(error.contains("SCTP"), "{error}");
    let endpoints = agent.get("/v1/endpoints");
    assert_eq!(endpoints[0]["external"], false);
}
