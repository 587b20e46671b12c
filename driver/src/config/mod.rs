//! The options of `dockervpp serve`, wherever they were given: the command line comes first, then the
//! environment (where an option has a variable), then the configuration file, then the default.
//!
//! * `definitions`: what options there are, read from the command line's own definition, so that file,
//!   sample and `--help` cannot disagree.
//! * `file`: the text of a file to values; pure.
//! * `sample`: a file that explains every option; pure.
//!
//! Nothing of a file with a mistake in it is used.

mod definitions;
mod file;
mod sample;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};
use miette::Diagnostic;
use serde::Serialize;

use crate::cli::ServeArgs;
use definitions::{definitions, serve_command};

pub use file::{Entry, Problem};
pub use sample::sample;

/// Options with their values, and where each comes from.
#[derive(Debug)]
pub struct Effective {
    /// What `serve` is told.
    pub arguments: ServeArgs,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// Every option, in the order of `--help`.
    pub settings: Vec<Setting>,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name, without dashes in front.
    pub key: String,
    /// Its value; `None` when it has none.
    pub value: Option<String>,
    /// Who says so.
    pub source: Source,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// The command line.
    CommandLine,
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The configuration file.
    File {
        /// The line in it.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment { variable } => write!(f, "environment ({variable})"),
            Self::File { line } => write!(f, "file, line {line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    #[diagnostic(
        code(dockervpp::config::read),
        help("name another file with --config; without --config the agent starts without a file")
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file has mistakes.
    #[error("{} cannot be used:{}", path.display(), listed(problems))]
    #[diagnostic(
        code(dockervpp::config::invalid),
        help(
            "`dockervpp config check` looks at a file without starting anything, `dockervpp config sample` prints one that explains every option"
        )
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problems: Vec<Problem>,
    },
    /// Each option is fine but they do not go together.
    #[error("the options do not go together: {0}")]
    #[diagnostic(code(dockervpp::config::together))]
    Together(String),
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |text, problem| text + "\n  " + &problem.to_string())
}

/// Reads and checks a file.
pub fn read(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let invalid = |problems| ConfigError::Invalid { path: path.to_owned(), problems };
    file::parse(&text, &definitions()).map_err(invalid)
}

/// As [`read`], of a file that need not be there.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<Entry>>, ConfigError> {
    match read(path) {
        Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// What the options amount to. `matches` are those of a command that has the options of `serve`.
///
/// The file is the one that `--config` names, which must exist, or the default one if it does.
pub fn effective(matches: &ArgMatches) -> Result<Effective, ConfigError> {
    let path = matches.get_one::<PathBuf>("config").expect("the option has a default");
    let entries = match matches.value_source("config") {
        Some(ValueSource::DefaultValue) => read_if_there(path)?,
        _ => Some(read(path)?),
    };
    let file = entries.is_some().then(|| path.clone());
    together(matches, &entries.unwrap_or_default(), file)
}

/// Puts both sources in one command line, the file's values only where nobody else gave one.
fn together(
    matches: &ArgMatches,
    entries: &[Entry],
    file: Option<PathBuf>,
) -> Result<Effective, ConfigError> {
    let definitions = definitions();
    let mut line = vec![OsString::from("serve")];
    let mut sources = Vec::new();
    for definition in &definitions {
        let source = match matches.value_source(&definition.id) {
            Some(ValueSource::CommandLine) => {
                line.extend(definition.as_given(matches));
                Source::CommandLine
            }
            Some(ValueSource::EnvVariable) => {
                Source::Environment { variable: definition.variable.clone().unwrap_or_default() }
            }
            _ => match entries.iter().find(|entry| entry.key == definition.key) {
                Some(entry) => {
                    line.extend(entry.arguments.iter().map(OsString::from));
                    Source::File { line: entry.line }
                }
                None => Source::Default,
            },
        };
        sources.push(source);
    }
    let refused = |error: clap::Error| ConfigError::Together(file::reason(&error));
    let all = serve_command().try_get_matches_from(line).map_err(refused)?;
    let settings = definitions.iter().zip(sources).map(|(definition, source)| Setting {
        key: definition.key.clone(),
        value: definition.value(&all),
        source,
    });
    let settings = settings.collect();
    let arguments = ServeArgs::from_arg_matches(&all).map_err(refused)?;
    Ok(Effective { arguments, file, settings })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::{Cli, EngineKind};

    /// What `serve` with these arguments and a file with this text amounts to.
    fn with_file(line: &[&str], text: &str) -> Result<Effective, Vec<Problem>> {
        let all = Cli::command().get_matches_from([&["dockervpp", "serve"], line].concat());
        let entries = file::parse(text, &definitions())?;
        let matches = all.subcommand_matches("serve").unwrap();
        Ok(together(matches, &entries, Some("/etc/x".into())).unwrap())
    }

    fn source(effective: &Effective, key: &str) -> Source {
        effective.settings.iter().find(|setting| setting.key == key).unwrap().source.clone()
    }

    #[test]
    fn the_command_line_beats_the_file_and_the_file_beats_the_default() {
        let text = "workers = 3\nengine = \"vpp\"\n";
        let effective = with_file(&["--workers", "5"], text).unwrap();
        assert_eq!(effective.arguments.workers, 5);
        assert_eq!(effective.arguments.engine, EngineKind::Vpp);
        assert_eq!(effective.arguments.spin_microseconds, 50);
        assert_eq!(source(&effective, "workers"), Source::CommandLine);
        assert_eq!(source(&effective, "engine"), Source::File { line: 2 });
        assert_eq!(source(&effective, "spin-microseconds"), Source::Default);
    }

    #[test]
    fn values_that_look_like_options_stay_values() {
        let effective = with_file(&[], "vpp-outside = \"--workers\"").unwrap();
        assert_eq!(effective.arguments.vpp_outside.as_deref(), Some("--workers"));
    }

    #[test]
    fn the_sample_is_a_file_that_changes_nothing() {
        let text = sample();
        let nothing = with_file(&[], &text).unwrap();
        assert!(nothing.settings.iter().all(|it| !matches!(it.source, Source::File { .. })));
        // Each line that is commented out is the default itself, or an example of what has none.
        let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
        let settings = lines.filter(|line| !line.starts_with(' ') && line.contains(" = "));
        let mut seen = Vec::new();
        for line in settings {
            let effective =
                with_file(&[], line).unwrap_or_else(|error| panic!("{line}: {error:?}"));
            let from_file = |it: &&Setting| matches!(it.source, Source::File { .. });
            let set = effective.settings.iter().find(from_file).unwrap();
            let former = nothing.settings.iter().find(|it| it.key == set.key).unwrap();
            if former.value.is_some() {
                assert_eq!(set.value, former.value, "{line}");
            }
            seen.push(set.key.clone());
        }
        let all: Vec<_> = nothing.settings.iter().map(|setting| setting.key.clone()).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn the_sample_of_the_package_is_that_of_the_program() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/config.toml");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            sample(),
            "write it anew: dockervpp config sample >packaging/config.toml"
        );
    }
}
