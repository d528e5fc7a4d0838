//! What a program of the machine is made of: its file, its interpreter, and the libraries it is linked with.
//!
//! Their content enters the action key of a command, so that another version of a tool runs it again. Parts are named as the
//! program names them, never by where they lie, so that one machine gives one key to every user and folder. What a program
//! opens later, such as the modules of a language, is not seen here.

mod elf;
mod libraries;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use libraries::Libraries;

use crate::{
    SourceRef, StageError,
    source::{ProgramRef, SourceFile},
    store::{ResolvedSource, SourceRequest, source_digest},
};

/// The first line of a script is never longer.
const LONGEST_LINE: u64 = 1024;

/// One file of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// How it is called by whoever needs it.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// Programs that were looked up before: one run sees one state of the machine, and looks once.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<ProgramRef, ResolvedSource>>);

impl Shelf {
    /// What was found before.
    pub(crate) fn get(&self, program: &ProgramRef) -> Option<ResolvedSource> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(program).cloned()
    }

    /// Keeps what was found.
    pub(crate) fn put(&self, program: &ProgramRef, found: &ResolvedSource) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(program.clone(), found.clone());
    }
}

/// The parts of a program with their contents, as they enter an action key.
pub(crate) fn resolve(program: &ProgramRef, request: &SourceRequest<'_>) -> Result<ResolvedSource, StageError> {
    if let Some(known) = request.index.programs.get(program) {
        return Ok(known);
    }
    (request.waits)();
    let file = find(program, &request.project.base).ok_or_else(|| missing(program))?;
    let mut files = Vec::new();
    for Part { name, path } in parts(program, &file) {
        let (digest, bytes) = request.index.digest(&path)?;
        files.push(SourceFile { path, name, digest, bytes });
    }
    let name = SourceRef::Program(program.clone()).name();
    let found = ResolvedSource { name, digest: source_digest(&files), files, supply: None };
    request.index.programs.put(program, &found);
    Ok(found)
}

fn missing(program: &ProgramRef) -> StageError {
    let help = format!("install it, or declare it under `code:`; commands are looked up in {}", program.search);
    StageError::input(format!("cannot find program {}", program.name)).help(help)
}

/// Finds a program as a command would: in the folders of its search path, or by a path relative to `base`.
pub(crate) fn find(program: &ProgramRef, base: &Path) -> Option<PathBuf> {
    if program.name.contains('/') {
        return Some(base.join(&program.folder).join(&program.name)).filter(|path| path.is_file());
    }
    let folders = program.search.split(':').filter(|folder| !folder.is_empty());
    folders.map(|folder| base.join(folder).join(&program.name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The parts of a program, itself first. What cannot be found is left out: starting it will tell.
pub(crate) fn parts(program: &ProgramRef, file: &Path) -> Vec<Part> {
    let mut walk = Walk { search: &program.search, libraries: Libraries::of_machine(), seen: BTreeSet::new(), parts: Vec::new() };
    walk.all(&program.name, file);
    walk.parts
}

struct Walk<'a> {
    search: &'a str,
    libraries: Libraries,
    seen: BTreeSet<PathBuf>,
    parts: Vec<Part>,
}

impl Walk<'_> {
    fn all(&mut self, name: &str, file: &Path) {
        let mut open = VecDeque::from([(name.to_owned(), file.to_owned(), Vec::new())]);
        while let Some((name, path, folders)) = open.pop_front() {
            let Ok(path) = fs::canonicalize(path) else { continue };
            if !self.seen.insert(path.clone()) {
                continue;
            }
            open.extend(self.behind(&path, folders));
            self.parts.push(Part { name, path });
        }
    }

    /// What a file needs to run: its interpreter, its loader, and its libraries, with the folders they were looked for in.
    fn behind(&self, path: &Path, mut folders: Vec<PathBuf>) -> Vec<(String, PathBuf, Vec<PathBuf>)> {
        if let Some(interpreter) = script_interpreter(path) {
            let (name, found) = interpreter.locate(self.search);
            return found.map(|found| (name, found, Vec::new())).into_iter().collect();
        }
        let Ok(Some(linked)) = elf::read(path) else { return Vec::new() };
        folders.extend(linked.folders);
        let loader = linked.interpreter.map(|loader| (file_name(&loader), loader, Vec::new()));
        let libraries = linked.needed.into_iter().filter_map(|name| {
            let found = self.libraries.find(&name, &folders, linked.machine)?;
            Some((name, found, folders.clone()))
        });
        loader.into_iter().chain(libraries).collect()
    }
}

/// Who runs a script.
#[derive(Debug, PartialEq, Eq)]
enum Interpreter {
    /// The program at a path.
    At(PathBuf),
    /// A program that `env` looks up.
    Named(String),
}

impl Interpreter {
    fn locate(self, search: &str) -> (String, Option<PathBuf>) {
        match self {
            Self::At(path) => (file_name(&path), Some(path)),
            Self::Named(name) => {
                let found =
                    find(&ProgramRef { name: name.clone(), folder: PathBuf::new(), search: search.to_owned() }, Path::new("/"));
                (name, found)
            }
        }
    }
}

fn script_interpreter(path: &Path) -> Option<Interpreter> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(LONGEST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let program = Path::new(words.next()?).to_owned();
    if program.file_name().is_some_and(|name| name == "env") {
        let named = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
        return Some(Interpreter::Named(named.to_owned()));
    }
    Some(Interpreter::At(program))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, search: &str) -> ProgramRef {
        ProgramRef { name: name.to_owned(), folder: PathBuf::new(), search: search.to_owned() }
    }

    fn names(parts: &[Part]) -> Vec<&str> {
        parts.iter().map(|part| part.name.as_str()).collect()
    }

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_program_of_the_system_comes_with_its_loader_and_libraries() {
        let shell = program("sh", "/usr/bin:/bin");
        let parts = parts(&shell, &find(&shell, Path::new("/")).unwrap());
        let names = names(&parts);
        assert_eq!(names[0], "sh");
        assert!(names.iter().any(|name| name.starts_with("ld-")), "{names:?}");
        assert!(names.iter().any(|name| name.starts_with("libc.")), "{names:?}");
        assert!(parts.iter().all(|part| part.path.is_absolute() && part.path.is_file()));
    }

    #[test]
    fn a_script_comes_with_whoever_runs_it() {
        let folder = tempfile::tempdir().unwrap();
        let tool = folder.path().join("tool");
        write(&tool, "#!/bin/sh -e\ntrue\n");
        write(&folder.path().join("script"), "#!/usr/bin/env -S tool --fast\n");
        let script = program("script", folder.path().to_str().unwrap());
        let parts = parts(&script, &find(&script, Path::new("/")).unwrap());
        assert_eq!(names(&parts)[..3], ["script", "tool", "sh"]);
    }

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(&first).unwrap();
        fs::create_dir_all(&second).unwrap();
        fs::write(first.join("tool"), "not executable").unwrap();
        write(&second.join("tool"), "#!/bin/sh\n");
        let search = format!("{}:{}", first.display(), second.display());
        assert_eq!(find(&program("tool", &search), Path::new("/")), Some(second.join("tool")));
        assert_eq!(find(&program("nothing", &search), Path::new("/")), None);
        assert_eq!(find(&program("b/tool", ""), folder.path()), Some(second.join("tool")));
    }
}
