//! `dockervpp config`: is a file right, what is in effect, and what could be in one.

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use miette::IntoDiagnostic;
use serde_json::json;

use super::output::print;
use crate::cli::{ConfigArgs, ConfigCheckArgs, ConfigVerb};
use crate::config::{self, ConfigError, Effective};
use crate::table::{Align, Table};

/// Runs the command. `matches` are those of `config`.
pub fn run(arguments: &ConfigArgs, matches: &ArgMatches) -> miette::Result<ExitCode> {
    match &arguments.verb {
        ConfigVerb::Check(arguments) => check(arguments),
        ConfigVerb::Show(arguments) => {
            let matches = matches.subcommand_matches("show").expect("`show` was parsed");
            let effective = config::effective(matches)?;
            print(&if arguments.json {
                json_text(&shown(&effective))?
            } else {
                table(&effective)
            })?;
            Ok(ExitCode::SUCCESS)
        }
        ConfigVerb::Sample => {
            print(&config::sample())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(arguments: &ConfigCheckArgs) -> miette::Result<ExitCode> {
    let path = &arguments.path;
    if !arguments.json {
        let entries = config::read(path)?;
        print(&format!("{}: {} options set, no mistakes\n", path.display(), entries.len()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (report, code) = report(path);
    print(&json_text(&report)?)?;
    Ok(code)
}

/// The same for programs: a mistake is an answer too.
fn report(path: &Path) -> (serde_json::Value, ExitCode) {
    match config::read(path) {
        Ok(entries) => {
            let keys: Vec<_> = entries.iter().map(|entry| &entry.key).collect();
            (json!({ "file": path, "valid": true, "problems": [], "set": keys }), ExitCode::SUCCESS)
        }
        Err(ConfigError::Invalid { problems, .. }) => {
            (json!({ "file": path, "valid": false, "problems": problems }), ExitCode::FAILURE)
        }
        Err(error) => {
            let problem = match &error {
                ConfigError::Read { source, .. } => format!("{error}: {source}"),
                _ => error.to_string(),
            };
            let problems = [json!({ "line": null, "key": null, "problem": problem })];
            (json!({ "file": path, "valid": false, "problems": problems }), ExitCode::FAILURE)
        }
    }
}

fn shown(effective: &Effective) -> serde_json::Value {
    json!({ "file": effective.file, "settings": effective.settings })
}

fn json_text(value: &serde_json::Value) -> miette::Result<String> {
    let mut text = serde_json::to_string_pretty(value).into_diagnostic()?;
    text.push('\n');
    Ok(text)
}

fn table(effective: &Effective) -> String {
    let columns = [("OPTION", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)];
    let mut table = Table::new(&columns);
    for setting in &effective.settings {
        let value = setting.value.clone().unwrap_or_default();
        table.row([setting.key.clone(), value, setting.source.to_string()]);
    }
    let file = match &effective.file {
        Some(path) => format!("file: {}\n\n", path.display()),
        None => "file: none\n\n".to_owned(),
    };
    format!("{file}{table}")
}
