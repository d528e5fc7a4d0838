//! Where the symbolic links of an artifact lead: followed through each other, as the file system would, without leaving it.

use std::{
    collections::{BTreeMap, VecDeque},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use super::{
    StoreError,
    tree::{self, Found},
};

/// As many links in a row as the kernel follows.
const LONGEST: usize = 40;

type Folder = BTreeMap<Vec<u8>, Found>;

/// Refuses a link that leads outside, by itself or through others: `d/l -> ..` and `d/m -> l/..` are harmless alone only.
pub(super) fn check(root: &Folder, at: &Path) -> Result<(), StoreError> {
    check_folder(root, &mut Vec::new(), (root, at))
}

fn check_folder(folder: &Folder, names: &mut Vec<Vec<u8>>, (root, at): (&Folder, &Path)) -> Result<(), StoreError> {
    for (name, found) in folder {
        match found {
            Found::File { .. } => {}
            Found::Folder(inner) => {
                names.push(name.clone());
                check_folder(inner, names, (root, at))?;
                names.pop();
            }
            Found::Link(target) => {
                if let Err(reason) = follow(root, names, target) {
                    let place: PathBuf = names.iter().chain([name]).map(|name| tree::name(name)).collect();
                    return Err(StoreError::Unsupported { path: at.join(place), reason });
                }
            }
        }
    }
    Ok(())
}

/// Walks from a folder along the text of a link. A place that does not exist is followed by its name.
fn follow(root: &Folder, from: &[Vec<u8>], target: &[u8]) -> Result<(), &'static str> {
    let mut place = from.to_vec();
    let mut rest = steps(target)?;
    let mut links = 0;
    while let Some(step) = rest.pop_front() {
        let Step::Into(name) = step else {
            place.pop().ok_or("the link leads outside the output")?;
            continue;
        };
        place.push(name);
        if let Some(Found::Link(target)) = find(root, &place) {
            links += 1;
            if links > LONGEST {
                return Err("the link leads in a circle");
            }
            let mut next = steps(target)?;
            next.append(&mut rest);
            rest = next;
            place.pop();
        }
    }
    Ok(())
}

enum Step {
    Into(Vec<u8>),
    Out,
}

fn steps(target: &[u8]) -> Result<VecDeque<Step>, &'static str> {
    let mut steps = VecDeque::new();
    for component in Path::new(tree::name(target)).components() {
        match component {
            Component::Normal(name) => steps.push_back(Step::Into(name.as_bytes().to_vec())),
            Component::ParentDir => steps.push_back(Step::Out),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err("the link is absolute"),
        }
    }
    Ok(steps)
}

fn find<'a>(root: &'a Folder, place: &[Vec<u8>]) -> Option<&'a Found> {
    let (last, folders) = place.split_last()?;
    let mut folder = root;
    for name in folders {
        match folder.get(name)? {
            Found::Folder(inner) => folder = inner,
            Found::File { .. } | Found::Link(_) => return None,
        }
    }
    folder.get(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree in which `d/e/` is a folder and the given links lie.
    fn tree(links: &[(&str, &str)]) -> Folder {
        let mut root = Folder::new();
        for (place, target) in [("d/e/x", None)].into_iter().chain(links.iter().map(|(place, target)| (*place, Some(*target)))) {
            let mut folder = &mut root;
            let mut names: Vec<&str> = place.split('/').collect();
            let last = names.pop().unwrap();
            for name in names {
                let inner = folder.entry(name.into()).or_insert_with(|| Found::Folder(Folder::new()));
                let Found::Folder(inner) = inner else { panic!("{place}") };
                folder = inner;
            }
            let found = target.map_or(Found::File { index: 0, executable: false }, |target| Found::Link(target.into()));
            folder.insert(last.into(), found);
        }
        root
    }

    fn refused(links: &[(&str, &str)]) -> bool {
        check(&tree(links), Path::new("/out")).is_err()
    }

    #[test]
    fn links_that_stay_inside_are_kept() {
        for links in
            [&[("d/l", "e/x")][..], &[("l", "d"), ("m", "l/e/../e/x")], &[("d/l", ".."), ("d/m", "l/d/e")], &[("l", "gone")]]
        {
            assert!(!refused(links), "{links:?}");
        }
    }

    #[test]
    fn links_that_leave_are_refused_alone_and_in_chains() {
        for links in [
            &[("l", "..")][..],
            &[("l", "/etc/passwd")],
            &[("d/l", "e/../../..")],
            &[("d/l", ".."), ("d/m", "l/..")],
            &[("d/e/l", "../.."), ("m", "d/e/l/../x")],
            &[("a", "b"), ("b", "a")],
        ] {
            assert!(refused(links), "{links:?}");
        }
    }
}
