//! Charts as inline SVG: axes, lines, heat maps. Drawn here, so that a page needs nothing but itself.
//!
//! Positions are in the units of the SVG's view box; the browser scales it to the page.

use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// How values become positions on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; values are above 0.
    Log,
}

/// An axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What it shows, with its unit.
    pub(super) label: &'static str,
    /// The values at its ends.
    pub(super) range: (f64, f64),
    /// How values become positions.
    pub(super) scale: Scale,
    /// Marked values with their text.
    pub(super) ticks: Vec<(f64, String)>,
}

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Its name in the legend.
    pub(super) name: String,
    /// Its class: colour and thickness are the style sheet's.
    pub(super) class: &'static str,
    /// Its points, with what the pointer shows for each.
    pub(super) points: Vec<(f64, f64, String)>,
}

impl Axis {
    /// A logarithmic axis around positive values, marked at the powers of ten (and between them when there are few).
    pub(super) fn log(label: &'static str, (low, high): (f64, f64), text: fn(f64) -> String) -> Self {
        let low = 10f64.powf(low.max(1e-9).log10().floor());
        let high = 10f64.powf(high.max(low * 10.0).log10().ceil());
        let mut ticks = Vec::new();
        let mut at = low;
        while at <= high * 1.001 {
            ticks.push((at, text(at)));
            at *= 10.0;
        }
        Self { label, range: (low, high), scale: Scale::Log, ticks }
    }

    /// A linear axis from `low` to `high`, marked at some five round values.
    pub(super) fn linear(label: &'static str, (low, high): (f64, f64), text: fn(f64) -> String) -> Self {
        let span = if high > low { high - low } else { 1.0 };
        let rough = span / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough);
        let high = low + (span / step).ceil() * step;
        let first = (low / step).ceil();
        let count = ((high - first * step) / step + 1e-9).floor() as u32;
        let ticks = (0..=count).map(|i| (first + f64::from(i)) * step).map(|v| (v, text(v))).collect();
        Self { label, range: (low, high), scale: Scale::Linear, ticks }
    }

    /// Where `value` stands between the ends, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let place = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value.max(low).ln() - low.ln()) / (high.ln() - low.ln()),
        };
        place.clamp(0.0, 1.0)
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

/// A chart of lines with a legend.
pub(super) fn lines(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let mut out = String::new();
    let _ = write!(out, "<figure><figcaption>{}<span class=\"legend\">", escape(title));
    for s in series {
        let _ = write!(out, "<span class=\"key {}\">{}</span>", s.class, escape(&s.name));
    }
    let _ = write!(out, "</span></figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" data-chart>");
    out.push_str(&axes(x, y));
    for s in series {
        let mut path = String::new();
        let mut marks = String::new();
        for (i, (px, py, text)) in s.points.iter().enumerate() {
            let (px, py) = (x.x(*px), y.y(*py));
            let _ = write!(path, "{}{px:.1} {py:.1}", if i == 0 { 'M' } else { 'L' });
            let _ = write!(marks, "{}[{px:.1},{py:.1},\"{}\"]", if i == 0 { "" } else { "," }, escape_json(text));
        }
        let marks = escape(&format!("[{marks}]"));
        let name = escape(&s.name);
        let _ =
            write!(out, "<path class=\"line {}\" d=\"{path}\" data-name=\"{name}\" data-points=\"{marks}\"/>", s.class);
    }
    out.push_str("</svg></figure>");
    out
}

/// A cell of a heat map: from and to on both axes, its strength from 0 to 1, and what the pointer shows.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// From and to on the x axis.
    pub(super) x: (f64, f64),
    /// From and to on the y axis.
    pub(super) y: (f64, f64),
    /// How strong, 0 to 1.
    pub(super) strength: f64,
    /// What the pointer shows.
    pub(super) text: String,
}

/// A heat map.
pub(super) fn heat_map(title: &str, x: &Axis, y: &Axis, cells: &[Cell]) -> String {
    let mut out = String::new();
    let _ = write!(out, "<figure><figcaption>{}</figcaption>", escape(title));
    let _ = write!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for c in cells {
        let (left, right, top, bottom) = (x.x(c.x.0), x.x(c.x.1), y.y(c.y.1), y.y(c.y.0));
        let (width, height) = (right - left + 0.3, bottom - top + 0.3);
        let opacity = 0.12 + 0.88 * c.strength;
        let _ = write!(
            out,
            "<rect class=\"heat\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill-opacity=\"{opacity:.2}\"><title>{}</title></rect>",
            escape(&c.text)
        );
    }
    out.push_str(&axes(x, y));
    out.push_str("</svg></figure>");
    out
}

fn axes(x: &Axis, y: &Axis) -> String {
    let mut out = String::new();
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (value, text) in &y.ticks {
        let at = y.y(*value);
        let _ = write!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        let _ =
            write!(out, "<text class=\"tick end\" x=\"{}\" y=\"{:.1}\">{}</text>", LEFT - 8.0, at + 4.0, escape(text));
    }
    for (value, text) in &x.ticks {
        let at = x.x(*value);
        let _ = write!(out, "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>");
        let _ =
            write!(out, "<text class=\"tick middle\" x=\"{at:.1}\" y=\"{}\">{}</text>", bottom + 17.0, escape(text));
    }
    let middle = f64::midpoint(LEFT, right);
    let _ = write!(out, "<text class=\"axis middle\" x=\"{middle}\" y=\"{}\">{}</text>", HEIGHT - 6.0, escape(x.label));
    let middle = f64::midpoint(TOP, bottom);
    let _ = write!(
        out,
        "<text class=\"axis middle\" transform=\"translate(14 {middle}) rotate(-90)\">{}</text>",
        escape(y.label)
    );
    out
}

/// Text for HTML, also inside of quoted attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn escape_json(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        format!("{value}")
    }

    #[test]
    fn axes_end_at_round_values() {
        let log = Axis::log("us", (23.0, 4_500.0), text);
        assert_eq!((log.range, log.ticks.len()), ((10.0, 10_000.0), 4));
        assert!((log.place(10.0), log.place(10_000.0)) == (0.0, 1.0) && (log.place(1_000.0) - 2.0 / 3.0).abs() < 1e-9);
        let linear = Axis::linear("s", (0.0, 34.0), text);
        assert_eq!(linear.range, (0.0, 40.0));
        assert_eq!(linear.ticks.iter().map(|t| t.0).collect::<Vec<_>>(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert!(Axis::linear("s", (0.0, 0.0), text).range.1 > 0.0, "an empty range is no division by 0");
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let points = vec![(1.0, 1.0, "a\"b<c".to_owned())];
        let series = Series { name: "<script>".into(), class: "a", points };
        let axis = Axis::linear("x", (0.0, 2.0), text);
        let chart = lines("t & \"u\"", &axis, &axis, &[series]);
        assert!(
            !chart.contains("<script>") && chart.contains("&lt;script&gt;") && chart.contains("t &amp; &quot;u&quot;")
        );
        assert!(chart.contains("a\\&quot;b&lt;c"), "{chart}");
    }
}
