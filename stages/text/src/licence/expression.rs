//! SPDX expressions: licences joined with `AND`, `OR`, and `WITH`, and brackets.

use std::fmt;

use super::Licence;

/// A licence, or several of which all or one must be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// One licence.
    One(Licence),
    /// A name that is not known.
    Unknown(String),
    /// All must be kept.
    All(Vec<Self>),
    /// One of them must be kept.
    Any(Vec<Self>),
}

/// An expression that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the licence expression {text:?}: {fault}")]
pub struct ExpressionError {
    text: String,
    fault: &'static str,
}

/// How deep brackets may stand in each other.
const DEEPEST: usize = 32;

impl Expression {
    /// Reads an expression; a name that is known as a whole is one licence whatever words it is made of.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if let Some(licence) = Licence::named(text).filter(|_| !text.contains(['(', ')'])) {
            return Ok(Self::One(licence));
        }
        let fault = |fault| ExpressionError { text: text.chars().take(200).collect(), fault };
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let expression = parser.any(0).map_err(fault)?;
        if parser.at < parser.tokens.len() {
            return Err(fault("a bracket is closed that was not opened"));
        }
        Ok(expression)
    }

    /// Every name in it that is not known.
    pub fn unknown(&self) -> Vec<&str> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Unknown(name) => vec![name],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::unknown).collect(),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (at, part) in parts.iter().enumerate() {
                let before = if at == 0 { "" } else { word };
                match part {
                    Self::One(_) | Self::Unknown(_) => write!(f, "{before}{part}")?,
                    Self::All(_) | Self::Any(_) => write!(f, "{before}({part})")?,
                }
            }
            Ok(())
        };
        match self {
            Self::One(licence) => f.write_str(&licence.id),
            Self::Unknown(name) => f.write_str(name),
            Self::All(parts) => join(f, parts, " AND "),
            Self::Any(parts) => join(f, parts, " OR "),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Name(String),
}

fn tokens(text: &str) -> Vec<Token> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut tokens: Vec<Token> = Vec::new();
    for word in spaced.split_whitespace() {
        match (word, tokens.last_mut()) {
            ("(", _) => tokens.push(Token::Open),
            (")", _) => tokens.push(Token::Close),
            ("AND" | "and", _) => tokens.push(Token::And),
            ("OR" | "or", _) => tokens.push(Token::Or),
            // Words that follow each other are one name, and so is an exception that goes with a licence.
            (word, Some(Token::Name(name))) => {
                name.push(' ');
                name.push_str(word);
            }
            (word, Some(_) | None) => tokens.push(Token::Name(word.to_owned())),
        }
    }
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Expression, &'static str> {
        let mut parts = vec![self.all(depth)?];
        while self.take(&Token::Or) {
            parts.push(self.all(depth)?);
        }
        Ok(single(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, &'static str> {
        let mut parts = vec![self.one(depth)?];
        while self.take(&Token::And) {
            parts.push(self.one(depth)?);
        }
        Ok(single(parts, Expression::All))
    }

    fn one(&mut self, depth: usize) -> Result<Expression, &'static str> {
        if depth > DEEPEST {
            return Err("brackets stand too deep in each other");
        }
        if self.take(&Token::Open) {
            let inner = self.any(depth + 1)?;
            return if self.take(&Token::Close) { Ok(inner) } else { Err("a bracket is not closed") };
        }
        let Some(Token::Name(name)) = self.tokens.get(self.at).cloned() else { return Err("a licence is missing") };
        self.at += 1;
        // An exception only permits more, so that the licence before it decides.
        let licence = name.split(" WITH ").next().unwrap_or(&name);
        Ok(Licence::named(licence).map_or(Expression::Unknown(name), Expression::One))
    }
}

fn single(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match (parts.len(), parts.pop()) {
        (1, Some(one)) => one,
        (_, Some(last)) => {
            parts.push(last);
            join(parts)
        }
        (_, None) => join(parts),
    }
}
