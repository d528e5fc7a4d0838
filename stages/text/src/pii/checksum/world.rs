//! Numbers of persons and organisations outside Europe.

use super::rules::{is_constant, is_day, luhn, number, values, verhoeff, weighted};

/// A social security number of the United States: no part is zero, and the area was ever given out.
pub(in super::super) fn ssn(text: &str) -> bool {
    let digits = values(text);
    let area = number(&digits, 0..3);
    digits.len() == 9
        && area != 0
        && area != 666
        && area < 900
        && number(&digits, 3..5) != 0
        && number(&digits, 5..9) != 0
        && !is_constant(&digits)
}

/// An American tax number of a foreigner: begins with 9, and the group is one that is given out.
pub(in super::super) fn itin(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 9 && digits.first() == Some(&9) && matches!(number(&digits, 3..5), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// The number of an American health provider: Luhn behind the prefix 80840.
pub(in super::super) fn npi(text: &str) -> bool {
    text.len() == 10 && text.starts_with(['1', '2']) && luhn(&values(&format!("80840{text}")))
}

/// An insured person in Medicare: letters and digits have their places, and look-alike letters are not used.
pub(in super::super) fn mbi(text: &str) -> bool {
    const PLACES: &[u8; 11] = b"CAXDAXDAADD";
    let fits = |(byte, place): (u8, &u8)| match place {
        b'C' => (b'1'..=b'9').contains(&byte),
        b'A' => byte.is_ascii_uppercase() && !b"SLOIBZ".contains(&byte),
        b'D' => byte.is_ascii_digit(),
        _ => byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"SLOIBZ".contains(&byte)),
    };
    text.len() == PLACES.len() && text.bytes().zip(PLACES).all(fits)
}

/// The registration of an American prescriber.
pub(in super::super) fn dea(text: &str) -> bool {
    let digits = values(text.get(2..).unwrap_or_default());
    let odd: u32 = digits.iter().take(6).step_by(2).sum();
    let even: u32 = digits.iter().take(6).skip(1).step_by(2).sum();
    text.starts_with(['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'P', 'R', 'S', 'T', 'U', 'X'])
        && digits.len() == 7
        && digits.last() == Some(&((odd + 2 * even) % 10))
}

/// The routing number of an American bank: weights 3, 7, 1.
pub(in super::super) fn aba(text: &str) -> bool {
    let digits = values(text);
    let region = matches!(number(&digits, 0..2), 0..=12 | 21..=32 | 61..=72 | 80);
    digits.len() == 9 && region && !is_constant(&digits) && weighted(&digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

/// A Canadian social insurance number.
pub(in super::super) fn sin(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 9 && !matches!(digits.first(), Some(0 | 8)) && luhn(&digits)
}

/// A Brazilian tax number of a person.
pub(in super::super) fn cpf(text: &str) -> bool {
    let digits = values(text);
    let check = |length: u32| {
        let weights: Vec<u32> = (2..=length + 1).rev().collect();
        weighted(&digits, &weights) * 10 % 11 % 10
    };
    digits.len() == 11 && !is_constant(&digits) && digits.get(9) == Some(&check(9)) && digits.get(10) == Some(&check(10))
}

/// An Australian business number: one is taken from the first digit.
pub(in super::super) fn abn(text: &str) -> bool {
    let mut digits = values(text);
    let Some(first) = digits.first_mut().filter(|first| **first > 0) else { return false };
    *first -= 1;
    digits.len() == 11 && weighted(&digits, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]).is_multiple_of(89)
}

/// An Australian company number.
pub(in super::super) fn acn(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[8, 7, 6, 5, 4, 3, 2, 1]);
    digits.len() == 9 && !is_constant(&digits) && digits.last() == Some(&((10 - sum % 10) % 10))
}

/// An Australian tax file number of nine digits.
pub(in super::super) fn tfn(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 9 && !is_constant(&digits) && weighted(&digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

/// An Australian Medicare number.
pub(in super::super) fn medicare(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(digits.get(..8).unwrap_or_default(), &[1, 3, 7, 9, 1, 3, 7, 9]);
    matches!(digits.len(), 10 | 11) && matches!(digits.first(), Some(2..=6)) && digits.get(8) == Some(&(sum % 10))
}

/// An Indian identity number.
pub(in super::super) fn aadhaar(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 12 && matches!(digits.first(), Some(2..=9)) && verhoeff(&digits)
}

/// An Indian tax number: the fourth letter is the kind of holder.
pub(in super::super) fn pan(text: &str) -> bool {
    text.as_bytes().get(3).is_some_and(|holder| b"ABCFGHLJPT".contains(holder)) && text.get(5..9) != Some("0000")
}

/// An Indian goods and services tax number: weights 1 and 2 in turn, quotient and remainder of 36.
pub(in super::super) fn gstin(text: &str) -> bool {
    let Some(signs) = text.chars().map(|c| c.to_digit(36)).collect::<Option<Vec<u32>>>() else { return false };
    let sum: u32 =
        signs.iter().take(14).zip([1, 2].iter().cycle()).map(|(sign, weight)| sign * weight).map(|p| p / 36 + p % 36).sum();
    matches!(number(&values(text.get(..2).unwrap_or_default()), 0..2), 1..=38 | 97)
        && signs.len() == 15
        && text.get(2..12).is_some_and(pan)
        && signs.get(14) == Some(&((36 - sum % 36) % 36))
}

/// A Singaporean identity number: the table of letters depends on the first.
pub(in super::super) fn nric(text: &str) -> bool {
    let digits = values(text.get(1..8).unwrap_or_default());
    let sum = weighted(&digits, &[2, 7, 6, 5, 4, 3, 2]);
    let letter = match text.as_bytes().first() {
        Some(b'S') => b"JZIHGFEDCBA".get(sum as usize % 11),
        Some(b'T') => b"JZIHGFEDCBA".get((sum + 4) as usize % 11),
        Some(b'F') => b"XWUTRQPNMLK".get(sum as usize % 11),
        Some(b'G') => b"XWUTRQPNMLK".get((sum + 4) as usize % 11),
        Some(b'M') => b"KLJNPQRTUWX".get(10 - (sum + 3) as usize % 11),
        _ => None,
    };
    digits.len() == 7 && letter.is_some() && letter == text.as_bytes().get(8)
}

/// A Singaporean number of an organisation, in its three forms.
pub(in super::super) fn uen(text: &str) -> bool {
    const SIGNS: &str = "ABCDEFGHJKLMNPQRSTUVWX0123456789";
    let Some(body) = text.len().checked_sub(1).and_then(|at| text.get(..at)) else { return false };
    let digits = values(body);
    let letter = match (body.len(), digits.len()) {
        (8, 8) => b"XMKECAWLJDB".get(weighted(&digits, &[10, 4, 9, 3, 8, 2, 7, 1]) as usize % 11).copied(),
        (9, 9) => b"ZKCMDNERGWH".get(weighted(&digits, &[10, 8, 6, 4, 9, 7, 5, 3, 1]) as usize % 11).copied(),
        (9, 6) => {
            let place = |c: char| SIGNS.find(c).and_then(|at| u32::try_from(at).ok());
            let Some(places) = body.chars().map(place).collect::<Option<Vec<u32>>>() else { return false };
            let sum = weighted(&places, &[4, 3, 5, 3, 10, 2, 2, 5, 7]);
            SIGNS.as_bytes().get(((sum + 6) % 11) as usize).copied()
        }
        _ => None,
    };
    letter.is_some() && letter == text.as_bytes().last().copied()
}

/// A Korean resident registration number; those since October 2020 have no check digit.
pub(in super::super) fn rrn(text: &str) -> bool {
    korean(text, 1..=4, 11)
}

/// A Korean number of a foreigner.
pub(in super::super) fn frn(text: &str) -> bool {
    korean(text, 5..=8, 13)
}

fn korean(text: &str, centuries: std::ops::RangeInclusive<u32>, base: u32) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    digits.len() == 13
        && is_day(number(&digits, 4..6), number(&digits, 2..4))
        && digits.get(6).is_some_and(|century| centuries.contains(century))
        && digits.last() == Some(&((base - sum % 11) % 10))
}

/// A Korean business registration number.
pub(in super::super) fn brn(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + digits.get(8).map_or(0, |digit| digit * 5 / 10);
    digits.len() == 10 && !is_constant(&digits) && digits.last() == Some(&((10 - sum % 10) % 10))
}

/// A Thai identity number.
pub(in super::super) fn thai(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    digits.len() == 13 && digits.first() != Some(&0) && digits.last() == Some(&((11 - sum % 11) % 10))
}

/// A Turkish identity number.
pub(in super::super) fn turkish(text: &str) -> bool {
    let digits = values(text);
    let odd = weighted(&digits, &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let even = weighted(&digits, &[0, 1, 0, 1, 0, 1, 0, 1]);
    let all: u32 = digits.iter().take(10).sum();
    digits.len() == 11
        && digits.first() != Some(&0)
        && digits.get(9) == Some(&((odd * 7 + 100 - even) % 10))
        && digits.get(10) == Some(&(all % 10))
}

/// A Philippine tax number; three digits for the branch may follow.
pub(in super::super) fn philippine(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[9, 8, 7, 6, 5, 4, 3, 2]);
    matches!(digits.len(), 9 | 12) && !is_constant(&digits) && digits.get(8) == Some(&(sum % 11))
}

/// A Nigerian identity number.
pub(in super::super) fn nigerian(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 11 && !is_constant(&digits) && verhoeff(&digits)
}

/// A South African identity number: date of birth, and whether a citizen.
pub(in super::super) fn south_african(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 13
        && is_day(number(&digits, 4..6), number(&digits, 2..4))
        && matches!(digits.get(10), Some(0..=2))
        && luhn(&digits)
}
