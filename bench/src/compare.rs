//! Two results beside each other: what changed from one to the other, and whether that is more than how
//! runs vary.

use std::fmt::Write as _;

use crate::figure::figure;
use crate::result::{ContestantResult, Results};
use crate::statistics::unpaired_ratio_interval;

/// One contestant in both.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    benchmark: String,
    contestant: String,
    unit: String,
    before: f64,
    after: f64,
    /// After over before, with its interval in words.
    interval: String,
    judgement: &'static str,
}

/// What is in both, in the order of the second.
pub(crate) fn changes(before: &Results, after: &Results) -> Vec<Change> {
    let mut changes = Vec::new();
    for benchmark in &after.benchmarks {
        let Some(earlier) = before.benchmark(&benchmark.name) else { continue };
        for contestant in &benchmark.contestants {
            let Some(then) = earlier.contestant(&contestant.name) else { continue };
            let better = benchmark.metric.more_is_better();
            let change = change(then, contestant, better, after);
            changes.extend(change.map(|it| Change {
                benchmark: benchmark.name.clone(),
                unit: benchmark.unit.clone(),
                ..it
            }));
        }
    }
    changes
}

fn change(
    then: &ContestantResult,
    now: &ContestantResult,
    more_is_better: bool,
    results: &Results,
) -> Option<Change> {
    let values = |it: &ContestantResult| -> Vec<f64> {
        it.outcome.samples().iter().map(|it| it.value).collect()
    };
    let before = then.outcome.summary()?.median;
    let after = now.outcome.summary()?.median;
    let interval = unpaired_ratio_interval(&values(now), &values(then), &results.method.intervals);
    let judgement = match interval {
        None => "too few runs to tell",
        Some(it) if it.low <= 1.0 && 1.0 <= it.high => "no difference to be seen",
        Some(it) if (it.low > 1.0) == more_is_better => "better",
        Some(_) => "worse",
    };
    let interval = interval
        .map_or_else(|| "–".to_owned(), |it| format!("{} – {}", figure(it.low), figure(it.high)));
    Some(Change {
        benchmark: String::new(),
        contestant: now.name.clone(),
        unit: String::new(),
        before,
        after,
        interval,
        judgement,
    })
}

/// As a Markdown table, with what makes the two hard to compare above it.
pub(crate) fn render(before: &Results, after: &Results) -> String {
    let mut text = String::new();
    let (a, b) = (&before.machine, &after.machine);
    let facts = [
        ("the CPU", a.cpu == b.cpu),
        ("the kernel", a.kernel == b.kernel),
        ("the method", before.method == after.method),
    ];
    for (what, _) in facts.iter().filter(|it| !it.1) {
        let _ =
            writeln!(text, "warning: {what} was another: figures are not comparable as they are\n");
    }
    let _ = writeln!(text, "| benchmark | contestant | before | after | after / before | |");
    let _ = writeln!(text, "|---|---|---|---|---|---|");
    for it in changes(before, after) {
        let _ = writeln!(
            text,
            "| {} | {} | {} {} | {} {} | {} ({}) | {} |",
            it.benchmark,
            it.contestant,
            figure(it.before),
            it.unit,
            figure(it.after),
            it.unit,
            figure(it.after / it.before),
            it.interval,
            it.judgement
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::result::Outcome;

    #[test]
    fn the_same_is_no_difference_and_slower_is_worse() {
        let before = fixture::results();
        let same = changes(&before, &before);
        assert_eq!(same.len(), 4, "two measured contestants at two points");
        assert!(same.iter().all(|it| it.judgement == "no difference to be seen"));
        let mut after = before.clone();
        for contestant in &mut after.benchmarks[0].contestants {
            if let Outcome::Measured { samples, summary, .. } = &mut contestant.outcome {
                for sample in samples.iter_mut() {
                    sample.value *= 2.0;
                }
                summary.median *= 2.0;
            }
        }
        let changed = changes(&before, &after);
        assert_eq!(changed[0].judgement, "worse", "it is in nanoseconds");
        assert!((changed[0].after / changed[0].before - 2.0).abs() < 1e-9);
        assert!(render(&before, &after).contains("| worse |"));
    }

    #[test]
    fn another_machine_is_said() {
        let before = fixture::results();
        let mut after = before.clone();
        after.machine.kernel.push('x');
        assert!(render(&before, &after).starts_with("warning: the kernel was another"));
    }
}
