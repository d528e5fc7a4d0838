//! `git:HOST/ORG/REPO//PATH@TAG` as its parts.

use std::{
    path::{Component, Path, PathBuf},
    str::FromStr,
};

use super::SCHEME;

/// What a component may be called when only its folder or the stem of its name is given.
const ENDINGS: [&str; 2] = ["yaml", "yml"];
const INSIDE: [&str; 2] = ["workflow.yaml", "component.yaml"];

/// A component in a repository, as `uses:` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitReference {
    /// The repository as written: `HOST/ORG/REPO`, or a URL.
    pub repository: String,
    /// The path of the component inside it.
    pub path: String,
    /// A tag, a branch, or a full commit.
    pub revision: String,
}

/// A reference that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read component `{text}`: {reason}")]
pub struct InvalidReference {
    /// As written.
    pub text: String,
    /// Why not: lower case, no period.
    pub reason: &'static str,
}

impl FromStr for GitReference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|reason| InvalidReference { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<GitReference, &'static str> {
    let rest = text.strip_prefix(SCHEME).ok_or("it does not begin with `git:`")?;
    // The `//` of a URL's scheme is not the one before the path.
    let after_scheme = rest.find("://").map_or(0, |at| at + 3);
    let tail = rest.get(after_scheme..).unwrap_or_default();
    let (place, inside) = tail.split_once("//").ok_or("`//` and the path of the component are missing after the repository")?;
    let (path, revision) = inside.rsplit_once('@').ok_or("`@` and a tag are missing at its end")?;
    let repository = format!("{}{place}", rest.get(..after_scheme).unwrap_or_default());
    check_repository(&repository, place)?;
    check_revision(revision)?;
    if !inner(path) {
        return Err("its path must lie inside the repository");
    }
    Ok(GitReference { repository, path: path.trim_end_matches('/').to_owned(), revision: revision.to_owned() })
}

fn check_repository(repository: &str, place: &str) -> Result<(), &'static str> {
    let known = ["https://", "ssh://", "file:///"];
    if repository.contains("://") && !known.iter().any(|scheme| repository.starts_with(scheme)) {
        return Err("only https, ssh, and file are spoken");
    }
    if place.is_empty() || place.starts_with('-') || place.contains(char::is_whitespace) || place.chars().any(char::is_control) {
        return Err("its repository is no address");
    }
    let authority = place.split('/').next().unwrap_or_default();
    // A password in a file under version control is public; git asks its own stores for one. Over https, a name is often a token.
    let names_only = repository.starts_with("ssh://");
    if authority.rsplit_once('@').is_some_and(|(user, _)| !names_only || user.contains(':')) {
        return Err("a password or token does not belong in a workflow: let git's credential helper know it");
    }
    if !repository.contains("://") && !place.contains('/') {
        return Err("a repository is HOST/ORG/REPO or a URL");
    }
    Ok(())
}

fn check_revision(revision: &str) -> Result<(), &'static str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-' | '/' | '+');
    let odd = revision.starts_with(['-', '/', '.']) || revision.ends_with(['/', '.']) || revision.contains("..");
    if revision.is_empty() || odd || !revision.chars().all(allowed) {
        return Err("its tag is no name of a tag");
    }
    Ok(())
}

/// Whether a path is relative, not empty, and never climbs.
fn inner(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(name) if name != ".git"))
}

impl GitReference {
    /// How `flow.lock` calls the repository at this revision: one pin serves all its components.
    pub fn pin_name(&self) -> String {
        format!("{SCHEME}{}@{}", self.repository, self.revision)
    }

    /// The repository and revision of a pin's name.
    pub(super) fn of_pin(name: &str) -> Option<Self> {
        let (repository, revision) = name.strip_prefix(SCHEME)?.rsplit_once('@')?;
        format!("{SCHEME}{repository}//any@{revision}").parse().ok()
    }

    /// What git is told.
    pub(super) fn url(&self) -> String {
        if self.repository.contains("://") { self.repository.clone() } else { format!("https://{}", self.repository) }
    }

    /// The component's file in a checkout: the path itself, with an ending, or the workflow in the folder of that name.
    pub(super) fn file_in(&self, root: &Path) -> Option<PathBuf> {
        let path = root.join(&self.path);
        let named = ENDINGS.iter().map(|ending| PathBuf::from(format!("{}.{ending}", path.display())));
        let inside = INSIDE.iter().map(|name| path.join(name));
        std::iter::once(path.clone()).chain(named).chain(inside).find(|file| file.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GitReference, &'static str> {
        text.parse().map_err(|error: InvalidReference| error.reason)
    }

    #[test]
    fn every_form_is_read() {
        let cases = [
            (
                "git:example.org/acme/kit//curate@v2.1.0",
                "example.org/acme/kit",
                "curate",
                "v2.1.0",
                "https://example.org/acme/kit",
            ),
            ("git:file:///srv/kit//parts/a.yaml@one", "file:///srv/kit", "parts/a.yaml", "one", "file:///srv/kit"),
            ("git:ssh://git@example.org/kit//a@v1", "ssh://git@example.org/kit", "a", "v1", "ssh://git@example.org/kit"),
            ("git:https://example.org/k//a/b@release/1", "https://example.org/k", "a/b", "release/1", "https://example.org/k"),
        ];
        for (text, repository, path, revision, url) in cases {
            let reference = read(text).unwrap();
            assert_eq!((reference.repository.as_str(), reference.path.as_str()), (repository, path), "{text}");
            assert_eq!((reference.revision.as_str(), reference.url().as_str()), (revision, url), "{text}");
            let again = GitReference::of_pin(&reference.pin_name()).unwrap();
            assert_eq!((again.repository, again.revision), (reference.repository, reference.revision));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            ("git:example.org/kit", "`//`"),
            ("git:example.org/kit//a", "`@`"),
            ("git:example.org/kit//@v1", "inside"),
            ("git:example.org/kit//../a@v1", "inside"),
            ("git:example.org/kit//a/.git/config@v1", "inside"),
            ("git:example.org/kit//a@", "tag"),
            ("git:example.org/kit//a@--upload-pack=x", "tag"),
            ("git:--upload-pack=x/y//a@v1", "address"),
            ("git:http://example.org/kit//a@v1", "only https"),
            ("git:ext::sh -c x//a@v1", "address"),
            ("git:https://me:secret@example.org/kit//a@v1", "password"),
            ("git:ssh://me:secret@example.org/kit//a@v1", "password"),
            ("git:https://0123456789abcdef@example.org/kit//a@v1", "token"),
            ("git:0123456789abcdef@example.org/acme/kit//a@v1", "token"),
            ("git:kit//a@v1", "HOST/ORG/REPO"),
        ];
        for (text, part) in cases {
            let reason = read(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
