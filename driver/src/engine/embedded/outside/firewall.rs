//! Telling the kernel's packet filter what is planned, and looking whether it still holds.

use std::io;

use super::forward;
use super::name::Name;
use super::plan::Plan;
use super::refusal;
use super::rules;
use crate::engine::EngineError;
use crate::host::command::CommandError;
use crate::host::iptables::{self, Family, Iptables};
use crate::host::nft;
use crate::host::root::HostRoot;

/// The tables of iptables that have a chain `INPUT` or `FORWARD` in which packets can be refused.
const FILTERS: [&str; 3] = ["filter", "mangle", "security"];

/// The agent's table and its chain.
#[derive(Debug)]
pub(super) struct Firewall {
    name: Name,
    iptables: Iptables,
    /// The number of the rule set when all was as planned; `None` if that has to be looked at.
    seen: Option<u32>,
    /// The number of the rule set when somebody last looked what refuses, and whether anything may.
    refuses: Option<(u32, bool)>,
    /// Rules of iptables are among those that the number covers.
    covered: Option<bool>,
}

impl Firewall {
    /// For the agent whose driver has this name.
    pub(super) fn new(owner: &str, host: &HostRoot) -> Self {
        Self {
            name: Name::of(owner),
            iptables: Iptables::of(host),
            seen: None,
            refuses: None,
            covered: None,
        }
    }

    /// Makes it as planned.
    pub(super) fn apply(&mut self, plan: &Plan) -> Result<(), EngineError> {
        self.seen = None;
        let script = rules::script(&self.name, plan);
        match nft::apply(&script.text) {
            // Where there is no `nft` nothing was made with it.
            Err(CommandError::Missing(_)) if plan.gateways.is_empty() => {}
            outcome => outcome.map_err(from_command)?,
        }
        for family in Family::ALL {
            self.let_through(plan, family).map_err(from_command)?;
        }
        self.seen = nft::generation().map_err(generation_failed)?;
        Ok(())
    }

    /// Whether all is still as planned. Costs next to nothing while nobody changes any rule.
    pub(super) fn holds(&mut self, plan: &Plan) -> Result<bool, EngineError> {
        let now = nft::generation().map_err(generation_failed)?;
        if self.seen.is_some() && self.seen == now && self.covers_iptables() {
            return Ok(true);
        }
        let version = rules::script(&self.name, plan).version;
        let mut holds = nft::has_chain(self.name.as_str(), &version).map_err(from_command)?;
        for family in Family::ALL {
            holds &= self.is_let_through(plan, family).map_err(from_command)?;
        }
        if holds {
            self.seen = now;
        }
        Ok(holds)
    }

    /// Whether something of this host may refuse who comes by a published port.
    ///
    /// # Errors
    /// When that cannot be known.
    pub(super) fn refuses(&mut self) -> Result<bool, EngineError> {
        let now = nft::generation().map_err(generation_failed)?;
        let older = older_tables()?;
        if let Some((seen, refuses)) = self.refuses
            && now == Some(seen)
            && older.is_empty()
            && self.covers_iptables()
        {
            return Ok(refuses);
        }
        self.refuses = None;
        let mut refuses = false;
        // Of these families iptables has its rules in nftables, and told them; of those in the older tables.
        let (mut told, mut in_older) = (Vec::new(), Vec::new());
        for family in Family::ALL {
            match self.iptables.is_nftables(family) {
                Ok(true) => {
                    let rules = self.iptables.table(family, "filter").map_err(from_command)?;
                    refuses |= refusal::by_iptables(&rules, true);
                    told.push(family);
                }
                // The older tables are asked below, if there are any.
                Ok(false) => in_older.push(family),
                Err(CommandError::Missing(_)) => {}
                Err(error) => return Err(from_command(error)),
            }
        }
        for (family, table) in &older {
            let rules = self.iptables.older_table(*family, table).map_err(from_command)?;
            let accepted = table == "filter" && in_older.contains(family);
            refuses |= refusal::by_iptables(&rules, accepted);
        }
        refuses |= refusal::by_nftables(&nft::chains().map_err(from_command)?, &told);
        self.refuses = now.map(|now| (now, refuses));
        Ok(refuses)
    }

    fn covers_iptables(&mut self) -> bool {
        let iptables = self.iptables;
        let ask = || Family::ALL.into_iter().all(|it| iptables.is_nftables(it).unwrap_or(true));
        *self.covered.get_or_insert_with(ask)
    }

    /// Has forwarded packets accepted where something drops them otherwise.
    fn let_through(&self, plan: &Plan, family: Family) -> Result<(), CommandError> {
        let Some(rules) = forward_rules(self.iptables, family)? else { return Ok(()) };
        let name = self.name.as_str();
        let joined = forward::leads_to(&rules, &self.name);
        if is_needed(plan, family, &rules) {
            self.iptables.restore(family, &forward::chain(&self.name, &plan.gateways, family))?;
            if !joined {
                self.iptables.change(family, &["-A", "FORWARD", "-j", name])?;
            }
            return Ok(());
        }
        if joined {
            self.iptables.change(family, &["-D", "FORWARD", "-j", name])?;
        }
        if self.iptables.rules(family, name)?.is_some() {
            self.iptables.change(family, &["-F", name])?;
            self.iptables.change(family, &["-X", name])?;
        }
        Ok(())
    }

    fn is_let_through(&self, plan: &Plan, family: Family) -> Result<bool, CommandError> {
        let rules = forward_rules(self.iptables, family)?;
        Ok(rules.is_none_or(|rules| {
            !is_needed(plan, family, &rules) || forward::leads_to(&rules, &self.name)
        }))
    }
}

fn is_needed(plan: &Plan, family: Family, rules: &str) -> bool {
    forward::drops(rules) && plan.gateways.iter().any(|gateway| forward::has(gateway, family))
}

/// The chain through which forwarded packets go; `None` on a host without iptables, where nobody can have
/// set it up.
fn forward_rules(iptables: Iptables, family: Family) -> Result<Option<String>, CommandError> {
    match iptables.rules(family, "FORWARD") {
        Err(CommandError::Missing(_)) => Ok(None),
        other => other,
    }
}

/// The older tables in which something could be refused.
fn older_tables() -> Result<Vec<(Family, String)>, EngineError> {
    let mut all = Vec::new();
    for family in Family::ALL {
        let tables = iptables::older_tables(family).map_err(generation_failed)?;
        let tables = tables.into_iter().filter(|it| FILTERS.contains(&it.as_str()));
        all.extend(tables.map(|table| (family, table)));
    }
    Ok(all)
}

fn generation_failed(source: io::Error) -> EngineError {
    EngineError::Io { what: "cannot ask the kernel's packet filter".to_owned(), source }
}

fn from_command(error: CommandError) -> EngineError {
    let what = error.to_string();
    match error {
        CommandError::Missing(_) => EngineError::Host {
            what: format!("a network with a way out needs nftables, and {what}"),
            remedy:
                "install the package `nftables`, create the network with `--internal`, or start \
                     the agent with `--outside none`"
                    .to_owned(),
        },
        CommandError::Io { source, .. } => EngineError::Io { what, source },
        CommandError::Refused { .. } => EngineError::Host {
            what,
            remedy: "does the kernel have nf_tables, with NAT? `dockervpp doctor` says more"
                .to_owned(),
        },
    }
}
