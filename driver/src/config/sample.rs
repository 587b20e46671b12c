//! A configuration file that explains every option and changes none. Pure.

use std::fmt::Write as _;

use super::definitions::{Definition, definitions};

/// Longest line of an explanation, in characters.
const WIDTH: usize = 96;

const HEAD: &str = "\
# The options of `dockervpp serve`. Each line without a space behind its `#` is an option with its
# default: take the `#` away and change the value. The command line comes before this file.
#
# `dockervpp config check` says whether the file can be used, `dockervpp config show` what is in
# effect and why. The agent reads it when it starts.
";

/// The file.
pub fn sample() -> String {
    let mut text = HEAD.to_owned();
    for definition in definitions() {
        text.push('\n');
        explain(&mut text, &sentences(&definition));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "#{} = {}", definition.key, value(&definition));
    }
    text
}

fn sentences(definition: &Definition) -> String {
    let mut text = definition.help.replace('\n', " ");
    if !text.ends_with('.') {
        text.push('.');
    }
    if !definition.possible.is_empty() && !definition.flag {
        let _ = write!(text, " One of: {}.", definition.possible.join(", "));
    }
    if let Some(variable) = &definition.variable {
        let _ = write!(text, " The variable {variable} of the environment comes before this file.");
    }
    if definition.default.is_none() && !definition.flag {
        text.push_str(" Not set by default.");
    }
    text
}

/// Adds words as comments, in lines that are not too long.
fn explain(text: &mut String, words: &str) {
    let mut length = 0;
    for word in words.split_whitespace() {
        if length > 0 && length + 1 + word.len() > WIDTH {
            text.push('\n');
            length = 0;
        }
        if length == 0 {
            text.push('#');
            length = 1;
        }
        text.push(' ');
        text.push_str(word);
        length += 1 + word.len();
    }
    text.push('\n');
}

/// The default as TOML, or the name of a value.
fn value(definition: &Definition) -> String {
    if definition.flag {
        return "false".to_owned();
    }
    match &definition.default {
        Some(number) if number.parse::<u64>().is_ok() => number.clone(),
        Some(text) => toml::Value::from(text.as_str()).to_string(),
        None => toml::Value::from(definition.value_name.as_str()).to_string(),
    }
}
