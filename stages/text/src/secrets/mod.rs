//! Finds credentials in text: API keys, tokens, private keys, passwords in assignments and connection strings.
//!
//! A keyword that every credential of a kind contains or stands beside is looked for first, in one pass for all kinds. Around it a
//! regular expression takes the value, which must be random enough and no placeholder. Personal data is left to `pii`.

mod judge;
mod rules;

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use regex::Regex;
use thiserror::Error;

pub use rules::names;
use rules::{RULES, Rule};

/// Bytes before a keyword that an expression may look at.
const BEFORE: usize = 96;
/// Bytes after it.
const AFTER: usize = 512;
/// Bytes after it where a private key begins.
const AFTER_PEM: usize = 16 * 1024;

/// What a scanner looks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The least entropy, in bits for each sign, of values that only their name gives away. Hexadecimal ones need half a bit less.
    pub min_entropy: f64,
    /// Values that are no secrets.
    pub allow: BTreeSet<String>,
    /// Names of rules that are not applied.
    pub skip: BTreeSet<String>,
    /// Rules of your own.
    pub custom: Vec<Custom>,
}

impl Default for Options {
    fn default() -> Self {
        Self { min_entropy: 3.5, allow: BTreeSet::new(), skip: BTreeSet::new(), custom: Vec::new() }
    }
}

/// A rule of your own.
#[derive(Clone, Debug)]
pub struct Custom {
    /// Its name in reports.
    pub name: String,
    /// A word that is near every match, as it is written.
    pub keyword: String,
    /// The expression; its first group, if it has one, is the value.
    pub regex: String,
}

/// Why a rule of your own cannot be used.
#[derive(Debug, Error)]
pub enum RuleError {
    /// Its expression is none.
    #[error("cannot compile the expression of rule `{name}`")]
    Regex {
        /// The rule.
        name: String,
        /// What is wrong.
        source: Box<regex::Error>,
    },
    /// Its keyword is empty.
    #[error("rule `{name}` has no keyword")]
    NoKeyword {
        /// The rule.
        name: String,
    },
}

/// A credential in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The rule that found it.
    pub rule: String,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// Finds credentials; made once and shared by threads.
pub struct Scanner {
    options: Options,
    rules: Vec<Compiled>,
    keywords: AhoCorasick,
    /// The rule of each keyword.
    owners: Vec<usize>,
}

struct Compiled {
    name: String,
    regex: Regex,
    judge: judge::Judge,
    reach: usize,
}

impl Scanner {
    /// Compiles the rules.
    pub fn new(options: &Options) -> Result<Self, RuleError> {
        let mut rules = Vec::new();
        let mut keywords = Vec::new();
        let mut owners = Vec::new();
        for rule in RULES.iter().filter(|rule| !options.skip.contains(rule.name)) {
            owners.extend(rule.keywords.split(' ').map(|_| rules.len()));
            keywords.extend(rule.keywords.split(' ').map(str::to_owned));
            rules.push(compiled(rule)?);
        }
        for rule in &options.custom {
            if rule.keyword.is_empty() {
                return Err(RuleError::NoKeyword { name: rule.name.clone() });
            }
            owners.push(rules.len());
            keywords.push(rule.keyword.clone());
            let regex = compile(&rule.name, &rule.regex)?;
            rules.push(Compiled { name: rule.name.clone(), regex, judge: judge::Judge::Shape, reach: AFTER });
        }
        let keywords = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&keywords)
            .map_err(|_| RuleError::NoKeyword { name: "all of them".to_owned() })?;
        Ok(Self { options: options.clone(), rules, keywords, owners })
    }

    /// Returns credentials in text order that do not overlap.
    pub fn scan(&self, text: &str) -> Vec<Secret> {
        let mut found: Vec<Secret> = Vec::new();
        for hit in self.keywords.find_overlapping_iter(text) {
            let rule = self.owners.get(hit.pattern().as_usize()).and_then(|owner| self.rules.get(*owner));
            found.extend(rule.and_then(|rule| self.around(text, hit.start(), rule)));
        }
        found.sort_by_key(|secret| (secret.start, usize::MAX - secret.end));
        found.dedup_by(|later, earlier| later.start < earlier.end);
        found
    }

    fn around(&self, text: &str, keyword: usize, rule: &Compiled) -> Option<Secret> {
        let from = text.floor_char_boundary(keyword.saturating_sub(BEFORE));
        let to = text.ceil_char_boundary((keyword + rule.reach).min(text.len()));
        let window = text.get(from..to)?;
        // A match that ends before the keyword belongs to another keyword.
        let captures =
            rule.regex.captures_iter(window).find(|found| found.get(0).is_some_and(|all| from + all.end() > keyword))?;
        let value = captures.get(1).or_else(|| captures.get(0))?;
        let is_allowed = self.options.allow.contains(value.as_str()) || is_mark(value.as_str());
        let meant = !is_allowed && rule.judge.accepts(value.as_str(), self.options.min_entropy);
        meant.then(|| Secret { rule: rule.name.clone(), start: from + value.start(), end: from + value.end() })
    }
}

fn compiled(rule: &Rule) -> Result<Compiled, RuleError> {
    let reach = if rule.name == "private-key" { AFTER_PEM } else { AFTER };
    Ok(Compiled { name: rule.name.to_owned(), regex: compile(rule.name, rule.regex)?, judge: rule.judge, reach })
}

fn compile(name: &str, regex: &str) -> Result<Regex, RuleError> {
    Regex::new(regex).map_err(|source| RuleError::Regex { name: name.to_owned(), source: Box::new(source) })
}

/// What stands before and after the name of a rule in a redacted text.
const MARK: (&str, char) = ("[SECRET:", ']');

/// Whether a value is what redacting left.
fn is_mark(value: &str) -> bool {
    let name = value.strip_prefix(MARK.0).and_then(|rest| rest.strip_suffix(MARK.1));
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
}

/// Returns the text with every credential replaced by its rule's name in brackets.
pub fn redact(text: &str, secrets: &[Secret]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets {
        out.push_str(&text[at..secret.start]);
        out.push_str(MARK.0);
        out.push_str(&secret.rule);
        out.push(MARK.1);
        at = secret.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests;
