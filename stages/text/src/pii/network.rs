//! Names and addresses of the net: e-mail, URL, IPv4, IPv6, MAC.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use memchr::{memchr2_iter, memmem};

use super::{
    Entity, Span,
    detect::{shaped, stands_alone},
};

/// Bytes at most before and after the `@`, as the mail standards have it.
const LONGEST_LOCAL: usize = 64;
const LONGEST_HOST: usize = 253;

/// Returns the e-mail address around an `@`.
pub(super) fn email(text: &str, at: usize) -> Option<Span> {
    let is_local = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '\'' | '-');
    let head = text.get(text.floor_char_boundary(at.saturating_sub(LONGEST_LOCAL + 1))..at)?;
    let local: usize = head.chars().rev().take_while(is_local).map(char::len_utf8).sum();
    let local = head.get(head.len() - local..)?.trim_start_matches(['.', '\'', '-', '%', '+', '_']);
    let host = host(text.get(at + 1..)?)?;
    let start = at - local.len();
    let end = at + 1 + host;
    let value = text.get(start..end)?;
    let plausible = !local.is_empty() && local.len() <= LONGEST_LOCAL && !value.contains("..");
    plausible.then(|| shaped(Entity::EmailAddress, start..end, value.to_lowercase(), 1.0))
}

/// The length of the host name that a text begins with: labels, the last of letters only.
fn host(text: &str) -> Option<usize> {
    let text = text.get(..text.floor_char_boundary(LONGEST_HOST))?;
    let length: usize = text.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '.')).map(char::len_utf8).sum();
    let mut end = None;
    let mut at = 0;
    for (order, label) in text.get(..length)?.split('.').enumerate() {
        if label.is_empty() || (order == 0 && label.starts_with('-')) {
            break;
        }
        at += label.len();
        let letters = label.chars().count();
        if order > 0 && (2..=24).contains(&letters) && label.chars().all(char::is_alphabetic) {
            end = Some(at);
        }
        at += 1;
    }
    end
}

/// Returns the web addresses of a text.
pub(super) fn urls(text: &str) -> impl Iterator<Item = Span> {
    let schemes = memmem::find_iter(text.as_bytes(), b"://").filter_map(move |at| Some(at - scheme(text.get(..at)?)?));
    let bare = ["www.", "WWW."].into_iter().flat_map(move |www| memmem::find_iter(text.as_bytes(), www));
    let bare = bare.filter(move |at| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '@')));
    schemes.chain(bare).filter_map(move |start| url(text, start))
}

fn scheme(head: &str) -> Option<usize> {
    let letters = head.bytes().rev().take_while(u8::is_ascii_alphabetic).take(6).count();
    let word = head.get(head.len() - letters..)?;
    ["http", "https", "ftp"].iter().any(|known| word.eq_ignore_ascii_case(known)).then_some(letters)
}

fn url(text: &str, start: usize) -> Option<Span> {
    let rest = text.get(start..)?;
    let is_end = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\'' | '`' | '[' | ']' | '{' | '}');
    let whole = rest.split(is_end).next()?;
    let value = whole.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '*', '_', '\\', '|']);
    let plausible = value.contains('.') && value.len() > "www.a".len();
    plausible.then(|| shaped(Entity::Url, start..start + value.len(), value.to_lowercase(), 0.9))
}

/// Returns the IPv4 address in a stretch of a text.
pub(super) fn ipv4(text: &str, at: Range<usize>) -> Option<Span> {
    let address: Ipv4Addr = text.get(at.clone())?.parse().ok()?;
    let span = shaped(Entity::IpAddress, at, address.to_string(), 0.6);
    stands_alone(text, &span).then_some(span)
}

/// Returns the addresses of a text that are written in hexadecimal: IPv6 and MAC.
pub(super) fn addresses(text: &str) -> impl Iterator<Item = Span> {
    let bytes = text.as_bytes();
    let mut seen = 0;
    memchr2_iter(b':', b'-', bytes).filter_map(move |at| {
        // Most colons and dashes stand in sentences: both neighbours must be hexadecimal, or the sign is doubled.
        let is_hex = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|b| b.is_ascii_hexdigit() || *b == b':');
        if at < seen || !(is_hex(at.checked_sub(1)) || bytes.get(at) == Some(&b':')) || !is_hex(Some(at + 1)) {
            return None;
        }
        let found = mac(text, at).or_else(|| ipv6(text, at));
        seen = found.as_ref().map_or(seen, |span| span.end);
        found
    })
}

/// Signs of a MAC address with its separators.
const MAC_LENGTH: usize = 17;

fn mac(text: &str, first_sign: usize) -> Option<Span> {
    let start = first_sign.checked_sub(2)?;
    let value = text.get(start..start + MAC_LENGTH)?;
    let sign = *value.as_bytes().get(2)?;
    let in_place = |(at, byte): (usize, u8)| if at % 3 == 2 { byte == sign } else { byte.is_ascii_hexdigit() };
    let normal = || value.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    let fits = value.bytes().enumerate().all(in_place);
    let span = fits.then(|| shaped(Entity::MacAddress, start..start + MAC_LENGTH, normal(), 0.9))?;
    stands_alone(text, &span).then_some(span)
}

/// Signs of the longest IPv6 address.
const IPV6_LENGTH: usize = 39;

fn ipv6(text: &str, first_sign: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || **byte == b':';
    let start = first_sign - bytes[..first_sign].iter().rev().take(4).take_while(is_part).count();
    let length = bytes[start..].iter().take(IPV6_LENGTH + 1).take_while(is_part).count();
    let whole = text.get(start..start + length)?;
    let value = if whole.ends_with("::") { whole } else { whole.trim_end_matches(':') };
    let address: Ipv6Addr = value.parse().ok()?;
    let groups = value.split(':').filter(|group| !group.is_empty()).count();
    // `a::b` is a path in many programming languages.
    let plausible = groups >= 3 && value.bytes().any(|b| b.is_ascii_digit());
    let span = shaped(Entity::IpAddress, start..start + value.len(), address.to_string(), 0.8);
    (plausible && stands_alone(text, &span)).then_some(span)
}
