//! Pictures of results, as SVG: bars with intervals, factors, lines over a linear or logarithmic axis. Pure.
//!
//! Colours are the same for the same contestant in all pictures of a report; text is the viewer's font.

mod axis;
mod bars;
mod lines;
mod ratios;

pub(crate) use axis::Scaling;
pub(crate) use bars::{Bar, Spread, bars};
pub(crate) use lines::{Chart, Line, lines};
pub(crate) use ratios::{Factor, factors};

/// Colours that stay apart for most colour-blind eyes (after P. Tol's "bright" and "muted" schemes).
const COLOURS: [&str; 8] =
    ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#999933", "#bbbbbb"];

/// The colour of contestant number `place`.
fn colour(place: usize) -> &'static str {
    COLOURS[place % COLOURS.len()]
}

/// Text for the inside of an element.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The outer element of a picture.
fn svg(width: f64, height: f64, title: &str, inside: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n{inside}</svg>\n",
        title = escape(title),
    )
}

/// A piece of text; `anchor` is `start`, `middle` or `end`.
fn label(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escape(text))
}

/// A straight line.
fn stroke(from: (f64, f64), to: (f64, f64), colour: &str, width: f64) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
         stroke-width=\"{width}\"/>\n",
        from.0, from.1, to.0, to.1
    )
}
