//! A bridge domain: the forwarding table and the decision about each frame.
//!
//! Pure: [`Bridge::forward`] sees two addresses, the port they came in on and the time, and answers
//! where the frame goes. It holds no buffer, ring or descriptor, reads no clock and allocates nothing;
//! memory is taken when a port is added.
//!
//! The rules are those of a learning bridge (IEEE 802.1D-2004, clause 7) with these limits, since a
//! port's station may be hostile: an endpoint's own address and the gateway's are pinned and cannot
//! be claimed by another port; a port can teach the bridge a bounded number of addresses; it can
//! flood a bounded number of frames per second.

#![forbid(unsafe_code)]

mod ports;
mod table;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::ports::{Port, Ports, Recent};
use self::table::{Key, Place, Record, Seen, Table};
use crate::{DomainConfig, DropReason, MacAddr};

/// A port's place in its worker's port table; 65535 is not a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortSlot(pub u16);

/// Milliseconds of a monotonic clock, read once per burst by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// To one port.
    Unicast(PortSlot),
    /// To the gateway alone.
    Gateway,
    /// To every port that [`Bridge::flood_targets`] names.
    Flood {
        /// And to the gateway: the frame is broadcast or multicast and the domain has one.
        to_gateway: bool,
    },
    /// Nowhere; to be counted on the port that it came from.
    Drop(DropReason),
}

/// Which ports a port may exchange frames with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortGroup {
    /// All ports and the gateway.
    Open,
    /// The gateway and open ports; never another isolated port (split horizon).
    Isolated,
    /// A gateway that is a station of its own: all ports but tunnels.
    Gateway,
    /// The way to stations of another host: open ports only. What came from one tunnel went to all hosts
    /// already, and each host has a gateway of its own.
    Tunnel,
}

impl PortGroup {
    /// How many there are.
    pub(super) const COUNT: usize = 4;

    const ALL: [Self; Self::COUNT] = [Self::Open, Self::Isolated, Self::Gateway, Self::Tunnel];

    /// Whether frames pass between ports of these groups, in both directions.
    fn meets(self, other: Self) -> bool {
        !matches!(
            (self, other),
            (Self::Isolated | Self::Tunnel, Self::Isolated | Self::Tunnel)
                | (Self::Gateway, Self::Tunnel)
                | (Self::Tunnel, Self::Gateway)
        )
    }
}

/// What a domain is created with.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// The gateway's address; `None` for a domain without one.
    pub gateway: Option<MacAddr>,
    /// Addresses learnt on one port before further ones are forwarded but not learnt.
    pub learn_limit_per_port: usize,
    /// Addresses learnt in the whole domain; bounds the table's memory (32 bytes per address).
    pub learn_limit: usize,
    /// A learnt address is forgotten when no frame came from it for this long.
    pub ageing: Duration,
    /// Frames per second that one port may flood; 0 means no limit.
    pub bum_limit: u32,
    /// Key of the table's hash: random, and secret from the stations.
    pub seed: u64,
}

impl BridgeConfig {
    /// Addresses learnt in a domain unless said otherwise.
    pub const DEFAULT_LEARN_LIMIT: usize = 1 << 17;

    /// The bridge's part of a domain's configuration.
    pub fn for_domain(domain: &DomainConfig, seed: u64) -> Self {
        Self {
            gateway: domain.gateway.as_ref().map(|gateway| gateway.mac),
            learn_limit_per_port: domain.learn_limit_per_port,
            learn_limit: Self::DEFAULT_LEARN_LIMIT,
            ageing: domain.fdb_ageing,
            bum_limit: domain.bum_limit,
            seed,
        }
    }
}

/// Why a port was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// The slot already is a port of this domain.
    #[error("port slot {} already belongs to this bridge domain", .0.0)]
    SlotInUse(PortSlot),
    /// 65535 is reserved.
    #[error("port slot 65535 is reserved; use a lower one")]
    SlotReserved,
    /// The address is pinned to another port or to the gateway.
    #[error("address {0} already belongs to another port of this bridge domain")]
    DuplicateAddress(MacAddr),
    /// A group address or all zeros.
    #[error("{0} cannot be the address of a station: it must be a unicast address")]
    NotUnicast(MacAddr),
}

/// One address of the forwarding table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The address.
    pub mac: MacAddr,
    /// Its port; `None` is the gateway.
    pub port: Option<PortSlot>,
    /// Configured, not learnt.
    pub pinned: bool,
    /// Time since the last frame from it; zero for pinned addresses.
    pub age: Duration,
}

/// One bridge domain.
#[derive(Debug)]
pub struct Bridge {
    table: Table,
    ports: Ports,
    gateway: bool,
    limits: Limits,
    /// Learnt addresses in the table, expired ones that no sweep has met included.
    learnt: usize,
    /// Pinned addresses in the table.
    pinned: usize,
    /// Changes whenever an address appears, moves or goes: what [`Recent`] is checked against.
    generation: u64,
}

impl Bridge {
    /// A domain without ports. A gateway address that no station can have is ignored.
    pub fn new(config: &BridgeConfig) -> Self {
        let mut bridge = Self {
            table: Table::new(config.seed),
            ports: Ports::default(),
            gateway: false,
            limits: Limits::from(config),
            learnt: 0,
            pinned: 0,
            generation: 1,
        };
        if let Some(gateway) = config.gateway.filter(|mac| mac.is_unicast()) {
            bridge.gateway = true;
            bridge.pin(gateway.into(), Place::GATEWAY);
        }
        bridge
    }

    /// Adds a port; an address learnt elsewhere that is `pinned` here comes here.
    ///
    /// This is where the domain takes memory: an insertion while frames pass never does.
    pub fn add_port(
        &mut self,
        slot: PortSlot,
        pinned: Option<MacAddr>,
        group: PortGroup,
    ) -> Result<(), BridgeError> {
        if slot.0 == u16::MAX {
            return Err(BridgeError::SlotReserved);
        }
        if self.ports.contains(slot) {
            return Err(BridgeError::SlotInUse(slot));
        }
        if let Some(mac) = pinned {
            if !mac.is_unicast() {
                return Err(BridgeError::NotUnicast(mac));
            }
            if self.table.find(mac.into()).is_some_and(|(_, record)| record.seen.is_pinned()) {
                return Err(BridgeError::DuplicateAddress(mac));
            }
        }
        self.ports.add(Port::new(slot, group, self.limits.flood_rate));
        self.reserve();
        if let Some(mac) = pinned {
            self.pin(mac.into(), Place::from(slot));
        }
        self.generation += 1;
        Ok(())
    }

    /// Removes a port with all its addresses; `false` when it was none of this domain.
    pub fn remove_port(&mut self, slot: PortSlot) -> bool {
        if !self.ports.remove(slot) {
            return false;
        }
        let (learnt, pinned) = (&mut self.learnt, &mut self.pinned);
        self.table.remove_where(|record| {
            let here = record.place == Place::from(slot);
            if here {
                *(if record.seen.is_pinned() { &mut *pinned } else { &mut *learnt }) -= 1;
            }
            here
        });
        self.generation += 1;
        true
    }

    /// Decides about a frame from `src` to `dst` that came in on port `from`, and learns from it.
    ///
    /// A frame from a slot that is no port of this domain is dropped as
    /// [`DropReason::NotOwner`].
    #[inline]
    pub fn forward(&mut self, from: PortSlot, dst: MacAddr, src: MacAddr, now: Tick) -> Verdict {
        let (dst, src) = (Key::from(dst), Key::from(src));
        let Some(port) = self.ports.find(from) else {
            return Verdict::Drop(DropReason::NotOwner);
        };
        // Frames come in runs between the same two stations: the answer of the last frame holds
        // while no address changed and the clock stands still.
        if port.recent.answers(dst, src, now, self.generation) {
            return port.recent.verdict;
        }
        self.decide(from, dst, src, now)
    }

    /// The ports that a flooded frame from `from` goes to.
    pub fn flood_targets(&self, from: PortSlot) -> impl Iterator<Item = PortSlot> + '_ {
        self.ports.flood_targets(from)
    }

    /// Frames from `slot` whose source was not learnt because of a limit.
    pub fn learn_limited(&self, slot: PortSlot) -> u64 {
        self.ports.find(slot).map_or(0, |port| port.learn_limited)
    }

    /// Forgets aged addresses among the next `budget` cells of the table, round robin. A full pass
    /// takes [`Bridge::cells`] of budget in all; an aged address is not used even before its pass,
    /// but it keeps counting against the limits until then.
    pub fn age(&mut self, now: Tick, budget: usize) {
        let (ports, limits, learnt) = (&mut self.ports, &self.limits, &mut self.learnt);
        let before = *learnt;
        self.table.sweep(budget, |record| {
            let aged = limits.is_aged(record, now);
            if aged {
                ports.forget(record.place);
                *learnt -= 1;
            }
            aged
        });
        self.generation += u64::from(before != self.learnt);
    }

    /// Cells of the table: the budget of a full pass of [`Bridge::age`].
    pub fn cells(&self) -> usize {
        self.table.cells()
    }

    /// All addresses that the bridge would use now, in no order.
    pub fn entries(&self, now: Tick) -> impl Iterator<Item = Entry> + '_ {
        let live = self.table.records().filter(move |record| !self.limits.is_aged(*record, now));
        live.map(move |record| Entry {
            mac: record.key.into(),
            port: (record.place != Place::GATEWAY).then_some(PortSlot(record.place.0)),
            pinned: record.seen.is_pinned(),
            age: Duration::from_millis(record.seen.age(now)),
        })
    }

    fn decide(&mut self, from: PortSlot, dst: Key, src: Key, now: Tick) -> Verdict {
        let learnt = match self.learn(from, src, now) {
            Ok(learnt) => learnt,
            Err(reason) => return Verdict::Drop(reason),
        };
        if dst.is_group() {
            if dst.is_reserved() {
                return Verdict::Drop(DropReason::Reserved);
            }
            let to_gateway = self.gateway && self.ports.meets_gateway(from);
            return self.flood(from, to_gateway, now);
        }
        let known = self.table.find(dst).filter(|(_, record)| !self.limits.is_aged(*record, now));
        let verdict = match known {
            None => return self.flood(from, false, now),
            Some((_, record)) if record.place == Place::GATEWAY => {
                if self.ports.meets_gateway(from) {
                    Verdict::Gateway
                } else {
                    Verdict::Drop(DropReason::Isolated)
                }
            }
            Some((_, record)) => self.ports.unicast(from, PortSlot(record.place.0)),
        };
        // Frames from an address that a limit keeps out are each counted, so each comes here.
        if learnt && let Some(port) = self.ports.find_mut(from) {
            port.recent = Recent { dst, src, at: now, generation: self.generation, verdict };
        }
        verdict
    }

    /// Learns that `src` is at `from`, unless it must not be there; `false` when a limit forbids it.
    fn learn(&mut self, from: PortSlot, src: Key, now: Tick) -> Result<bool, DropReason> {
        if src.is_group() || src.is_null() {
            return Err(DropReason::Malformed);
        }
        let record = Record { key: src, place: Place::from(from), seen: Seen::at(now) };
        match self.table.find(src) {
            Some((_, known)) if known.seen.is_pinned() => {
                if known.place == record.place {
                    Ok(true)
                } else {
                    Err(DropReason::Spoofed)
                }
            }
            Some((position, known)) if known.place == record.place => {
                if known.seen != record.seen {
                    self.table.update(position, record);
                }
                Ok(true)
            }
            Some((position, known)) => {
                let admitted = self.ports.admit_address(from, self.limits.learnt_per_port, true);
                if admitted {
                    self.ports.forget(known.place);
                    self.table.update(position, record);
                    self.generation += 1;
                }
                Ok(admitted)
            }
            None => {
                let room = self.learnt < self.limits.learnt && self.table.has_room();
                let admitted = self.ports.admit_address(from, self.limits.learnt_per_port, room);
                if admitted {
                    self.table.insert(record);
                    self.learnt += 1;
                    self.generation += 1;
                }
                Ok(admitted)
            }
        }
    }

    fn flood(&mut self, from: PortSlot, to_gateway: bool, now: Tick) -> Verdict {
        if !to_gateway && let Some(reason) = self.ports.nowhere_to_flood(from) {
            return Verdict::Drop(reason);
        }
        if self.ports.find_mut(from).is_some_and(|port| port.flood.admit(now, 1)) {
            Verdict::Flood { to_gateway }
        } else {
            Verdict::Drop(DropReason::BumLimit)
        }
    }

    fn pin(&mut self, key: Key, place: Place) {
        let record = Record { key, place, seen: Seen::PINNED };
        if let Some((position, known)) = self.table.find(key) {
            self.ports.forget(known.place);
            self.learnt -= 1;
            self.table.update(position, record);
        } else {
            self.table.reserve(self.learnt + self.pinned + 1);
            self.table.insert(record);
        }
        self.pinned += 1;
    }

    /// Makes room for what the present ports can teach the bridge, and for one more pinned address.
    fn reserve(&mut self) {
        let learnable = self.limits.learnt_per_port.saturating_mul(self.ports.count());
        self.table.reserve(learnable.min(self.limits.learnt) + self.pinned + 1);
    }
}

impl From<PortSlot> for Place {
    fn from(slot: PortSlot) -> Self {
        Self(slot.0)
    }
}

#[derive(Debug)]
struct Limits {
    learnt_per_port: usize,
    learnt: usize,
    /// Milliseconds.
    ageing: u64,
    flood_rate: u32,
}

impl Limits {
    fn is_aged(&self, record: Record, now: Tick) -> bool {
        !record.seen.is_pinned() && record.seen.age(now) >= self.ageing
    }
}

impl From<&BridgeConfig> for Limits {
    fn from(config: &BridgeConfig) -> Self {
        // An upper bound that keeps the table's size computable whatever was configured.
        let learnt = config.learn_limit.min(1 << 24);
        Self {
            learnt_per_port: config.learn_limit_per_port,
            learnt,
            ageing: u64::try_from(config.ageing.as_millis()).unwrap_or(u64::MAX),
            flood_rate: config.bum_limit,
        }
    }
}
