//! The text of a configuration file: TOML, one key for each option of `serve`. Pure.
//!
//! Every value is judged by the command line's own rules. All mistakes are reported, not only the first.

use std::error::Error as _;
use std::fmt;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::definitions::{Definition, serve_command};
use crate::nearest::nearest;

/// An option that the file gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The option.
    pub key: String,
    /// Its line, from 1.
    pub line: usize,
    /// The same as arguments of the command line.
    #[serde(skip)]
    pub arguments: Vec<String>,
}

/// A mistake in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its line, from 1.
    pub line: usize,
    /// The key that it is about, unless it is no key at all.
    pub key: Option<String>,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// Reads a file, or says everything that is wrong with it.
pub(super) fn parse(text: &str, definitions: &[Definition]) -> Result<Vec<Entry>, Vec<Problem>> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        vec![Problem { line, key: None, problem: format!("not TOML: {}", error.message()) }]
    })?;
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (key, value) in table.get_ref() {
        let line = line_of(text, key.span().start);
        match entry(key.get_ref(), value.get_ref(), definitions) {
            Ok(arguments) => {
                entries.push(Entry { key: key.get_ref().to_string(), line, arguments });
            }
            Err(problem) => {
                problems.push(Problem { line, key: Some(key.get_ref().to_string()), problem });
            }
        }
    }
    entries.sort_by_key(|entry| entry.line);
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The arguments that stand for a key and its value.
fn entry(
    key: &str,
    value: &DeValue<'_>,
    definitions: &[Definition],
) -> Result<Vec<String>, String> {
    let Some(definition) = definitions.iter().find(|it| it.key == key) else {
        return Err(unknown(key, definitions));
    };
    let values = match value {
        DeValue::Boolean(false) if definition.flag => return Ok(Vec::new()),
        DeValue::Boolean(true) if definition.flag => Vec::new(),
        _ if definition.flag => return Err(format!("`{key}` must be true or false")),
        DeValue::Array(list) if definition.repeats => {
            let texts = list.iter().map(|value| scalar(key, value.get_ref()));
            texts.collect::<Result<_, _>>()?
        }
        other => vec![scalar(key, other)?],
    };
    let arguments = definition.arguments(&values);
    let line = std::iter::once("serve").chain(arguments.iter().map(String::as_str));
    match serve_command().try_get_matches_from(line) {
        Ok(_) => Ok(arguments),
        Err(error) => Err(format!("`{key}`: {}", reason(&error))),
    }
}

fn unknown(key: &str, definitions: &[Definition]) -> String {
    if key == "config" {
        return "`config` names this file: it stands on the command line only".to_owned();
    }
    let known = definitions.iter().map(|it| it.key.as_str());
    match nearest(key, known.clone()) {
        Some(near) => format!("unknown option `{key}` (did you mean `{near}`?)"),
        None => {
            format!("unknown option `{key}`; known are {}", known.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A single value as the command line would have it.
fn scalar(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    let what = match value {
        DeValue::String(text) => return Ok(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            return parsed
                .map(|number| number.to_string())
                .map_err(|_| format!("`{key}`: the number is too large"));
        }
        DeValue::Float(number) => return Ok(number.as_str().to_owned()),
        DeValue::Boolean(value) => return Ok(value.to_string()),
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Err(format!("`{key}` is {what}; it must be a string in quotes or a number"))
}

/// Why clap refused, on one line and without dashes in front of names that have none in a file.
pub(super) fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        let value = context(error, ContextKind::InvalidValue);
        return value.map_or_else(|| source.to_string(), |value| format!("`{value}`: {source}"));
    }
    if error.kind() == ErrorKind::InvalidValue
        && let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue)
    {
        let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
        return format!("`{value}` is none of {}", valid.join(", "));
    }
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    first.trim_start_matches("error: ").to_owned()
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::definitions::definitions;
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = parse(text, &definitions()).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_mistakes_are_told_with_line_and_remedy() {
        let text = "# a comment\nworker = 2\nengine = \"vp\"\nworkers = 0\ncollect-every = \"x\"\n\
                    log = 2001-01-01\nconfig = \"/x\"\n[table]\na = 1\n";
        let expected = [
            "line 2: unknown option `worker` (did you mean `workers`?)",
            "line 3: `engine`: `vp` is none of embedded, vpp, auto",
            "line 4: `workers`: `0`: 0 is not in 1..=256",
            "line 5: `collect-every`: `x`: `x` is not a number of seconds",
            "line 6: `log` is a date; it must be a string in quotes or a number",
            "line 7: `config` names this file: it stands on the command line only",
        ];
        let problems = problems(text);
        assert_eq!(problems[..6], expected);
        assert!(problems[6].starts_with("line 8: unknown option `table`"), "{problems:?}");
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let problems = problems("workers = 1\nengine = vpp\n");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("line 2: not TOML: "), "{problems:?}");
        assert!(parse("workers = 1\nworkers = 2\n", &definitions()).is_err());
    }

    #[test]
    fn numbers_may_be_written_in_every_way_of_toml() {
        let text = "workers = 0x10\ncollect-every = 0.5\nspin-microseconds = 1_000\n";
        let entries = parse(text, &definitions()).unwrap();
        let arguments: Vec<_> = entries.iter().flat_map(|entry| &entry.arguments).collect();
        assert_eq!(arguments, ["--workers=16", "--collect-every=0.5", "--spin-microseconds=1000"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|([a-z-]{1,12} = [0-9\"a-z\\[\\]{}._-]{0,9}\n){0,4}") {
            let _ = parse(&text, &definitions());
        }

        #[test]
        fn what_is_accepted_is_accepted_by_the_command_line(workers in any::<i64>()) {
            let parsed = parse(&format!("workers = {workers}"), &definitions());
            prop_assert_eq!(parsed.is_ok(), (1..=256).contains(&workers));
        }
    }
}
