//! The graph as SVG, with its own colours so that it also stands alone.

use flow_engine::report::svg::{fit, px};
use maud::{Markup, PreEscaped, html};

use super::{
    Dag, Mark, Node,
    layout::{self, Frame, Layout},
    pause,
};
use crate::text::push;

const HEIGHT: f64 = 46.0;
const STYLE: &str = "\
.dag{--d-card:#fff;--d-ink:#14140f;--d-soft:#75736b;--d-edge:#a9a79c;--d-plain:#bdbbb0;--d-ran:#0a7d0a;--d-cached:#2a78d6;--d-running:#9a6700;--d-parked:#9a6700;--d-failed:#c22f2f;--d-skipped:#bdbbb0}\
@media(prefers-color-scheme:dark){.dag{--d-card:#1c1c19;--d-ink:#f3f2ea;--d-soft:#9a988e;--d-edge:#66645b;--d-plain:#55544d;--d-ran:#4cc24c;--d-cached:#5a9cf0;--d-running:#e3b341;--d-parked:#e3b341;--d-failed:#ff7b72;--d-skipped:#55544d}}\
.dag text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",sans-serif}\
.dag rect{fill:var(--d-card);stroke:var(--m);stroke-width:1.5}\
.dag .name{fill:var(--d-ink);font-size:13px;font-weight:600}.dag .kind{fill:var(--d-soft);font-size:11px}.dag .sign{fill:var(--m);font-size:14px;font-weight:700}\
.dag .edge{fill:none;stroke:var(--d-edge);stroke-width:1.5}.dag .order{stroke-dasharray:4 4}.dag .head{fill:var(--d-edge)}\
.dag .skipped rect{stroke-dasharray:4 4}\
.m-plain{--m:var(--d-plain)}.m-ran{--m:var(--d-ran)}.m-cached{--m:var(--d-cached)}.m-running{--m:var(--d-running)}.m-parked{--m:var(--d-parked)}.m-failed{--m:var(--d-failed)}.m-skipped{--m:var(--d-skipped)}";

/// A whole SVG file.
pub(crate) fn standalone(dag: &Dag) -> String {
    let mut text = draw(dag, Some("http://www.w3.org/2000/svg")).into_string();
    text.push('\n');
    text
}

/// An SVG element of an HTML page, no wider than it is drawn.
pub(crate) fn embedded(dag: &Dag) -> Markup {
    draw(dag, None)
}

fn draw(dag: &Dag, namespace: Option<&str>) -> Markup {
    let widths: Vec<f64> = dag.nodes.iter().map(width).collect();
    let pairs: Vec<(usize, usize)> = dag.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = layout::place(&widths, HEIGHT, &pairs);
    let (width, height) = (px(layout.width), px(layout.height));
    html! {
        svg class="dag" xmlns=[namespace] viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height)
            style={ "width:" (width) "px;max-width:100%;height:auto;margin:0 auto" } role="img" aria-label="graph of the workflow" {
            style { (PreEscaped(STYLE)) }
            defs {
                marker id="dag-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                    path class="head" d="M0 0L8 4L0 8Z" {}
                }
            }
            (edges(dag, &layout))
            @for (node, frame) in dag.nodes.iter().zip(&layout.frames) { (stage(node, frame)) }
        }
    }
}

fn width(node: &Node) -> f64 {
    let columns = node.name.chars().count().max(node.kind.chars().count()).clamp(9, 30);
    f64::from(u32::try_from(columns).unwrap_or(30)) * 8.4 + 44.0
}

fn edges(dag: &Dag, layout: &Layout) -> Markup {
    let name = |index: usize| dag.nodes.get(index).map_or("", |node| node.name.as_str());
    html! {
        @for (edge, route) in dag.edges.iter().zip(&layout.routes) {
            @let ports = edge.ports.iter().filter(|port| !port.is_empty()).cloned().collect::<Vec<_>>().join(", ");
            path class={ "edge" @if edge.ports.is_empty() { " order" } } d=(curve(route)) marker-end="url(#dag-head)" {
                title { (name(edge.from)) " → " (name(edge.to)) @if !ports.is_empty() { ": " (ports) } }
            }
        }
    }
}

/// Straight beside nodes, curved between layers.
fn curve(route: &[(f64, f64)]) -> String {
    let Some(((x, y), rest)) = route.split_first() else {
        return String::new();
    };
    let mut data = format!("M{} {}", px(*x), px(*y));
    let mut from = (*x, *y);
    for (step, to) in rest.iter().enumerate() {
        // Points come in pairs after the first: into a layer, then along it.
        if step % 2 == 1 {
            push(&mut data, format_args!("L{} {}", px(to.0), px(to.1)));
        } else {
            let middle = f64::midpoint(from.1, to.1);
            let bend = [from.0, middle, to.0, middle, to.0, to.1].map(px).join(" ");
            data.push('C');
            data.push_str(&bend);
        }
        from = *to;
    }
    data
}

fn stage(node: &Node, frame: &Frame) -> Markup {
    let class = format!("m-{} {}", mark(node.mark), mark(node.mark));
    let text = frame.left + 14.0;
    let body = html! {
        g class=(class) {
            title { (node.name) " (" (node.kind) "): " (node.mark.word()) }
            rect x=(px(frame.left)) y=(px(frame.top)) width=(px(frame.width)) height=(px(frame.height)) rx="8" {}
            text class="name" x=(px(text)) y=(px(frame.top + 20.0)) { (fit(&node.name, 30)) }
            text class="kind" x=(px(text)) y=(px(frame.top + 36.0)) { (fit(&node.kind, 32)) }
            (sign(node.mark, frame))
        }
    };
    match &node.link {
        Some(link) => html! { a href=(link) { (body) } },
        None => body,
    }
}

/// The sign in the upper right corner.
fn sign(mark: Mark, frame: &Frame) -> Markup {
    let right = frame.left + frame.width - 12.0;
    html! {
        @if mark == Mark::Parked {
            g style="color:var(--m)" { (pause(right - 10.0, frame.top + 10.0)) }
        } @else {
            text class="sign" x=(px(right)) y=(px(frame.top + 20.0)) text-anchor="end" { (mark.sign()) }
        }
    }
}

fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Plain => "plain",
        Mark::Ran => "ran",
        Mark::Cached => "cached",
        Mark::Running => "running",
        Mark::Parked => "parked",
        Mark::Failed => "failed",
        Mark::Skipped => "skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::Edge;

    fn two() -> Dag {
        let node = |name: &str, mark| Node { name: name.into(), kind: "cmd".into(), mark, link: None };
        let edge = Edge { from: 0, to: 1, ports: vec!["rows".into()] };
        Dag { nodes: vec![node("a<b", Mark::Ran), node("c", Mark::Failed)], edges: vec![edge] }
    }

    #[test]
    fn the_file_stands_alone_and_is_escaped() {
        let text = standalone(&two());
        assert!(text.starts_with("<svg class=\"dag\" xmlns=\"http://www.w3.org/2000/svg\""), "{text}");
        assert!(text.contains("a&lt;b") && !text.contains("a<b"));
        assert!(text.contains("a&lt;b → c: rows"));
    }

    #[test]
    fn an_edge_curves_between_layers_and_is_straight_beside_nodes() {
        assert_eq!(curve(&[(0.0, 0.0), (10.0, 20.0), (10.0, 60.0), (0.0, 80.0)]), "M0 0C0 10 10 10 10 20L10 60C10 70 0 70 0 80");
    }
}
