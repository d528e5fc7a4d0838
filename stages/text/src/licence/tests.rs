use proptest::prelude::*;

use super::*;

fn policy(intent: Intent) -> Policy {
    let allow =
        ["MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-*", "CC-BY-NC-4.0", "GPL-3.0-only"].map(str::to_owned).to_vec();
    Policy { intent, allow, deny: vec!["*-ND-*".to_owned()], share_alike: ShareAlike::Propagate, output: None }
}

fn decide(text: &str, intent: Intent) -> Decision {
    policy(intent).decide(&Expression::parse(text).unwrap())
}

fn granted(text: &str) -> Vec<String> {
    match decide(text, Intent::Commercial) {
        Decision::Granted(grant) => grant.licences.into_iter().map(|licence| licence.id).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn names_that_people_write_are_known() {
    for (name, id) in [
        ("Apache License 2.0", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        ("The MIT License", "MIT"),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International Public License", "CC-BY-NC-4.0"),
        ("Attribution-ShareAlike 3.0 Unported", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution Share Alike 4.0", "CC-BY-SA-4.0"),
        ("CC0 1.0 Universal", "CC0-1.0"),
        ("GNU General Public License v3.0", "GPL-3.0-only"),
        ("Public Domain", "LicenseRef-public-domain"),
        ("LicenseRef-OpenAI", "LicenseRef-OpenAI"),
    ] {
        assert_eq!(Licence::named(name).map(|licence| licence.id).as_deref(), Some(id), "{name}");
    }
    for name in ["Various", "my own licence", "", "CC BY-XX 4.0", "4.0", "Open Access"] {
        assert_eq!(Licence::named(name), None, "{name}");
    }
}

#[test]
fn non_commercial_data_is_refused_for_commerce_and_taken_for_research() {
    for text in ["CC-BY-NC-4.0", "MIT AND CC-BY-NC-4.0", "OpenAI", "Academic Research Purposes Only"] {
        assert!(matches!(decide(text, Intent::Commercial), Decision::Refused(_)), "{text}");
    }
    assert!(matches!(decide("CC-BY-NC-4.0", Intent::Research), Decision::Granted(_)));
    assert!(matches!(decide("CC-BY-NC-ND-4.0", Intent::Research), Decision::Refused(_)));
}

#[test]
fn all_parts_must_pass_and_the_lightest_alternative_is_taken() {
    assert_eq!(granted("MIT AND Apache-2.0"), ["Apache-2.0", "MIT"]);
    assert_eq!(granted("CC-BY-SA-4.0 OR MIT OR CC-BY-NC-4.0"), ["MIT"]);
    assert_eq!(granted("(GPL-3.0-only OR CC0-1.0) AND (MIT OR Various)"), ["CC0-1.0", "MIT"]);
    assert_eq!(granted("GPL-3.0-only WITH Classpath-exception-2.0"), ["GPL-3.0-only"]);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    assert_eq!(decide("MIT AND Mystery", Intent::Research), Decision::Unknown(vec!["Mystery".to_owned()]));
    assert_eq!(decide("Unspecified", Intent::Research), Decision::Unknown(vec!["LicenseRef-unspecified".to_owned()]));
    assert_eq!(decide("ISC", Intent::Research), Decision::Refused(vec!["ISC is not allowed".to_owned()]));
}

#[test]
fn share_alike_licences_must_go_together() {
    let grants = |texts: &[&str]| -> Vec<Grant> {
        texts
            .iter()
            .map(|text| match decide(text, Intent::Commercial) {
                Decision::Granted(grant) => grant,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let result = |texts: &[&str]| policy(Intent::Commercial).result(&grants(texts));
    assert_eq!(result(&["MIT", "CC0-1.0"]), Ok(None));
    assert_eq!(result(&["MIT", "CC-BY-SA-3.0", "CC-BY-SA-4.0"]), Ok(Some("CC-BY-SA-4.0".to_owned())));
    assert_eq!(result(&["CC-BY-SA-3.0", "GPL-3.0-only"]), Err(("CC-BY-SA-3.0".to_owned(), "GPL-3.0-only".to_owned())));
    let chosen = Policy { output: Some("MIT".to_owned()), ..policy(Intent::Commercial) };
    assert!(matches!(chosen.decide(&Expression::parse("CC-BY-SA-4.0").unwrap()), Decision::Refused(_)));
    let denied = Policy { share_alike: ShareAlike::Deny, ..policy(Intent::Commercial) };
    assert!(matches!(denied.decide(&Expression::parse("CC-BY-SA-4.0").unwrap()), Decision::Refused(_)));
}

#[test]
fn broken_expressions_are_errors() {
    for text in ["MIT AND", "(MIT", "MIT)", "AND", "", "MIT OR OR MIT", &"(".repeat(1_000)] {
        assert!(Expression::parse(text).is_err(), "{text}");
    }
    let shown = Expression::parse("MIT AND (Apache License 2.0 OR mystery)").unwrap().to_string();
    assert_eq!(shown, "MIT AND (Apache-2.0 OR mystery)");
}

proptest! {
    #[test]
    fn more_licences_to_keep_never_permit_more(names in prop::collection::vec(prop::sample::select(vec!["MIT", "CC-BY-NC-4.0", "Mystery", "CC-BY-SA-4.0"]), 1..5)) {
        let joined = |word: &str| names.join(word);
        let is_granted = |text: &str| matches!(decide(text, Intent::Commercial), Decision::Granted(_));
        let each: Vec<bool> = names.iter().map(|name| is_granted(name)).collect();
        prop_assert_eq!(is_granted(&joined(" AND ")), each.iter().all(|granted| *granted));
        prop_assert_eq!(is_granted(&joined(" OR ")), each.iter().any(|granted| *granted));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[A-Za-z0-9 ()+.-]{0,40}") {
        if let Ok(expression) = Expression::parse(&text) {
            let again = Expression::parse(&expression.to_string());
            prop_assert!(again.is_ok());
        }
    }
}
