//! Horizontal bars with their values, for counts and shares.

use maud::{Markup, html};

use super::{WIDTH, canvas, fit, nothing, px, scale::Scale};
use crate::report::number::{number, real};

const ROW: f64 = 26.0;
const LABEL: f64 = 190.0;
const VALUE: f64 = 76.0;

/// Draws one bar a label; bars below zero go left of the zero line.
pub(super) fn draw(title: &str, bars: &[(String, f64)]) -> Markup {
    if bars.is_empty() {
        return nothing(title);
    }
    let values = bars.iter().map(|(_, value)| *value).chain([0.0]);
    let Some(scale) = Scale::over(values, LABEL, WIDTH - VALUE) else { return nothing(title) };
    let height = ROW * real(bars.len()) + 8.0;
    let zero = scale.zero();
    let marks = html! {
        @for (index, (label, value)) in bars.iter().enumerate() {
            (bar(&Row { top: ROW * real(index) + 4.0, label, value: *value }, &scale))
        }
        line class="axis" x1=(px(zero)) x2=(px(zero)) y1="2" y2=(px(height - 2.0)) {}
    };
    canvas(title, height, &marks)
}

struct Row<'a> {
    top: f64,
    label: &'a str,
    value: f64,
}

fn bar(row: &Row<'_>, scale: &Scale) -> Markup {
    let middle = row.top + ROW / 2.0;
    let zero = scale.zero();
    let end = if super::scale::drawable(row.value) { scale.at(row.value) } else { zero };
    // A value left of zero keeps its number at the right of the line, where nothing else is drawn.
    let text_at = end.max(zero) + 6.0;
    html! {
        g {
            title { (row.label) ": " (number(row.value)) }
            text class="label" x=(px(LABEL - 10.0)) y=(px(middle)) text-anchor="end" dominant-baseline="central" { (fit(row.label, 28)) }
            rect class="fill s0" x=(px(end.min(zero))) y=(px(row.top + 5.0)) width=(px((end - zero).abs())) height=(px(ROW - 10.0)) rx="2" {}
            text class="value" x=(px(text_at)) y=(px(middle)) dominant-baseline="central" { (number(row.value)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let drawn = draw("t", &[("half".into(), 1.0), ("full".into(), 2.0)]).into_string();
        let full = WIDTH - VALUE - LABEL;
        assert!(drawn.contains(&format!("width=\"{}\"", px(full))), "{drawn}");
        assert!(drawn.contains(&format!("width=\"{}\"", px(full / 2.0))), "{drawn}");
    }

    #[test]
    fn labels_are_escaped() {
        let drawn = draw("t", &[("<script>".into(), 1.0)]).into_string();
        assert!(!drawn.contains("<script>") && drawn.contains("&lt;script&gt;"), "{drawn}");
    }

    #[test]
    fn infinite_values_are_named_not_drawn() {
        let drawn = draw("t", &[("a".into(), f64::INFINITY), ("b".into(), 1.0)]).into_string();
        assert!(drawn.contains("∞") && !drawn.contains("inf"), "{drawn}");
    }
}
