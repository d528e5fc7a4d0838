//! Check digits and structural rules of numbers.

use std::ops::RangeInclusive;

/// Whether the last digit is right by Luhn's rule.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(*digit) << (at % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// Issuer prefixes of a given length with the numbers of digits that they go with.
const ISSUERS: [(usize, RangeInclusive<u32>, RangeInclusive<usize>); 9] = [
    (1, 4..=4, 13..=19),
    (2, 51..=55, 16..=16),
    (4, 2_221..=2_720, 16..=16),
    (2, 34..=34, 15..=15),
    (2, 37..=37, 15..=15),
    (3, 300..=305, 14..=19),
    (2, 35..=36, 14..=19),
    (2, 50..=50, 13..=19),
    (2, 56..=69, 13..=19),
];

/// Whether a number is a payment card: prefix of an issuer, its length, and Luhn's rule.
pub(super) fn credit_card(digits: &[u8]) -> bool {
    let prefix = |length: usize| digits.iter().take(length).fold(0_u32, |value, digit| value * 10 + u32::from(*digit));
    let varied = digits.iter().any(|digit| Some(digit) != digits.first());
    varied
        && luhn(digits)
        && ISSUERS
            .iter()
            .any(|(length, range, digits_in_all)| digits_in_all.contains(&digits.len()) && range.contains(&prefix(*length)))
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

/// Whether ten digits are a number of the British health service.
pub(super) fn nhs(digits: &[u8]) -> bool {
    let [head @ .., check] = digits else { return false };
    if digits.len() != 10 || head.iter().all(|digit| Some(digit) == head.first()) {
        return false;
    }
    let sum: u32 = head.iter().zip((2..=10).rev()).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    (11 - sum % 11) % 11 == u32::from(*check)
}

/// Whether nine digits can be a social security number: no part is zero, and the area was ever given out.
pub(super) fn ssn(digits: &[u8]) -> bool {
    let number =
        |range: std::ops::Range<usize>| digits.get(range).map(|part| part.iter().fold(0_u32, |n, d| n * 10 + u32::from(*d)));
    match (number(0..3), number(3..5), number(5..9)) {
        (Some(area), Some(group), Some(serial)) => {
            digits.len() == 9 && area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect()
    }

    #[test]
    fn cards() {
        for good in [
            "4111 1111 1111 1111",
            "5555 5555 5555 4444",
            "3782 822463 10005",
            "6011 1111 1111 1117",
            "2223 0031 2200 3222",
            "30569309025904",
        ] {
            assert!(credit_card(&digits(good)), "{good}");
        }
        for bad in ["4111 1111 1111 1112", "1234 5678 1234 5670", "0000 0000 0000 0000", "411111111111"] {
            assert!(!credit_card(&digits(bad)), "{bad}");
        }
    }

    #[test]
    fn ibans() {
        for good in [
            "DE89370400440532013000",
            "GB29NWBK60161331926819",
            "FR1420041010050500013M02606",
            "NO9386011117947",
            "gb29nwbk60161331926819",
        ] {
            assert!(iban(good), "{good}");
        }
        for bad in ["DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "", "D"] {
            assert!(!iban(bad), "{bad}");
        }
    }

    #[test]
    fn health_and_social_security_numbers() {
        assert!(nhs(&digits("943 476 5919")) && nhs(&digits("4010232137")));
        assert!(!nhs(&digits("943 476 5918")) && !nhs(&digits("0000000000")) && !nhs(&digits("94347659")));
        assert!(ssn(&digits("536-90-4399")));
        for bad in ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "12-345-678"] {
            assert!(!ssn(&digits(bad)), "{bad}");
        }
    }
}
