//! How many times better than something else, one bar for each comparison.

use std::fmt::Write as _;

use super::axis::{Axis, Scaling};
use super::{colour, label, stroke, svg};
use crate::figure::figure;

/// One comparison; all figures are factors, of which more is better.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factor {
    /// What is compared.
    pub(crate) name: String,
    /// To what.
    pub(crate) peer: String,
    pub(crate) value: f64,
    /// Where it lies with the method's confidence.
    pub(crate) interval: Option<(f64, f64)>,
    /// What was promised.
    pub(crate) target: Option<f64>,
    /// Whether that is kept for certain.
    pub(crate) holds: bool,
}

const NAMES: f64 = 340.0;
const BARS: f64 = 320.0;
const WIDTH: f64 = NAMES + BARS + 300.0;
const ROW: f64 = 24.0;
const TOP: f64 = 40.0;

/// A picture of factors over a logarithmic axis, with a line where both are the same and a mark at each target.
pub(crate) fn factors(title: &str, all: &[Factor]) -> String {
    let ends = |it: &Factor| {
        let (low, high) = it.interval.unwrap_or((it.value, it.value));
        [Some(low), Some(high), it.target]
    };
    let figures = all.iter().flat_map(ends).flatten().chain([1.0]);
    let axis = Axis::over(figures, Scaling::Logarithmic, NAMES, NAMES + BARS);
    #[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
    let top = |number: usize| TOP + ROW * number as f64;
    let bottom = top(all.len());
    let mut inside = String::new();
    for (place, text) in axis.ticks() {
        inside += &stroke((place, TOP), (place, bottom), "#ddd", 1.0);
        inside += &label(place, bottom + 16.0, "middle", &format!("{text} ×"));
    }
    let same = axis.place(1.0).unwrap_or(NAMES);
    for (number, factor) in all.iter().enumerate() {
        inside += &row(factor, top(number), same, &axis);
    }
    inside += &stroke((same, TOP), (same, bottom), "#000", 1.0);
    inside += &label(
        NAMES,
        bottom + 34.0,
        "start",
        "thick lines: 95 % intervals; upright marks: targets; orange: missed or undecided",
    );
    svg(WIDTH, bottom + 44.0, title, &inside)
}

fn row(factor: &Factor, top: f64, same: f64, axis: &Axis) -> String {
    let middle = top + ROW / 2.0;
    let at = |figure| axis.place(figure).unwrap_or(same);
    let end = at(factor.value);
    let (from, to) = (end.min(same), end.max(same));
    let fill = if factor.target.is_none() || factor.holds { colour(0) } else { "#dd8833" };
    let mut text = label(NAMES - 8.0, middle + 4.0, "end", &factor.name);
    // Writing to a `String` does not fail.
    let _ = writeln!(
        text,
        "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\"/>",
        top + 4.0,
        to - from,
        ROW - 8.0,
    );
    let mut right = to;
    if let Some((low, high)) = factor.interval {
        text += &stroke((at(low), middle), (at(high), middle), "#000", 4.0);
        right = right.max(at(high));
    }
    if let Some(target) = factor.target.map(at) {
        text += &stroke((target, top + 2.0), (target, top + ROW - 2.0), "#000", 2.0);
        right = right.max(target);
    }
    let words = format!("{} × {}", figure(factor.value), factor.peer);
    text + &label(right + 8.0, middle + 4.0, "start", &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_factor_is_there_and_bars_begin_where_both_are_the_same() {
        let factor = |name: &str, value, target, holds| Factor {
            name: name.to_owned(),
            peer: "the <kernel>".to_owned(),
            value,
            interval: Some((value * 0.9, value * 1.1)),
            target,
            holds,
        };
        let all = [
            factor("a", 20.0, Some(8.0), true),
            factor("b", 0.5, Some(2.0), false),
            factor("c", 3.0, None, false),
        ];
        let picture = factors("Factors", &all);
        for part in ["20.0 × the &lt;kernel&gt;", "0.500 ×", "0.1 ×", "100 ×"] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
        assert_eq!(picture.matches("#dd8833").count(), 1, "what has no target cannot miss it");
        // From 0.1 to 100 over 320 units, 1 is at a third.
        let same = format!("{:.1}", NAMES + BARS / 3.0);
        assert_eq!(picture.matches(&format!("<rect x=\"{same}\"")).count(), 2, "to the right");
    }
}
