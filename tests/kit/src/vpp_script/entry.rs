//! What a recording consists of. Pure.

/// An exchange with a real VPP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recording {
    /// What VPP called its version.
    pub(super) version: String,
    /// The day, as `2026-01-31`.
    pub(super) day: String,
    /// What happened, in its order.
    pub(super) entries: Vec<Entry>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// The engine asked.
    Asked(Asked, Vec<Said>),
    /// VPP said something by itself, and the engine was let hear it.
    Event(Said),
    /// The scenario gave VPP's command line a command, and this was printed.
    Command(String, String),
    /// The scenario waited until VPP's events were heard and the engine had done with them.
    Settled,
    /// The scenario killed VPP.
    Killed,
    /// The scenario started VPP again.
    Started,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    /// The message's name and checksum.
    pub(super) key: String,
    /// Its fields, in words.
    pub(super) fields: String,
}

impl Asked {
    /// Whether it only asks, and VPP is the same afterwards.
    pub(super) fn only_asks(&self) -> bool {
        const QUESTIONS: [&str; 3] = ["show_version", "sw_interface_get_table", "ip_route_lookup"];
        let name = self.name();
        QUESTIONS.contains(&name)
            || name.ends_with("_dump")
            || (name == "cli_inband" && self.fields.contains("cmd: \"show "))
    }

    /// The message's name, without its checksum.
    pub(super) fn name(&self) -> &str {
        self.key.rsplit_once('_').map_or(self.key.as_str(), |(name, _)| name)
    }
}

/// A message of VPP's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Said {
    /// The message's name and checksum.
    pub(super) key: String,
    /// Its fields as VPP wrote them.
    pub(super) bytes: Vec<u8>,
    /// The same in words, for people.
    pub(super) fields: String,
}

/// Whether a command of the command line only asks.
pub(super) fn command_only_asks(command: &str) -> bool {
    ["show ", "ping "].iter().any(|word| command.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &str, fields: &str) -> Asked {
        Asked { key: key.to_owned(), fields: fields.to_owned() }
    }

    #[test]
    fn what_changes_something_is_no_question() {
        for (key, fields) in [
            ("sw_interface_dump_aa610c27", ""),
            ("show_version_51077d14", ""),
            ("cli_inband_f8377302", "CliInband { cmd: \"show app ns\" }"),
        ] {
            assert!(asked(key, fields).only_asks(), "{key}");
        }
        for (key, fields) in [
            ("cli_inband_f8377302", "CliInband { cmd: \"create loopback interface\" }"),
            ("memif_delete_f9e6675e", ""),
            ("sockclnt_create_455fb9c4", ""),
        ] {
            assert!(!asked(key, fields).only_asks(), "{key}");
        }
        assert!(command_only_asks("show memif") && !command_only_asks("create bridge-domain 1"));
    }
}
