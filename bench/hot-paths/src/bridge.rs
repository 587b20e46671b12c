//! Decisions of a bridge domain.

use std::hint::black_box;
use std::time::Duration;

use dataplane::MacAddr;
use dataplane::bridge::{Bridge, BridgeConfig, PortGroup, PortSlot, Tick, Verdict};

pub(crate) const PORTS: u32 = 16;
/// Stations that are known, on all ports together.
pub(crate) const STATIONS: u32 = 1024;
const NOW: Tick = Tick(1000);

fn address(station: u32) -> MacAddr {
    let [a, b, c, d] = station.to_be_bytes();
    MacAddr([0x02, 0x0b, a, b, c, d])
}

fn port(station: u32) -> PortSlot {
    PortSlot(u16::try_from(station % PORTS).unwrap_or_default())
}

/// A domain that has learnt all stations.
fn domain() -> Result<Bridge, String> {
    let mut bridge = Bridge::new(&BridgeConfig {
        gateway: None,
        learn_limit_per_port: STATIONS as usize,
        learn_limit: BridgeConfig::DEFAULT_LEARN_LIMIT,
        ageing: Duration::from_mins(5),
        bum_limit: 0,
        seed: 1,
    });
    for station in 0..PORTS {
        let added = bridge.add_port(port(station), None, PortGroup::Open);
        added.map_err(|error| error.to_string())?;
    }
    for station in 0..STATIONS {
        bridge.forward(port(station), MacAddr([0xff; 6]), address(station), NOW);
    }
    Ok(bridge)
}

/// A frame from each station to another one.
pub(crate) fn forward(iterations: u32) -> Result<(), String> {
    let mut bridge = domain()?;
    for _ in 0..iterations {
        for from in 0..STATIONS {
            let to = (from * 7 + 3) % STATIONS;
            let verdict = bridge.forward(port(from), address(to), address(from), NOW);
            if port(to) != port(from) && black_box(verdict) != Verdict::Unicast(port(to)) {
                return Err(format!("station {from} does not reach {to}: {verdict:?}"));
            }
        }
    }
    Ok(())
}

/// Many frames between the same two stations.
pub(crate) fn forward_run(iterations: u32) -> Result<(), String> {
    let mut bridge = domain()?;
    for _ in 0..iterations {
        for _ in 0..STATIONS {
            let verdict = bridge.forward(port(0), black_box(address(1)), address(0), NOW);
            if verdict != Verdict::Unicast(port(1)) {
                return Err(format!("the stations do not meet: {verdict:?}"));
            }
        }
    }
    Ok(())
}

/// A frame for all, and whom it goes to.
pub(crate) fn flood(iterations: u32) -> Result<(), String> {
    let mut bridge = domain()?;
    for _ in 0..iterations {
        let verdict = bridge.forward(port(0), MacAddr([0xff; 6]), address(0), NOW);
        let targets = bridge.flood_targets(port(0)).map(black_box).count();
        if !matches!(verdict, Verdict::Flood { .. }) || targets != (PORTS - 1) as usize {
            return Err(format!("a broadcast went to {targets} ports: {verdict:?}"));
        }
    }
    Ok(())
}
