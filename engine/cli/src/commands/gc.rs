//! `flow gc`.

use std::time::Duration;

use clap::Args;
use flow_engine::{
    govern::{AuditLog, Durability, Happening},
    run::History,
    store::{Candidate, Collected, GcOptions, Store, Sweep},
};

use super::drive::person;
use crate::{
    CliError, ExitStatus, Shell,
    text::{Cell, Grid, bytes, duration},
    ui::{Tone, Ui},
};

/// Results that are listed one by one.
const LISTED: usize = 10;

/// Remove old results that no recent run, decision, model, or running stage refers to
#[derive(Debug, Args)]
#[command(after_help = "\
What goes lies in the trash for a day: `flow cache restore` brings it back.

Examples:
  flow gc
  flow gc --dry-run
  flow gc --older-than 12h
  flow gc --max-size 50GiB        the results that are cheapest to make again go first")]
pub(crate) struct GcArgs {
    /// Keep unreferenced results younger than this
    #[arg(long, value_name = "AGE", default_value = "7d", value_parser = age)]
    older_than: Duration,
    /// Keep no more than this, even of what recent runs refer to
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Say what would go and leave it
    #[arg(long)]
    dry_run: bool,
    /// Delete at once, with everything in the trash: for a full disk
    #[arg(long, conflicts_with = "dry_run")]
    empty_trash: bool,
}

fn age(text: &str) -> Result<Duration, String> {
    let (number, seconds) = match text.char_indices().next_back() {
        Some((end, 'd')) => (text.get(..end), 86_400),
        Some((end, 'h')) => (text.get(..end), 3_600),
        Some((end, 'm')) => (text.get(..end), 60),
        Some((end, 's')) => (text.get(..end), 1),
        _ => (None, 0),
    };
    let number: Option<u64> = number.and_then(|digits| digits.parse().ok());
    let seconds = number.and_then(|number| number.checked_mul(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "expected a number and d, h, m, or s, such as 12h".to_owned())
}

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

fn size(text: &str) -> Result<u64, String> {
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let number = unit.and_then(|(digits, bytes)| digits.trim().parse::<u64>().ok()?.checked_mul(*bytes));
    number.ok_or_else(|| "expected a whole number and a unit, such as 50GiB or 800MB".to_owned())
}

pub(super) fn execute(args: &GcArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let project = shell.project()?;
    let store = Store::open_writable(&project.site.store)?;
    let sweep = match (args.dry_run, args.empty_trash) {
        (true, _) => Sweep::Pretend,
        (false, true) => Sweep::Delete,
        (false, false) => Sweep::Trash,
    };
    let referenced = History::referenced_in(&store)?;
    let options = GcOptions { referenced, older_than: args.older_than, max_bytes: args.max_size, sweep, ..GcOptions::default() };
    let collected = store.collect(&options)?;
    if sweep != Sweep::Pretend && project.state.is_dir() {
        let happening = Happening::Collected { results: collected.results, bytes: collected.bytes };
        AuditLog::of(&project).append(&person(), happening, Durability::Now)?;
    }
    if shell.ui.json() {
        crate::ui::document(&collected);
    } else {
        crate::ui::print(&told(&collected, sweep, shell.ui));
        crate::ui::print(&format!("{} kept in {}\n", bytes(collected.kept_bytes), store.root().display()));
    }
    Ok(ExitStatus::Ok)
}

fn told(collected: &Collected, sweep: Sweep, ui: Ui) -> String {
    let what = format!("{} ({} results, {} objects)", bytes(collected.bytes), collected.results, collected.objects);
    let line = match sweep {
        Sweep::Pretend => format!("would remove {what}; nothing was changed\n"),
        Sweep::Delete => format!("removed {what}; freed {}\n", bytes(collected.freed_bytes)),
        Sweep::Trash if collected.objects == 0 => {
            format!("nothing to remove; freed {} of earlier trash\n", bytes(collected.freed_bytes))
        }
        Sweep::Trash => format!(
            "moved {what} to the trash, from where `flow cache restore` brings it back for a day; freed {}\n",
            bytes(collected.freed_bytes)
        ),
    };
    line + &results(&collected.evicted, ui)
}

/// The first results as a table.
pub(super) fn results(candidates: &[Candidate], ui: Ui) -> String {
    if candidates.is_empty() {
        return String::new();
    }
    let mut grid = Grid::headed(&["result", "stage", "size", "took", "work per GiB"]);
    for candidate in candidates.iter().take(LISTED) {
        grid.row([
            Cell::toned(Tone::Quiet, candidate.key.short()),
            Cell::plain(candidate.kind.clone()),
            Cell::plain(bytes(candidate.bytes)),
            Cell::plain(duration(candidate.seconds)),
            Cell::plain(duration(candidate.seconds_per_gib)),
        ]);
    }
    let more = candidates.len().saturating_sub(LISTED);
    let rest = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    grid.render(ui.out, ui.width) + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("7d"), Ok(Duration::from_hours(7 * 24)));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        for wrong in ["", "7", "d", "-1h", "1.5h", "99999999999999999999d", "7 d", "7é"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        let cases = [("50GiB", 50 << 30), ("0B", 0), ("800MB", 800_000_000), ("3 kB", 3_000), ("1TiB", 1 << 40)];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "50", "GiB", "1.5GiB", "-1GB", "99999999999TiB", "5Gib", "5é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
