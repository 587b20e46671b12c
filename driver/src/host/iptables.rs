//! iptables, which Docker writes its rules with: the commands `iptables` and `ip6tables`, whichever
//! variant of them this host has chosen.

use std::io;
use std::path::Path;

use super::command::{self, CommandError};
use super::root::HostRoot;

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

    fn stem(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}

/// Where the command may be.
const PLACES: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];

/// Which of its forms the command has: each has tables of its own, and does not see the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// Whichever `iptables` is.
    Plain,
    /// The tables of `nf_tables`.
    Nft,
    /// Those of before.
    Legacy,
}

impl Variant {
    /// By the name of the program that the command leads to.
    fn named(program: &str) -> Self {
        if program.contains("nft") { Self::Nft } else { Self::Legacy }
    }

    fn infix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Nft => "-nft",
            Self::Legacy => "-legacy",
        }
    }
}

/// The commands of a host.
#[derive(Debug, Clone, Copy)]
pub struct Iptables {
    /// `None`: the host does not have the command.
    variant: Option<Variant>,
}

impl Iptables {
    /// Those that this host uses: the agent's own where it shares the host's root directory, otherwise its own in the
    /// form that the host has chosen.
    pub fn of(host: &HostRoot) -> Self {
        if host.is_own() {
            return Self { variant: Some(Variant::Plain) };
        }
        let targets = PLACES.iter().map(|it| host.target(&Path::new(it).join("iptables")));
        let program =
            targets.filter_map(Result::ok).find_map(|it| it.file_name().map(ToOwned::to_owned));
        Self { variant: program.map(|it| Variant::named(&it.to_string_lossy())) }
    }

    /// The rules of a chain of the table `filter`, in the form of `iptables -S`; `None` when there is no such
    /// chain.
    pub fn rules(self, family: Family, chain: &str) -> Result<Option<String>, CommandError> {
        match self.filter(family, &["-S", chain]) {
            Ok(text) => Ok(Some(text)),
            Err(CommandError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All rules of a table, in the form of `iptables -S`, by whichever variant is the host's.
    ///
    /// # Errors
    /// Also when the table is one that the command cannot tell of.
    pub fn table(self, family: Family, table: &str) -> Result<String, CommandError> {
        listing(&self.program(family)?, table)
    }

    /// The rules of a table of the kernel's older filter, which is there ([`older_tables`]).
    ///
    /// # Errors
    /// As those of [`table`](Self::table).
    pub fn older_table(self, family: Family, table: &str) -> Result<String, CommandError> {
        match self.is_nftables(family) {
            Ok(false) => self.table(family, table),
            Ok(true) | Err(_) => listing(&format!("{}-legacy", family.stem()), table),
        }
    }

    /// Changes the table `filter`, by the arguments of the command.
    pub fn change(self, family: Family, arguments: &[&str]) -> Result<(), CommandError> {
        self.filter(family, arguments).map(drop)
    }

    /// Carries out the input of `iptables-restore`, as a whole, and leaves all that it does not name.
    pub fn restore(self, family: Family, input: &str) -> Result<(), CommandError> {
        let program = format!("{}-restore", self.program(family)?);
        command::run(&program, &["--noflush", "-w", PATIENCE], input).map(drop)
    }

    /// Whether the command keeps its rules in nftables, where [`super::nft::generation`] tells of changes.
    pub fn is_nftables(self, family: Family) -> Result<bool, CommandError> {
        Ok(command::run(&self.program(family)?, &["--version"], "")?.contains("nf_tables"))
    }

    fn filter(self, family: Family, arguments: &[&str]) -> Result<String, CommandError> {
        command::run(&self.program(family)?, &[&["-w", PATIENCE], arguments].concat(), "")
    }

    fn program(self, family: Family) -> Result<String, CommandError> {
        let stem = family.stem();
        let missing = || CommandError::Missing(stem.to_owned());
        Ok(format!("{stem}{}", self.variant.ok_or_else(missing)?.infix()))
    }
}

fn listing(program: &str, table: &str) -> Result<String, CommandError> {
    command::run(program, &["-w", PATIENCE, "-t", table, "-S"], "")
}

/// The tables that the kernel's older filter has, which is there beside nftables (`/proc/net/ip_tables_names`).
///
/// # Errors
/// What the kernel answers.
pub fn older_tables(family: Family) -> io::Result<Vec<String>> {
    let path = match family {
        Family::V4 => "/proc/net/ip_tables_names",
        Family::V6 => "/proc/net/ip6_tables_names",
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        // The kernel does not have it, or has no table of it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_known_by_the_program() {
        for (program, command) in [
            ("xtables-nft-multi", "ip6tables-nft"),
            ("iptables-nft", "ip6tables-nft"),
            ("xtables-legacy-multi", "ip6tables-legacy"),
            ("xtables-multi", "ip6tables-legacy"),
        ] {
            let found = Iptables { variant: Some(Variant::named(program)) };
            assert_eq!(found.program(Family::V6).unwrap(), command, "{program}");
        }
        assert_eq!(Iptables::of(&HostRoot::own()).program(Family::V4).unwrap(), "iptables");
        assert!(Iptables { variant: None }.program(Family::V4).is_err());
    }
}
