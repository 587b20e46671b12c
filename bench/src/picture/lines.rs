//! Lines through points.

use std::fmt::Write as _;

use super::axis::{Axis, Scaling};
use super::{colour, label, stroke, svg};

/// One contestant's points, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// What it is compared to is dashed.
    pub(crate) is_subject: bool,
}

/// What the picture says beside its lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) x_scaling: Scaling,
    pub(crate) y_scaling: Scaling,
    /// Places on the horizontal axis that have words of their own, instead of its figures.
    pub(crate) x_words: Vec<(f64, String)>,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 54.0;
const HEIGHT: f64 = 260.0;
const LEGEND: f64 = 18.0;

/// A picture of lines, with their names below.
pub(crate) fn lines(chart: &Chart, all: &[Line]) -> String {
    let points = || all.iter().flat_map(|it| it.points.iter());
    let x = Axis::over(points().map(|it| it.0), chart.x_scaling, LEFT, WIDTH - RIGHT);
    let y = Axis::over(points().map(|it| it.1), chart.y_scaling, TOP + HEIGHT, TOP);
    let bottom = TOP + HEIGHT;
    let mut inside = String::new();
    for (place, text) in y.ticks() {
        inside += &stroke((LEFT, place), (WIDTH - RIGHT, place), "#ddd", 1.0);
        inside += &label(LEFT - 6.0, place + 4.0, "end", &text);
    }
    let words = chart.x_words.iter().filter_map(|(at, text)| Some((x.place(*at)?, text.clone())));
    let ticks = if chart.x_words.is_empty() { x.ticks() } else { words.collect() };
    for (place, text) in ticks {
        inside += &stroke((place, TOP), (place, bottom), "#eee", 1.0);
        inside += &label(place, bottom + 16.0, "middle", &text);
    }
    inside += &label(WIDTH - RIGHT, bottom + 34.0, "end", &chart.x);
    inside += &label(LEFT, TOP - 6.0, "start", &chart.y);
    let mut legend = bottom + 52.0;
    for (number, line) in all.iter().enumerate() {
        inside += &path(number, line, &x, &y);
        inside += &stroke((LEFT, legend - 4.0), (LEFT + 24.0, legend - 4.0), colour(number), 3.0);
        inside += &label(LEFT + 32.0, legend, "start", &line.name);
        legend += LEGEND;
    }
    svg(WIDTH, legend, &chart.title, &inside)
}

fn path(number: usize, line: &Line, x: &Axis, y: &Axis) -> String {
    let place = |point: &(f64, f64)| Some((x.place(point.0)?, y.place(point.1)?));
    let places: Vec<(f64, f64)> = line.points.iter().filter_map(place).collect();
    let list: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dashes = if line.is_subject { "" } else { " stroke-dasharray=\"6 4\"" };
    let colour = colour(number);
    let mut text = format!(
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes} points=\"{}\"/>\n",
        list.join(" ")
    );
    // Marks say where something was measured; a curve of many points needs none.
    if places.len() <= 12 {
        for (x, y) in places {
            // Writing to a `String` does not fail.
            let _ =
                writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_there_with_its_points_and_its_name() {
        let chart = Chart {
            title: "Latency".to_owned(),
            x: "messages a second".to_owned(),
            y: "µs".to_owned(),
            x_scaling: Scaling::Logarithmic,
            y_scaling: Scaling::Logarithmic,
            x_words: vec![(10.0, "p90".to_owned())],
        };
        let line = |name: &str, is_subject, points: &[(f64, f64)]| Line {
            name: name.to_owned(),
            points: points.to_vec(),
            is_subject,
        };
        let all = [
            line("ours", true, &[(1.0, 2.0), (10.0, 3.0), (100.0, 50.0)]),
            line("theirs", false, &[(1.0, 0.0), (10.0, 4.0)]),
        ];
        let picture = lines(&chart, &all);
        for part in ["ours", "theirs", "messages a second", "p90", "stroke-dasharray"] {
            assert!(picture.contains(part), "{part}");
        }
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert_eq!(
            picture.matches("<circle").count(),
            4,
            "zero has no place on a logarithmic axis"
        );
    }
}
