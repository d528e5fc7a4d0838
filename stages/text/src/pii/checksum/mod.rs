//! Check digits and structural rules of numbers. Every function takes letters and digits without separators, in capitals.

mod europe;
mod rules;
mod world;

use std::ops::RangeInclusive;

pub(super) use europe::*;
pub(super) use world::*;

/// Issuer prefixes of a given length with the numbers of digits that they go with.
const ISSUERS: [(usize, RangeInclusive<u32>, RangeInclusive<usize>); 13] = [
    (1, 4..=4, 13..=19),
    (2, 51..=55, 16..=16),
    (4, 2_221..=2_720, 16..=16),
    (4, 2_200..=2_204, 16..=19),
    (2, 34..=34, 15..=15),
    (2, 37..=37, 15..=15),
    (3, 300..=305, 14..=19),
    (4, 3_095..=3_095, 14..=19),
    (2, 35..=36, 14..=19),
    (2, 38..=39, 14..=19),
    (4, 1_800..=1_800, 15..=15),
    (4, 2_131..=2_131, 15..=15),
    (2, 56..=69, 12..=19),
];

/// Whether a number is a payment card: prefix of an issuer, its length, and Luhn's rule.
pub(super) fn credit_card(text: &str) -> bool {
    let digits = rules::values(text);
    let in_range = |(length, range, digits_in_all): &(usize, RangeInclusive<u32>, RangeInclusive<usize>)| {
        digits_in_all.contains(&digits.len()) && range.contains(&rules::number(&digits, 0..*length))
    };
    let maestro = rules::number(&digits, 0..2) == 50 && (12..=19).contains(&digits.len());
    !rules::is_constant(&digits) && rules::luhn(&digits) && (maestro || ISSUERS.iter().any(in_range))
}

/// Length of an IBAN by country, from the SWIFT registry.
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 \
    EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 \
    LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 \
    SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

/// The length of IBANs of a country.
pub(super) fn iban_length(country: &str) -> Option<usize> {
    let entry = IBAN_LENGTHS.split(' ').find(|entry| entry.get(..2).is_some_and(|code| code.eq_ignore_ascii_case(country)))?;
    entry.get(2..)?.parse().ok()
}

/// Whether an IBAN without separators has its country's length and the remainder 1 modulo 97.
pub(super) fn iban(text: &str) -> bool {
    let Some(country) = text.get(..2) else { return false };
    if iban_length(country) != Some(text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (head, tail) = text.split_at(4);
    let remainder = tail.chars().chain(head.chars()).filter_map(|c| c.to_digit(36)).fold(0, |value, digit| {
        let base = if digit < 10 { 10 } else { 100 };
        (value * base + digit) % 97
    });
    remainder == 1
}

#[cfg(test)]
mod tests;
