//! `flow models`.

use clap::{Args, Subcommand};

use crate::{
    CliError, ExitStatus, Shell,
    host::{ModelDetails, ModelRow},
    text::{Cell, Grid, bytes, metrics},
    ui::{Tone, Ui},
};

/// Look into the model registry
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow models ls
  flow models show triage@candidate")]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// List every version
    Ls,
    /// Show one version: lineage, metrics, gates, and model card
    Show {
        /// The model: NAME@ALIAS or NAME@VERSION
        #[arg(value_name = "REF")]
        reference: String,
    },
}

pub(super) fn execute(args: &ModelsArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let site = shell.project()?.site;
    match &args.command {
        ModelsCommand::Ls => {
            let rows = shell.models.models(&site)?;
            if shell.ui.json() {
                crate::ui::document(&rows);
            } else {
                crate::ui::print(&list(&rows, shell.ui));
            }
        }
        ModelsCommand::Show { reference } => {
            let details = shell.models.model(&site, reference)?;
            if shell.ui.json() {
                crate::ui::document(&details);
            } else {
                crate::ui::print(&show(&details, shell.ui));
            }
        }
    }
    Ok(ExitStatus::Ok)
}

fn list(rows: &[ModelRow], ui: Ui) -> String {
    if rows.is_empty() {
        return "no model is registered yet: a workflow with a registry/push stage registers one\n".to_owned();
    }
    let mut grid = Grid::headed(&["model", "aliases", "created", "size", "metrics", "base"]);
    for row in rows {
        grid.row([
            Cell::toned(Tone::Strong, format!("{}@{}", row.name, row.version)),
            Cell::toned(Tone::Good, row.aliases.join(", ")),
            Cell::plain(row.created.chars().take(10).collect::<String>()),
            Cell::plain(bytes(row.bytes)),
            Cell::plain(metrics(&row.metrics, &[], 3)),
            Cell::plain(row.base.clone().unwrap_or_default()),
        ]);
    }
    grid.render(ui.out, ui.width)
}

fn show(details: &ModelDetails, ui: Ui) -> String {
    let row = &details.row;
    let mut grid = Grid::new();
    let mut line = |name: &str, value: String| grid.row([Cell::toned(Tone::Quiet, name), Cell::plain(value)]);
    line("model", format!("{}@{}", row.name, row.version));
    if !row.aliases.is_empty() {
        line("aliases", row.aliases.join(", "));
    }
    line("created", row.created.clone());
    line("size", bytes(row.bytes));
    if let Some(base) = &row.base {
        line("base", base.clone());
    }
    for (name, value) in &row.metrics {
        line("metric", metrics(&std::iter::once((name.clone(), *value)).collect(), &[], 1));
    }
    line("folder", details.folder.display().to_string());
    format!("{}\n{}\n", grid.render(ui.out, usize::MAX), details.card.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::{Output, Paint};

    #[test]
    fn the_list_names_what_can_be_typed() {
        let ui = Ui { out: Paint::Plain, width: 120, ..Ui::detect(Output::Text) };
        let row = ModelRow {
            name: "triage".into(),
            version: 2,
            aliases: vec!["candidate".into()],
            base: Some("pip:llm".into()),
            created: "2026-11-24T08:00:00Z".into(),
            bytes: 1_500_000,
            metrics: [("exact_match".to_owned(), 0.95)].into(),
        };
        let text = list(&[row], ui);
        let second = text.lines().nth(1).unwrap();
        assert_eq!(second, "  triage@2  candidate  2026-11-24  1.5 MB  exact_match 0.95  pip:llm");
        assert!(list(&[], ui).contains("registry/push"));
    }
}
