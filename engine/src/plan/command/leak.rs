//! Outputs are kept, shared, and never masked; so a command whose output holds a secret fails instead.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use super::{
    CommandConfig,
    forms::{Forms, Shortest},
    work::Room,
};
use crate::StageError;

const CHUNK: usize = 1 << 20;

/// Refuses outputs that hold a secret, in whatever form.
pub(super) fn refuse(config: &CommandConfig, room: &Room, secrets: &[(String, String)]) -> Result<(), StageError> {
    for (name, value) in secrets {
        let Some(forms) = Forms::of([value.as_str()], Shortest::Unlikely)? else { continue };
        for (port, output) in &config.outputs {
            if holds(&room.work.join(&output.path), &forms)? {
                return Err(StageError::input(format!("output {port:?} holds the value of secret {name}"))
                    .help("write what the secret gives access to and not the secret: outputs are stored as they are"));
            }
        }
    }
    Ok(())
}

/// Whether a file, or any file below a folder, holds one of the forms.
fn holds(path: &Path, forms: &Forms) -> io::Result<bool> {
    let kind = path.symlink_metadata()?.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            if holds(&entry?.path(), forms)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if kind.is_file() { read_holds(File::open(path)?, forms) } else { Ok(false) }
}

fn read_holds(mut file: impl Read, forms: &Forms) -> io::Result<bool> {
    let held = forms.longest() - 1;
    let mut buffer = Vec::with_capacity(CHUNK + held);
    loop {
        // What may be the start of a secret stays before the next chunk.
        buffer.drain(..buffer.len().saturating_sub(held));
        if (&mut file).take(CHUNK as u64).read_to_end(&mut buffer)? == 0 {
            return Ok(false);
        }
        if forms.find(&buffer).next().is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(secret: &str) -> Forms {
        Forms::of([secret], Shortest::Unlikely).unwrap().unwrap()
    }

    #[test]
    fn a_text_across_two_chunks_is_found() {
        let mut file = vec![b'x'; CHUNK - 3];
        file.extend_from_slice(b"hunter2hunter2 and more");
        assert!(read_holds(file.as_slice(), &forms("hunter2hunter2")).unwrap());
        assert!(!read_holds(&b"hunter2hunter"[..], &forms("hunter2hunter2")).unwrap());
    }

    #[test]
    fn folders_are_looked_through() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), "token=hunter2hunter2").unwrap();
        assert!(holds(folder.path(), &forms("hunter2hunter2")).unwrap());
        assert!(!holds(folder.path(), &forms("something else")).unwrap());
    }
}
