//! The graph as Mermaid and DOT text.

use super::{Dag, Edge};
use crate::text::push;

/// Mermaid, as GitHub and GitLab render it.
pub(crate) fn mermaid(dag: &Dag) -> String {
    let mut out = String::from("flowchart TD\n");
    for (index, node) in dag.nodes.iter().enumerate() {
        let (name, kind) = (escape_mermaid(&node.name), escape_mermaid(&node.kind));
        line(&mut out, format_args!("  s{index}[\"{name}<br/><small>{kind}</small>\"]"));
    }
    for Edge { from, to, ports } in &dag.edges {
        match ports.as_slice() {
            [] => line(&mut out, format_args!("  s{from} -.-> s{to}")),
            ports => line(&mut out, format_args!("  s{from} -->|\"{}\"| s{to}", escape_mermaid(&ports.join(", ")))),
        }
    }
    out
}

/// DOT, for Graphviz.
pub(crate) fn dot(dag: &Dag) -> String {
    let mut out = String::from("digraph workflow {\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    for node in &dag.nodes {
        let (name, kind) = (escape_dot(&node.name), escape_dot(&node.kind));
        line(&mut out, format_args!("  \"{name}\" [label=\"{name}\\n{kind}\"];"));
    }
    let name = |index: usize| escape_dot(dag.nodes.get(index).map_or("", |node| node.name.as_str()));
    for Edge { from, to, ports } in &dag.edges {
        let attributes = match ports.as_slice() {
            [] => "style=dashed".to_owned(),
            ports => format!("label=\"{}\"", escape_dot(&ports.join(", "))),
        };
        line(&mut out, format_args!("  \"{}\" -> \"{}\" [{attributes}];", name(*from), name(*to)));
    }
    out.push_str("}\n");
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    push(out, text);
    out.push('\n');
}

fn escape_mermaid(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '#' => out.push_str("#35;"),
            other => out.push(other),
        }
    }
    out
}

fn escape_dot(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::{Mark, Node};

    fn dag() -> Dag {
        let node = |name: &str, kind: &str| Node { name: name.into(), kind: kind.into(), mark: Mark::Plain, link: None };
        let edge = |from, to, ports: &[&str]| Edge { from, to, ports: ports.iter().map(|port| (*port).to_owned()).collect() };
        Dag {
            nodes: vec![node("ingest", "data/ingest"), node("cure/clean", "data/clean"), node("ok", "gate/approve")],
            edges: vec![edge(0, 1, &["rows"]), edge(1, 2, &[])],
        }
    }

    #[test]
    fn mermaid_names_ports_and_dashes_order() {
        let expected = "flowchart TD\n\
            \x20 s0[\"ingest<br/><small>data/ingest</small>\"]\n\
            \x20 s1[\"cure/clean<br/><small>data/clean</small>\"]\n\
            \x20 s2[\"ok<br/><small>gate/approve</small>\"]\n\
            \x20 s0 -->|\"rows\"| s1\n\
            \x20 s1 -.-> s2\n";
        assert_eq!(mermaid(&dag()), expected);
    }

    #[test]
    fn dot_quotes_names() {
        let text = dot(&dag());
        assert!(text.contains("  \"ingest\" -> \"cure/clean\" [label=\"rows\"];\n"), "{text}");
        assert!(text.contains("  \"cure/clean\" -> \"ok\" [style=dashed];\n"), "{text}");
        assert_eq!(escape_dot("a\"b\\"), "a\\\"b\\\\");
    }
}
