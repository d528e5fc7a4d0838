//! Lines over a shared horizontal axis, for losses and other courses.

use maud::{Markup, html};

use super::{
    WIDTH, canvas, fit, nothing, px,
    scale::{Scale, drawable},
};
use crate::report::number::number;

const HEIGHT: f64 = 300.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = HEIGHT - 46.0;
/// More points than this cannot be told apart at this width.
const POINTS: usize = 800;
/// Up to this many points each gets a dot to hover.
const DOTS: usize = 40;
/// Colours of the page; more series start over, dashed.
const COLOURS: usize = 8;

/// Captions of one plot.
pub(super) struct Axes<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
}

/// A named sequence of points.
type Series = (String, Vec<(f64, f64)>);

/// Names the series; one alone needs no legend.
pub(super) fn legend(series: &[Series]) -> Option<Markup> {
    (series.len() > 1).then(|| {
        html! {
            p.legend {
                @for (index, (name, _)) in series.iter().enumerate() {
                    span { i class={ "swatch s" (index % COLOURS) } {} (name) }
                }
            }
        }
    })
}

/// Draws every series over common axes.
pub(super) fn draw(axes: &Axes<'_>, series: &[Series]) -> Markup {
    let points = || series.iter().flat_map(|(_, points)| points).filter(|(x, y)| drawable(*x) && drawable(*y));
    let horizontal = Scale::over(points().map(|(x, _)| *x), LEFT, RIGHT);
    let vertical = Scale::over(points().map(|(_, y)| *y), BOTTOM, TOP);
    let (Some(horizontal), Some(vertical)) = (horizontal, vertical) else { return nothing(axes.title) };
    let vertical = vertical.rounded(5);
    let marks = html! {
        (grid(axes, &horizontal, &vertical))
        @for (index, (name, points)) in series.iter().enumerate() {
            (line(index, name, points, (&horizontal, &vertical)))
        }
    };
    canvas(axes.title, HEIGHT, &marks)
}

fn grid(axes: &Axes<'_>, horizontal: &Scale, vertical: &Scale) -> Markup {
    html! {
        @for (value, label) in vertical.ticks(5) {
            @let y = px(vertical.at(value));
            line class="grid" x1=(px(LEFT)) x2=(px(RIGHT)) y1=(y) y2=(y) {}
            text class="tick" x=(px(LEFT - 8.0)) y=(y) text-anchor="end" dominant-baseline="central" { (label) }
        }
        line class="axis" x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(BOTTOM)) y2=(px(BOTTOM)) {}
        @for (value, label) in horizontal.ticks(8) {
            @let x = px(horizontal.at(value));
            line class="axis" x1=(x) x2=(x) y1=(px(BOTTOM)) y2=(px(BOTTOM + 4.0)) {}
            text class="tick" x=(x) y=(px(BOTTOM + 17.0)) text-anchor="middle" { (label) }
        }
        text class="caption" x=(px(LEFT)) y="12" { (fit(axes.y, 60)) }
        text class="caption" x=(px(f64::midpoint(LEFT, RIGHT))) y=(px(HEIGHT - 8.0)) text-anchor="middle" { (fit(axes.x, 60)) }
    }
}

fn line(index: usize, name: &str, points: &[(f64, f64)], (horizontal, vertical): (&Scale, &Scale)) -> Markup {
    let thinned = thin(points);
    let class = format!("line s{}{}", index % COLOURS, if index >= COLOURS { " dashed" } else { "" });
    let dots = if thinned.len() <= DOTS { thinned.as_slice() } else { &[] };
    html! {
        path class=(class) d=(path(&thinned, horizontal, vertical)) { title { (name) } }
        @for (x, y) in dots.iter().filter(|(x, y)| drawable(*x) && drawable(*y)) {
            circle class={ "fill s" (index % COLOURS) } cx=(px(horizontal.at(*x))) cy=(px(vertical.at(*y))) r="3" {
                title { (name) ": " (number(*y)) " at " (number(*x)) }
            }
        }
    }
}

/// Path data; a point that cannot be drawn breaks the line.
fn path(points: &[(f64, f64)], horizontal: &Scale, vertical: &Scale) -> String {
    let mut data = String::new();
    let mut pen = 'M';
    for (x, y) in points {
        if !(drawable(*x) && drawable(*y)) {
            pen = 'M';
            continue;
        }
        data.push(pen);
        data.push_str(&px(horizontal.at(*x)));
        data.push(' ');
        data.push_str(&px(vertical.at(*y)));
        pen = 'L';
    }
    data
}

/// Keeps the lowest and the highest point of every bucket, so that spikes stay visible.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(POINTS);
    for bucket in points.chunks(points.len().div_ceil(POINTS / 2)) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let pair = [bucket.iter().min_by(by_height), bucket.iter().max_by(by_height)];
        let mut pair: Vec<_> = pair.into_iter().flatten().copied().collect();
        pair.sort_by(|a, b| a.0.total_cmp(&b.0));
        pair.dedup();
        kept.extend(pair);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXES: Axes<'_> = Axes { title: "loss", x: "step", y: "nll" };

    #[test]
    fn a_missing_point_breaks_the_line() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 2.0)];
        let drawn = draw(&AXES, &[("a".into(), points)]).into_string();
        let data = drawn.split(" d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert_eq!(data.matches('M').count(), 2, "{data}");
        assert_eq!(data.matches('L').count(), 1, "{data}");
    }

    #[test]
    fn long_series_are_thinned_and_keep_their_spike() {
        let points: Vec<_> = (0..20_000).map(|i| (f64::from(i), if i == 7_777 { 9.0 } else { f64::from(i % 3) })).collect();
        let thinned = thin(&points);
        assert!(thinned.len() <= POINTS, "{}", thinned.len());
        assert!(thinned.contains(&(7_777.0, 9.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn one_series_needs_no_legend() {
        assert!(legend(&[("a".into(), vec![])]).is_none());
        let two = legend(&[("a".into(), vec![]), ("b&c".into(), vec![])]).unwrap().into_string();
        assert!(two.contains("b&amp;c"), "{two}");
    }
}
