//! Valid numbers of every kind, and the same with one sign changed.

use super::*;

type Case = (&'static str, fn(&str) -> bool, &'static [&'static str]);

#[rustfmt::skip]
const VALID: &[Case] = &[
    ("card", credit_card, &[
        "4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "2223003122003222", "30569309025904",
        "2623322164608847", "503802053770", "4030874397740603788", "213161594239298", "180020497005751", "38134375577528",
    ]),
    ("iban", iban, &["DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606", "NO9386011117947", "gb29nwbk60161331926819"]),
    ("nhs", nhs, &["6426212997", "3832364056", "9434765919"]),
    ("nif", nif, &["85948075L", "18531344Z"]),
    ("nie", nie, &["X1152591S", "X1981186N"]),
    ("fiscal_code", fiscal_code, &["OAGYGD51M15Z774Q", "UVUCBP72M07O426I"]),
    ("italian_vat", italian_vat, &["40064010024", "73040730761"]),
    ("pesel", pesel, &["94092094069", "49100777511"]),
    ("hetu", hetu, &["051063-655N", "200547-087V"]),
    ("personnummer", personnummer, &["470103-6479", "840308-7599", "198403087599"]),
    ("organisationsnummer", organisationsnummer, &["5578484668", "5547524545"]),
    ("german_tax_id", german_tax_id, &["56592078418", "61850740291"]),
    ("german_vat", german_vat, &["DE761918924", "DE357552048"]),
    ("german_card", german_card, &["T220001293", "L01X00T471"]),
    ("german_pension", german_pension, &["65170839J003", "15070649C103"]),
    ("german_health", german_health, &["A123456780", "A000500015"]),
    ("nir", nir, &["284040182141669", "271068769146041"]),
    ("bsn", bsn, &["401140465", "810733997"]),
    ("aba", aba, &["289794409", "021000021"]),
    ("dea", dea, &["AB1234563", "F91234563"]),
    ("npi", npi, &["1234567893"]),
    ("sin", sin, &["406685701", "469133243"]),
    ("cpf", cpf, &["87990293838", "76624339438"]),
    ("abn", abn, &["47511809660", "49759259642"]),
    ("acn", acn, &["577606896", "349407147"]),
    ("tfn", tfn, &["558392708", "385340448"]),
    ("aadhaar", aadhaar, &["918018147860", "843524396267"]),
    ("gstin", gstin, &["01AYFPF1972R1Z8", "12PNBPK8938V1ZR"]),
    ("nric", nric, &["S1234567D", "T1234567J", "F1234567N", "G1234567X", "M1234567K"]),
    ("uen", uen, &["24740865D", "47116783E", "201911399G", "201004538G", "T09LL3774C", "T13LL1157D"]),
    ("rrn", rrn, &["4510112159354", "6704032925097"]),
    ("brn", brn, &["1248100998"]),
    ("thai", thai, &["2060417351310", "4238717880034"]),
    ("turkish", turkish, &["73327996400", "66239230168"]),
    ("philippine", philippine, &["123456782"]),
    ("nigerian", nigerian, &["12345678902"]),
    ("south_african", south_african, &["4605125051062", "5502138802079"]),
];

#[test]
fn valid_numbers_pass_and_lose_it_with_their_last_sign() {
    for (name, check, numbers) in VALID {
        for number in *numbers {
            assert!(check(number), "{name} {number}");
            let others = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars().filter(|sign| {
                let last = number.chars().last().unwrap();
                last.is_ascii_digit() == sign.is_ascii_digit() && !last.eq_ignore_ascii_case(sign)
            });
            let head = &number[..number.len() - 1];
            // The last digit of a medicare or physician number is no check digit; those are tested below.
            let passing: Vec<char> = others.filter(|sign| check(&format!("{head}{sign}"))).collect();
            assert!(passing.is_empty(), "{name} {head} also passes with {passing:?}");
        }
    }
}

#[test]
fn exchanged_digits_are_noticed() {
    for (name, check, numbers) in VALID.iter().filter(|(name, ..)| ["card", "aadhaar", "iban", "german_vat"].contains(name)) {
        for number in *numbers {
            let mut signs: Vec<u8> = number.bytes().collect();
            // Luhn's rule does not see 09 and 90 exchanged.
            let seen = |pair: &[u8]| pair[0] != pair[1] && !matches!(pair, [b'0', b'9'] | [b'9', b'0']);
            let Some(at) = (4..signs.len() - 1).find(|at| seen(&signs[*at..at + 2])) else { continue };
            signs.swap(at, at + 1);
            assert!(!check(std::str::from_utf8(&signs).unwrap()), "{name} {number}");
        }
    }
}

#[test]
fn structure_counts() {
    assert!(ssn("536904399") && itin("955806435") && mbi("1EG4TE5MK73") && nino("AB123456C") && pan("XWXPB5082K"));
    assert!(driving_licence("MORGA657054SM9IJ") && medicare("2123456701") && lanr("123456601"));
    for bad in ["000123456", "666123456", "900123456", "123004567", "123450000", "12345678", "111111111"] {
        assert!(!ssn(bad), "{bad}");
    }
    assert!(!itin("955336435") && !mbi("1SG4TE5MK73") && !nino("QQ123456C") && !nino("AB123456E") && !pan("XWXXB5082K"));
    assert!(!driving_licence("MORGA699054SM9IJ") && !medicare("2123456711") && !lanr("123456701"));
    for (check, bad) in [
        (credit_card as fn(&str) -> bool, "1234567812345670"),
        (credit_card, "0000000000000000"),
        (credit_card, "411111111111"),
        (nhs, "0000000000"),
        (cpf, "11111111111"),
        (iban, "DE8937040044053201300"),
        (iban, "XX89370400440532013000"),
        (iban, "D"),
        (nif, ""),
        (hetu, "051063"),
        (uen, ""),
    ] {
        assert!(!check(bad), "{bad}");
    }
}
