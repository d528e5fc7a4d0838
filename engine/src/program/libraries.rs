//! Where the dynamic linker of this machine looks for libraries.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::elf;

const SETTINGS: &str = "/etc/ld.so.conf";
/// What linkers know without settings.
const STANDARD: [&str; 5] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];
/// Settings may include settings; this many levels are enough for honest ones.
const DEPTH: usize = 4;

/// The folders of the machine that hold libraries, in the order in which they are looked through.
#[derive(Debug)]
pub(super) struct Libraries(Vec<PathBuf>);

impl Libraries {
    /// Reads the machine's settings.
    pub(super) fn of_machine() -> Self {
        let mut folders = Vec::new();
        read(Path::new(SETTINGS), DEPTH, &mut folders);
        folders.extend(STANDARD.iter().map(PathBuf::from));
        Self(folders)
    }

    /// Finds a library for a kind of processor, in the given folders first.
    pub(super) fn find(&self, name: &str, first: &[PathBuf], machine: u16) -> Option<PathBuf> {
        let fits = |path: &PathBuf| matches!(elf::read(path), Ok(Some(linked)) if linked.machine == machine);
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(fits);
        }
        first.iter().chain(&self.0).map(|folder| folder.join(name)).find(fits)
    }
}

fn read(file: &Path, depth: usize, into: &mut Vec<PathBuf>) {
    let Ok(text) = fs::read_to_string(file) else { return };
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        match line.split_once(char::is_whitespace) {
            Some(("include", pattern)) if depth > 0 => {
                let pattern = file.parent().unwrap_or(Path::new("/")).join(pattern.trim());
                let found = glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten();
                found.for_each(|file| read(&file, depth - 1, into));
            }
            _ if line.starts_with('/') => into.push(PathBuf::from(line)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_what_they_include() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("ld.so.conf");
        fs::create_dir(folder.path().join("more")).unwrap();
        fs::write(&main, "# comment\n/opt/first # mine\n\ninclude more/*.conf\n/opt/last\n").unwrap();
        fs::write(folder.path().join("more/b.conf"), "/opt/b\ninclude ../ld.so.conf\n").unwrap();
        fs::write(folder.path().join("more/a.conf"), "/opt/a\nhwcap 1 nothing\n").unwrap();
        let mut folders = Vec::new();
        read(&main, 1, &mut folders);
        assert_eq!(folders, ["/opt/first", "/opt/a", "/opt/b", "/opt/last"].map(PathBuf::from));
    }

    #[test]
    fn a_library_for_another_processor_is_passed_over() {
        let libraries = Libraries::of_machine();
        let own = elf::read(&std::env::current_exe().unwrap()).unwrap().unwrap();
        let name = own.needed.iter().find(|name| name.starts_with("libc.")).unwrap();
        assert!(libraries.find(name, &[], own.machine).is_some());
        assert_eq!(libraries.find(name, &[], own.machine + 1), None);
    }
}
