//! Bars beside each other, each with the spread of its runs.

use std::fmt::Write as _;

use super::axis::{Axis, Scaling, short};
use super::{colour, label, stroke, svg};

/// One bar; without a figure it says why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: Result<Spread, String>,
    /// What it is compared to is paler.
    pub(crate) is_subject: bool,
}

/// The median, and where half of the runs lie, and all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) quartiles: (f64, f64),
    pub(crate) ends: (f64, f64),
}

const WIDTH: f64 = 720.0;
const NAMES: f64 = 250.0;
const RIGHT: f64 = 90.0;
const ROW: f64 = 28.0;
const TOP: f64 = 36.0;

/// A picture of bars, one below the other.
pub(crate) fn bars(title: &str, unit: &str, all: &[Bar]) -> String {
    let figures = all.iter().filter_map(|it| it.value.as_ref().ok()).map(|it| it.ends.1);
    let axis = Axis::over(figures, Scaling::Linear, NAMES, WIDTH - RIGHT);
    let bottom = TOP + ROW * count(all.len());
    let mut inside = String::new();
    for (place, text) in axis.ticks() {
        inside += &stroke((place, TOP), (place, bottom), "#ddd", 1.0);
        inside += &label(place, bottom + 16.0, "middle", &text);
    }
    inside += &label(WIDTH - RIGHT, bottom + 34.0, "end", unit);
    for (number, bar) in all.iter().enumerate() {
        inside += &row(number, bar, &axis);
    }
    svg(WIDTH, bottom + 44.0, title, &inside)
}

#[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
fn count(number: usize) -> f64 {
    number as f64
}

fn row(number: usize, bar: &Bar, axis: &Axis) -> String {
    let top = TOP + ROW * count(number);
    let middle = top + ROW / 2.0;
    let mut text = label(NAMES - 8.0, middle + 4.0, "end", &bar.name);
    let spread = match &bar.value {
        Ok(spread) => spread,
        Err(why) => return text + &label(NAMES + 6.0, middle + 4.0, "start", why),
    };
    let at = |figure| axis.place(figure).unwrap_or(NAMES);
    let opacity = if bar.is_subject { 1.0 } else { 0.55 };
    // Writing to a `String` does not fail.
    let _ = writeln!(
        text,
        "<rect x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" \
         fill-opacity=\"{opacity}\"/>",
        top + 5.0,
        at(spread.median) - NAMES,
        ROW - 10.0,
        colour(number),
    );
    let (q1, q3) = (at(spread.quartiles.0), at(spread.quartiles.1));
    text += &stroke((at(spread.ends.0), middle), (at(spread.ends.1), middle), "#000", 1.0);
    text += &stroke((q1, middle), (q3, middle), "#000", 4.0);
    text + &label(at(spread.ends.1) + 6.0, middle + 4.0, "start", &short_figure(spread.median))
}

/// Three digits.
fn short_figure(figure: f64) -> String {
    if figure >= 1000.0 { short(figure.round()) } else { crate::figure::figure(figure) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_is_there_with_its_figure_or_its_reason() {
        let spread = Spread { median: 12.34, quartiles: (12.0, 13.0), ends: (10.0, 15.0) };
        let all = [
            Bar { name: "ours <1>".to_owned(), value: Ok(spread), is_subject: true },
            Bar { name: "theirs".to_owned(), value: Err("absent".to_owned()), is_subject: false },
        ];
        let picture = bars("Speed & more", "Mpps", &all);
        for part in ["ours &lt;1&gt;", "12.3", "absent", "Speed &amp; more", "Mpps"] {
            assert!(picture.contains(part), "{part}");
        }
        assert_eq!(picture.matches("<rect").count(), 2, "the ground and one bar");
    }
}
