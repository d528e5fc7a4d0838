//! The rules that many numbers share: Luhn, Verhoeff, weighted sums, ISO 7064.

/// Digits as values.
pub(super) fn values(compact: &str) -> Vec<u32> {
    compact.chars().filter_map(|c| c.to_digit(10)).collect()
}

/// The sum of digits times weights.
pub(super) fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// The sum of the digits of products, as Luhn's and related rules take it.
pub(super) fn crossed(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).map(|product| product / 10 + product % 10).sum()
}

/// Whether the last digit is right by Luhn's rule.
pub(super) fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = digit << (at % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    !digits.is_empty() && sum.is_multiple_of(10)
}

/// Whether the last digit is right by Verhoeff's rule, the walk through the symmetries of a pentagon.
pub(super) fn verhoeff(digits: &[u32]) -> bool {
    const SHIFT: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let permuted =
        |digit: u32, times: usize| (0..times % 8).fold(digit, |value, _| SHIFT.get(value as usize).copied().unwrap_or_default());
    let end = digits.iter().rev().enumerate().fold(0, |check, (at, digit)| dihedral(check, permuted(*digit, at)));
    !digits.is_empty() && end == 0
}

/// The product in the dihedral group of ten elements: rotations 0 to 4, reflections 5 to 9.
fn dihedral(a: u32, b: u32) -> u32 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// Whether the last digit is right by ISO 7064, MOD 11,10.
pub(super) fn iso_7064_mod_11_10(digits: &[u32]) -> bool {
    let Some((last, head)) = digits.split_last() else { return false };
    let product = head.iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == *last
}

/// Whether day, month, and year of two digits can be a date; a day 29 of February passes in any year.
pub(super) fn is_day(day: u32, month: u32) -> bool {
    let longest = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=longest).contains(&day)
}

/// The number in some of the digits.
pub(super) fn number(digits: &[u32], range: std::ops::Range<usize>) -> u32 {
    digits.get(range).map_or(0, |part| part.iter().fold(0, |value, digit| value * 10 + digit))
}

/// Whether digits are all the same.
pub(super) fn is_constant(digits: &[u32]) -> bool {
    digits.iter().all(|digit| Some(digit) == digits.first())
}
