//! Small texts of a project by their content: workflow files and the code of commands, kept to be compared later.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::Digest;

/// A text that a run has just written is not referred to yet.
const YOUNG: Duration = Duration::from_hours(24);

/// The texts of one project.
#[derive(Clone, Debug)]
pub struct Texts {
    folder: PathBuf,
}

impl Texts {
    /// The texts below a project's state folder.
    pub fn of(state: &Path) -> Self {
        Self { folder: state.join("texts") }
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(name.get(..2).unwrap_or_default()).join(name)
    }

    /// Keeps a text once, whatever run it belongs to.
    pub fn keep(&self, text: &str) -> io::Result<Digest> {
        let digest = Digest::of(text.as_bytes());
        let place = self.place(&digest);
        if !place.exists() {
            let aside = place.with_extension(ulid::Ulid::new().to_string());
            fs::create_dir_all(place.parent().unwrap_or(&self.folder))?;
            fs::write(&aside, text)?;
            fs::rename(&aside, &place)?;
        }
        Ok(digest)
    }

    /// A kept text; none when it was never kept, or is damaged.
    pub fn read(&self, digest: &Digest) -> Option<String> {
        let text = fs::read_to_string(self.place(digest)).ok()?;
        (Digest::of(text.as_bytes()) == *digest).then_some(text)
    }

    /// Removes what is neither young nor in `used`.
    pub(super) fn prune(&self, used: &BTreeSet<Digest>) -> io::Result<()> {
        let Ok(shards) = fs::read_dir(&self.folder) else { return Ok(()) };
        for shard in shards {
            for file in fs::read_dir(shard?.path())? {
                let file = file?;
                let named = file.file_name().to_str().and_then(|name| name.parse::<Digest>().ok());
                let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
                if age > YOUNG && named.is_none_or(|digest| !used.contains(&digest)) {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_a_damaged_one_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let texts = Texts::of(folder.path());
        let digest = texts.keep("flow: 1\n").unwrap();
        assert_eq!(texts.keep("flow: 1\n").unwrap(), digest);
        assert_eq!(texts.read(&digest).as_deref(), Some("flow: 1\n"));
        fs::write(texts.place(&digest), "flow: 2\n").unwrap();
        assert_eq!(texts.read(&digest), None);
        assert_eq!(texts.read(&Digest::of(b"other")), None);
    }

    #[test]
    fn young_texts_survive_a_removal_of_runs() {
        let folder = tempfile::tempdir().unwrap();
        let texts = Texts::of(folder.path());
        let digest = texts.keep("x").unwrap();
        texts.prune(&BTreeSet::new()).unwrap();
        assert!(texts.read(&digest).is_some());
    }
}
