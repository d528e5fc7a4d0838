//! A `SQLite` index over the version folders, so that listing thousands of versions opens one file.
//!
//! It is a cache: it lives beside the models, is refreshed from the folders before every listing, and may be deleted at any
//! time. A registry that cannot be written to is listed from the files alone.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::{ModelName, ModelRegistry, Registered, RegistryError};

const INDEX_FILE: &str = "index.sqlite";
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS versions (name TEXT, number INTEGER, record TEXT, PRIMARY KEY (name, number))";

/// Every version by name and number.
pub(super) fn list(registry: &ModelRegistry) -> Result<Vec<Registered>, RegistryError> {
    let standing = standing(registry)?;
    match refreshed(registry, &standing) {
        Ok(connection) => read(registry, &connection),
        Err(_) => standing.iter().map(|(name, number)| registry.read(name, *number)).collect(),
    }
}

fn standing(registry: &ModelRegistry) -> Result<BTreeSet<(ModelName, u32)>, RegistryError> {
    let mut found = BTreeSet::new();
    for name in registry.names()? {
        for number in registry.numbers(&name)? {
            found.insert((name.clone(), number));
        }
    }
    Ok(found)
}

/// Opens the index and makes it agree with the folders.
fn refreshed(registry: &ModelRegistry, standing: &BTreeSet<(ModelName, u32)>) -> Result<Connection, RegistryError> {
    let mut connection = Connection::open(registry.root().join(INDEX_FILE))?;
    connection.execute(SCHEMA, [])?;
    let indexed = indexed(&connection)?;
    let transaction = connection.transaction()?;
    for (name, number) in indexed.difference(standing) {
        transaction.execute("DELETE FROM versions WHERE name = ?1 AND number = ?2", params![name.as_str(), number])?;
    }
    for (name, number) in standing.difference(&indexed) {
        let record = registry.read(name, *number)?.version;
        let text = serde_json::to_string(&record).map_err(|source| RegistryError::Corrupt { path: INDEX_FILE.into(), source })?;
        transaction.execute("INSERT OR REPLACE INTO versions VALUES (?1, ?2, ?3)", params![name.as_str(), number, text])?;
    }
    transaction.commit()?;
    Ok(connection)
}

fn indexed(connection: &Connection) -> Result<BTreeSet<(ModelName, u32)>, RegistryError> {
    let mut statement = connection.prepare("SELECT name, number FROM versions")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))?;
    let mut found = BTreeSet::new();
    for row in rows {
        let (name, number) = row?;
        if let Ok(name) = name.parse() {
            found.insert((name, number));
        }
    }
    Ok(found)
}

fn read(registry: &ModelRegistry, connection: &Connection) -> Result<Vec<Registered>, RegistryError> {
    let mut statement = connection.prepare("SELECT record FROM versions ORDER BY name, number")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut listed = Vec::new();
    for row in rows {
        let version: super::Version =
            serde_json::from_str(&row?).map_err(|source| RegistryError::Corrupt { path: INDEX_FILE.into(), source })?;
        let directory = registry.versions_dir(&version.name).join(version.version.to_string());
        let aliases = registry.aliases(&version.name)?;
        let aliases = aliases.into_iter().filter(|(_, number)| *number == version.version).map(|(alias, _)| alias).collect();
        listed.push(Registered { version, directory, aliases });
    }
    Ok(listed)
}
