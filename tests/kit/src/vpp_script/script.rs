//! What a recording expects next, and what it answers. Pure.

use std::collections::HashMap;
use std::fmt;

use super::entry::{Asked, Entry, Said, command_only_asks};

/// What was answered since something changed last.
#[derive(Debug, Default)]
struct Answered(HashMap<Asked, Vec<Said>>);

impl Answered {
    /// Follows what happened.
    fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Asked(asked, answers) if asked.only_asks() => {
                self.0.insert(asked.clone(), answers.clone());
            }
            Entry::Command(command, _) if command_only_asks(command) => {}
            Entry::Asked(..) | Entry::Command(..) | Entry::Killed | Entry::Started => {
                self.0.clear();
            }
            // VPP may have changed before it says so: the next answers tell.
            Entry::Event(_) | Entry::Settled => {}
        }
    }
}

/// Entries without questions that had the same answer since something changed last.
pub(super) fn without_repetitions(entries: Vec<Entry>) -> Vec<Entry> {
    let mut answered = Answered::default();
    let mut kept = Vec::new();
    for entry in entries {
        let again = matches!(&entry, Entry::Asked(asked, answers)
            if answered.0.get(asked) == Some(answers));
        if !again {
            answered.note(&entry);
            kept.push(entry);
        }
    }
    kept
}

/// A recording that is being played.
#[derive(Debug)]
pub(super) struct Script {
    entries: Vec<Entry>,
    at: usize,
    answered: Answered,
}

/// Something else happens than was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unexpected {
    /// What happens.
    what: String,
    /// What was recorded.
    expected: String,
    /// How many entries have been played.
    after: usize,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, after } = self;
        write!(
            f,
            "after {after} recorded steps\n  there was {what}\n  expected: {expected}\n  \
             If the engine or the scenario is meant to do this now, record it anew: `make vpp-record`."
        )
    }
}

impl Script {
    /// The recording from its start.
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self { entries, at: 0, answered: Answered::default() }
    }

    /// What comes next.
    pub(super) fn next(&self) -> Option<&Entry> {
        self.entries.get(self.at)
    }

    /// The answers to a request.
    pub(super) fn ask(&mut self, asked: &Asked) -> Result<Vec<Said>, Unexpected> {
        if let Some(Entry::Asked(expected, answers)) = self.next()
            && expected == asked
        {
            let answers = answers.clone();
            self.pass();
            return Ok(answers);
        }
        if let Some(answers) = self.answered.0.get(asked) {
            return Ok(answers.clone());
        }
        Err(self.unexpected(format!("the request {} {}", asked.key, asked.fields)))
    }

    /// The next event, if that is what comes next.
    pub(super) fn event(&mut self) -> Option<Said> {
        let Some(Entry::Event(event)) = self.next() else { return None };
        let event = event.clone();
        self.pass();
        Some(event)
    }

    /// What a command printed.
    pub(super) fn command(&mut self, command: &str) -> Result<String, Unexpected> {
        match self.next() {
            Some(Entry::Command(expected, printed)) if expected == command => {
                let printed = printed.clone();
                self.pass();
                Ok(printed)
            }
            _ => Err(self.unexpected(format!("the command `{command}`"))),
        }
    }

    /// What the scenario does beside commands.
    pub(super) fn step(&mut self, step: &Entry) -> Result<(), Unexpected> {
        if self.next() == Some(step) {
            self.pass();
            return Ok(());
        }
        Err(self.unexpected(in_words(Some(step))))
    }

    /// The end of the scenario.
    pub(super) fn end(&self) -> Result<(), Unexpected> {
        if self.next().is_none() { Ok(()) } else { Err(self.unexpected(in_words(None))) }
    }

    /// Nothing happens.
    pub(super) fn nothing(&self) -> Unexpected {
        self.unexpected("nothing more in all the time that an engine may take".to_owned())
    }

    fn pass(&mut self) {
        self.answered.note(&self.entries[self.at]);
        self.at += 1;
    }

    fn unexpected(&self, what: String) -> Unexpected {
        Unexpected { what, expected: in_words(self.next()), after: self.at }
    }
}

fn in_words(entry: Option<&Entry>) -> String {
    match entry {
        Some(Entry::Asked(Asked { key, fields }, _)) => format!("the request {key} {fields}"),
        Some(Entry::Event(said)) => format!("VPP's event {} {}", said.key, said.fields),
        Some(Entry::Command(command, _)) => format!("the command `{command}`"),
        Some(Entry::Settled) => "the scenario's waiting until all is settled".to_owned(),
        Some(Entry::Killed) => "the end of VPP".to_owned(),
        Some(Entry::Started) => "a new start of VPP".to_owned(),
        None => "the end of the scenario".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(key: &str) -> Asked {
        Asked { key: key.to_owned(), fields: String::new() }
    }

    fn said(text: &str) -> Said {
        Said { key: "x_1".to_owned(), bytes: text.into(), fields: String::new() }
    }

    fn exchange(key: &str, answer: &str) -> Entry {
        Entry::Asked(asked(key), vec![said(answer)])
    }

    fn script() -> Script {
        Script::new(vec![
            exchange("a_dump_1", "one"),
            exchange("b_dump_1", "two"),
            exchange("make_1", "made"),
            exchange("a_dump_1", "three"),
            Entry::Event(said("event")),
            exchange("a_dump_1", "four"),
            Entry::Settled,
        ])
    }

    fn ask(script: &mut Script, key: &str) -> Result<String, String> {
        let answers = script.ask(&asked(key)).map_err(|error| error.to_string())?;
        Ok(answers.iter().map(|it| String::from_utf8_lossy(&it.bytes).into_owned()).collect())
    }

    #[test]
    fn questions_may_come_again_until_something_changes() {
        let mut script = script();
        for (key, answer) in [
            ("a_dump_1", "one"),
            ("a_dump_1", "one"),
            ("b_dump_1", "two"),
            ("a_dump_1", "one"),
            ("make_1", "made"),
            ("a_dump_1", "three"),
        ] {
            assert_eq!(ask(&mut script, key).unwrap(), answer);
        }
        assert!(ask(&mut script, "b_dump_1").unwrap_err().contains("the request b_dump_1"));
        assert_eq!(script.event(), Some(said("event")));
        assert_eq!(ask(&mut script, "a_dump_1").unwrap(), "four");
        assert_eq!(ask(&mut script, "a_dump_1").unwrap(), "four");
        script.step(&Entry::Settled).unwrap();
        script.end().unwrap();
    }

    #[test]
    fn what_changes_something_comes_once_in_its_place_and_is_not_left_out() {
        let mut early = script();
        let error = ask(&mut early, "make_1").unwrap_err();
        assert!(error.contains("there was the request make_1"), "{error}");
        assert!(error.contains("expected: the request a_dump_1"), "{error}");
        let mut twice = script();
        for key in ["a_dump_1", "b_dump_1", "make_1"] {
            ask(&mut twice, key).unwrap();
        }
        assert!(ask(&mut twice, "make_1").is_err());
        assert!(twice.end().is_err() && twice.step(&Entry::Killed).is_err());
        assert!(twice.command("show x").unwrap_err().to_string().contains("`show x`"));
    }

    #[test]
    fn a_request_with_other_fields_is_another() {
        let mut script = script();
        let other = Asked { fields: "M { x: 1 }".to_owned(), ..asked("a_dump_1") };
        assert!(script.ask(&other).is_err());
    }

    #[test]
    fn a_recording_has_no_question_twice_with_the_same_answer() {
        let repeated = vec![
            exchange("a_dump_1", "one"),
            exchange("a_dump_1", "one"),
            exchange("make_1", "made"),
            exchange("make_1", "made"),
            exchange("a_dump_1", "one"),
            Entry::Settled,
            Entry::Command("show x".to_owned(), String::new()),
            exchange("a_dump_1", "one"),
            Entry::Command("set x".to_owned(), String::new()),
            exchange("a_dump_1", "one"),
            exchange("a_dump_1", "two"),
        ];
        let mut expected = repeated.clone();
        expected.remove(7);
        expected.remove(1);
        assert_eq!(without_repetitions(repeated), expected);
    }
}
