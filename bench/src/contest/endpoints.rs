//! An agent whose endpoints are made as Docker makes them, over the driver's socket, but without Docker: so
//! there can be a thousand of them, and only the agent's own time counts.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use kit::namespace::Named;

use super::driven::{Attached, Driven, Endpoint};
use super::idle_agent::Rest;
use super::{Contest, Placement, Plan, Sample};

/// Endpoints that are made and removed in one run.
const MORE: u32 = 10;

/// The network's subnet.
const SUBNET: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const PREFIX: u8 = 16;

/// An agent that only this contestant speaks to, with one network.
#[derive(Debug)]
struct Alone {
    driven: Driven,
    /// The network's id, and what the endpoints' ids begin with: links on the host have names made of them.
    prefix: String,
    /// The namespaces that stand for containers.
    namespaces: Vec<Named>,
}

impl Alone {
    /// Starts one with so many endpoints.
    fn start(attach: &str, endpoints: u32) -> Result<Self> {
        let driven = Driven::start(None)?;
        let prefix: String = (0..6).map(|_| fastrand::char('g'..='z')).collect();
        driven.create_network(&prefix, SUBNET, PREFIX, &[("attach", attach)])?;
        let mut alone = Self { driven, prefix, namespaces: Vec::new() };
        for number in 0..endpoints {
            alone.add_namespace()?;
            let attached = alone.add(number)?;
            attached.hand_over(None, alone.namespace(number)?)?;
        }
        Ok(alone)
    }

    /// A namespace for the next endpoint.
    fn add_namespace(&mut self) -> Result<()> {
        self.namespaces.push(Named::create("ns")?);
        Ok(())
    }

    fn namespace(&self, number: u32) -> Result<&Named> {
        self.namespaces.get(number as usize).context("each has a namespace")
    }

    /// Makes an endpoint and joins it to the namespace of its number.
    fn add(&self, number: u32) -> Result<Attached> {
        let endpoint = Endpoint {
            network: &self.prefix,
            id: &self.id(number),
            address: Ipv4Addr::from(u32::from(SUBNET) + number + 2),
            prefix: PREFIX,
        };
        self.driven.add(&endpoint, self.namespace(number)?)
    }

    fn id(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }

    fn remove(&self, number: u32) -> Result<()> {
        self.driven.remove(&self.prefix, &self.id(number))
    }

    fn has(&self, endpoints: usize) -> Result<()> {
        let shown = self.driven.agent().list("endpoints")?.len();
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
        let _ = self.driven.delete_network(&self.prefix);
    }
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
        let (made, attached) = timed(numbers.clone(), |number| self.alone.add(number))?;
        // What Docker does between is not the agent's time.
        for (number, attached) in numbers.clone().zip(&attached) {
            attached.hand_over(None, self.alone.namespace(number)?)?;
        }
        self.alone.has((self.there + MORE) as usize)?;
        for (number, attached) in numbers.clone().zip(&attached) {
            attached.take_back(self.alone.namespace(number)?)?;
        }
        let (removed, _) = timed(numbers, |number| self.alone.remove(number))?;
        self.alone.has(self.there as usize)?;
        let median = |times: &[f64]| times[times.len() / 2];
        let details = [
            ("endpoints/s", 1e3 * f64::from(MORE) / made.iter().sum::<f64>()),
            ("ms for Leave and DeleteEndpoint", median(&removed)),
        ];
        Sample::new(median(&made), details)
    }
}

/// The milliseconds that each took, in order of length, and what came of it.
fn timed<T>(numbers: Range<u32>, what: impl Fn(u32) -> Result<T>) -> Result<(Vec<f64>, Vec<T>)> {
    let one = |number| {
        let start = Instant::now();
        let done = what(number)?;
        Ok((start.elapsed().as_secs_f64() * 1e3, done))
    };
    let both = numbers.map(one).collect::<Result<Vec<(f64, T)>>>()?;
    let (mut times, done): (Vec<f64>, Vec<T>) = both.into_iter().unzip();
    times.sort_by(f64::total_cmp);
    Ok((times, done))
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
        let rest = Rest::watch(self.alone.driven.agent(), plan, question)?;
        let sample = Sample::new(rest.resident_mebibytes, rest.details())?;
        Ok(sample.with([("% of a core", rest.per_cent)]))
    }
}
