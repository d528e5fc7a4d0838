//! `flow graph`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    CliError, ExitStatus, Shell,
    args::WorkflowArgs,
    dag::{self, Dag},
};

/// Draw the graph of a workflow
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow graph                                   Mermaid, to paste into Markdown
  flow graph --format svg -o graph.svg
  flow graph --format dot | dot -Tpng > graph.png")]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// What to draw
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text that Markdown viewers draw
    Mermaid,
    /// Text for Graphviz
    Dot,
    /// A picture
    Svg,
}

pub(super) fn execute(args: &GraphArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let (_, plan) = args.workflow.load(shell)?;
    let dag = Dag::of_plan(&plan);
    let text = if shell.ui.json() { format!("{}\n", document(&dag)) } else { draw(&dag, args.format) };
    match &args.output {
        None => crate::ui::print(&text),
        Some(path) => std::fs::write(path, text).map_err(|error| {
            CliError::usage(format!("cannot write {}: {error}", path.display()), "name a file in a folder that you may write")
        })?,
    }
    Ok(ExitStatus::Ok)
}

fn draw(dag: &Dag, format: Format) -> String {
    match format {
        Format::Mermaid => dag::mermaid(dag),
        Format::Dot => dag::dot(dag),
        Format::Svg => dag::standalone(dag),
    }
}

fn document(dag: &Dag) -> serde_json::Value {
    let name = |index: usize| dag.nodes.get(index).map(|node| node.name.as_str());
    let stages: Vec<_> = dag.nodes.iter().map(|node| json!({ "name": node.name, "kind": node.kind })).collect();
    let edges: Vec<_> =
        dag.edges.iter().map(|edge| json!({ "from": name(edge.from), "to": name(edge.to), "ports": edge.ports })).collect();
    json!({ "stages": stages, "edges": edges })
}
