//! Two counts beside each other. Pure.

use std::fmt::Write as _;

use super::callgrind::{Cost, Workload};

/// What became of a workload.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    before: Option<f64>,
    after: Option<f64>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Within what is allowed.
    Kept,
    Better,
    /// More instructions than allowed.
    Worse,
    /// It is new, gone, or does something else now.
    NotComparable,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    rows: Vec<Row>,
    /// Growth that is allowed: 0.02 is two in a hundred.
    allowed: f64,
}

impl Table {
    pub(super) fn of(
        before: &[(Workload, Cost)],
        after: &[(Workload, Cost)],
        allowed: f64,
    ) -> Self {
        let mut rows = Vec::new();
        for (workload, Cost(after)) in after {
            let same = before.iter().find(|(it, _)| it.name == workload.name);
            let comparable = same.filter(|(it, _)| it == workload).map(|it| it.1.0);
            let fate = match comparable.map(|before| after / before - 1.0) {
                None => Fate::NotComparable,
                Some(growth) if growth > allowed => Fate::Worse,
                Some(growth) if growth < -allowed => Fate::Better,
                Some(_) => Fate::Kept,
            };
            let before = same.map(|it| it.1.0);
            rows.push(Row { name: workload.name.clone(), before, after: Some(*after), fate });
        }
        for (workload, Cost(before)) in before {
            if !after.iter().any(|(it, _)| it.name == workload.name) {
                let (name, fate) = (workload.name.clone(), Fate::NotComparable);
                rows.push(Row { name, before: Some(*before), after: None, fate });
            }
        }
        Self { rows, allowed }
    }

    /// The workloads that got worse.
    pub(crate) fn regressions(&self) -> Vec<&str> {
        let worse = self.rows.iter().filter(|it| it.fate == Fate::Worse);
        worse.map(|it| it.name.as_str()).collect()
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::from("instructions per operation, by callgrind\n\n");
        let _ = writeln!(text, "| workload | base | head | change | |");
        let _ = writeln!(text, "|---|---|---|---|---|");
        let cell = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.1}"));
        for row in &self.rows {
            let change = row.before.zip(row.after).map(|(before, after)| after / before - 1.0);
            let change = match row.fate {
                Fate::NotComparable => "–".to_owned(),
                _ => change.map_or_else(String::new, |it| format!("{:+.2} %", it * 100.0)),
            };
            let fate = match row.fate {
                Fate::Kept => "",
                Fate::Better => "better",
                Fate::Worse => "**worse**",
                Fate::NotComparable => "not comparable: new, gone, or changed",
            };
            let (before, after) = (cell(row.before), cell(row.after));
            let _ = writeln!(text, "| {} | {before} | {after} | {change} | {fate} |", row.name);
        }
        let _ = writeln!(text, "\nallowed: {:+.1} %", self.allowed * 100.0);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[(&str, u32, f64)]) -> Vec<(Workload, Cost)> {
        let one = |&(name, version, cost): &(&str, u32, f64)| {
            (Workload { name: name.to_owned(), version, operations: 1 }, Cost(cost))
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn growth_above_what_is_allowed_is_a_regression() {
        let before = counts(&[("a", 1, 100.0), ("b", 1, 100.0), ("c", 1, 100.0), ("d", 1, 100.0)]);
        let after = counts(&[("a", 1, 101.9), ("b", 1, 102.1), ("c", 1, 90.0), ("d", 2, 500.0)]);
        let table = Table::of(&before, &after, 0.02);
        assert_eq!(table.regressions(), ["b"]);
        let text = table.render();
        assert!(text.contains("| b | 100.0 | 102.1 | +2.10 % | **worse** |"), "{text}");
        assert!(text.contains("| c | 100.0 | 90.0 | -10.00 % | better |"), "{text}");
        assert!(text.contains("| d | 100.0 | 500.0 | – | not comparable"), "{text}");
    }

    #[test]
    fn what_is_new_or_gone_is_shown_and_no_regression() {
        let table = Table::of(&counts(&[("old", 1, 5.0)]), &counts(&[("new", 1, 7.0)]), 0.02);
        assert!(table.regressions().is_empty());
        let text = table.render();
        assert!(text.contains("| new | – | 7.0 |") && text.contains("| old | 5.0 | – |"), "{text}");
    }
}
