//! The text of a recording: a line for each message, so that a change of the engine shows as a change of lines. Pure.
//!
//! ```text
//! version 26.06-release
//! recorded 2026-01-31
//! > KEY FIELDS          the engine asked
//! <3 KEY BYTES # FIELDS VPP answered; its third message that is not like one before
//! <3                    VPP answered that again
//! !4 KEY BYTES # FIELDS VPP said by itself
//! $ COMMAND             VPP's command line was given a command
//! | LINE                which printed this
//! = settled             or killed, or started: what the scenario did
//! ```
//!
//! `KEY` is a message's name with its checksum. `BYTES` are in hexadecimal, where `(12)` stands for twelve zeros.

use std::collections::HashMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use super::entry::{Asked, Entry, Recording, Said};

/// What a recording begins with.
const HEADING: &str = "# What the engine and a real VPP said to each other, written down by `make vpp-record`: \
    record anew instead of\n# changing it. CONTRIBUTING.md says how; tests/kit/src/vpp_script/format.rs is the \
    format.\n";

/// Zeros that are written as their number, at least.
const ZEROS: usize = 4;

/// The text of a recording.
pub(super) fn write(recording: &Recording) -> String {
    let Recording { version, day, entries } = recording;
    let mut text = format!("{HEADING}version {version}\nrecorded {day}\n");
    let mut numbers = HashMap::new();
    for entry in entries {
        match entry {
            Entry::Asked(Asked { key, fields }, answers) => {
                line(&mut text, &format!("> {key} {fields}"));
                for answer in answers {
                    said(&mut text, '<', answer, &mut numbers);
                }
            }
            Entry::Event(event) => said(&mut text, '!', event, &mut numbers),
            Entry::Command(command, printed) => {
                line(&mut text, &format!("$ {command}"));
                // `lines` would take a carriage return at the end of a line away.
                let lines = if printed.is_empty() { None } else { Some(printed.split('\n')) };
                for printed in lines.into_iter().flatten() {
                    line(&mut text, &format!("| {}", escaped(printed)));
                }
            }
            Entry::Settled => line(&mut text, "= settled"),
            Entry::Killed => line(&mut text, "= killed"),
            Entry::Started => line(&mut text, "= started"),
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn said<'a>(text: &mut String, mark: char, said: &'a Said, numbers: &mut HashMap<&'a Said, usize>) {
    let next = numbers.len() + 1;
    let number = *numbers.entry(said).or_insert(next);
    if number < next {
        return line(text, &format!("{mark}{number}"));
    }
    let Said { key, bytes, fields } = said;
    line(text, &format!("{mark}{number} {key} {} # {fields}", hexadecimal(bytes)));
}

/// The recording in a text.
pub(super) fn read(text: &str) -> Result<Recording> {
    let mut recording =
        Recording { version: String::new(), day: String::new(), entries: Vec::new() };
    let mut known = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        read_line(line, &mut recording, &mut known)
            .with_context(|| format!("line {}: {line}", at + 1))?;
    }
    ensure!(!recording.version.is_empty(), "no line says of which version the VPP was");
    Ok(recording)
}

fn read_line(
    line: &str,
    recording: &mut Recording,
    known: &mut HashMap<String, Said>,
) -> Result<()> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let entries = &mut recording.entries;
    match word {
        "#" => {}
        "version" => rest.clone_into(&mut recording.version),
        "recorded" => rest.clone_into(&mut recording.day),
        ">" => {
            let (key, fields) = rest.split_once(' ').unwrap_or((rest, ""));
            let asked = Asked { key: key.to_owned(), fields: fields.to_owned() };
            entries.push(Entry::Asked(asked, Vec::new()));
        }
        "$" => entries.push(Entry::Command(rest.to_owned(), String::new())),
        "|" => {
            let Some(Entry::Command(_, printed)) = entries.last_mut() else {
                bail!("no command is before it");
            };
            if !printed.is_empty() {
                printed.push('\n');
            }
            printed.push_str(&unescaped(rest)?);
        }
        "=" => entries.push(match rest {
            "settled" => Entry::Settled,
            "killed" => Entry::Killed,
            "started" => Entry::Started,
            _ => bail!("a scenario does no such thing"),
        }),
        _ => match word.split_at_checked(1) {
            Some((mark @ ("<" | "!"), number)) => {
                let said = read_said(number, rest, known)?;
                match (mark, entries.last_mut()) {
                    ("!", _) => entries.push(Entry::Event(said)),
                    (_, Some(Entry::Asked(_, answers))) => answers.push(said),
                    _ => bail!("no request is before it"),
                }
            }
            _ => bail!("it begins with none of > < ! $ | = #"),
        },
    }
    Ok(())
}

fn read_said(number: &str, rest: &str, known: &mut HashMap<String, Said>) -> Result<Said> {
    if rest.is_empty() {
        return known.get(number).cloned().context("no message before has this number");
    }
    let (message, fields) = rest.split_once(" # ").context("it has no ` # `")?;
    let (key, digits) = message.split_once(' ').unwrap_or((message, ""));
    let bytes = bytes(digits)?;
    let said = Said { key: key.to_owned(), bytes, fields: fields.to_owned() };
    known.insert(number.to_owned(), said.clone());
    Ok(said)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(byte) = rest.first() {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        let taken = if zeros >= ZEROS {
            let _ = write!(text, "({zeros})");
            zeros
        } else {
            let _ = write!(text, "{byte:02x}");
            1
        };
        rest = &rest[taken..];
    }
    text
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(counted) = rest.strip_prefix('(') {
            let (count, after) = counted.split_once(')').context("a number has no end")?;
            bytes.resize(bytes.len() + count.parse::<u16>()? as usize, 0);
            rest = after;
        } else {
            let (digits, after) = rest.split_at_checked(2).context("a digit is alone")?;
            bytes.push(u8::from_str_radix(digits, 16)?);
            rest = after;
        }
    }
    Ok(bytes)
}

/// Without what an editor would not show, or would take away.
fn escaped(line: &str) -> String {
    let kept = line.trim_end_matches(' ');
    let mut text = String::new();
    for letter in kept.chars() {
        if letter.is_control() || letter == '\\' {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    // Blanks at the end are `\s`.
    text.extend(std::iter::repeat_n("\\s", line.len() - kept.len()));
    text
}

fn unescaped(line: &str) -> Result<String> {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let (letter, length) = match after.as_bytes() {
            [b's', ..] => (' ', 1),
            [b't', ..] => ('\t', 1),
            [b'r', ..] => ('\r', 1),
            [b'\\', ..] => ('\\', 1),
            [b'u', b'{', ..] => {
                let end = after.find('}').context("an escape has no end")?;
                let code = u32::from_str_radix(&after[2..end], 16)?;
                (char::from_u32(code).context("an escape is no character")?, end + 1)
            }
            _ => bail!("there is no such escape"),
        };
        text.push(letter);
        rest = &after[length..];
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str, bytes: &[u8]) -> Said {
        Said { key: key.to_owned(), bytes: bytes.to_vec(), fields: "M { a: \" # \" }".to_owned() }
    }

    fn sample() -> Recording {
        let asked = |fields: &str| Asked { key: "m_0a".to_owned(), fields: fields.to_owned() };
        let answer = said("m_reply_0b", &[1, 0, 0, 0, 0, 0, 255, 0, 0]);
        let printed = "a  \n\n\u{1b}[0m\\ b\r\t".to_owned();
        Recording {
            version: "26.06-release".to_owned(),
            day: "2026-01-31".to_owned(),
            entries: vec![
                Entry::Asked(asked("M { tag: \"x\" }"), vec![answer.clone(), answer.clone()]),
                Entry::Asked(asked(""), Vec::new()),
                Entry::Settled,
                Entry::Event(said("e_0c", &[])),
                Entry::Event(answer),
                Entry::Command("show x".to_owned(), printed),
                Entry::Command("set y".to_owned(), String::new()),
                Entry::Killed,
                Entry::Started,
            ],
        }
    }

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        let text = write(&sample());
        assert_eq!(read(&text).unwrap(), sample(), "{text}");
    }

    #[test]
    fn a_message_that_comes_again_is_its_number() {
        let text = write(&sample());
        assert!(text.contains("\n<1 m_reply_0b 01(5)ff0000 # M"), "{text}");
        assert!(text.contains("\n<1\n") && text.contains("\n!1\n"), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text:?}");
    }

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() {
        for (line, why) in [
            ("<1 m_reply_0b 0 # M", "a digit is alone"),
            ("<9", "no message before"),
            ("| x", "no command"),
            ("= gone", "no such thing"),
            ("? x", "begins with none"),
            ("$ x\n| \\x", "no such escape"),
        ] {
            let text = format!("version 1\n{line}\n");
            let error = format!("{:#}", read(&text).unwrap_err());
            assert!(error.contains(why) && error.contains("line "), "{error}");
        }
        assert!(read("# empty\n").unwrap_err().to_string().contains("version"));
    }
}
