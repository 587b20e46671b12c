//! Axes: from figures to places, and which figures to write beside them. Pure.

/// How figures are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scaling {
    /// From zero.
    Linear,
    /// By powers of ten; figures that are not positive have no place.
    Logarithmic,
}

/// An axis that has a place for all of its figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    scaling: Scaling,
    low: f64,
    high: f64,
    /// Places of `low` and `high`.
    from: f64,
    to: f64,
}

impl Axis {
    /// For these figures, between two places.
    pub(super) fn over(
        figures: impl Iterator<Item = f64>,
        scaling: Scaling,
        from: f64,
        to: f64,
    ) -> Self {
        let usable = |it: &f64| it.is_finite() && (scaling == Scaling::Linear || *it > 0.0);
        let (low, high) =
            figures.filter(usable).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| {
                (low.min(it), high.max(it))
            });
        let (low, high) = match scaling {
            Scaling::Linear => (0.0, if high > 0.0 { nice_above(high) } else { 1.0 }),
            Scaling::Logarithmic if low <= high => {
                let (down, up) = (low.log10().floor(), high.log10().ceil());
                (10_f64.powf(down), 10_f64.powf(if up > down { up } else { down + 1.0 }))
            }
            Scaling::Logarithmic => (1.0, 10.0),
        };
        Self { scaling, low, high, from, to }
    }

    /// Where a figure is; `None` when it has no place.
    pub(super) fn place(&self, figure: f64) -> Option<f64> {
        let share = match self.scaling {
            Scaling::Linear => (figure - self.low) / (self.high - self.low),
            Scaling::Logarithmic if figure > 0.0 => {
                (figure / self.low).log10() / (self.high / self.low).log10()
            }
            Scaling::Logarithmic => return None,
        };
        share.is_finite().then_some(self.from + share * (self.to - self.from))
    }

    /// Figures to write, and their places.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let figures: Vec<f64> = match self.scaling {
            Scaling::Linear => (0..=4).map(|it| self.high * f64::from(it) / 4.0).collect(),
            Scaling::Logarithmic => std::iter::successors(Some(self.low), |it| Some(it * 10.0))
                .take_while(|it| *it <= self.high * 1.001)
                .collect(),
        };
        figures.into_iter().filter_map(|it| Some((self.place(it)?, short(it)))).collect()
    }
}

/// The next of 1, 2, 2.5, 4, 5, 8 or 10 times a power of ten.
fn nice_above(figure: f64) -> f64 {
    let power = 10_f64.powf(figure.log10().floor());
    let steps = [1.0, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0];
    steps.into_iter().map(|it| it * power).find(|it| *it >= figure).unwrap_or(10.0 * power)
}

/// A figure in a few letters: `250`, `12.5`, `4k`, `2M`.
pub(super) fn short(figure: f64) -> String {
    let (scaled, letter) = match figure.abs() {
        it if it >= 1e9 => (figure / 1e9, "G"),
        it if it >= 1e6 => (figure / 1e6, "M"),
        it if it >= 1e3 => (figure / 1e3, "k"),
        _ => (figure, ""),
    };
    let text = format!("{scaled:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{letter}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_are_short() {
        let texts = [0.0, 0.25, 12.5, 250.0, 4000.0, 2.5e6, 1e9].map(short);
        assert_eq!(texts, ["0", "0.25", "12.5", "250", "4k", "2.5M", "1G"]);
    }

    #[test]
    fn ends_are_round_and_nothing_is_an_axis_too() {
        let axis = Axis::over([3.0, 17.0].into_iter(), Scaling::Linear, 0.0, 100.0);
        assert_eq!(axis.place(20.0), Some(100.0));
        assert_eq!(axis.place(0.0), Some(0.0));
        let axis = Axis::over([30.0, 1700.0].into_iter(), Scaling::Logarithmic, 100.0, 0.0);
        assert_eq!(axis.place(10.0), Some(100.0));
        assert_eq!(axis.place(0.0), None);
        let texts: Vec<_> = axis.ticks().into_iter().map(|it| it.1).collect();
        assert_eq!(texts, ["10", "100", "1k", "10k"]);
        assert_eq!(Axis::over([].into_iter(), Scaling::Logarithmic, 0.0, 1.0).ticks().len(), 2);
        assert_eq!(Axis::over([].into_iter(), Scaling::Linear, 0.0, 1.0).ticks().len(), 5);
    }

    proptest! {
        #[test]
        fn every_figure_has_a_place_between_the_ends(
            figures in prop::collection::vec(1e-6f64..1e12, 1..20),
            logarithmic: bool,
        ) {
            let scaling = if logarithmic { Scaling::Logarithmic } else { Scaling::Linear };
            let axis = Axis::over(figures.iter().copied(), scaling, 10.0, 110.0);
            for figure in figures {
                let place = axis.place(figure).unwrap();
                prop_assert!((9.999..=110.001).contains(&place), "{} at {}", figure, place);
            }
        }
    }
}
