//! Where a person's signing keys lie: one file a key, readable by its owner only, and its public half beside it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{GovernError, PublicKey, SecretKey, Trust};

/// The variable that holds a signing key, or the path of one.
pub const KEY_VARIABLE: &str = "FLOW_SIGNING_KEY";
/// The key that is made where nobody made one.
const LOCAL: &str = "local";

/// A folder of signing keys.
#[derive(Clone, Debug)]
pub struct KeyRing {
    folder: PathBuf,
}

/// A key of a ring.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// The name it was made under.
    pub name: String,
    /// Its public half.
    pub key: PublicKey,
}

impl KeyRing {
    /// The keys in a folder, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The keys of a user: `flow/keys` below `$XDG_CONFIG_HOME`, else below `~/.config`.
    pub fn of_user(environment: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
        Some(Self::new(config.join("flow/keys")))
    }

    /// Makes a key and returns its public half and its file.
    pub fn create(&self, name: &str) -> Result<(PublicKey, PathBuf), GovernError> {
        if !is_name(name) {
            return Err(GovernError::KeyName { name: name.to_owned() });
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.folder).map_err(GovernError::io("create", &self.folder))?;
        let (key, path) = (SecretKey::generate()?, self.secret(name));
        let text = format!("# The signing key of {name} for flow. Whoever has it decides in that name.\n{}", key.reveal());
        match write_new(&path, 0o600, &text) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(GovernError::KeyExists { path }),
            other => other.map_err(GovernError::io("write", &path))?,
        }
        let public = self.folder.join(format!("{name}.pub"));
        // One without its other half is of no use to anybody.
        fs::remove_file(&public).ok();
        write_new(&public, 0o644, &format!("{}\n", key.public())).map_err(GovernError::io("write", &public))?;
        Ok((key.public(), path))
    }

    /// Every key by name. A file that is no key is passed over: it cannot sign.
    pub fn held(&self) -> Vec<Held> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let files = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut held: Vec<Held> = files.filter_map(|path| self.public_half(&path)).collect();
        held.sort_by(|one, other| one.name.cmp(&other.name));
        held
    }

    fn public_half(&self, secret: &Path) -> Option<Held> {
        let name = secret.file_name()?.to_str()?.strip_suffix(".key")?.to_owned();
        let noted = fs::read_to_string(self.folder.join(format!("{name}.pub"))).ok().and_then(|text| text.parse().ok());
        let key = noted.or_else(|| read(secret).ok().map(|key| key.public()))?;
        Some(Held { name, key })
    }

    /// A key by name.
    pub fn load(&self, name: &str) -> Result<SecretKey, GovernError> {
        let path = self.secret(name);
        if is_name(name) && path.exists() {
            return read(&path);
        }
        let known: Vec<String> = self.held().into_iter().map(|held| held.name).collect();
        Err(GovernError::NoKey { name: name.to_owned(), help: known_keys(&known) })
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// The user's key where no key has to be trusted; made on first use.
    fn local(&self) -> Result<SecretKey, GovernError> {
        if !self.secret(LOCAL).exists() {
            match self.create(LOCAL) {
                // Another run made it meanwhile.
                Ok(_) | Err(GovernError::KeyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.load(LOCAL)
    }
}

fn known_keys(known: &[String]) -> String {
    match known {
        [] => "make one with `flow keys new NAME`".to_owned(),
        names => format!("your keys are {}; `flow keys new NAME` makes another", names.join(", ")),
    }
}

fn is_name(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '@');
    !name.is_empty() && name.len() <= 64 && !name.starts_with(['.', '-']) && name.chars().all(letter)
}

fn write_new(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Reads a signing key. One that others may read is not used, as `ssh` does it.
fn read(path: &Path) -> Result<SecretKey, GovernError> {
    let metadata = path.metadata().map_err(GovernError::io("read", path))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(GovernError::OpenKey { path: path.to_owned() });
    }
    let text = fs::read_to_string(path).map_err(GovernError::io("read", path))?;
    SecretKey::parse(&text, &path.display().to_string())
}

/// Who signs in this process: which keys there are, and which one was asked for.
#[derive(Clone, Debug)]
pub struct Signatory {
    ring: KeyRing,
    /// `--key`: the name of a key, or its file.
    named: Option<String>,
    /// What [`KEY_VARIABLE`] holds. It never shows in `{:?}` of a key, and is dropped with this value.
    variable: Option<Hidden>,
    /// `--by`: who the signer says they are.
    by: Option<String>,
}

#[derive(Clone)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Signatory {
    /// Signs with a key of this ring.
    pub fn new(ring: KeyRing) -> Self {
        Self { ring, named: None, variable: None, by: None }
    }

    /// Signs with the key of this name or file, if one is given.
    #[must_use]
    pub fn named(mut self, key: Option<String>) -> Self {
        self.named = key;
        self
    }

    /// Signs as this person, if one is named.
    #[must_use]
    pub fn by(mut self, name: Option<String>) -> Self {
        self.by = name;
        self
    }

    /// Signs with the key that [`KEY_VARIABLE`] holds, if it is set.
    #[must_use]
    pub fn with_variable(mut self, value: Option<String>) -> Self {
        self.variable = value.filter(|value| !value.trim().is_empty()).map(Hidden);
        self
    }

    /// The public halves of every key at hand: whoever holds them starts the runs of this process.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        let mut keys: Vec<PublicKey> = self.ring.held().into_iter().map(|held| held.key).collect();
        keys.extend(self.given().and_then(Result::ok).map(|key| key.public()));
        keys.sort();
        keys.dedup();
        keys
    }

    /// The key that was asked for by name or by variable.
    fn given(&self) -> Option<Result<SecretKey, GovernError>> {
        if let Some(named) = &self.named {
            let file = Path::new(named);
            return Some(if named.contains('/') { read(file) } else { self.ring.load(named) });
        }
        self.variable.as_ref().map(|Hidden(value)| match value.trim() {
            text if text.starts_with('/') => read(Path::new(text)),
            text => SecretKey::parse(text, &format!("${KEY_VARIABLE}")),
        })
    }

    /// The key to sign with. Where people are trusted by name it is one of theirs; elsewhere any key will do.
    pub fn key(&self, trust: &Trust) -> Result<SecretKey, GovernError> {
        if let Some(given) = self.given() {
            let key = given?;
            return match (trust.owner(&key.public()), &self.by) {
                (Some((owner, _)), Some(by)) if owner != by => {
                    Err(GovernError::OtherOwner { by: by.clone(), owner: owner.to_owned() })
                }
                _ => Ok(key),
            };
        }
        let held = self.ring.held();
        if trust.is_empty() {
            return match held.as_slice() {
                [only] => self.ring.load(&only.name),
                _ => self.ring.local(),
            };
        }
        self.trusted(trust, &held)
    }

    /// The one key at hand that belongs to somebody of `[trust]`.
    fn trusted(&self, trust: &Trust, held: &[Held]) -> Result<SecretKey, GovernError> {
        let owner = |held: &Held| trust.owner(&held.key).map(|(name, _)| name.to_owned());
        let mine: Vec<(&Held, String)> = held.iter().filter_map(|held| Some((held, owner(held)?))).collect();
        let wanted: Vec<&(&Held, String)> =
            mine.iter().filter(|(_, name)| self.by.as_ref().is_none_or(|by| by == name)).collect();
        match wanted.as_slice() {
            [(held, _)] => self.ring.load(&held.name),
            [] => Err(GovernError::Untrusted { help: untrusted(held) }),
            several => {
                let names: Vec<&str> = several.iter().map(|(held, _)| held.name.as_str()).collect();
                Err(GovernError::ManyKeys { names: names.join(", ") })
            }
        }
    }
}

fn untrusted(held: &[Held]) -> String {
    match held {
        [] => "make a key with `flow keys new NAME` and have its public half added to flow.toml".to_owned(),
        [first, ..] => format!("have your public key added to flow.toml: NAME = {{key = \"{}\", roles = []}}", first.key),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ring() -> (tempfile::TempDir, KeyRing) {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::new(folder.path().join("flow/keys"));
        (folder, ring)
    }

    fn trust(people: &[(&str, PublicKey)]) -> Trust {
        let lines: Vec<String> = people.iter().map(|(name, key)| format!("{name} = {{key = \"{key}\"}}")).collect();
        toml::from_str(&lines.join("\n")).unwrap()
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_only() {
        let (_folder, ring) = ring();
        let (public, path) = ring.create("alice").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(ring.load("alice").unwrap().public(), public);
        assert_eq!(ring.held(), [Held { name: "alice".to_owned(), key: public }]);
        assert!(matches!(ring.create("alice"), Err(GovernError::KeyExists { .. })));
        for name in ["", "../x", "a/b", ".x", "-x", "ä"] {
            assert!(matches!(ring.create(name), Err(GovernError::KeyName { .. })), "{name}");
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used() {
        let (_folder, ring) = ring();
        let (_, path) = ring.create("alice").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(ring.load("alice"), Err(GovernError::OpenKey { .. })));
    }

    #[test]
    fn where_nobody_is_trusted_by_name_a_local_key_is_made_once() {
        let (_folder, ring) = ring();
        let signatory = Signatory::new(ring.clone());
        let first = signatory.key(&Trust::default()).unwrap().public();
        assert_eq!(signatory.by(Some("ada".to_owned())).key(&Trust::default()).unwrap().public(), first);
        assert_eq!(ring.held()[0].name, "local");
    }

    #[test]
    fn the_trusted_key_is_chosen_and_none_or_several_are_told() {
        let (_folder, ring) = ring();
        let signatory = Signatory::new(ring.clone());
        let (work, _) = ring.create("work").unwrap();
        let stranger = SecretKey::generate().unwrap().public();
        let refused = signatory.key(&trust(&[("bob", stranger)]));
        assert!(matches!(&refused, Err(GovernError::Untrusted { help }) if help.contains(&work.to_string())), "{refused:?}");
        let (home, _) = ring.create("home").unwrap();
        let both = trust(&[("alice", work), ("carol", home)]);
        assert!(matches!(signatory.key(&both), Err(GovernError::ManyKeys { .. })));
        assert_eq!(signatory.clone().by(Some("carol".to_owned())).key(&both).unwrap().public(), home);
        assert_eq!(signatory.clone().named(Some("work".to_owned())).key(&both).unwrap().public(), work);
        let borrowed = signatory.clone().named(Some("work".to_owned())).by(Some("carol".to_owned()));
        assert!(matches!(borrowed.key(&both), Err(GovernError::OtherOwner { .. })));
        assert!(matches!(signatory.named(Some("none".to_owned())).key(&both), Err(GovernError::NoKey { .. })));
    }

    #[test]
    fn a_key_may_come_from_the_environment_and_never_shows() {
        let (_folder, ring) = ring();
        let key = SecretKey::generate().unwrap();
        let signatory = Signatory::new(ring.clone()).with_variable(Some(key.reveal()));
        assert_eq!(signatory.key(&Trust::default()).unwrap().public(), key.public());
        assert_eq!(signatory.public_keys(), [key.public()]);
        assert!(!format!("{signatory:?}").contains("ed25519-secret"));
        let (public, path) = ring.create("ci").unwrap();
        let by_path = Signatory::new(ring).with_variable(Some(path.display().to_string()));
        assert_eq!(by_path.key(&Trust::default()).unwrap().public(), public);
    }
}
