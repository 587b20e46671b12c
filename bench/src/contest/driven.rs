//! An agent that is spoken to as Docker speaks to a driver, without Docker: so that there can be a thousand
//! endpoints or two hosts, and only the agent's own work counts.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::agent::{Agent, AgentOptions};
use kit::namespace::Named;
use kit::unique;
use serde_json::{Map, Value, json};

/// What a link is called in a container.
const CONTAINERS_NAME: &str = "eth0";

/// The agent. Nobody else speaks to it.
#[derive(Debug)]
pub(super) struct Driven {
    agent: Agent,
    _folder: tempfile::TempDir,
}

/// One IPv4 address of an endpoint, and how it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint<'a> {
    pub(super) network: &'a str,
    pub(super) id: &'a str,
    pub(super) address: Ipv4Addr,
    /// Bits of the subnet.
    pub(super) prefix: u8,
}

impl Driven {
    /// Starts one, in a network namespace if it is told which.
    pub(super) fn start(namespace: Option<&Named>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dvt-").tempdir()?;
        // What an agent has made it knows by the name of its driver, which the socket gives it: two that
        // share a name would remove each other's links.
        let socket = format!("{}.sock", unique("driver"));
        let agent = Agent::start(AgentOptions {
            plugin_socket: Some(folder.path().join(socket)),
            // There is no Docker that knows these networks.
            arguments: ["--docker-socket", "none"].map(str::to_owned).to_vec(),
            own_group: true,
            namespace: namespace.map(|it| it.name().to_owned()),
            ..AgentOptions::default()
        })?;
        Ok(Self { agent, _folder: folder })
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Makes an internal network of a subnet, whose first address is the gateway's.
    pub(super) fn create_network(
        &self,
        id: &str,
        subnet: Ipv4Addr,
        prefix: u8,
        options: &[(&str, &str)],
    ) -> Result<()> {
        let gateway = Ipv4Addr::from(u32::from(subnet) + 1);
        let options: Map<String, Value> =
            options.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
        let network = json!({
            "NetworkID": id,
            "Options": {
                "com.docker.network.enable_ipv6": false,
                "com.docker.network.internal": true,
                "com.docker.network.generic": options,
            },
            "IPv4Data": [{
                "AddressSpace": "LocalDefault",
                "Pool": format!("{subnet}/{prefix}"),
                "Gateway": format!("{gateway}/{prefix}"),
            }],
            "IPv6Data": [],
        });
        self.call("CreateNetwork", &network).map(drop)
    }

    pub(super) fn delete_network(&self, id: &str) -> Result<()> {
        self.call("DeleteNetwork", &json!({"NetworkID": id})).map(drop)
    }

    /// Makes an endpoint and joins it to a namespace. Returns its Ethernet address and the link that Docker would
    /// move there.
    pub(super) fn add(&self, endpoint: &Endpoint<'_>, namespace: &Named) -> Result<Attached> {
        let Endpoint { network, id, address, prefix } = endpoint;
        let interface = json!({
            "Address": format!("{address}/{prefix}"), "AddressIPv6": "", "MacAddress": "",
        });
        let create = json!({
            "NetworkID": network, "EndpointID": id, "Interface": interface, "Options": {},
        });
        let created = self.call("CreateEndpoint", &create)?;
        let sandbox = namespace.path();
        let join = json!({
            "NetworkID": network, "EndpointID": id, "SandboxKey": sandbox, "Options": {},
        });
        let joined = self.call("Join", &join)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Attached {
            mac: text(&created["Interface"]["MacAddress"])
                .with_context(|| format!("an endpoint has an Ethernet address: {created}"))?,
            link: text(&joined["InterfaceName"]["SrcName"])
                .with_context(|| format!("an endpoint has a link: {joined}"))?,
        })
    }

    pub(super) fn remove(&self, network: &str, id: &str) -> Result<()> {
        let endpoint = json!({"NetworkID": network, "EndpointID": id});
        self.call("Leave", &endpoint)?;
        self.call("DeleteEndpoint", &endpoint)?;
        Ok(())
    }

    fn call(&self, method: &str, body: &Value) -> Result<Value> {
        post(self.agent.plugin_socket(), method, body)
            .with_context(|| format!("NetworkDriver.{method} {body}"))
    }
}

/// What an agent says of an endpoint.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) mac: String,
    pub(super) link: String,
}

impl Attached {
    /// Gives the link to the container, as Docker does. `host` is where the agent is, if not in this process's namespace.
    pub(super) fn hand_over(&self, host: Option<&Named>, container: &Named) -> Result<()> {
        let target = ["netns", container.name(), "name", CONTAINERS_NAME, "address", &self.mac];
        let arguments = [&["link", "set", &self.link], &target[..]].concat();
        match host {
            Some(host) => host.ip(&arguments),
            None => kit::namespace::ip(&arguments),
        }
    }

    /// Takes the link back to where this process is, as Docker does before an endpoint leaves.
    pub(super) fn take_back(&self, container: &Named) -> Result<()> {
        let here = std::process::id().to_string();
        container.ip(&["link", "set", CONTAINERS_NAME, "netns", &here, "name", &self.link])
    }
}

/// One call of Docker's plugin protocol: HTTP over a unix socket; an error is a body with `Err`.
fn post(socket: &Path, method: &str, body: &Value) -> Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let body = body.to_string();
    write!(
        stream,
        "POST /NetworkDriver.{method} HTTP/1.1\r\nHost: plugin\r\n\
         Accept: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let answer: Value = serde_json::from_str(body).with_context(|| format!("not JSON: {body}"))?;
    ensure!(answer.get("Err").is_none(), "{}", answer["Err"]);
    Ok(answer)
}
