//! What the scanner finds and leaves, and what remains after the policy was applied.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static ALL: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(&Options { entities: patterned(), ..Options::default() }));
static USUAL: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(&Options::default()));

/// Every kind that patterns find, but for dates of any day.
fn patterned() -> BTreeSet<Entity> {
    Entity::ALL.iter().copied().filter(|entity| entity.home() != Home::Language).collect()
}

fn scan(text: &str) -> Vec<(Entity, &str)> {
    ALL.scan(text).into_iter().map(|span| (span.entity, &text[span.start..span.end])).collect()
}

fn redact(text: &str) -> String {
    let policy = Policy { default: ActionKind::Redact.into(), actions: BTreeMap::new(), key: None };
    apply(text, &USUAL.scan(text), &policy)
}

#[test]
fn every_kind_is_found() {
    let cases = [
        ("Write to jane.doe+x@mail.acme.co.uk.", Entity::EmailAddress, "jane.doe+x@mail.acme.co.uk"),
        ("Call (415) 834-2671 ext 12 now", Entity::PhoneNumber, "(415) 834-2671 ext 12"),
        ("Tel. +49 30 901820, ask", Entity::PhoneNumber, "+49 30 901820"),
        ("my number is 07911 123456", Entity::PhoneNumber, "07911 123456"),
        ("phone: 4158342671", Entity::PhoneNumber, "4158342671"),
        ("IBAN DE89 3704 0044 0532 0130 00 PLEASE", Entity::IbanCode, "DE89 3704 0044 0532 0130 00"),
        ("pay 4556-7375-8689-9855 12/27", Entity::CreditCard, "4556-7375-8689-9855"),
        ("SSN 536-90-4399", Entity::UsSsn, "536-90-4399"),
        ("from 93.184.216.34:80", Entity::IpAddress, "93.184.216.34"),
        ("at 2a00:1450:4001:81b::200e up", Entity::IpAddress, "2a00:1450:4001:81b::200e"),
        ("see https://acme.io/a?b=c.", Entity::Url, "https://acme.io/a?b=c"),
        ("card 3c:22:fb:9a:01:7e", Entity::MacAddress, "3c:22:fb:9a:01:7e"),
        ("NHS number 943 476 5919", Entity::UkNhs, "943 476 5919"),
        ("to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa!", Entity::Crypto, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("She was born on 3 May 1984", Entity::DateOfBirth, "3 May 1984"),
    ];
    for (text, entity, value) in cases {
        assert_eq!(scan(text), [(entity, value)], "{text}");
    }
}

#[test]
fn numbers_that_are_something_else_are_left() {
    for text in [
        "order 4556737586899854 shipped",
        "4 5-56 73 75 86 89 98 55",
        "version 1.2.3.4 of the driver",
        "released 2024-05-17 at 12:30:45",
        "std::fmt::Display and a::b",
        "commit 3f2a91c2b4d5",
        "DE89 3704 0044 0532 0130 01",
        "room 12, 300 x 400, 3.14159265",
        "ticket #4158342671",
        "1234567890",
    ] {
        assert_eq!(scan(text), [], "{text}");
    }
}

#[test]
fn disguised_values_are_found_where_they_stand() {
    for (text, left) in [
        ("mail jane [at] acme [dot] org now", "mail [EMAIL] now"),
        ("mail jane(at)acme.org now", "mail [EMAIL] now"),
        ("mail jane at acme dot org", "mail [EMAIL]"),
        ("mail ja\u{200b}ne@ac\u{200d}me.org", "mail [EMAIL]"),
        ("карта 4556 7375 8689 9855", "карта [CREDIT_CARD]"),
        ("card ４５５６７３７５８６８９９８５５ ok", "card [CREDIT_CARD] ok"),
        ("بطاقة ٤٥٥٦٧٣٧٥٨٦٨٩٩٨٥٥", "بطاقة [CREDIT_CARD]"),
        ("jаne@acme.org", "[EMAIL]"),
    ] {
        assert_eq!(redact(text), left);
    }
}

#[test]
fn context_words_decide_on_doubtful_numbers() {
    assert_eq!(scan("please call me on 5551234567"), [(Entity::PhoneNumber, "5551234567")]);
    assert_eq!(scan("parcel 5551234567"), []);
    assert_eq!(scan("my social security number: 536904399"), [(Entity::UsSsn, "536904399")]);
}

#[test]
fn placeholders_are_marked_as_such() {
    for text in ["a@example.com", "call 212-555-0123", "4111 1111 1111 1111", "192.0.2.7"] {
        assert_eq!(USUAL.scan(text).first().map(|span| span.value), Some(Value::Test), "{text}");
    }
    assert_eq!(USUAL.scan("a@notexample.com")[0].value, Value::Real);
}

#[test]
fn allowed_values_stay() {
    let allow = ["help@acme.org".to_owned()].into();
    assert_eq!(Scanner::new(&Options { allow, ..Options::default() }).scan("help@acme.org").len(), 0);
}

#[test]
fn every_action_does_what_it_says() {
    let text = "jane@acme.org, Jane@ACME.org, 4556737586899855";
    let spans = USUAL.scan(text);
    let with = |kind: ActionKind| {
        let key = PseudonymKey::derive("a secret of many bytes");
        apply(text, &spans, &Policy { default: kind.into(), actions: BTreeMap::new(), key })
    };
    assert_eq!(with(ActionKind::Redact), "[EMAIL], [EMAIL], [CREDIT_CARD]");
    assert_eq!(with(ActionKind::Keep), text);
    assert_eq!(with(ActionKind::Mask), "****@***e.org, ****@***E.org, ************9855");
    let named = with(ActionKind::Pseudonymize);
    let parts: Vec<&str> = named.split(", ").collect();
    assert!(parts[0].starts_with("EMAIL_") && parts[0] == parts[1] && parts[2].starts_with("CREDIT_CARD_"), "{named}");
    assert!(PseudonymKey::derive("short").is_none());
}

/// Pieces that look like personal data, glued at random.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "jane@acme.org",
        "4556 7375 8689 9855",
        "4556737586899855",
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "+49 30 901820",
        "(415) 834-2671",
        "536-90-4399",
        "943 476 5919",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "93.184.216.34",
        " ",
        "-",
        ".",
        "4",
        "+",
        "@",
        "\u{200b}",
        "phone",
        "nhs ",
        "(at)",
        "é",
        "４",
        "x",
        ", ",
        "\n",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_scanned_without_panic(text in any::<String>()) {
        for span in USUAL.scan(&text) {
            prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end) && span.start < span.end);
        }
    }

    #[test]
    fn nothing_with_a_checksum_is_left_after_three_rounds(text in pieces()) {
            let left = (0..3).fold(text, |text, _| redact(&text));
        let residual: Vec<Span> = USUAL.scan(&left).into_iter().filter(|span| span.evidence == Evidence::Checksum).collect();
        prop_assert_eq!(residual, vec![], "{}", left);
    }

    #[test]
    fn spans_are_in_order_and_apart(text in pieces()) {
        let spans = USUAL.scan(&text);
        prop_assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}

#[test]
fn numbers_of_many_places_are_found_by_their_forms() {
    for (text, entity) in [
        ("CPF 879.902.938-38", Entity::BrCpf),
        ("codice fiscale OAGYGD51M15Z774Q", Entity::ItFiscalCode),
        ("VAT DE 761918924", Entity::DeVat),
        ("hetu 051063-655N", Entity::FiPersonalIdentityCode),
        ("personnummer 470103-6479", Entity::SePersonnummer),
        ("NI number AB 12 34 56 C", Entity::UkNino),
        ("my aadhaar is 9180 1814 7860", Entity::InAadhaar),
        ("NRIC S1234567D", Entity::SgNricFin),
        ("routing number 021000021", Entity::AbaRouting),
        ("DEA AB1234563", Entity::MedicalLicense),
        ("ABN 47 511 809 660", Entity::AuAbn),
        ("RRN 451011-2159354", Entity::KrRrn),
        ("NIR 2 84 04 01 821 416 69", Entity::FrNir),
        ("tax file number 558 392 708", Entity::AuTfn),
        ("DNI 85948075-L", Entity::EsNif),
        ("PAN GCCPL5855F", Entity::InPan),
        ("passport C01234567", Entity::UsPassport),
    ] {
        assert_eq!(scan(text).iter().map(|(found, _)| *found).collect::<Vec<_>>(), [entity], "{text}");
    }
}

#[test]
fn telephone_numbers_follow_the_plans() {
    for text in [
        "+41 (0)69 979 80 58",
        "+447700 208 815",
        "(08) 8747 6301",
        "083 564 9312",
        "0378 3549890",
        "01.84.17.61.18",
        "1-201-948-1927",
        "00420 601 123 456",
    ] {
        assert_eq!(scan(text), [(Entity::PhoneNumber, text)], "{text}");
    }
    for text in ["60-56-85-91", "72 128 827", "434 14 557", "9472 7916", "451 5986", "3660170548"] {
        assert_eq!(scan(&format!("Phone: {text}")), [(Entity::PhoneNumber, text)], "{text}");
        assert_eq!(scan(&format!("Count: {text}")), [], "{text}");
    }
    for text in ["+999 123 456 789", "+44 12", "from 2001-05-17 to 2003-06-20", "+1 (123", "phone 2001-05-17"] {
        assert_eq!(scan(text), [], "{text}");
    }
}
