//! Names of licences that people gave to data sets, and the classes that lawyers found for them.

use std::collections::BTreeMap;

use flow_text::licence::{Class, Licence};

use crate::data;

#[test]
fn most_names_have_the_class_that_lawyers_found_and_no_name_a_wider_one() {
    let Some(text) = data("dpi-licences/license_classes.json") else { return };
    let classes: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).expect("JSON");
    let (mut right, mut unknown, mut wrong) = (0, Vec::new(), Vec::new());
    for (name, class) in &classes {
        let expected = match class[0].as_str() {
            "All" => Class::Commercial,
            "NC" => Class::NonCommercial,
            "Acad" => Class::AcademicOnly,
            "Unspecified" => Class::Unspecified,
            other => panic!("class {other}"),
        };
        match Licence::named(name) {
            Some(licence) if licence.class == expected => right += 1,
            Some(licence) => wrong.push((name, licence.class)),
            None => unknown.push(name),
        }
    }
    eprintln!("{right} of {} names have their class; not known and so refused: {unknown:?}; other: {wrong:?}", classes.len());
    assert!(right >= 50 && wrong.is_empty() && right + unknown.len() == classes.len(), "{right}: {wrong:?}");
}
