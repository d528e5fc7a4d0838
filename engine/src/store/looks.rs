//! Sources of one file that were looked at a moment ago: a script that a thousand stages share is looked at once for many.
//!
//! A look holds for an instant, and only while nothing of the run has run, which might write to the file. Whoever reads the
//! file later is guarded as ever: it must be in the state that was hashed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::ResolvedSource;

/// No longer than stages that become ready together may lie apart.
const HOLDS: Duration = Duration::from_millis(50);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seen: BTreeMap<PathBuf, BTreeMap<String, (Instant, ResolvedSource)>>,
    ended: bool,
}

impl Looks {
    /// What a pattern stood for a moment ago.
    pub(super) fn get(&self, base: &Path, pattern: &str) -> Option<ResolvedSource> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = state.seen.get(base)?.get(pattern)?;
        (at.elapsed() < HOLDS).then(|| found.clone())
    }

    /// Keeps what a look begun at `at` found, if it is the one file that the pattern names.
    pub(super) fn put(&self, (base, pattern): (&Path, &str), (at, found): (Instant, &ResolvedSource)) {
        let plain = |name: &str| name == pattern;
        if !matches!(found.files.as_slice(), [only] if plain(&only.name)) {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return;
        }
        let seen = state.seen.entry(base.to_owned()).or_default();
        seen.insert(pattern.to_owned(), (at, found.clone()));
    }

    /// From now on every file is looked at anew.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        state.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, source::SourceFile};

    fn found(names: &[&str]) -> ResolvedSource {
        let file = |name: &&str| SourceFile {
            path: PathBuf::from("/base").join(name),
            name: (*name).to_owned(),
            digest: Digest::of(name.as_bytes()),
            bytes: 1,
        };
        let files = names.iter().map(file).collect();
        ResolvedSource { name: "x".to_owned(), files, digest: Digest::of(b"x"), supply: None }
    }

    #[test]
    fn a_look_at_one_file_holds_for_an_instant_and_until_something_runs() {
        let (looks, base) = (Looks::default(), Path::new("/base"));
        let now = Instant::now() + Duration::from_hours(1);
        looks.put((base, "a"), (now, &found(&["a"])));
        assert_eq!(looks.get(base, "a").map(|known| known.files), Some(found(&["a"]).files));
        assert!(looks.get(base, "b").is_none() && looks.get(Path::new("/other"), "a").is_none());
        looks.put((base, "a"), (Instant::now().checked_sub(HOLDS).unwrap(), &found(&["a"])));
        assert!(looks.get(base, "a").is_none());
        looks.put((base, "a"), (now, &found(&["a"])));
        looks.end();
        looks.put((base, "a"), (now, &found(&["a"])));
        assert!(looks.get(base, "a").is_none());
    }

    #[test]
    fn what_a_pattern_matches_is_looked_for_each_time() {
        let (looks, base) = (Looks::default(), Path::new("/base"));
        let now = Instant::now() + Duration::from_hours(1);
        looks.put((base, "*"), (now, &found(&["a"])));
        looks.put((base, "d"), (now, &found(&["d/a", "d/b"])));
        assert!(looks.get(base, "*").is_none() && looks.get(base, "d").is_none());
    }
}
