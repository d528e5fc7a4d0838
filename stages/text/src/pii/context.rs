//! Words that make a doubtful candidate likely, within some words before or after it.

use super::{Context, Entity, Span};

/// Bytes looked at on either side at most, so that one record of a hundred thousand numbers stays cheap.
const REACH: usize = 256;

/// Whether a context word stands near a span.
pub(super) fn supports(text: &str, span: &Span, reach: Context) -> bool {
    let words = words(span.entity);
    if words.is_empty() {
        return false;
    }
    let before = &text[text.floor_char_boundary(span.start.saturating_sub(REACH))..span.start];
    let after = &text[span.end..text.ceil_char_boundary((span.end + REACH).min(text.len()))];
    let speaks = |word: &str| words.contains(&word.to_lowercase().as_str());
    split(before).rev().take(reach.words_before).any(speaks) || split(after).take(reach.words_after).any(speaks)
}

/// The word right before a position, as written.
pub(super) fn word_before(text: &str, at: usize) -> Option<&str> {
    split(&text[text.floor_char_boundary(at.saturating_sub(REACH))..at]).next_back()
}

fn split(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn words(entity: Entity) -> &'static [&'static str] {
    match entity {
        Entity::PhoneNumber => &[
            "phone",
            "telephone",
            "tel",
            "mobile",
            "cell",
            "cellphone",
            "call",
            "called",
            "calls",
            "calling",
            "dial",
            "fax",
            "text",
            "texted",
            "sms",
            "whatsapp",
            "contact",
            "reach",
            "ring",
            "hotline",
            "telefon",
            "handy",
            "portable",
        ],
        Entity::UsSsn => &["ssn", "social", "security", "taxpayer"],
        Entity::UkNhs => &["nhs", "patient", "health", "medical", "hospital", "gp"],
        Entity::CreditCard => &["card", "credit", "debit", "visa", "mastercard", "amex", "payment"],
        Entity::IbanCode => &["iban", "bank", "account", "transfer", "konto"],
        Entity::IpAddress => &["ip", "ipv4", "ipv6", "address", "host", "server", "subnet", "gateway", "ping", "client", "login"],
        Entity::MacAddress => &["mac", "hardware", "ethernet", "wifi", "device"],
        Entity::Crypto => &["wallet", "bitcoin", "btc", "ethereum", "eth", "crypto"],
        Entity::EmailAddress => &["mail", "email", "contact"],
        Entity::Url => &["site", "website", "link", "page"],
        Entity::DateOfBirth => &["born", "birth", "birthday", "birthdate", "dob", "geboren", "née", "né"],
    }
}
