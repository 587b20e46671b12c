//! Endpoints in VPP's host stack.

use std::process::Command;

use dockervpp::engine::Engine as _;
use dockervpp::engine::vpp::{VclOptions, VppOptions};
use dockervpp::model::{AttachKind, EndpointSpec, NetworkSpec, TcpStack};

use kit::need::PYTHON;
use kit::process::Process;
use kit::vpp::workers;
use kit::vpp_script::Scene;
use kit::wait;
use transport::vcl::Program;

use crate::fixture::{
    LIMIT, endpoint, engine, fresh, inventory, network, options, ready, until_connected,
};

/// A network with VPP's host stack, of which `endpoint` makes endpoints of kind `userspace`.
fn hosted(number: u8) -> NetworkSpec {
    NetworkSpec {
        tcp: TcpStack::Vcl,
        mtu: 1500,
        isolation: false,
        attach: AttachKind::Userspace,
        ..network(number)
    }
}

fn hosted_endpoint(number: u8, network: &NetworkSpec) -> EndpointSpec {
    EndpointSpec {
        attach: AttachKind::Userspace,
        ipv6: format!("fd00:1::{number}/64").parse().ok(),
        ..endpoint(number, network)
    }
}

/// Waits until an address answers the network's gateway.
fn until_it_answers(scene: &Scene, address: &str) {
    let command = if address.contains(':') { "show ip6 table" } else { "show ip table" };
    let text = scene.cli(command).unwrap();
    let line = text.lines().find(|line| line.contains("dvt:net:")).unwrap();
    let number = line.split("table_id:").nth(1).unwrap().split_whitespace().next().unwrap();
    let ping = format!("ping {address} table-id {number} repeat 1");
    let answers = |said: &str| said.contains("1 received");
    scene.cli_until(&ping, &format!("{address} answers"), answers).unwrap();
}

fn until_namespaces(scene: &Scene, count: usize) {
    let wanted = |shown: &str| shown.matches("dvt:ep:").count() == count;
    scene.cli_until("show app ns", &format!("{count} app namespaces"), wanted).unwrap();
}

pub(crate) fn endpoints_in_vpps_host_stack_are_stations_and_leave_nothing(scene: &mut Scene) {
    let before = inventory(scene);
    let engine = fresh(scene);
    let network = hosted(1);
    engine.create_network(&network).unwrap();
    let [one, two] = [2, 3].map(|number| hosted_endpoint(number, &network));
    let tap = endpoint(4, &network);
    for endpoint in [&one, &two, &tap] {
        engine.create_endpoint(endpoint).unwrap();
        engine.create_endpoint(endpoint).unwrap();
    }
    assert_eq!(engine.warnings().iter().filter(|it| it.contains("VPP")).count(), 0);
    until_connected(scene, 1);
    for address in ["10.1.0.2", "10.1.0.3", "fd00:1::2", "fd00:1::3"] {
        until_it_answers(scene, address);
    }
    let namespaces = scene.cli("show app ns").unwrap();
    assert_eq!(namespaces.matches("dvt:ep:").count(), 2, "{namespaces}");
    let fdb = engine.fdb(&network.id).unwrap();
    let pinned = fdb.iter().filter(|line| line.pinned && line.endpoint.is_some()).count();
    assert_eq!(pinned, 3);
    // What is broken is mended.
    let all = inventory(scene);
    scene.cli("app ns del id dvt:ep:e2e2e2e2e2e2e2e2e2e2e2e2:host").unwrap();
    until_namespaces(scene, 2);
    assert_eq!(inventory(scene).len(), all.len());
    for endpoint in [&one, &two, &tap] {
        engine.delete_endpoint(&endpoint.id).unwrap();
    }
    engine.delete_network(&network.id).unwrap();
    assert_eq!(inventory(scene), before);
    assert_eq!(std::fs::read_dir(scene.folder().join("links")).unwrap().count(), 0);
}

/// Waits until two endpoints answer the gateway, which VPP's main thread has asked; with worker threads, which forward
/// packets and have the connections, also until one is connected to the other.
fn until_reached(scene: &Scene, [one, other]: [&EndpointSpec; 2]) {
    let address = |it: &EndpointSpec| it.ipv4.unwrap().addr();
    for endpoint in [one, other] {
        until_it_answers(scene, &address(endpoint).to_string());
    }
    if workers() == 0 {
        return;
    }
    let serve = format!(
        "import socket; it = socket.create_server(('{}', 9)); print('ready', flush=True); it.accept()",
        address(one)
    );
    let connect = format!(
        "import socket; socket.create_connection(('{}', 9), {}); print('ready', flush=True)",
        address(one),
        LIMIT.as_secs()
    );
    let _serving = attached(scene, &one.id.as_str()[..4], &serve);
    let _connected = attached(scene, &other.id.as_str()[..4], &connect);
}

/// VPP gives the nodes of what was deleted to what is made next.
pub(crate) fn hosts_that_are_made_where_others_were_are_reached_and_so_are_those_that_stay(
    scene: &mut Scene,
) {
    let before = inventory(scene);
    let engine = fresh(scene);
    let others = [2, 3, 4].map(network);
    let network = hosted(1);
    engine.create_network(&network).unwrap();
    let [stays, first, second] = [2, 3, 4].map(|number| hosted_endpoint(number, &network));
    engine.create_endpoint(&stays).unwrap();
    // The gateway of another network gets the nodes that were free last, those of a loopback; so the next endpoint's
    // loopback gets those of the pipe, which was the last to send.
    for (goes, other) in [&first, &second, &first].into_iter().zip(&others) {
        engine.create_endpoint(goes).unwrap();
        until_reached(scene, [&stays, goes]);
        engine.delete_endpoint(&goes.id).unwrap();
        engine.create_network(other).unwrap();
    }
    engine.delete_endpoint(&stays.id).unwrap();
    engine.create_endpoint(&second).unwrap();
    until_it_answers(scene, "10.1.0.4");
    engine.delete_endpoint(&second.id).unwrap();
    for network in [&network].into_iter().chain(&others) {
        engine.delete_network(&network.id).unwrap();
    }
    assert_eq!(inventory(scene), before);
}

pub(crate) fn the_next_agent_takes_up_hosts_and_vpp_is_told_them_again(scene: &mut Scene) {
    let network = hosted(1);
    let [stays, goes] = [2, 3].map(|number| hosted_endpoint(number, &network));
    {
        let engine = fresh(scene);
        engine.create_network(&network).unwrap();
        for endpoint in [&stays, &goes] {
            engine.create_endpoint(endpoint).unwrap();
        }
        scene.settle().unwrap();
    }
    scene.until_engine_is_gone().unwrap();
    let before = inventory(scene);
    let engine = engine(scene);
    engine.create_network(&network).unwrap();
    engine.create_endpoint(&stays).unwrap();
    engine.sweep(&|id| *id == stays.id).unwrap();
    until_namespaces(scene, 1);
    let after = inventory(scene);
    let stable = |line: &&String| !line.starts_with("show app ns");
    let made: Vec<&String> = after.difference(&before).filter(stable).collect();
    assert_eq!(made, Vec::<&String>::new(), "what stays is not made anew");
    scene.kill().unwrap();
    scene.start_again(&[]).unwrap();
    until_namespaces(scene, 1);
    assert_eq!(inventory(scene).len(), after.len());
    until_it_answers(scene, "10.1.0.2");
}

pub(crate) fn what_the_host_stack_lacks_is_said_before_a_network_is_made(scene: &mut Scene) {
    let engine = fresh(scene);
    let small = NetworkSpec { mtu: 1400, ..hosted(1) };
    let refusal = engine.create_network(&small).unwrap_err().to_string();
    assert!(refusal.contains("1400") && refusal.contains("1500"), "{refusal}");
    assert!(!scene.cli("show bridge-domain").unwrap().contains("10.1.0.1"));
    drop(engine);
    scene.until_engine_is_gone().unwrap();
    let options = VppOptions {
        vcl: VclOptions {
            program: Program { path: "/bin/false".into(), arguments: Vec::new() },
            library: Some("/nowhere/libvppcom.so".into()),
        },
        ..options(scene, None)
    };
    let engine = ready(scene, options);
    let refusal = engine.create_network(&hosted(1)).unwrap_err().to_string();
    assert!(
        refusal.contains("/nowhere/libvppcom.so") && refusal.contains("--vpp-vcl-library"),
        "{refusal}"
    );
}

/// A server that keeps its connections, and has so many sessions after the first that VPP tells them page by page only.
const SERVE: &str = "import socket; it = socket.create_server(('10.1.0.3', 9)); print('ready', flush=True); \
    first = it.accept(); more = [socket.create_server(('10.1.0.3', 1000 + it)) for it in range(51)]; \
    kept = [it.accept() for _ in range(9)]";

/// A client that stays connected.
const CONNECT: &str = "import socket, time; it = socket.create_connection(('10.1.0.3', 9)); \
    print('ready', flush=True); time.sleep(600)";

/// Waits until all sessions are as wanted.
fn until_sessions(scene: &Scene, what: &str, wanted: impl Fn(&str) -> bool) -> String {
    let of = |thread| format!("show session thread {thread} verbose force-print");
    if workers() == 0 {
        return scene.cli_until(&of(0), what, wanted).unwrap();
    }
    let shown = wait::until(LIMIT, what, || {
        let all =
            (0..=workers()).map(|thread| scene.cli(&of(thread))).collect::<Result<String, _>>()?;
        Ok(wanted(&all).then_some(all))
    });
    shown.unwrap()
}

/// Has Python do `work` in VPP's host stack, as an endpoint whose id starts with `id`, and waits until it says that it is
/// ready. There is none to attach to where VPP is a recording.
fn attached(scene: &Scene, id: &str, work: &str) -> Option<Process> {
    let shown = scene.cli("show app ns").unwrap();
    let preload = scene.library()?.with_file_name("libvcl_ldpreload.so");
    assert!(preload.exists(), "{} belongs to VPP", preload.display());
    let line = shown.lines().find(|line| line.contains(&format!("dvt:ep:{id}"))).unwrap();
    let socket = line.split_whitespace().find(|word| word.starts_with('/')).unwrap();
    let socket = socket.split('\x1b').next().unwrap();
    let configuration = scene.folder().join(format!("{id}.conf"));
    let text =
        format!("vcl {{\n app-socket-api {socket}\n app-scope-global\n use-mq-eventfd\n}}\n");
    std::fs::write(&configuration, text).unwrap();
    let mut command = Command::new(PYTHON);
    command.args(["-c", work]).env("VCL_CONFIG", configuration).env("LD_PRELOAD", preload);
    let process = Process::start(id, &mut command).unwrap();
    process.line_after(0, LIMIT, "it is ready", |line| (line == "ready").then_some(())).unwrap();
    Some(process)
}

/// A container starts again: its successor has its address, and is connected, while VPP still has connections of its own.
pub(crate) fn tables_of_who_left_go_while_another_has_its_address(scene: &mut Scene) {
    let engine = fresh(scene);
    let network = hosted(1);
    engine.create_network(&network).unwrap();
    let [old, peer] = [2, 3].map(|number| hosted_endpoint(number, &network));
    let new = EndpointSpec { id: "e7".repeat(32).parse().unwrap(), ..old.clone() };
    let tap = endpoint(4, &network);
    for endpoint in [&old, &peer, &tap] {
        engine.create_endpoint(endpoint).unwrap();
    }
    let has = |text: &str, id: &str| text.contains(&format!("dvt:ep:{id}"));
    let _server = attached(scene, "e3e3", SERVE);
    let leaves = attached(scene, "e2e2", CONNECT);
    let served =
        |shown: &str| shown.contains("ESTABLISHED") && shown.matches("LISTEN").count() == 52;
    until_sessions(scene, "a connection", served);
    engine.delete_endpoint(&old.id).unwrap();
    assert!(has(&scene.cli("show ip table").unwrap(), "e2e2"), "VPP is not done with it");
    drop(leaves);
    engine.create_endpoint(&new).unwrap();
    let _stays = attached(scene, "e7e7", CONNECT);
    let left = |shown: &str| {
        !["FIN_WAIT", "CLOSING", "LAST_ACK"].iter().any(|state| shown.contains(state))
    };
    until_sessions(scene, "VPP is done with it", left);
    // Any change has VPP looked at.
    engine.delete_endpoint(&tap.id).unwrap();
    let gone = |shown: &str| !has(shown, "e2e2") && has(shown, "e7e7");
    scene.cli_until("show ip table", "the tables are gone", gone).unwrap();
    scene.cli_until("show ip6 table", "the tables are gone", gone).unwrap();
    until_sessions(scene, "the other is connected", |shown| {
        shown.lines().any(|line| line.contains(" 10.1.0.2:") && line.contains("ESTABLISHED"))
    });
}
