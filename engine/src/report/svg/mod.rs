//! Plots as SVG, drawn on the server: no script, no font, no colour of their own.
//!
//! Colours are the classes of [`crate::report::page`], so a plot follows the reader's light or dark setting. Numbers that
//! are not finite leave a gap; a plot without any number says so.

mod bars;
mod intervals;
mod lines;
mod scale;

use maud::{Markup, html};

use super::Plot;

/// Width of every plot in its own units; the page scales it to the column.
const WIDTH: f64 = 720.0;

/// Draws a plot as a `figure` with its caption.
pub fn plot(plot: &Plot) -> Markup {
    let (title, legend, drawing) = match plot {
        Plot::Bars { title, bars } => (title, None, bars::draw(title, bars)),
        Plot::Lines { title, x, y, series } => {
            let axes = lines::Axes { title, x, y };
            (title, lines::legend(series), lines::draw(&axes, series))
        }
        Plot::Intervals { title, rows } => (title, None, intervals::draw(title, rows)),
    };
    html! {
        figure {
            figcaption { (title) }
            @if let Some(legend) = legend { (legend) }
            (drawing)
        }
    }
}

/// Wraps marks into an image of the given height.
fn canvas(title: &str, height: f64, marks: &Markup) -> Markup {
    html! {
        svg viewBox={ "0 0 " (px(WIDTH)) " " (px(height)) } role="img" aria-label=(title) { (marks) }
    }
}

/// What stands where there is nothing to draw.
fn nothing(title: &str) -> Markup {
    let marks = html! { text class="muted" x=(px(WIDTH / 2.0)) y="28" text-anchor="middle" { "no data" } };
    canvas(title, 48.0, &marks)
}

/// A coordinate with one decimal: enough for the eye, stable for the digest.
pub fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    let short = text.strip_suffix(".0").unwrap_or(&text);
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// Cuts a text to about `columns` columns; wide characters count twice.
pub fn fit(text: &str, columns: usize) -> String {
    let width = |c: char| if (c as u32) >= 0x1100 { 2 } else { 1 };
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let kept: String = text
        .chars()
        .take_while(|c| {
            used += width(*c);
            used <= columns
        })
        .collect();
    format!("{}…", kept.trim_end())
}

/// About the width of a text at the size of labels, in units of the drawing; rather too wide than cut.
fn width_of(text: &str) -> f64 {
    // The widest of the common fonts: in others there is room left.
    let width = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | '\'' | '|' | '[' | ']' | ' ' | '(' | ')' => 4.9,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 12.0,
        '−' | '=' | '+' | '<' | '>' | '~' | '_' => 10.1,
        c if c.is_ascii_uppercase() => 9.3,
        c if (c as u32) >= 0x1100 => 12.6,
        _ => 7.7,
    };
    text.chars().map(width).sum()
}

/// Cuts a text to a width.
fn fit_width(text: &str, room: f64) -> String {
    if width_of(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if width_of(&kept) > room - 12.6 {
            kept.pop();
            break;
        }
    }
    format!("{}…", kept.trim_end())
}

/// The room that the widest of some texts needs, between two bounds.
fn room_for<'a>(texts: impl Iterator<Item = &'a str>, (least, most): (f64, f64)) -> f64 {
    texts.map(width_of).fold(least, f64::max).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_to_the_room_they_have() {
        assert_eq!(fit_width("short", 100.0), "short");
        for text in ["MMMMMMMMMMMMMMMMMMMM", "a rather long label of a metric", "漢字漢字漢字漢字漢字"] {
            let cut = fit_width(text, 90.0);
            assert!(cut.ends_with('…') && width_of(&cut) <= 90.0, "{cut} {}", width_of(&cut));
        }
        assert!((room_for(["a", "bbbb"].into_iter(), (10.0, 20.0)) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([px(1.0), px(-0.04), px(12.345)], ["1", "0", "12.3"]);
    }

    #[test]
    fn long_labels_are_cut_by_width() {
        assert_eq!(fit("short", 10), "short");
        assert_eq!(fit("a rather long label", 9), "a rather…");
        assert_eq!(fit("漢字漢字", 5), "漢字…");
    }

    #[test]
    fn empty_and_broken_plots_say_so() {
        let plots = [
            Plot::Bars { title: "b".into(), bars: vec![("x".into(), f64::NAN)] },
            Plot::Lines { title: "l".into(), x: "step".into(), y: "loss".into(), series: vec![("a".into(), vec![])] },
            Plot::Intervals { title: "i".into(), rows: vec![] },
        ];
        for drawn in plots.iter().map(|p| plot(p).into_string()) {
            assert!(drawn.contains("no data") || drawn.contains("n/a"), "{drawn}");
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }
}
