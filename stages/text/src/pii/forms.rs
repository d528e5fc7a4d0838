//! The forms of numbers: which letters and digits, in which groups, and how much a match says.

use std::sync::LazyLock;

use super::{Entity as E, Evidence, checksum};

/// How likely a value that fits is one, before context: written without separators, with spaces, and with dashes.
type Scores = (f64, f64, f64);

/// One in a thousand numbers or less is one by chance.
const SURE: Scores = (1.0, 1.0, 1.0);
/// Its shape and checksum together are rare.
const LIKELY: Scores = (0.6, 0.6, 0.6);
/// Its groups say so; without them a context word must.
const GROUPS: Scores = (0.3, 0.6, 0.6);
/// A context word must say so.
const CONTEXT: Scores = (0.2, 0.4, 0.4);
/// A context word must say so, and separators make it something else.
const PLAIN: Scores = (0.2, 0.0, 0.0);

type Check = fn(&str) -> bool;

/// Some forms of one kind: `#` is a digit, `A` a letter, `*` either, `-` parts groups; `.` and `/` stand for themselves.
type Row = (E, &'static str, Scores, Evidence, Check);

const CHECKED: Evidence = Evidence::Checksum;
const SHAPE: Evidence = Evidence::Pattern;

fn any(_: &str) -> bool {
    true
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (E::UsSsn, "###-##-####", (0.2, 0.4, 0.85), SHAPE, checksum::ssn),
    (E::UsItin, "###-##-####", (0.2, 0.4, 0.85), SHAPE, checksum::itin),
    (E::UsNpi, "##########", (0.3, 0.0, 0.0), CHECKED, checksum::npi),
    (E::UsMbi, "#A*#A*#AA##", LIKELY, SHAPE, checksum::mbi),
    (E::UsMbi, "#A*#-A*#-AA##", (0.6, 0.7, 0.85), SHAPE, checksum::mbi),
    (E::MedicalLicense, "AA#######", LIKELY, CHECKED, checksum::dea),
    (E::MedicalLicense, "A########", CONTEXT, CHECKED, |text| text.get(1..2) == Some("9") && checksum::dea(text)),
    (E::AbaRouting, "#########", PLAIN, CHECKED, checksum::aba),
    (E::AbaRouting, "####-####-#", (0.2, 0.0, 0.6), CHECKED, checksum::aba),
    (E::UsPassport, "######### A########", PLAIN, SHAPE, any),
    (E::UsDriverLicense, "A####### A######## A############ A############# ######## #########", PLAIN, SHAPE, any),
    (E::UsDriverLicense, "A###-####-#### A###-###-##-###-#", CONTEXT, SHAPE, any),
    (E::UsBankNumber, "######## ######### ########## ########### ############ ############# ############## ################# ################", (0.15, 0.0, 0.0), SHAPE, any),
    (E::UkNhs, "###-###-####", (0.2, 0.6, 0.4), CHECKED, checksum::nhs),
    (E::UkNino, "AA-##-##-##-A AA-######-A", (0.75, 0.9, 0.9), SHAPE, checksum::nino),
    (E::UkDrivingLicence, "*****######*****", (0.8, 0.0, 0.0), SHAPE, checksum::driving_licence),
    (E::UkDrivingLicence, "*****-######-*****", SURE, SHAPE, checksum::driving_licence),
    (E::UkPassport, "######### AA#######", PLAIN, SHAPE, any),
    (E::UkPostcode, "A#-#AA A##-#AA AA#-#AA AA##-#AA A#A-#AA AA#A-#AA", (0.15, 0.4, 0.0), SHAPE, any),
    (E::UkVehicle, "AA##-AAA", (0.3, 0.3, 0.0), SHAPE, any),
    (E::EsNif, "########-A", (0.6, 0.7, 0.8), CHECKED, checksum::nif),
    (E::EsNie, "A-#######-A A#######-A", (0.8, 0.8, 0.9), CHECKED, checksum::nie),
    (E::ItFiscalCode, "AAAAAA##A##A###A", SURE, CHECKED, checksum::fiscal_code),
    (E::ItFiscalCode, "AAA-AAA-##A##-A###A", SURE, CHECKED, checksum::fiscal_code),
    (E::ItVatCode, "###########", (0.3, 0.0, 0.0), CHECKED, checksum::italian_vat),
    (E::ItVatCode, "AA-########### AA###########", SURE, CHECKED, |text| text.strip_prefix("IT").is_some_and(checksum::italian_vat)),
    (E::PlPesel, "###########", (0.55, 0.0, 0.0), CHECKED, checksum::pesel),
    (E::FiPersonalIdentityCode, "######A###*", SURE, CHECKED, checksum::hetu),
    (E::FiPersonalIdentityCode, "######-###*", (0.0, 0.0, 1.0), CHECKED, |text| text.split_at_checked(6).is_some_and(|(date, rest)| checksum::hetu(&[date, "-", rest].concat()))),
    (E::SePersonnummer, "######-#### ########-####", (0.3, 0.0, 0.9), CHECKED, checksum::personnummer),
    (E::SeOrganisationsnummer, "######-####", (0.2, 0.0, 0.6), CHECKED, checksum::organisationsnummer),
    (E::DeTaxId, "##-###-###-###", (0.4, 0.9, 0.0), CHECKED, checksum::german_tax_id),
    (E::DeVat, "AA-######### AA######### AA-###-###-###", SURE, CHECKED, checksum::german_vat),
    (E::DeIdCard, "A********#", (0.3, 0.0, 0.0), CHECKED, checksum::german_card),
    (E::DePassport, "A********#", (0.3, 0.0, 0.0), CHECKED, checksum::german_card),
    (E::DeSocialSecurity, "########A### ##-######-A-###", (0.9, 0.9, 0.9), CHECKED, checksum::german_pension),
    (E::DeHealthInsurance, "A#########", (0.3, 0.0, 0.0), CHECKED, checksum::german_health),
    (E::DeLanr, "#########", PLAIN, CHECKED, checksum::lanr),
    (E::DeBsnr, "#########", PLAIN, SHAPE, any),
    (E::FrNir, "#-##-##-#*-###-###-##", (0.9, 1.0, 1.0), CHECKED, checksum::nir),
    (E::NlBsn, "#########", PLAIN, CHECKED, checksum::bsn),
    (E::NlBsn, "####.##.###", (0.0, 0.0, 0.6), CHECKED, checksum::bsn),
    (E::CaSin, "###-###-###", (0.2, 0.4, 0.4), CHECKED, checksum::sin),
    (E::BrCpf, "###.###.###-##", (0.55, 0.0, 1.0), CHECKED, checksum::cpf),
    (E::AuAbn, "##-###-###-###", (0.5, 0.9, 0.6), CHECKED, checksum::abn),
    (E::AuAcn, "###-###-###", CONTEXT, CHECKED, checksum::acn),
    (E::AuTfn, "###-###-###", CONTEXT, CHECKED, checksum::tfn),
    (E::AuMedicare, "####-#####-# ####-#####-##", GROUPS, CHECKED, checksum::medicare),
    (E::InAadhaar, "####-####-####", GROUPS, CHECKED, checksum::aadhaar),
    (E::InPan, "AAAAA####A", (0.7, 0.0, 0.0), SHAPE, checksum::pan),
    (E::InGstin, "##AAAAA####A*A*", SURE, CHECKED, checksum::gstin),
    (E::InVoter, "AAA#######", (0.3, 0.0, 0.0), SHAPE, any),
    (E::InVehicle, "AA-##-AA-#### AA-##-A-####", (0.3, 0.4, 0.4), SHAPE, any),
    (E::SgNricFin, "A#######A", (0.85, 0.0, 0.0), CHECKED, checksum::nric),
    (E::SgUen, "########A #########A", (0.3, 0.0, 0.0), CHECKED, checksum::uen),
    (E::SgUen, "A##AA####A", (0.6, 0.0, 0.0), CHECKED, checksum::uen),
    (E::KrRrn, "######-#######", (0.5, 0.0, 0.9), CHECKED, checksum::rrn),
    (E::KrFrn, "######-#######", (0.5, 0.0, 0.9), CHECKED, checksum::frn),
    (E::KrBrn, "###-##-#####", (0.2, 0.0, 0.6), CHECKED, checksum::brn),
    (E::ThTnin, "#-####-#####-##-#", (0.3, 0.9, 0.9), CHECKED, checksum::thai),
    (E::TrNationalId, "###########", (0.55, 0.0, 0.0), CHECKED, checksum::turkish),
    (E::TrPlate, "##-A-#### ##-AA-### ##-AAA-## ##-AA-####", (0.2, 0.3, 0.0), SHAPE, any),
    (E::PhTin, "###-###-### ###-###-###-###", CONTEXT, CHECKED, checksum::philippine),
    (E::NgNin, "###########", (0.3, 0.0, 0.0), CHECKED, checksum::nigerian),
    (E::NgNin, "####-###-####", (0.0, 0.3, 0.4), CHECKED, checksum::nigerian),
    (E::ZaId, "#############", (0.6, 0.0, 0.0), CHECKED, checksum::south_african),
    (E::ZaId, "######-####-##-#", (0.6, 0.8, 0.8), CHECKED, checksum::south_african),
];

/// All forms, one for each way to write a number.
pub(super) static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| ROWS.iter().flat_map(Form::of_row).collect());

/// One way to write a number.
pub(super) struct Form {
    pub(super) entity: E,
    pub(super) evidence: Evidence,
    pub(super) check: Check,
    classes: String,
    groups: Vec<usize>,
    signs: Vec<u8>,
    scores: Scores,
}

impl Form {
    fn of_row(row: &'static Row) -> impl Iterator<Item = Self> {
        let (entity, patterns, scores, evidence, check) = row;
        patterns.split(' ').map(|pattern| Self {
            entity: *entity,
            evidence: *evidence,
            check: *check,
            classes: pattern.replace(['-', '.', '/'], ""),
            groups: pattern.split(['-', '.', '/']).map(str::len).collect(),
            signs: pattern.bytes().filter(|sign| matches!(sign, b'-' | b'.' | b'/')).collect(),
            scores: *scores,
        })
    }

    /// The number of letters and digits.
    pub(super) fn length(&self) -> usize {
        self.classes.len()
    }

    /// The score of a value in these groups with these separators; `None` when nobody writes it so.
    pub(super) fn score(&self, groups: &[usize], signs: &[u8]) -> Option<f64> {
        let (plain, spaced, dashed) = self.scores;
        let exact = self.signs.iter().any(|sign| *sign != b'-');
        let all = |sign: u8| signs.iter().all(|other| *other == sign);
        // Finland's plus sign stands for a century.
        let is_century = self.entity == E::FiPersonalIdentityCode && signs == b"+";
        let score = match signs {
            [] => plain,
            _ if groups != self.groups || (exact && signs != self.signs) => 0.0,
            _ if exact || is_century || all(b'-') => dashed,
            _ if all(b' ') => spaced,
            _ => 0.0,
        };
        (score > 0.0).then_some(score)
    }

    /// Whether letters and digits have their places in a value without separators.
    pub(super) fn fits(&self, compact: &str) -> bool {
        compact.len() == self.classes.len()
            && compact.bytes().zip(self.classes.bytes()).all(|(byte, class)| match class {
                b'#' => byte.is_ascii_digit(),
                b'A' => byte.is_ascii_uppercase(),
                _ => true,
            })
    }
}
