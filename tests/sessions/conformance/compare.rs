//! Two records, line by line.

use std::fmt::Write as _;

use super::differences::Difference;
use super::record::Record;

/// What shows for a line that is missing.
const MISSING: &str = "(nothing)";

/// What the comparison of two records found.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Lines that differ and may not, for people.
    pub(crate) unexpected: String,
    /// How many those are.
    pub(crate) count: usize,
    /// Lines that are alike.
    pub(crate) alike: usize,
    /// Which of the differences that may be were met.
    pub(crate) met: Vec<bool>,
}

/// Compares what the kernel answered with what sessions did, which may differ in these ways.
pub(crate) fn compare(
    kernel: &Record,
    sessions: &Record,
    differences: &[&Difference],
) -> Comparison {
    let mut found = Comparison { met: vec![false; differences.len()], ..Comparison::default() };
    let more = sessions.order.iter().filter(|it| !kernel.order.contains(it));
    for case in kernel.order.iter().chain(more) {
        let none = <[Vec<String>; 2]>::default();
        let expected = kernel.lines.get(case).unwrap_or(&none);
        let got = sessions.lines.get(case).unwrap_or(&none);
        for (side, (expected, got)) in ["one", "two"].iter().zip(expected.iter().zip(got)) {
            found.side(differences, case, side, [expected, got]);
        }
    }
    found
}

impl Comparison {
    fn side(
        &mut self,
        differences: &[&Difference],
        case: &str,
        side: &str,
        [expected, got]: [&[String]; 2],
    ) {
        for at in 0..expected.len().max(got.len()) {
            let line = |all: &[String]| all.get(at).map_or(MISSING, String::as_str).to_owned();
            let (expected, got) = (line(expected), line(got));
            if expected == got {
                self.alike += 1;
                continue;
            }
            if let Some(which) = differences.iter().position(|it| it.allows(case, &expected, &got))
            {
                self.met[which] = true;
                continue;
            }
            self.count += 1;
            let _ = write!(
                self.unexpected,
                "{case}, side {side}, line {}:\n    kernel:   {expected}\n    sessions: {got}\n",
                at + 1
            );
        }
    }
}

impl Difference {
    /// Whether it is this one. A case stands for all kinds of addresses.
    fn allows(&self, case: &str, kernel: &str, sessions: &str) -> bool {
        let name = case.split('/').next().unwrap_or_default();
        let allowed = |(a, b): &(&str, &str)| is(a, kernel) && is(b, sessions);
        self.cases.contains(&name) && self.lines.iter().any(allowed)
    }
}

/// Whether a line is the one that a pattern, perhaps with a star at its end, describes.
fn is(pattern: &str, line: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => line.starts_with(start),
        None => line == pattern,
    }
}
