//! From the fields of a `cmd@1` stage to a command, with everything that is wrong with them.

use std::path::{Component, Path, PathBuf};

use super::{super::names::gathers, CommandConfig, CommandStage, sightings::Sightings};
use crate::{
    ArtifactKind,
    registry::PathStep,
    stage::Arity,
    workflow::{Piece, Scalar, StageDocument, Template, suggest},
};

/// Where a command's files lie.
pub(crate) struct CommandSite<'a> {
    /// The folder of the file that holds the stage.
    pub(crate) folder: &'a Path,
    /// That folder relative to the workflow file's; empty when they are one.
    pub(crate) relative: String,
    /// What was seen there for other stages.
    pub(crate) sightings: &'a Sightings,
}

/// One thing wrong with a command, by its place in the stage.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: Vec<PathStep>,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Makes a command of a stage, or says everything that is wrong with it.
pub(crate) fn build(document: &StageDocument, site: &CommandSite<'_>) -> Result<CommandStage, Vec<Finding>> {
    let code = document.code.iter().map(|pattern| code_pattern(site, pattern)).collect();
    let mut checks = Checks { document, site, code, findings: Vec::new() };
    checks.with();
    checks.outputs();
    checks.code();
    checks.environment();
    checks.run();
    if !checks.findings.is_empty() {
        return Err(checks.findings);
    }
    Ok(CommandStage::new(config(document, site, checks.code)))
}

/// Every file below a folder.
const BELOW: &str = "/**/*";
const COMMAND: &str = "flow::plan::command";

fn config(document: &StageDocument, site: &CommandSite<'_>, code: Vec<String>) -> CommandConfig {
    CommandConfig {
        run: document.run.iter().flatten().map(|Scalar(text)| text.clone()).collect(),
        env: document.env.clone(),
        code,
        external: document.external.clone(),
        inputs: document.inputs.iter().map(|(port, binding)| (port.clone(), arity(&binding.from))).collect(),
        outputs: document.out.clone(),
        folder: site.relative.clone(),
        sandbox: document.sandbox,
        tools: document.tools.clone(),
    }
}

/// How many artifacts a binding brings: a gathered input is a list, also when one instance is left.
fn arity(from: &[String]) -> Arity {
    match from {
        [one] if !gathers(one) => Arity::One,
        _ => Arity::Many,
    }
}

/// A pattern without `./`; a folder stands for every file below it.
fn code_pattern(site: &CommandSite<'_>, pattern: &str) -> String {
    let plain = pattern.trim_start_matches("./").trim_end_matches('/');
    if site.sightings.is_folder(&site.folder.join(plain)) { format!("{plain}{BELOW}") } else { plain.to_owned() }
}

struct Checks<'a> {
    document: &'a StageDocument,
    site: &'a CommandSite<'a>,
    /// The patterns of its code: the disk is asked once which of them are folders.
    code: Vec<String>,
    findings: Vec<Finding>,
}

fn key(name: &str) -> PathStep {
    PathStep::Key(name.to_owned())
}

impl Checks<'_> {
    fn add(&mut self, path: Vec<PathStep>, message: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding { path, code: COMMAND, message: message.into(), help: help.into() });
    }

    fn with(&mut self) {
        if self.document.with.as_ref().is_some_and(|with| !with.is_empty()) {
            self.add(vec![key("with")], "a command takes no `with:`", "pass values as arguments in `run:`, or in `env:`");
        }
    }

    fn outputs(&mut self) {
        if self.document.out.is_empty() {
            let help = "declare what it writes, such as `out: {notice: {path: NOTICE.txt, kind: file}}`";
            self.add(vec![key("out")], "a command must write something", help);
        }
        let mut taken: Vec<(&str, PathBuf)> = Vec::new();
        for (port, output) in &self.document.out {
            let place = vec![key("out"), key(port), key("path")];
            let path = Path::new(&output.path);
            if !stays_inside(path) || path.starts_with("in") {
                let help = "use a relative path such as out/rows.jsonl, outside `in/`";
                self.add(place, format!("output path `{}` leaves the working folder", output.path), help);
            } else if let Some((other, _)) =
                taken.iter().find(|(_, known)| known.starts_with(plain(path)) || plain(path).starts_with(known))
            {
                let help = "give every output a path of its own";
                self.add(place, format!("outputs `{other}` and `{port}` overlap"), help);
            } else {
                taken.push((port, plain(path)));
            }
            if output.kind == ArtifactKind::Any {
                self.add(
                    vec![key("out"), key(port), key("kind")],
                    "an output cannot be of kind `any`",
                    "say what it is, such as file or dir",
                );
            }
        }
    }

    fn code(&mut self) {
        for (index, pattern) in self.document.code.iter().enumerate() {
            let place = vec![key("code"), PathStep::Index(index)];
            if !stays_inside(Path::new(pattern)) {
                let help = "keep the command's files below the folder of this file";
                self.add(place, format!("code `{pattern}` is outside the folder of this file"), help);
            } else if let Err(error) = glob::Pattern::new(pattern) {
                self.add(
                    place,
                    format!("`{pattern}` is no pattern: {}", error.msg),
                    "write a path or a pattern such as tools/*.py",
                );
            }
        }
        for (index, pattern) in self.document.external.iter().enumerate() {
            if let Err(error) = glob::Pattern::new(pattern) {
                let place = vec![key("external"), PathStep::Index(index)];
                self.add(
                    place,
                    format!("`{pattern}` is no pattern: {}", error.msg),
                    "write a path or a pattern such as /etc/*.conf",
                );
            } else if self.code.contains(pattern) {
                // Both are relative to different folders, and a source has one name.
                let place = vec![key("external"), PathStep::Index(index)];
                self.add(place, format!("`{pattern}` stands under `code:` as well"), "name it once");
            }
        }
    }

    fn environment(&mut self) {
        for name in self.document.env.keys() {
            let valid = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            if !valid || name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
                let help = "use letters, digits, and `_`";
                self.add(vec![key("env"), key(name)], format!("`{name}` cannot be the name of a variable"), help);
            }
        }
    }

    fn run(&mut self) {
        let document = self.document;
        let argv = document.run.as_deref().unwrap_or_default();
        if argv.is_empty() {
            self.add(
                vec![key("run")],
                "a command needs `run:`",
                "write the command and its arguments, such as `run: [python3, tools/x.py]`",
            );
        }
        for (index, Scalar(argument)) in argv.iter().enumerate() {
            let place = vec![key("run"), PathStep::Index(index)];
            match Template::parse(argument) {
                Ok(template) => self.argument(&template, &place),
                Err(error) => self.add(place, error.message, error.help),
            }
        }
        self.scripts(argv);
    }

    fn argument(&mut self, template: &Template, place: &[PathStep]) {
        let document = self.document;
        for piece in &template.pieces {
            let Piece::Name { root, field } = piece else { continue };
            let (what, known): (&str, Vec<&str>) = match root.as_str() {
                "in" => ("inputs", document.inputs.keys().map(String::as_str).collect()),
                _ => ("outputs", document.out.keys().map(String::as_str).collect()),
            };
            if !known.contains(&field.as_str()) {
                let help = suggest::help(field, what, known);
                self.add(place.to_vec(), format!("`${{{root}.{field}}}` names none of the {what}"), help);
            } else if root == "in" && template.pieces.len() > 1 && binds_many(document, field) {
                let help = format!("make `${{in.{field}}}` an argument of its own");
                self.add(place.to_vec(), format!("input `{field}` is a list and cannot stand inside a text"), help);
            }
        }
    }

    /// Files of the project that the command names but does not declare would not be there, nor count for caching.
    fn scripts(&mut self, argv: &[Scalar]) {
        let declared: Vec<Declared> = self.code.iter().filter_map(|code| Declared::of(code)).collect();
        let written: Vec<PathBuf> = self.document.out.values().map(|output| plain(Path::new(&output.path))).collect();
        for (index, Scalar(argument)) in argv.iter().enumerate() {
            let words = argument.split(|letter: char| letter.is_whitespace() || "'\"`;|&<>()=".contains(letter));
            let mut named: Vec<&str> = std::iter::once(argument.as_str()).chain(words).collect();
            named.dedup();
            for name in named {
                if self.is_undeclared(name, (&declared, &written)) {
                    let place = vec![key("run"), PathStep::Index(index)];
                    let help = format!("declare it under `code: [{name}]`, so that a change of it runs the command again");
                    self.add(place, format!("`{name}` is a file that the command does not declare"), help);
                }
            }
        }
    }

    fn is_undeclared(&self, name: &str, (declared, written): (&[Declared], &[PathBuf])) -> bool {
        let path = Path::new(name);
        if name.contains("${") || !stays_inside(path) {
            return false;
        }
        let file = plain(path);
        // What it writes may be called like a file of the project.
        let known = written.iter().any(|output| file.starts_with(output)) || declared.iter().any(|code| code.covers(&file));
        // The disk is asked last: most words are declared, or no names.
        !known && self.site.sightings.is_file(&self.site.folder.join(path))
    }
}

/// Which files an entry of `code:` stands for. Most are plain paths or whole folders, which are compared faster than matched.
enum Declared {
    File(PathBuf),
    Below(PathBuf),
    Matching(glob::Pattern),
}

impl Declared {
    /// None where the pattern cannot be understood.
    fn of(code: &str) -> Option<Self> {
        let is_plain = |path: &str| !path.contains(['*', '?', '[', ']']);
        match code.strip_suffix(BELOW) {
            Some(folder) if is_plain(folder) => Some(Self::Below(PathBuf::from(folder))),
            None if is_plain(code) => Some(Self::File(PathBuf::from(code))),
            _ => glob::Pattern::new(code).ok().map(Self::Matching),
        }
    }

    fn covers(&self, file: &Path) -> bool {
        match self {
            Self::File(path) => file == path,
            Self::Below(folder) => file != folder && file.starts_with(folder),
            Self::Matching(pattern) => pattern.matches_path(file),
        }
    }
}

fn binds_many(document: &StageDocument, port: &str) -> bool {
    document.inputs.get(port).is_some_and(|binding| arity(&binding.from) == Arity::Many)
}

fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

/// Whether a path is relative and never climbs out of its folder.
fn stays_inside(path: &Path) -> bool {
    let ordinary = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    ordinary && path.components().any(|part| matches!(part, Component::Normal(_)))
}

/// How the folder of a file is reached from another folder.
pub(crate) fn relative_folder(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = from.iter().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.iter().skip(shared).copied()).collect();
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_and_folders_cover_what_their_patterns_match() {
        for code in ["a.sh", "tools/a.sh", "tools/**/*", "tools/deep/**/*", "tools/*.py", "t?ols/**/*", "[ab].sh"] {
            let (declared, pattern) = (Declared::of(code).unwrap(), glob::Pattern::new(code).unwrap());
            for file in ["a.sh", "b.sh", "tools", "tools/a.sh", "tools/x.py", "tools/deep/x.py", "toolsx/a.sh", "x/tools/a.sh"] {
                assert_eq!(declared.covers(Path::new(file)), pattern.matches_path(Path::new(file)), "{code} {file}");
            }
        }
        assert!(Declared::of("a[").is_none());
    }
}
