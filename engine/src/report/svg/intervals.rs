//! Point estimates with their intervals and a line at zero, for differences between two models or groups.

use maud::{Markup, html};

use super::{
    WIDTH, canvas, fit, nothing, px,
    scale::{Scale, drawable},
};
use crate::report::number::{number, real};

const ROW: f64 = 30.0;
const LABEL: f64 = 190.0;
const VALUE: f64 = 176.0;
const RIGHT: f64 = WIDTH - VALUE;

/// Label, low, middle, high.
type Row = (String, f64, f64, f64);

/// Draws one interval a row.
pub(super) fn draw(title: &str, rows: &[Row]) -> Markup {
    if rows.is_empty() {
        return nothing(title);
    }
    let values = rows.iter().flat_map(|(_, low, middle, high)| [*low, *middle, *high]).chain([0.0]);
    let Some(scale) = Scale::over(values, LABEL, RIGHT) else { return nothing(title) };
    let scale = scale.rounded(5);
    let bottom = ROW * real(rows.len()) + 6.0;
    let zero = px(scale.zero());
    let marks = html! {
        @for (value, label) in scale.ticks(5) {
            @let x = px(scale.at(value));
            line class="grid" x1=(x) x2=(x) y1="4" y2=(px(bottom)) {}
            text class="tick" x=(x) y=(px(bottom + 16.0)) text-anchor="middle" { (label) }
        }
        line class="zero" x1=(zero) x2=(zero) y1="4" y2=(px(bottom)) {}
        @for (index, row) in rows.iter().enumerate() { (interval(row, ROW * (real(index) + 0.5) + 4.0, &scale)) }
    };
    canvas(title, bottom + 24.0, &marks)
}

fn interval((label, low, middle, high): &Row, y: f64, scale: &Scale) -> Markup {
    let text = format!("{} [{}, {}]", number(*middle), number(*low), number(*high));
    let end = |value: f64| px(scale.at(value));
    html! {
        g {
            title { (label) ": " (text) }
            text class="label" x=(px(LABEL - 10.0)) y=(px(y)) text-anchor="end" dominant-baseline="central" { (fit(label, 28)) }
            @if drawable(*low) && drawable(*high) {
                line class="span s0" x1=(end(*low)) x2=(end(*high)) y1=(px(y)) y2=(px(y)) {}
                @for x in [end(*low), end(*high)] { line class="span s0" x1=(x) x2=(x) y1=(px(y - 5.0)) y2=(px(y + 5.0)) {} }
            }
            @if drawable(*middle) { circle class="fill s0" cx=(end(*middle)) cy=(px(y)) r="5" {} }
            text class="value" x=(px(RIGHT + 14.0)) y=(px(y)) dominant-baseline="central" { (text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_always_on_the_scale() {
        let drawn = draw("t", &[("exact match".into(), 0.2, 0.3, 0.4)]).into_string();
        assert!(drawn.contains("class=\"zero\"") && drawn.contains("0.3 [0.2, 0.4]"), "{drawn}");
    }

    #[test]
    fn a_row_without_an_interval_keeps_its_label() {
        let drawn = draw("t", &[("x".into(), f64::NAN, f64::NAN, f64::NAN)]).into_string();
        assert!(drawn.contains("n/a [n/a, n/a]") && !drawn.contains("<circle"), "{drawn}");
    }
}
