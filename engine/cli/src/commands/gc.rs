//! `flow gc`.

use std::time::Duration;

use clap::Args;
use flow_engine::{
    run::History,
    store::{GcOptions, Store},
};

use crate::{CliError, ExitStatus, Shell, text::bytes};

/// Remove old results that no recent run, decision, or running stage refers to
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  flow gc
  flow gc --older-than 12h")]
pub(crate) struct GcArgs {
    /// Keep unreferenced results younger than this
    #[arg(long, value_name = "AGE", default_value = "7d", value_parser = age)]
    older_than: Duration,
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

pub(super) fn execute(args: &GcArgs, shell: &Shell) -> Result<ExitStatus, CliError> {
    let store = Store::open(&shell.project()?.site.store)?;
    let referenced = History::referenced_in(&store)?;
    let collected = store.collect(&GcOptions { referenced, older_than: args.older_than, ..GcOptions::default() })?;
    if shell.ui.json() {
        crate::ui::document(&collected);
    } else {
        let (freed, kept) = (bytes(collected.bytes), bytes(collected.kept_bytes));
        crate::ui::print(&format!(
            "freed {freed} ({} results, {} objects); {kept} kept in {}\n",
            collected.results,
            collected.objects,
            store.root().display()
        ));
    }
    Ok(ExitStatus::Ok)
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
}
