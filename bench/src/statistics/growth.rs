//! How a figure grows with the size of what is done: the statement beside each scaling curve. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Change over the whole curve that counts as none.
const FLAT: f64 = 0.2;
/// Share of the change that a shape must explain to be named.
const EXPLAINED: f64 = 0.9;
/// A step between neighbours that is this many times what the fitted shape has there is a cliff.
const CLIFF: f64 = 2.0;

/// The shape of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Growth {
    /// Within a fifth over the whole curve.
    Flat,
    /// With the logarithm of the size.
    Logarithmic,
    /// With the size.
    Linear,
    /// None of these: there is a cliff, or it turns.
    Irregular,
}

impl Growth {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Logarithmic => "logarithmic",
            Self::Linear => "linear",
            Self::Irregular => "irregular: look at the curve",
        }
    }
}

/// The shape of the points, sizes (at least 1) with positive figures in the order of their sizes; `None`
/// for fewer than three.
pub(crate) fn growth(points: &[(f64, f64)]) -> Option<Growth> {
    if points.len() < 3 {
        return None;
    }
    let figures = || points.iter().map(|it| it.1);
    let (least, most) = (figures().fold(f64::MAX, f64::min), figures().fold(f64::MIN, f64::max));
    if most <= least * (1.0 + FLAT) {
        return Some(Growth::Flat);
    }
    let logarithmic = Line::fit(points.iter().map(|(x, y)| (x.ln(), *y)));
    let linear = Line::fit(points.iter().copied());
    let (shape, line, scaled): (_, _, fn(f64) -> f64) = if logarithmic.explained >= linear.explained
    {
        (Growth::Logarithmic, logarithmic, f64::ln)
    } else {
        (Growth::Linear, linear, |x| x)
    };
    let cliff = points.windows(2).any(|pair| {
        let expected = line.slope * (scaled(pair[1].0) - scaled(pair[0].0));
        let step = pair[1].1 - pair[0].1;
        step.abs() > CLIFF * expected.abs() && step.abs() > 0.5 * (most - least)
    });
    Some(if line.explained < EXPLAINED || cliff { Growth::Irregular } else { shape })
}

/// A straight line by least squares.
struct Line {
    slope: f64,
    /// The share of the variance that it explains, R².
    explained: f64,
}

impl Line {
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    fn fit(points: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let n = points.clone().count() as f64;
        let (sx, sy) = points.clone().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        let (mx, my) = (sx / n, sy / n);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points {
            xx += (x - mx) * (x - mx);
            xy += (x - mx) * (y - my);
            yy += (y - my) * (y - my);
        }
        if xx == 0.0 || yy == 0.0 {
            return Self { slope: 0.0, explained: 0.0 };
        }
        Self { slope: xy / xx, explained: xy * xy / (xx * yy) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(figure: impl Fn(f64) -> f64) -> Option<Growth> {
        let points = [1.0, 10.0, 100.0, 1000.0, 10_000.0].map(|x: f64| (x, figure(x)));
        growth(&points)
    }

    #[test]
    fn shapes_are_told_apart() {
        assert_eq!(curve(|_| 5.0), Some(Growth::Flat));
        assert_eq!(curve(|x| 5.0 + 0.1 * x.ln()), Some(Growth::Flat));
        assert_eq!(curve(|x| 5.0 + x.ln()), Some(Growth::Logarithmic));
        assert_eq!(curve(|x| 5.0 + 0.3 * x), Some(Growth::Linear));
        assert_eq!(curve(|x| 50.0 - 4.0 * x.ln()), Some(Growth::Logarithmic));
    }

    #[test]
    fn a_cliff_and_a_turn_are_not_smoothed_over() {
        assert_eq!(curve(|x| if x < 500.0 { 5.0 } else { 50.0 }), Some(Growth::Irregular));
        assert_eq!(curve(|x| if x < 50.0 { x } else { 100.0 / x }), Some(Growth::Irregular));
        assert_eq!(growth(&[(1.0, 1.0), (2.0, 2.0)]), None);
    }
}
