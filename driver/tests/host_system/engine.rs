//! The embedded engine against the real kernel, with a test in the place of Docker: it makes the
//! namespaces, moves the links, and plays the containers' programs.

use std::io::{ErrorKind, Read};
use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dockervpp::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use dockervpp::engine::{AttachmentOptions, Engine, EngineError, Restored};
use dockervpp::host::link::{Link, Links};
use dockervpp::model::{
    AttachKind, EndpointId, EndpointSpec, IfName, MemifOptions, NetworkSpec, PolicyOptions, Pool,
    SandboxKey, SessionOptions, TcpStack, VhostOptions,
};

use crate::fixture::{Sandbox, eventually, root_or_skip, run};

const OWNER: &str = "dvtest";

/// The kinds of endpoints at which a container has its kernel.
const KERNEL_KINDS: [AttachKind; 2] = [AttachKind::Auto, AttachKind::Veth];

/// An id that no other test, of this or another process, uses at the same time.
fn unique_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:07x}{number:05x}{:052}", std::process::id(), 0)
}

fn start() -> EmbeddedEngine {
    EmbeddedEngine::start(options(OWNER.to_owned())).unwrap()
}

fn options(owner: String) -> EmbeddedOptions {
    let attachment = AttachmentOptions { owner, ..AttachmentOptions::default() };
    EmbeddedOptions { attachment, ..EmbeddedOptions::default() }
}

pub(crate) fn network() -> NetworkSpec {
    NetworkSpec {
        id: unique_id().parse().unwrap(),
        ipv4: vec![Pool {
            subnet: "10.99.0.0/24".parse().unwrap(),
            gateway: "10.99.0.1".parse().ok(),
        }],
        ipv6: Vec::new(),
        mtu: 1400,
        internal: false,
        isolation: false,
        attach: AttachKind::Auto,
        tcp: TcpStack::default(),
        session: SessionOptions::default(),
        policy: PolicyOptions::default(),
        vxlan: None,
    }
}

pub(crate) fn endpoint(network: &NetworkSpec, host: u8, attach: AttachKind) -> EndpointSpec {
    EndpointSpec {
        id: unique_id().parse().unwrap(),
        network: network.id.clone(),
        mac: format!("02:42:0a:63:00:{host:02x}").parse().unwrap(),
        ipv4: format!("10.99.0.{host}/24").parse().ok(),
        ipv6: None,
        attach,
        memif: MemifOptions::default(),
        vhost: VhostOptions::default(),
        session: SessionOptions::default(),
        policy: PolicyOptions::default(),
    }
}

fn key(sandbox: &Sandbox) -> SandboxKey {
    SandboxKey(sandbox.path().to_owned())
}

fn host_link(name: &IfName) -> Option<Link> {
    Links::open().unwrap().find(name.as_str()).unwrap()
}

/// Nothing is left on the host of an endpoint: no link, and no other end of one.
fn no_link(endpoint: &EndpointId) {
    for prefix in ["dv", "dvh"] {
        let name = format!("{prefix}{}", endpoint.short());
        assert_eq!(host_link(&name.parse().unwrap()), None);
    }
}

fn settled(engine: &EmbeddedEngine, endpoint: &EndpointId, interface: &str) -> bool {
    let status = engine.endpoint_status(endpoint).unwrap().unwrap();
    status.interface.as_deref() == Some(interface)
}

/// What a program in the sandbox reads from an info socket.
fn info(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    let text = sandbox.open().run(|| {
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let mut text = String::new();
        UnixStream::connect_addr(&address).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// What Docker does with the link after Join.
fn configure(sandbox: &Sandbox, link: &IfName, name: &str, endpoint: &EndpointSpec) {
    sandbox.adopt(link.as_str(), name);
    let address = endpoint.ipv4.unwrap().to_string();
    let mac = endpoint.mac.to_string();
    sandbox.command(&["ip", "link", "set", "dev", name, "address", &mac]);
    sandbox.command(&["ip", "address", "add", &address, "dev", name]);
    sandbox.command(&["ip", "link", "set", "dev", name, "up"]);
}

fn gateway_answers(sandbox: &Sandbox) -> bool {
    let namespace = format!("--net={}", sandbox.path().display());
    let ping = ["ping", "-c", "1", "-W", "1", "10.99.0.1"];
    let output = Command::new("nsenter").arg(namespace).args(ping).output().unwrap();
    output.status.success()
}

/// A network with one endpoint of the given kind in a sandbox that is there.
struct Attached {
    network: NetworkSpec,
    endpoint: EndpointSpec,
    sandbox: Sandbox,
    link: IfName,
}

fn attach(engine: &EmbeddedEngine, kind: AttachKind) -> Attached {
    let network = network();
    let endpoint = endpoint(&network, 2, kind);
    let sandbox = Sandbox::mounted();
    engine.create_network(&network).unwrap();
    engine.create_endpoint(&endpoint).unwrap();
    let link = engine.join(&endpoint.id, &key(&sandbox)).unwrap().link;
    configure(&sandbox, &link, "eth0", &endpoint);
    eventually("the interface is found", || settled(engine, &endpoint.id, "eth0"));
    Attached { network, endpoint, sandbox, link }
}

/// Takes an endpoint down as Docker does.
fn detach(engine: &EmbeddedEngine, attached: &Attached) {
    engine.leave(&attached.endpoint.id).unwrap();
    attached.sandbox.release("eth0", attached.link.as_str());
    engine.delete_endpoint(&attached.endpoint.id).unwrap();
    engine.delete_network(&attached.network.id).unwrap();
    no_link(&attached.endpoint.id);
}

#[test]
fn what_needs_vpp_is_refused_with_what_to_do() {
    if !root_or_skip("what_needs_vpp_is_refused_with_what_to_do") {
        return;
    }
    let network = NetworkSpec { tcp: TcpStack::Vcl, ..network() };
    let refusal = start().create_network(&network).unwrap_err().to_string();
    assert!(refusal.contains("tcp=vcl") && refusal.contains("--engine vpp"), "{refusal}");
}

#[test]
fn a_container_of_an_old_engine_from_join_to_removal() {
    if !root_or_skip("a_container_of_an_old_engine_from_join_to_removal") {
        return;
    }
    for kind in KERNEL_KINDS {
        let engine = start();
        let network = network();
        let endpoint = endpoint(&network, 2, kind);
        let mut sandbox = Sandbox::absent();
        for _ in 0..2 {
            engine.create_network(&network).unwrap();
            engine.create_endpoint(&endpoint).unwrap();
        }
        let attachment = engine.join(&endpoint.id, &key(&sandbox)).unwrap();
        assert_eq!(engine.join(&endpoint.id, &key(&sandbox)).unwrap(), attachment);
        let made = host_link(&attachment.link).unwrap();
        assert_eq!((made.mac, made.mtu), (Some(endpoint.mac), 1400));
        assert_eq!(made.alias, Some(format!("{OWNER}:{}", endpoint.id)));
        assert!(engine.sandbox_alive(&endpoint.id, &key(&sandbox)).unwrap());

        sandbox.create_file();
        sandbox.mount();
        eventually("the plain sockets are bound", || {
            sandbox.sockets() == ["@dockervpp/info", "@dockervpp/memif", "@dockervpp/session"]
        });
        configure(&sandbox, &attachment.link, "eth3", &endpoint);
        eventually("all sockets are bound", || sandbox.sockets().len() == 6);
        eventually("the interface is known", || settled(&engine, &endpoint.id, "eth3"));
        for socket in ["dockervpp/info", "dockervpp/eth3/info"] {
            let document = info(&sandbox, socket);
            assert_eq!(document["interface"], "eth3");
            assert_eq!(document["ipv4"]["address"], "10.99.0.2");
            assert_eq!(document["sockets"]["memif"], "@dockervpp/eth3/memif");
        }
        let status = engine.endpoint_status(&endpoint.id).unwrap().unwrap();
        let owner = if kind == AttachKind::Veth { "veth" } else { "tap" };
        assert_eq!((status.owner, status.sockets.len()), (owner, 6));
        assert!(gateway_answers(&sandbox));

        engine.leave(&endpoint.id).unwrap();
        engine.leave(&endpoint.id).unwrap();
        assert_eq!(sandbox.sockets(), Vec::<String>::new());
        sandbox.release("eth3", attachment.link.as_str());
        sandbox.remove();
        assert!(!engine.sandbox_alive(&endpoint.id, &key(&sandbox)).unwrap());
        for _ in 0..2 {
            engine.delete_endpoint(&endpoint.id).unwrap();
            engine.delete_network(&network.id).unwrap();
        }
        no_link(&endpoint.id);
        assert!(engine.endpoint_status(&endpoint.id).unwrap().is_none());
    }
}

#[test]
fn a_link_that_docker_has_moved_but_not_named_yet_is_waited_for() {
    if !root_or_skip("a_link_that_docker_has_moved_but_not_named_yet_is_waited_for") {
        return;
    }
    let engine = start();
    let attached = attach(&engine, AttachKind::Auto);
    let late = endpoint(&attached.network, 3, AttachKind::Auto);
    engine.create_endpoint(&late).unwrap();
    let link = engine.join(&late.id, &key(&attached.sandbox)).unwrap().link;
    attached.sandbox.adopt(link.as_str(), link.as_str());
    // A third endpoint that comes all the way shows that the second was looked at meanwhile.
    let third = endpoint(&attached.network, 4, AttachKind::Auto);
    engine.create_endpoint(&third).unwrap();
    let third_link = engine.join(&third.id, &key(&attached.sandbox)).unwrap().link;
    configure(&attached.sandbox, &third_link, "eth2", &third);
    eventually("the third interface is found", || settled(&engine, &third.id, "eth2"));
    let status = engine.endpoint_status(&late.id).unwrap().unwrap();
    assert_eq!((status.interface, status.sockets.len()), (None, 0));

    attached.sandbox.command(&["ip", "link", "set", "dev", link.as_str(), "name", "eth1"]);
    eventually("the second interface is found", || settled(&engine, &late.id, "eth1"));
    for (id, name, link) in [(&late.id, "eth1", &link), (&third.id, "eth2", &third_link)] {
        engine.leave(id).unwrap();
        attached.sandbox.release(name, link.as_str());
        engine.delete_endpoint(id).unwrap();
    }
    detach(&engine, &attached);
}

#[test]
fn a_left_sandbox_is_let_go() {
    if !root_or_skip("a_left_sandbox_is_let_go") {
        return;
    }
    let engine = start();
    let mut attached = attach(&engine, AttachKind::Auto);
    let witness = attached.sandbox.witness("e");
    detach(&engine, &attached);
    attached.sandbox.remove();
    let mut links = Links::open().unwrap();
    eventually("the namespace is gone", || links.find(&witness).unwrap().is_none());
}

#[test]
fn the_second_endpoint_of_a_sandbox_inherits_the_plain_names() {
    if !root_or_skip("the_second_endpoint_of_a_sandbox_inherits_the_plain_names") {
        return;
    }
    let engine = start();
    let first = attach(&engine, AttachKind::Auto);
    let second = endpoint(&first.network, 3, AttachKind::Auto);
    engine.create_endpoint(&second).unwrap();
    let link = engine.join(&second.id, &key(&first.sandbox)).unwrap().link;
    configure(&first.sandbox, &link, "eth1", &second);
    eventually("both have their sockets", || first.sandbox.sockets().len() == 9);
    assert_eq!(info(&first.sandbox, "dockervpp/info")["endpoint"], first.endpoint.id.as_str());
    assert_eq!(info(&first.sandbox, "dockervpp/eth1/info")["endpoint"], second.id.as_str());

    engine.leave(&first.endpoint.id).unwrap();
    eventually("the second has the plain names too", || first.sandbox.sockets().len() == 6);
    eventually("the second says so", || {
        engine.endpoint_status(&second.id).unwrap().unwrap().sockets.len() == 6
    });
    assert_eq!(info(&first.sandbox, "dockervpp/info")["endpoint"], second.id.as_str());
    engine.leave(&second.id).unwrap();
    assert!(first.sandbox.sockets().is_empty());
    first.sandbox.release("eth1", link.as_str());
    engine.delete_endpoint(&second.id).unwrap();
    detach(&engine, &first);
}

#[test]
fn a_name_that_the_container_took_is_left_to_it() {
    if !root_or_skip("a_name_that_the_container_took_is_left_to_it") {
        return;
    }
    let engine = start();
    let network = network();
    let endpoint = endpoint(&network, 2, AttachKind::Auto);
    let sandbox = Sandbox::mounted();
    let squatter = sandbox.open().run(|| {
        use dockervpp::host::socket::{AbstractName, SocketKind, listen_abstract};
        let name = AbstractName::new("dockervpp/memif").unwrap();
        listen_abstract(&name, SocketKind::SeqPacket).unwrap()
    });
    engine.create_network(&network).unwrap();
    engine.create_endpoint(&endpoint).unwrap();
    let link = engine.join(&endpoint.id, &key(&sandbox)).unwrap().link;
    configure(&sandbox, &link, "eth0", &endpoint);
    eventually("the named sockets are bound", || {
        let status = engine.endpoint_status(&endpoint.id).unwrap().unwrap();
        status.sockets.len() == 3
            && status.sockets.iter().all(|name| name.starts_with("@dockervpp/eth0/"))
    });
    drop(squatter);
    detach(&engine, &Attached { network, endpoint, sandbox, link });
}

#[test]
fn a_new_agent_takes_up_what_the_former_left() {
    if !root_or_skip("a_new_agent_takes_up_what_the_former_left") {
        return;
    }
    for kind in KERNEL_KINDS {
        let former = start();
        let attached = attach(&former, kind);
        assert!(gateway_answers(&attached.sandbox));
        drop(former);
        assert!(attached.sandbox.sockets().is_empty());
        assert!(!gateway_answers(&attached.sandbox));

        let engine = start();
        engine.create_network(&attached.network).unwrap();
        engine.create_endpoint(&attached.endpoint).unwrap();
        for _ in 0..2 {
            let restored = engine.rejoin(&attached.endpoint.id, &key(&attached.sandbox)).unwrap();
            assert_eq!(restored, Restored::Running);
        }
        assert_eq!(attached.sandbox.sockets().len(), 6);
        assert!(settled(&engine, &attached.endpoint.id, "eth0"));
        assert!(gateway_answers(&attached.sandbox));
        assert_eq!(info(&attached.sandbox, "dockervpp/info")["interface"], "eth0");
        detach(&engine, &attached);
    }
}

#[test]
fn a_taken_up_sandbox_is_let_go_as_well() {
    if !root_or_skip("a_taken_up_sandbox_is_let_go_as_well") {
        return;
    }
    let mut attached = attach(&start(), AttachKind::Auto);
    let witness = attached.sandbox.witness("r");
    let engine = start();
    engine.create_network(&attached.network).unwrap();
    engine.create_endpoint(&attached.endpoint).unwrap();
    engine.rejoin(&attached.endpoint.id, &key(&attached.sandbox)).unwrap();
    detach(&engine, &attached);
    attached.sandbox.remove();
    let mut links = Links::open().unwrap();
    eventually("the namespace is gone", || links.find(&witness).unwrap().is_none());
}

/// An endpoint whose container has no sandbox yet, and whose agent is gone.
fn joined_by_a_former_agent(kind: AttachKind) -> Attached {
    let (network, sandbox) = (network(), Sandbox::absent());
    let endpoint = endpoint(&network, 2, kind);
    let former = start();
    former.create_network(&network).unwrap();
    former.create_endpoint(&endpoint).unwrap();
    let link = former.join(&endpoint.id, &key(&sandbox)).unwrap().link;
    Attached { network, endpoint, sandbox, link }
}

#[test]
fn a_new_agent_goes_on_waiting_for_a_container_that_is_starting() {
    if !root_or_skip("a_new_agent_goes_on_waiting_for_a_container_that_is_starting") {
        return;
    }
    for kind in KERNEL_KINDS {
        let Attached { network, endpoint, mut sandbox, link } = joined_by_a_former_agent(kind);

        let engine = start();
        engine.create_network(&network).unwrap();
        engine.create_endpoint(&endpoint).unwrap();
        assert_eq!(engine.rejoin(&endpoint.id, &key(&sandbox)).unwrap(), Restored::Running);
        assert!(engine.sandbox_alive(&endpoint.id, &key(&sandbox)).unwrap());
        sandbox.create_file();
        sandbox.mount();
        configure(&sandbox, &link, "eth0", &endpoint);
        eventually("all sockets are bound", || sandbox.sockets().len() == 6);
        assert!(gateway_answers(&sandbox));
        eventually("the interface is known", || settled(&engine, &endpoint.id, "eth0"));
        detach(&engine, &Attached { network, endpoint, sandbox, link });
    }
}

#[test]
fn a_container_that_came_and_ended_while_no_agent_ran_is_gone() {
    if !root_or_skip("a_container_that_came_and_ended_while_no_agent_ran_is_gone") {
        return;
    }
    for kind in KERNEL_KINDS {
        let Attached { network, endpoint, mut sandbox, link } = joined_by_a_former_agent(kind);
        sandbox.create_file();
        sandbox.mount();
        configure(&sandbox, &link, "eth0", &endpoint);
        sandbox.release("eth0", link.as_str());
        sandbox.remove();

        let engine = start();
        engine.create_network(&network).unwrap();
        engine.create_endpoint(&endpoint).unwrap();
        assert_eq!(engine.rejoin(&endpoint.id, &key(&sandbox)).unwrap(), Restored::Gone);
        engine.delete_endpoint(&endpoint.id).unwrap();
        no_link(&endpoint.id);
    }
}

#[test]
fn a_container_that_ended_meanwhile_is_gone() {
    if !root_or_skip("a_container_that_ended_meanwhile_is_gone") {
        return;
    }
    for kind in KERNEL_KINDS {
        let former = start();
        let mut attached = attach(&former, kind);
        drop(former);
        attached.sandbox.release("eth0", attached.link.as_str());

        let engine = start();
        engine.create_network(&attached.network).unwrap();
        engine.create_endpoint(&attached.endpoint).unwrap();
        let rejoin = || engine.rejoin(&attached.endpoint.id, &key(&attached.sandbox)).unwrap();
        assert_eq!(rejoin(), Restored::Gone, "disconnected from a container that runs");
        attached.sandbox.remove();
        let rejoin = || engine.rejoin(&attached.endpoint.id, &key(&attached.sandbox)).unwrap();
        assert_eq!(rejoin(), Restored::Gone, "the namespace is gone too");
        engine.delete_endpoint(&attached.endpoint.id).unwrap();
        no_link(&attached.endpoint.id);
    }
}

#[test]
fn a_userspace_endpoint_has_a_link_that_shows_its_address() {
    if !root_or_skip("a_userspace_endpoint_has_a_link_that_shows_its_address") {
        return;
    }
    let engine = start();
    let attached = attach(&engine, AttachKind::Userspace);
    let status = engine.endpoint_status(&attached.endpoint.id).unwrap().unwrap();
    assert_eq!((status.owner, status.sockets.len()), ("stack", 6));
    assert_eq!(info(&attached.sandbox, "dockervpp/info")["attach"], "userspace");
    assert!(!gateway_answers(&attached.sandbox), "no packet enters the kernel");
    assert_eq!(engine.warnings(), Vec::<String>::new());
    names_alone_pass(&engine, &attached);

    drop(engine);
    let engine = start();
    engine.create_network(&attached.network).unwrap();
    engine.create_endpoint(&attached.endpoint).unwrap();
    let restored = engine.rejoin(&attached.endpoint.id, &key(&attached.sandbox)).unwrap();
    assert_eq!((restored, attached.sandbox.sockets().len()), (Restored::Running, 6));
    names_alone_pass(&engine, &attached);
    detach(&engine, &attached);
}

/// What the kernel in the sandbox sends to the gateway's port 53 reaches it, other datagrams do not.
fn names_alone_pass(engine: &EmbeddedEngine, attached: &Attached) {
    let counted =
        || engine.endpoint_status(&attached.endpoint.id).unwrap().unwrap().host.unwrap().names;
    let before = counted();
    let sent = attached.sandbox.open().run(|| {
        let socket = UdpSocket::bind("10.99.0.2:0")?;
        socket.send_to(b"stray", "10.99.0.1:5353")?;
        socket.connect("10.99.0.1:53")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.send(b"question")?;
        socket.recv(&mut [0])
    });
    let refused = sent.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "the gateway is no name server");
    eventually("all is counted", || {
        let now = counted();
        (now.queries, now.answers) == (before.queries + 1, before.answers + 1)
            && now.strays == before.strays + 1
    });
}

#[test]
fn a_join_that_fails_leaves_the_foreign_link_alone() {
    if !root_or_skip("a_join_that_fails_leaves_the_foreign_link_alone") {
        return;
    }
    let engine = start();
    let network = network();
    let endpoint = endpoint(&network, 2, AttachKind::Auto);
    engine.create_network(&network).unwrap();
    engine.create_endpoint(&endpoint).unwrap();
    let name: IfName = format!("dv{}", endpoint.id.short()).parse().unwrap();
    run("ip", &["tuntap", "add", "dev", name.as_str(), "mode", "tap"]);
    run("ip", &["link", "set", "dev", name.as_str(), "alias", "somebody else's"]);
    let sandbox = Sandbox::absent();
    let refused = engine.join(&endpoint.id, &key(&sandbox));
    assert!(matches!(refused, Err(EngineError::Host { .. })), "{refused:?}");
    engine.delete_endpoint(&endpoint.id).unwrap();
    assert!(host_link(&name).is_some());
    run("ip", &["link", "delete", name.as_str()]);
}

#[test]
fn a_sweep_removes_links_of_forgotten_endpoints_only() {
    if !root_or_skip("a_sweep_removes_links_of_forgotten_endpoints_only") {
        return;
    }
    for kind in KERNEL_KINDS {
        let owner = format!("dvsweep{}", std::process::id());
        let options = options(owner);
        let former = EmbeddedEngine::start(options.clone()).unwrap();
        let (network, sandbox) = (network(), Sandbox::absent());
        former.create_network(&network).unwrap();
        let [kept, lost] = [2, 3].map(|host| endpoint(&network, host, kind));
        let [kept_link, lost_link] = [&kept, &lost].map(|endpoint| {
            former.create_endpoint(endpoint).unwrap();
            former.join(&endpoint.id, &key(&sandbox)).unwrap().link
        });
        drop(former);

        let engine = EmbeddedEngine::start(options).unwrap();
        assert_eq!(engine.sweep(&|id| *id == kept.id).unwrap(), 1);
        no_link(&lost.id);
        assert_ne!(lost_link, kept_link);
        assert!(host_link(&kept_link).is_some());
        assert_eq!(engine.sweep(&|_| false).unwrap(), 1);
        no_link(&kept.id);
    }
}

#[test]
fn verbs_on_what_is_not_there_are_answered_plainly() {
    if !root_or_skip("verbs_on_what_is_not_there_are_answered_plainly") {
        return;
    }
    let engine = start();
    let network = network();
    let endpoint = endpoint(&network, 2, AttachKind::Auto);
    let sandbox = SandboxKey("/nonexistent/sandbox".into());
    assert!(matches!(engine.create_endpoint(&endpoint), Err(EngineError::NoNetwork(_))));
    assert!(matches!(engine.join(&endpoint.id, &sandbox), Err(EngineError::NoEndpoint(_))));
    assert!(matches!(engine.fdb(&network.id), Err(EngineError::NoNetwork(_))));
    engine.leave(&endpoint.id).unwrap();
    engine.delete_endpoint(&endpoint.id).unwrap();
    engine.delete_network(&network.id).unwrap();
    assert!(!engine.sandbox_alive(&endpoint.id, &sandbox).unwrap());
    assert!(engine.endpoint_status(&endpoint.id).unwrap().is_none());
}
