//! Prints what the scanner finds in texts: a JSON list of texts comes in, a line of `[start, end, kind]` goes out for each.

use std::io::{self, Read, Write};

use flow_text::pii::{Entity, Options, Scanner};

fn main() -> io::Result<()> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    let texts: Vec<String> = serde_json::from_str(&input)?;
    let entities = Entity::ALL.iter().copied().filter(|entity| *entity != Entity::DateOfBirth).collect();
    let scanner = Scanner::new(&Options { entities, ..Options::default() });
    let mut out = io::stdout().lock();
    for text in &texts {
        let place = |at: usize| text[..at].chars().count();
        let spans = scanner.scan(text).into_iter().map(|span| (place(span.start), place(span.end), span.entity.name()));
        writeln!(out, "{}", serde_json::to_string(&spans.collect::<Vec<_>>())?)?;
    }
    Ok(())
}
