//! An agent whose endpoints are made as Docker makes them, over the driver's socket, but without Docker: so
//! there can be a thousand of them, and only the agent's own time counts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kit::agent::{Agent, AgentOptions};
use kit::{process, unique};
use serde_json::{Value, json};

use super::idle_agent::Rest;
use super::{Contest, Placement, Plan, Sample};

/// Endpoints that are made and removed in one run.
const MORE: u32 = 10;

/// An agent that only this contestant speaks to, with one network.
#[derive(Debug)]
struct Alone {
    agent: Agent,
    _folder: tempfile::TempDir,
    /// The network's id, and what the endpoints' ids begin with: links on the host have names made of them.
    prefix: String,
    /// Names of the namespaces that stand for containers.
    namespaces: Vec<String>,
}

impl Alone {
    /// Starts one with so many endpoints.
    fn start(attach: &str, endpoints: u32) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dvt-").tempdir()?;
        // What an agent has made it knows by the name of its driver, which the socket gives it: two that
        // share a name would remove each other's links.
        let socket = format!("{}.sock", unique("driver"));
        let agent = Agent::start(AgentOptions {
            plugin_socket: Some(folder.path().join(socket)),
            // There is no Docker that knows these networks.
            arguments: ["--docker-socket", "none"].map(str::to_owned).to_vec(),
            own_group: true,
            ..AgentOptions::default()
        })?;
        let prefix: String = (0..6).map(|_| fastrand::char('g'..='z')).collect();
        let mut alone = Self { agent, _folder: folder, prefix, namespaces: Vec::new() };
        alone.call(
            "CreateNetwork",
            &json!({
                "NetworkID": alone.prefix,
                "Options": {
                    "com.docker.network.enable_ipv6": false,
                    "com.docker.network.internal": true,
                    "com.docker.network.generic": {"attach": attach},
                },
                "IPv4Data": [{
                    "AddressSpace": "LocalDefault",
                    "Pool": "198.18.0.0/16",
                    "Gateway": "198.18.0.1/16",
                }],
                "IPv6Data": [],
            }),
        )?;
        for number in 0..endpoints {
            alone.add_namespace()?;
            alone.add(number)?;
        }
        Ok(alone)
    }

    /// A namespace for the next endpoint.
    fn add_namespace(&mut self) -> Result<()> {
        let name = unique("ns");
        process::run(Command::new("ip").args(["netns", "add", &name]))?;
        self.namespaces.push(name);
        Ok(())
    }

    /// Makes an endpoint and joins it to the namespace of its number.
    fn add(&self, number: u32) -> Result<()> {
        let [_, _, third, fourth] = (number + 2).to_be_bytes();
        let id = self.id(number);
        let namespace = self.namespaces.get(number as usize).context("each has a namespace")?;
        self.call(
            "CreateEndpoint",
            &json!({
                "NetworkID": self.prefix,
                "EndpointID": id,
                "Interface": {
                    "Address": format!("198.18.{third}.{fourth}/16"),
                    "AddressIPv6": "",
                    "MacAddress": "",
                },
                "Options": {},
            }),
        )?;
        let sandbox = format!("/run/netns/{namespace}");
        let join = json!({
            "NetworkID": self.prefix, "EndpointID": id, "SandboxKey": sandbox, "Options": {},
        });
        self.call("Join", &join)?;
        Ok(())
    }

    fn id(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }

    fn remove(&self, number: u32) -> Result<()> {
        let endpoint = json!({"NetworkID": self.prefix, "EndpointID": self.id(number)});
        self.call("Leave", &endpoint)?;
        self.call("DeleteEndpoint", &endpoint)?;
        Ok(())
    }

    fn call(&self, method: &str, body: &Value) -> Result<Value> {
        post(self.agent.plugin_socket(), method, body)
            .with_context(|| format!("NetworkDriver.{method} {body}"))
    }

    fn has(&self, endpoints: usize) -> Result<()> {
        let shown = self.agent.list("endpoints")?.len();
        ensure!(shown == endpoints, "the agent has {shown} endpoints, not {endpoints}");
        Ok(())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        for number in 0..u32::try_from(self.namespaces.len()).unwrap_or_default() {
            // One that was never made is no endpoint.
            let _ = self.remove(number);
        }
        let _ = self.call("DeleteNetwork", &json!({"NetworkID": self.prefix}));
        for name in &self.namespaces {
            let deleted = process::run(Command::new("ip").args(["netns", "delete", name]));
            if deleted.is_err() && fs::exists(format!("/run/netns/{name}")).unwrap_or(true) {
                eprintln!("left behind: network namespace {name}");
            }
        }
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

/// The time for more endpoints.
#[derive(Debug)]
pub(super) struct Endpoints {
    alone: Alone,
    there: u32,
}

impl Endpoints {
    pub(super) fn prepare(attach: &str, endpoints: u32) -> Result<Self> {
        let mut alone = Alone::start(attach, endpoints)?;
        for _ in 0..MORE {
            alone.add_namespace()?;
        }
        Ok(Self { alone, there: endpoints })
    }
}

impl Contest for Endpoints {
    fn placement(&self, _plan: &Plan) -> Vec<Placement> {
        vec![Placement::anywhere("the agent and whoever asks it")]
    }

    fn run(&mut self, _plan: &Plan) -> Result<Sample> {
        let numbers = self.there..self.there + MORE;
        let timed = |what: &dyn Fn(u32) -> Result<()>| -> Result<Vec<f64>> {
            let one = |number| {
                let start = Instant::now();
                what(number)?;
                Ok(start.elapsed().as_secs_f64() * 1e3)
            };
            let mut times = numbers.clone().map(one).collect::<Result<Vec<f64>>>()?;
            times.sort_by(f64::total_cmp);
            Ok(times)
        };
        let made = timed(&|number| self.alone.add(number))?;
        self.alone.has((self.there + MORE) as usize)?;
        let removed = timed(&|number| self.alone.remove(number))?;
        self.alone.has(self.there as usize)?;
        let median = |times: &[f64]| times[times.len() / 2];
        let details = [
            ("endpoints/s", 1e3 * f64::from(MORE) / made.iter().sum::<f64>()),
            ("ms for Leave and DeleteEndpoint", median(&removed)),
        ];
        Sample::new(median(&made), details)
    }
}

/// What an agent takes while nothing happens.
#[derive(Debug)]
pub(super) struct Footprint {
    alone: Alone,
    endpoints: u32,
}

impl Footprint {
    pub(super) fn prepare(attach: &str, endpoints: u32) -> Result<Self> {
        Ok(Self { alone: Alone::start(attach, endpoints)?, endpoints })
    }
}

impl Contest for Footprint {
    fn placement(&self, _plan: &Plan) -> Vec<Placement> {
        vec![Placement::anywhere("the agent")]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let question = || self.alone.has(self.endpoints as usize);
        let rest = Rest::watch(&self.alone.agent, plan, question)?;
        let sample = Sample::new(rest.resident_mebibytes, rest.details())?;
        Ok(sample.with([("% of a core", rest.per_cent)]))
    }
}
