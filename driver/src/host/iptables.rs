//! iptables, which Docker writes its rules with: the commands `iptables` and `ip6tables`, whichever
//! variant of them this host has chosen.

use super::command::{self, CommandError};

/// Seconds that a command waits while another one changes the rules.
const PATIENCE: &str = "5";

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}

/// The rules of a chain of the table `filter`, in the form of `iptables -S`; `None` when there is no such
/// chain.
pub fn rules(family: Family, chain: &str) -> Result<Option<String>, CommandError> {
    match filter(family, &["-S", chain]) {
        Ok(text) => Ok(Some(text)),
        Err(CommandError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes the table `filter`, by the arguments of the command.
pub fn change(family: Family, arguments: &[&str]) -> Result<(), CommandError> {
    filter(family, arguments).map(drop)
}

/// Carries out the input of `iptables-restore`, as a whole, and leaves all that it does not name.
pub fn restore(family: Family, input: &str) -> Result<(), CommandError> {
    let program = format!("{}-restore", family.program());
    command::run(&program, &["--noflush", "-w", PATIENCE], input).map(drop)
}

/// Whether the command keeps its rules in nftables, where [`super::nft::generation`] tells of changes.
pub fn is_nftables(family: Family) -> Result<bool, CommandError> {
    Ok(command::run(family.program(), &["--version"], "")?.contains("nf_tables"))
}

fn filter(family: Family, arguments: &[&str]) -> Result<String, CommandError> {
    command::run(family.program(), &[&["-w", PATIENCE], arguments].concat(), "")
}
