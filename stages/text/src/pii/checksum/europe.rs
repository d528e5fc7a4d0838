//! Numbers of persons and organisations in Europe.

use super::rules::{crossed, is_constant, is_day, iso_7064_mod_11_10, luhn, number, values, weighted};

/// A number of the British health service: weights 10 to 2, modulo 11.
pub(in super::super) fn nhs(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
    digits.len() == 10 && !is_constant(&digits[..9]) && Some(&((11 - sum % 11) % 11)) == digits.last()
}

/// A British national insurance number: no letters that are not given out.
pub(in super::super) fn nino(text: &str) -> bool {
    let mut letters = text.chars();
    let (Some(first), Some(second)) = (letters.next(), letters.next()) else { return false };
    let prefix = [first, second].iter().collect::<String>();
    let given_out = !"DFIQUV".contains(first) && !"DFIQUVO".contains(second);
    given_out && !["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"].contains(&prefix.as_str()) && text.ends_with(['A', 'B', 'C', 'D'])
}

/// A British driving licence: surname, date of birth woven into digits, initials.
pub(in super::super) fn driving_licence(text: &str) -> bool {
    let surname = text.get(..5).unwrap_or_default();
    let padded = surname.trim_end_matches('9');
    let digits = values(text.get(5..11).unwrap_or_default());
    let month = number(&digits, 1..3);
    let month = if month > 50 { month - 50 } else { month };
    !padded.is_empty()
        && padded.bytes().all(|b| b.is_ascii_uppercase())
        && digits.len() == 6
        && is_day(number(&digits, 3..5), month)
        && text.get(11..13).is_some_and(|initials| initials.bytes().all(|b| b.is_ascii_uppercase() || b == b'9'))
        && text.get(14..16).is_some_and(|end| end.bytes().all(|b| b.is_ascii_uppercase()))
}

const NIF_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// A Spanish tax number.
pub(in super::super) fn nif(text: &str) -> bool {
    let digits = values(text.get(..8).unwrap_or_default());
    digits.len() == 8 && NIF_LETTERS.get(number(&digits, 0..8) as usize % 23) == text.as_bytes().get(8)
}

/// A Spanish number of a foreigner: X, Y, Z stand for 0, 1, 2.
pub(in super::super) fn nie(text: &str) -> bool {
    let head = match text.as_bytes().first() {
        Some(b'X') => "0",
        Some(b'Y') => "1",
        Some(b'Z') => "2",
        _ => return false,
    };
    nif(&format!("{head}{}", text.get(1..).unwrap_or_default()))
}

/// An Italian tax code: odd places by a table, even places by value, modulo 26.
pub(in super::super) fn fiscal_code(text: &str) -> bool {
    const ODD: [u32; 26] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let order = |c: char| c.to_digit(36).map(|value| if value > 9 { value - 10 } else { value });
    let Some(values) = text.chars().map(order).collect::<Option<Vec<u32>>>() else { return false };
    let sum: u32 = values
        .iter()
        .take(15)
        .enumerate()
        .map(|(at, value)| if at % 2 == 0 { ODD.get(*value as usize).copied().unwrap_or_default() } else { *value })
        .sum();
    let is_month = text.as_bytes().get(8).is_some_and(|month| b"ABCDEHLMPRST".contains(month));
    is_month && values.len() == 16 && values.get(15) == Some(&(sum % 26))
}

/// An Italian VAT number.
pub(in super::super) fn italian_vat(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 11 && !is_constant(&digits) && luhn(&digits)
}

/// A Polish personal number: the century is in the month.
pub(in super::super) fn pesel(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    digits.len() == 11
        && is_day(number(&digits, 4..6), number(&digits, 2..4) % 20)
        && digits.last() == Some(&((10 - sum % 10) % 10))
}

/// A Finnish personal code.
pub(in super::super) fn hetu(text: &str) -> bool {
    let digits = values(&[text.get(..6).unwrap_or_default(), text.get(7..10).unwrap_or_default()].concat());
    let last = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(number(&digits, 0..9) as usize % 31);
    let century = text.as_bytes().get(6).is_some_and(|sign| b"+-ABCDEFYXWVU".contains(sign));
    century && digits.len() == 9 && is_day(number(&digits, 0..2), number(&digits, 2..4)) && last == text.as_bytes().get(10)
}

/// A Swedish personal number: Luhn over the last ten digits; 60 is added to the day of a coordination number.
pub(in super::super) fn personnummer(text: &str) -> bool {
    let all = values(text);
    let digits = all.get(all.len().saturating_sub(10)..).unwrap_or_default();
    let day = number(digits, 4..6);
    let day = if day > 60 { day - 60 } else { day };
    let century = all.len() == 10 || matches!(number(&all, 0..2), 18..=20);
    digits.len() == 10 && century && is_day(day, number(digits, 2..4)) && luhn(digits)
}

/// A Swedish number of an organisation: its middle is no month.
pub(in super::super) fn organisationsnummer(text: &str) -> bool {
    let digits = values(text);
    digits.len() == 10 && number(&digits, 2..4) >= 20 && luhn(&digits)
}

/// A German tax number: of the first ten digits one is there twice or three times.
pub(in super::super) fn german_tax_id(text: &str) -> bool {
    let digits = values(text);
    let head = digits.get(..10).unwrap_or_default();
    let mut counts = [0_usize; 10];
    for digit in head {
        if let Some(count) = counts.get_mut(*digit as usize) {
            *count += 1;
        }
    }
    let repeated: Vec<&usize> = counts.iter().filter(|count| **count > 1).collect();
    digits.len() == 11 && digits.first() != Some(&0) && matches!(repeated.as_slice(), [2 | 3]) && iso_7064_mod_11_10(&digits)
}

/// A German VAT number.
pub(in super::super) fn german_vat(text: &str) -> bool {
    let digits = values(text);
    text.starts_with("DE") && digits.len() == 9 && digits.first() != Some(&0) && iso_7064_mod_11_10(&digits)
}

/// A German identity card or passport with its check digit: weights 7, 3, 1.
pub(in super::super) fn german_card(text: &str) -> bool {
    let Some(signs) = text.chars().map(|c| c.to_digit(36)).collect::<Option<Vec<u32>>>() else { return false };
    let sum: u32 = signs.iter().take(9).zip([7, 3, 1].iter().cycle()).map(|(sign, weight)| sign * weight).sum();
    let no_vowels = !text.contains(['A', 'E', 'I', 'O', 'U', 'B', 'D', 'Q', 'S']);
    no_vowels
        && signs.len() == 10
        && text.as_bytes().first().is_some_and(|first| b"CFGHJKLMNPRTVWXYZ".contains(first))
        && signs.get(9) == Some(&(sum % 10))
}

/// A German pension insurance number: office, date of birth, letter, serial.
pub(in super::super) fn german_pension(text: &str) -> bool {
    let Some(digits) = spelled(text) else { return false };
    let sum = crossed(&digits, &[2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]);
    digits.len() == 13 && is_day(number(&digits, 2..4), number(&digits, 4..6)) && digits.last() == Some(&(sum % 10))
}

/// A German health insurance number.
pub(in super::super) fn german_health(text: &str) -> bool {
    let Some(digits) = spelled(text) else { return false };
    let sum = crossed(&digits, &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]);
    digits.len() == 11 && digits.last() == Some(&(sum % 10))
}

/// Digits in which a letter stands for its two-digit place in the alphabet.
fn spelled(text: &str) -> Option<Vec<u32>> {
    let places = text.chars().map(|c| match c.to_digit(36)? {
        digit @ 0..=9 => Some(vec![digit]),
        letter => Some(vec![(letter - 9) / 10, (letter - 9) % 10]),
    });
    Some(places.collect::<Option<Vec<_>>>()?.concat())
}

/// The number of a German physician: six digits, their check digit, two for the field.
pub(in super::super) fn lanr(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(digits.get(..6).unwrap_or_default(), &[4, 9, 4, 9, 4, 9]);
    digits.len() == 9 && !is_constant(&digits) && digits.get(6) == Some(&((10 - sum % 10) % 10))
}

/// A French social security number; Corsica's departments have letters.
pub(in super::super) fn nir(text: &str) -> bool {
    let plain = text.replacen("2A", "19", 1).replacen("2B", "18", 1);
    let (Ok(body), Ok(key)) =
        (plain.get(..13).unwrap_or_default().parse::<u64>(), plain.get(13..).unwrap_or_default().parse::<u64>())
    else {
        return false;
    };
    let month = number(&values(&plain), 3..5);
    text.starts_with(['1', '2']) && (1..=42).contains(&month) && 97 - body % 97 == key
}

/// A Dutch citizen service number: weights 9 to 2, and -1 for the last.
pub(in super::super) fn bsn(text: &str) -> bool {
    let digits = values(text);
    let sum = weighted(&digits, &[9, 8, 7, 6, 5, 4, 3, 2]);
    digits.len() == 9 && !is_constant(&digits) && digits.last().is_some_and(|last| sum % 11 == *last)
}
