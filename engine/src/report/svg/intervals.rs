//! Point estimates with their intervals and a line at zero, for differences between two models or groups.

use maud::{Markup, html};

use super::{
    WIDTH, canvas, fit_width, nothing, px, room_for,
    scale::{Scale, drawable},
};
use crate::report::number::{number, real};

const ROW: f64 = 30.0;
/// Least and most room for labels and for values.
const LABEL: (f64, f64) = (60.0, 260.0);
const VALUE: (f64, f64) = (100.0, 250.0);
/// Between a text and what it belongs to.
const GAP: f64 = 12.0;

/// Label, low, middle, high.
type Row = (String, f64, f64, f64);

/// Draws one interval a row.
pub(super) fn draw(title: &str, rows: &[Row]) -> Markup {
    if rows.is_empty() {
        return nothing(title);
    }
    let values = rows.iter().flat_map(|(_, low, middle, high)| [*low, *middle, *high]).chain([0.0]);
    let texts: Vec<String> = rows.iter().map(text).collect();
    let label = room_for(rows.iter().map(|row| row.0.as_str()), LABEL);
    let right = WIDTH - room_for(texts.iter().map(String::as_str), VALUE) - GAP;
    let Some(scale) = Scale::over(values, label + GAP, right) else { return nothing(title) };
    let room = Room { label, value: right + GAP, scale: scale.rounded(5) };
    let scale = &room.scale;
    let bottom = ROW * real(rows.len()) + 6.0;
    let zero = px(scale.zero());
    let marks = html! {
        @for (value, label) in scale.ticks(5) {
            @let x = px(scale.at(value));
            line class="grid" x1=(x) x2=(x) y1="4" y2=(px(bottom)) {}
            text class="tick" x=(x) y=(px(bottom + 16.0)) text-anchor="middle" { (label) }
        }
        line class="zero" x1=(zero) x2=(zero) y1="4" y2=(px(bottom)) {}
        @for (index, row) in rows.iter().enumerate() { (interval(row, ROW * (real(index) + 0.5) + 4.0, &room)) }
    };
    canvas(title, bottom + 24.0, &marks)
}

/// Where labels end, values begin, and numbers lie in between.
struct Room {
    label: f64,
    value: f64,
    scale: Scale,
}

fn text((_, low, middle, high): &Row) -> String {
    format!("{} [{}, {}]", number(*middle), number(*low), number(*high))
}

fn interval(row: &Row, y: f64, room: &Room) -> Markup {
    let (label, low, middle, high) = row;
    let text = text(row);
    let end = |value: f64| px(room.scale.at(value));
    html! {
        g {
            title { (label) ": " (text) }
            text class="label" x=(px(room.label)) y=(px(y)) text-anchor="end" dominant-baseline="central" { (fit_width(label, room.label)) }
            @if drawable(*low) && drawable(*high) {
                line class="span s0" x1=(end(*low)) x2=(end(*high)) y1=(px(y)) y2=(px(y)) {}
                @for x in [end(*low), end(*high)] { line class="span s0" x1=(x) x2=(x) y1=(px(y - 5.0)) y2=(px(y + 5.0)) {} }
            }
            @if drawable(*middle) { circle class="fill s0" cx=(end(*middle)) cy=(px(y)) r="5" {} }
            text class="value" x=(px(room.value)) y=(px(y)) dominant-baseline="central" { (text) }
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
    fn wide_values_end_inside_the_drawing() {
        let row = ("tuned - base, exact match".to_owned(), -12_345.678, 1_234.567, 23_456.789);
        let wide = text(&row);
        let drawn = draw("t", &[row]).into_string();
        let at = drawn.split("class=\"value\" x=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(at.parse::<f64>().unwrap() + super::super::width_of(&wide) <= WIDTH, "{at} {wide}");
    }

    #[test]
    fn a_row_without_an_interval_keeps_its_label() {
        let drawn = draw("t", &[("x".into(), f64::NAN, f64::NAN, f64::NAN)]).into_string();
        assert!(drawn.contains("n/a [n/a, n/a]") && !drawn.contains("<circle"), "{drawn}");
    }
}
