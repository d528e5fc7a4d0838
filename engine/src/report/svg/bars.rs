//! Horizontal bars with their values, for counts and shares.

use maud::{Markup, html};

use super::{WIDTH, canvas, fit_width, nothing, px, room_for, scale::Scale};
use crate::report::number::{number, real};

const ROW: f64 = 26.0;
/// Least and most room for labels and for values.
const LABEL: (f64, f64) = (60.0, 290.0);
const VALUE: (f64, f64) = (40.0, 150.0);
/// Between a text and what it belongs to.
const GAP: f64 = 10.0;

/// Draws one bar a label; bars below zero go left of the zero line.
pub(super) fn draw(title: &str, bars: &[(String, f64)]) -> Markup {
    if bars.is_empty() {
        return nothing(title);
    }
    let values = bars.iter().map(|(_, value)| *value).chain([0.0]);
    let texts: Vec<String> = bars.iter().map(|(_, value)| number(*value)).collect();
    let label = room_for(bars.iter().map(|(label, _)| label.as_str()), LABEL) + GAP;
    let right = WIDTH - room_for(texts.iter().map(String::as_str), VALUE) - GAP;
    let Some(scale) = Scale::over(values, label, right) else { return nothing(title) };
    let (label_end, height) = (label - GAP, ROW * real(bars.len()) + 8.0);
    let zero = scale.zero();
    let marks = html! {
        @for (index, (label, value)) in bars.iter().enumerate() {
            (bar(&Row { top: ROW * real(index) + 4.0, label, value: *value }, label_end, &scale))
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

fn bar(row: &Row<'_>, label_end: f64, scale: &Scale) -> Markup {
    let middle = row.top + ROW / 2.0;
    let zero = scale.zero();
    let end = if super::scale::drawable(row.value) { scale.at(row.value) } else { zero };
    // A value left of zero keeps its number at the right of the line, where nothing else is drawn.
    let text_at = end.max(zero) + 6.0;
    html! {
        g {
            title { (row.label) ": " (number(row.value)) }
            text class="label" x=(px(label_end)) y=(px(middle)) text-anchor="end" dominant-baseline="central" { (fit_width(row.label, label_end)) }
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
        let full = WIDTH - VALUE.0 - LABEL.0 - 2.0 * GAP;
        assert!(drawn.contains(&format!("width=\"{}\"", px(full))), "{drawn}");
        assert!(drawn.contains(&format!("width=\"{}\"", px(full / 2.0))), "{drawn}");
    }

    #[test]
    fn long_labels_and_values_get_the_room_they_need() {
        let drawn = draw("t", &[("validation loss after training, nats".into(), 4_884_480.0)]).into_string();
        assert!(drawn.contains("validation loss after training, nats") && drawn.contains("4,884,480"), "{drawn}");
        assert!(!drawn.contains("x=\"-"), "{drawn}");
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
