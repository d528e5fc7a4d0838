//! How the rows of two artifacts differ: by name, with a few of each kind to look at.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use serde::Serialize;

use crate::{
    Digest, StageError,
    viewer::{ArtifactViewer, Row},
};

/// Rows shown of each kind of change.
const SAMPLES: usize = 5;

/// How the rows of two artifacts differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowsDifference {
    /// Rows of the first artifact.
    pub old_rows: u64,
    /// Rows of the second artifact.
    pub new_rows: u64,
    /// Names that only the second has.
    pub added: u64,
    /// Names that only the first has.
    pub removed: u64,
    /// Names that both have, with other content.
    pub changed: u64,
    /// The first few of each, in the order of the artifacts.
    pub samples: Vec<RowSample>,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowChange {
    /// Only the second artifact has it.
    Added,
    /// Only the first artifact has it.
    Removed,
    /// Its content differs.
    Changed,
}

/// One row to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowSample {
    /// What happened to it.
    pub change: RowChange,
    /// Its name.
    pub id: String,
    /// What it held.
    pub old: Option<String>,
    /// What it holds.
    pub new: Option<String>,
}

/// Half a digest: enough to tell rows apart, and half the memory of millions of them.
type Half = [u8; 16];

/// Content by name. Rows of one name, which no stage of ours writes, count as one.
#[derive(Default)]
struct Rows {
    by_name: BTreeMap<Half, Half>,
    count: u64,
}

impl Rows {
    fn read(viewer: &dyn ArtifactViewer, path: &Path) -> Result<Self, StageError> {
        let mut rows = Self::default();
        viewer.rows(path, &mut |row| {
            rows.count += 1;
            let content = half(&row.digest);
            let held = rows.by_name.entry(name(&row)).or_insert(content);
            if *held != content {
                *held = half(&Digest::of(&[*held, content].concat()));
            }
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// What happened to a row of the other artifact.
    fn change(&self, own: &Self, row: &Row, missing: RowChange) -> Option<RowChange> {
        let name = name(row);
        match self.by_name.get(&name) {
            None => Some(missing),
            Some(content) => (own.by_name.get(&name) != Some(content)).then_some(RowChange::Changed),
        }
    }
}

fn half(digest: &Digest) -> Half {
    let mut half = Half::default();
    half.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    half
}

fn name(row: &Row) -> Half {
    half(&Digest::of(row.id.as_bytes()))
}

pub(super) fn rows_difference(viewer: &dyn ArtifactViewer, (from, to): (&Path, &Path)) -> Result<RowsDifference, StageError> {
    let (old, new) = (Rows::read(viewer, from)?, Rows::read(viewer, to)?);
    let missing = |one: &Rows, other: &Rows| one.by_name.keys().filter(|name| !other.by_name.contains_key(*name)).count();
    let changed = old.by_name.iter().filter(|(name, held)| new.by_name.get(*name).is_some_and(|now| now != *held)).count();
    let mut samples = Vec::new();
    viewer.rows(to, &mut |row| {
        if let Some(change) = old.change(&new, &row, RowChange::Added) {
            sample(&mut samples, change, (row.id, None, Some(row.text)));
        }
        enough(&samples, [RowChange::Added, RowChange::Changed])
    })?;
    viewer.rows(from, &mut |row| {
        match new.change(&old, &row, RowChange::Removed) {
            Some(RowChange::Changed) => {
                let shown = samples.iter_mut().find(|sample| sample.change == RowChange::Changed && sample.id == row.id);
                if let Some(shown) = shown {
                    shown.old = Some(row.text);
                }
            }
            Some(change) => sample(&mut samples, change, (row.id, Some(row.text), None)),
            None => {}
        }
        ControlFlow::Continue(())
    })?;
    samples.sort_by_key(|sample| sample.change);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(RowsDifference {
        old_rows: old.count,
        new_rows: new.count,
        added: count(missing(&new, &old)),
        removed: count(missing(&old, &new)),
        changed: count(changed),
        samples,
    })
}

fn sample(samples: &mut Vec<RowSample>, change: RowChange, (id, old, new): (String, Option<String>, Option<String>)) {
    if samples.iter().filter(|sample| sample.change == change).count() < SAMPLES {
        samples.push(RowSample { change, id, old, new });
    }
}

fn enough(samples: &[RowSample], changes: [RowChange; 2]) -> ControlFlow<()> {
    let full = |change: &RowChange| samples.iter().filter(|sample| sample.change == *change).count() == SAMPLES;
    if changes.iter().all(full) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ArtifactKind;

    /// `name=content` lines.
    struct Lines;

    impl ArtifactViewer for Lines {
        fn kind(&self) -> ArtifactKind {
            ArtifactKind::File
        }

        fn rows(&self, path: &Path, visit: crate::viewer::Visit<'_>) -> Result<(), StageError> {
            for line in std::fs::read_to_string(path)?.lines() {
                let (id, text) = line.split_once('=').unwrap_or((line, ""));
                let row = Row { id: id.to_owned(), digest: Digest::of(text.as_bytes()), text: text.to_owned() };
                if visit(row).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    fn compare(old: &str, new: &str) -> RowsDifference {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        rows_difference(&Lines, (&place("old", old), &place("new", new))).unwrap()
    }

    #[test]
    fn rows_are_told_apart_by_name_whatever_their_order() {
        let found = compare("a=1\nb=2\nc=3\n", "c=3\nd=4\nb=20\n");
        assert_eq!((found.old_rows, found.new_rows), (3, 3));
        assert_eq!((found.added, found.removed, found.changed), (1, 1, 1));
        let told: Vec<(&str, Option<&str>, Option<&str>)> =
            found.samples.iter().map(|row| (row.id.as_str(), row.old.as_deref(), row.new.as_deref())).collect();
        assert_eq!(told, [("d", None, Some("4")), ("a", Some("1"), None), ("b", Some("2"), Some("20"))]);
    }

    #[test]
    fn only_a_few_rows_are_shown_but_all_are_counted() {
        let new = (0..100).map(|row| format!("{row}=x")).collect::<Vec<_>>().join("\n");
        let found = compare("", &new);
        assert_eq!((found.added, found.samples.len()), (100, SAMPLES));
    }

    #[test]
    fn a_reordered_artifact_has_the_same_rows() {
        let found = compare("a=1\nb=2\n", "b=2\na=1\n");
        assert_eq!((found.added, found.removed, found.changed), (0, 0, 0));
        assert!(found.samples.is_empty());
    }
}
