//! The options that a file may have, as the command line defines them.

use std::ffi::OsString;

use clap::{ArgAction, ArgMatches, Args, Command};

use crate::cli::ServeArgs;

/// Options of the command line that make no sense in a file.
const COMMAND_LINE_ONLY: [&str; 2] = ["config", "help"];

/// One option.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// The name by which clap knows it.
    pub(super) id: String,
    /// Its name, without dashes in front.
    pub(super) key: String,
    /// What it does.
    pub(super) help: String,
    /// What a value is called.
    pub(super) value_name: String,
    /// All values, where they can be listed.
    pub(super) possible: Vec<String>,
    /// The value without anybody's word.
    pub(super) default: Option<String>,
    /// The variable of the environment that gives it.
    pub(super) variable: Option<String>,
    /// It is there or not, and has no value.
    pub(super) flag: bool,
    /// It may be given several times.
    pub(super) repeats: bool,
}

/// A command that has the options of `serve` and nothing else.
pub(super) fn serve_command() -> Command {
    ServeArgs::augment_args(Command::new("serve").no_binary_name(false))
}

/// Every option that a file may have, in the order of `--help`.
pub(super) fn definitions() -> Vec<Definition> {
    let command = serve_command();
    let arguments = command.get_arguments();
    let allowed = arguments.filter(|it| !COMMAND_LINE_ONLY.contains(&it.get_id().as_str()));
    allowed.filter_map(definition).collect()
}

fn definition(argument: &clap::Arg) -> Option<Definition> {
    let text = |it: Option<&clap::builder::StyledStr>| it.map(ToString::to_string);
    let possible = argument.get_possible_values();
    let visible = possible.iter().filter(|value| !value.is_hide_set());
    let default = argument.get_default_values().first();
    Some(Definition {
        id: argument.get_id().to_string(),
        key: argument.get_long()?.to_owned(),
        help: text(argument.get_long_help()).or_else(|| text(argument.get_help()))?,
        value_name: argument
            .get_value_names()
            .and_then(<[_]>::first)
            .map(ToString::to_string)
            .unwrap_or_default(),
        possible: visible.map(|value| value.get_name().to_owned()).collect(),
        default: default.map(|value| value.to_string_lossy().into_owned()),
        variable: argument.get_env().map(|name| name.to_string_lossy().into_owned()),
        flag: matches!(argument.get_action(), ArgAction::SetTrue),
        repeats: matches!(argument.get_action(), ArgAction::Append),
    })
}

impl Definition {
    /// The arguments by which a command line gives these values.
    pub(super) fn arguments(&self, values: &[String]) -> Vec<String> {
        if self.flag {
            return vec![format!("--{}", self.key)];
        }
        values.iter().map(|value| format!("--{}={value}", self.key)).collect()
    }

    /// The arguments that gave it to `matches`.
    pub(super) fn as_given(&self, matches: &ArgMatches) -> Vec<OsString> {
        let Some(values) = matches.get_raw(&self.id) else { return Vec::new() };
        if self.flag {
            return vec![format!("--{}", self.key).into()];
        }
        let argument = |value: &std::ffi::OsStr| {
            let mut argument = OsString::from(format!("--{}=", self.key));
            argument.push(value);
            argument
        };
        values.map(argument).collect()
    }

    /// Its value as text.
    pub(super) fn value(&self, matches: &ArgMatches) -> Option<String> {
        let values = matches.get_raw(&self.id)?.map(|value| value.to_string_lossy().into_owned());
        Some(values.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_serve_is_defined() {
        let command = serve_command();
        let longs = command.get_arguments().filter_map(clap::Arg::get_long);
        let expected: Vec<_> = longs.filter(|it| !COMMAND_LINE_ONLY.contains(it)).collect();
        let defined = definitions();
        let keys: Vec<_> = defined.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys, expected);
        assert!(keys.contains(&"engine") && !keys.contains(&"config"));
    }
}
