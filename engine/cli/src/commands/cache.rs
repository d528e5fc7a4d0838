//! `flow cache`.

use clap::{Args, Subcommand};
use flow_engine::{
    run::History,
    store::{Depth, Share, Store, Usage, Verified},
};
use serde_json::json;

use super::gc::results;
use crate::{
    CliError, ExitStatus, Shell,
    text::{Cell, Grid, bytes, push},
    ui::{Tone, Ui},
};

/// Check the store, bring back what was removed, or see what takes the room
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow cache verify
  flow cache verify --full
  flow cache restore
  flow cache du --top 20")]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// Look for missing and damaged objects; ends with 1 when there are any
    ///
    /// Damaged objects are moved to the store's quarantine with a report. Results that need them are made again when a
    /// workflow needs them.
    Verify {
        /// Look at sizes and times only: the default
        #[arg(long, conflicts_with_all = ["full", "sample"])]
        quick: bool,
        /// Read every byte
        #[arg(long, conflicts_with = "sample")]
        full: bool,
        /// Read the bytes of this share of the objects, another one every time
        #[arg(long, value_name = "PERCENT", value_parser = percent)]
        sample: Option<f64>,
    },
    /// Bring back what `flow gc` moved to the trash during the last day
    Restore,
    /// Show what takes the room: by kind of stage, by project, and the biggest results
    Du {
        /// How many of the biggest results to list
        #[arg(long, value_name = "N", default_value_t = 10)]
        top: usize,
    },
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    let share = number.filter(|number| (0.0..=100.0).contains(number)).map(|number| number / 100.0);
    share.ok_or_else(|| "expected a share from 0% to 100%, such as 5%".to_owned())
}

pub(super) fn execute(args: &CacheArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let root = shell.project()?.site.store;
    match &args.command {
        CacheCommand::Verify { quick: _, full, sample } => {
            let depth = match (full, sample) {
                (true, _) => Depth::Full,
                (false, Some(share)) => Depth::Sample(*share),
                (false, None) => Depth::Quick,
            };
            verify(&Store::open(&root)?, depth, shell.ui)
        }
        CacheCommand::Restore => restore(&Store::open_writable(&root)?, shell.ui),
        CacheCommand::Du { top } => {
            let store = Store::open(&root)?;
            let usage = store.usage(&History::roots_in(&store)?, *top)?;
            if shell.ui.json() {
                crate::ui::document(&usage);
            } else {
                crate::ui::print(&format!("{} in {}\n\n{}", bytes(usage.bytes), root.display(), room(&usage, shell.ui)));
            }
            Ok(ExitStatus::Ok)
        }
    }
}

fn verify(store: &Store, depth: Depth, ui: Ui) -> Result<ExitStatus, CliError> {
    let verified = store.verify(depth)?;
    if ui.json() {
        crate::ui::document(&verified);
    } else {
        crate::ui::print(&findings(&verified, ui));
    }
    Ok(if verified.is_clean() { ExitStatus::Ok } else { ExitStatus::StageFailed })
}

fn findings(verified: &Verified, ui: Ui) -> String {
    let read = match verified.read {
        0 => "sizes and times only".to_owned(),
        read => format!("the bytes of {read} read, {}", bytes(verified.read_bytes)),
    };
    let mut out = format!("{} results, {} objects: {read}\n", verified.results, verified.objects);
    if verified.is_clean() {
        out.push_str("nothing is missing or damaged\n");
        return out;
    }
    let mut grid = Grid::headed(&["object", "lost by", "what is wrong"]);
    for damage in &verified.damaged {
        let losers: Vec<&str> =
            verified.lost.iter().filter(|lost| lost.digest == damage.digest).map(|lost| lost.kind.as_str()).collect();
        let losers = if losers.is_empty() { "nobody".to_owned() } else { losers.join(", ") };
        grid.row([Cell::toned(Tone::Bad, damage.digest.short()), Cell::plain(losers), Cell::plain(damage.reason.clone())]);
    }
    for lost in verified.lost.iter().filter(|lost| verified.damaged.iter().all(|damage| damage.digest != lost.digest)) {
        let cells =
            [Cell::toned(Tone::Bad, lost.digest.short()), Cell::plain(lost.kind.clone()), Cell::plain(lost.reason.clone())];
        grid.row(cells);
    }
    out.push_str(&grid.render(ui.out, ui.width));
    push(
        &mut out,
        format_args!(
            "{} objects were damaged and set aside, {} results are lost; the next run makes them again\n",
            verified.damaged.len(),
            verified.lost.len()
        ),
    );
    out
}

fn restore(store: &Store, ui: Ui) -> Result<ExitStatus, CliError> {
    let (results, objects) = store.restore()?;
    if ui.json() {
        crate::ui::document(&json!({ "results": results, "objects": objects }));
    } else if results + objects == 0 {
        crate::ui::print("the trash is empty\n");
    } else {
        crate::ui::print(&format!("brought back {results} results and {objects} objects\n"));
    }
    Ok(ExitStatus::Ok)
}

fn room(usage: &Usage, ui: Ui) -> String {
    let mut out = String::new();
    let mut grid = Grid::new();
    let parts = [
        ("results", usage.result_bytes),
        ("sources", usage.source_bytes),
        ("checkpoints", usage.checkpoint_bytes),
        ("trash", usage.trash_bytes),
        ("quarantine", usage.quarantine_bytes),
    ];
    for (name, size) in parts {
        grid.row([Cell::toned(Tone::Strong, name), Cell::plain(bytes(size))]);
    }
    out.push_str(&grid.render(ui.out, ui.width));
    for (title, shares) in [("stage", &usage.kinds), ("project or registry", &usage.projects)] {
        if !shares.is_empty() {
            out.push('\n');
            out.push_str(&table(title, shares).render(ui.out, ui.width));
        }
    }
    if !usage.biggest.is_empty() {
        out.push('\n');
        out.push_str(&results(&usage.biggest, ui));
    }
    out
}

fn table(title: &str, shares: &[Share]) -> Grid {
    let mut grid = Grid::headed(&[title, "results", "size"]);
    for share in shares {
        let cells = [
            Cell::toned(Tone::Strong, share.name.clone()),
            Cell::plain(share.results.to_string()),
            Cell::plain(bytes(share.bytes)),
        ];
        grid.row(cells);
    }
    grid
}

#[cfg(test)]
mod tests {
    use flow_engine::{
        Digest,
        store::{Damage, LostResult},
    };

    use super::*;
    use crate::ui::{Output, Paint};

    fn plain() -> Ui {
        Ui { out: Paint::Plain, width: 120, ..Ui::detect(Output::Text) }
    }

    #[test]
    fn shares_are_percentages() {
        assert_eq!(percent("5%"), Ok(0.05));
        assert_eq!(percent("100"), Ok(1.0));
        for wrong in ["", "%", "-1%", "101%", "NaN", "five"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn findings_name_the_object_and_who_loses_it() {
        let digest = Digest::of(b"x");
        let mut verified = Verified { results: 2, objects: 3, ..Verified::default() };
        assert!(findings(&verified, plain()).contains("nothing is missing or damaged"));
        verified.damaged.push(Damage { digest, reason: "its content is another".to_owned() });
        let lost =
            |digest, reason: &str| LostResult { key: digest, kind: "toy/emit".to_owned(), digest, reason: reason.to_owned() };
        verified.lost.push(lost(digest, "its content is another"));
        verified.lost.push(lost(Digest::of(b"y"), "it is missing"));
        let told = findings(&verified, plain());
        assert!(told.contains(&format!("{}  toy/emit  its content is another", digest.short())), "{told}");
        assert!(told.contains("it is missing") && told.contains("2 results are lost"), "{told}");
    }
}
