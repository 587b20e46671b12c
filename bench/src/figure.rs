//! Figures as text.

/// Three significant digits at least, without an exponent.
pub(crate) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        it if it >= 100.0 || it == 0.0 => 0,
        it if it >= 10.0 => 1,
        it if it >= 1.0 => 2,
        it if it >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        let texts = [0.0, 0.012_34, 0.456_7, 1.234, 19.71, 123_456.7].map(figure);
        assert_eq!(texts, ["0", "0.0123", "0.457", "1.23", "19.7", "123457"]);
    }
}
