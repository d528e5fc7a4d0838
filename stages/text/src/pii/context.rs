//! Words that make a doubtful candidate likely, within some words before or after it.

use super::{Context, Entity as E, Span};

/// Bytes looked at on either side at most, so that one record of a hundred thousand numbers stays cheap.
const REACH: usize = 256;

/// Whether a context word stands near a span.
pub(super) fn supports(text: &str, span: &Span, reach: Context) -> bool {
    let words = words(span.entity);
    if words.is_empty() {
        return false;
    }
    let before = &text[text.floor_char_boundary(span.start.saturating_sub(REACH))..span.start];
    let after = &text[span.end..text.ceil_char_boundary((span.end + REACH).min(text.len()))];
    let speaks = |word: &str| {
        let word = word.to_lowercase();
        words.split(' ').any(|known| known == word)
    };
    split(before).rev().take(reach.words_before).any(speaks) || split(after).take(reach.words_after).any(speaks)
}

/// The word right before a position, as written.
pub(super) fn word_before(text: &str, at: usize) -> Option<&str> {
    split(&text[text.floor_char_boundary(at.saturating_sub(REACH))..at]).next_back()
}

fn split(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn words(entity: E) -> &'static str {
    match entity {
        E::PhoneNumber => {
            "phone phones telephone tel mobile cell cellphone call called calls calling dial fax text texted sms whatsapp contact \
             reach ring hotline office landline voicemail telefon telefono telefone téléphone handy portable mobil"
        }
        E::UsSsn => "ssn social security taxpayer",
        E::UsItin => "itin taxpayer tax individual",
        E::UsNpi => "npi provider physician prescriber",
        E::UsMbi => "mbi medicare beneficiary",
        E::MedicalLicense => "dea license licence prescriber medical",
        E::AbaRouting => "routing aba rtn transit",
        E::UsPassport | E::UkPassport | E::DePassport => "passport passports reisepass pass",
        E::UsDriverLicense => "driver drivers driving license licence permit dl dmv",
        E::UsBankNumber => "account acct checking savings bank banking",
        E::UkNhs => "nhs patient health medical hospital gp",
        E::UkNino => "nino national insurance ni",
        E::UkDrivingLicence => "driving licence license driver dvla",
        E::UkPostcode => "postcode post code address street road lane lives home",
        E::UkVehicle | E::InVehicle | E::TrPlate => "registration plate number reg car vehicle plaka dvla licence license",
        E::EsNif => "nif dni documento identidad",
        E::EsNie => "nie extranjero",
        E::ItFiscalCode => "codice fiscale",
        E::ItVatCode => "vat iva partita piva",
        E::PlPesel => "pesel",
        E::FiPersonalIdentityCode => "hetu henkilötunnus personal identity",
        E::SePersonnummer => "personnummer personal identity",
        E::SeOrganisationsnummer => "organisationsnummer orgnr organisation",
        E::DeTaxId => "steuer steuernummer steueridentifikationsnummer idnr steuerid tax",
        E::DeVat => "ust ustid umsatzsteuer vat mwst",
        E::DeIdCard => "ausweis personalausweis ausweisnummer identity card",
        E::DeSocialSecurity => "rentenversicherung rentenversicherungsnummer sozialversicherungsnummer social pension",
        E::DeHealthInsurance => "krankenkasse krankenversicherung versichertennummer kvnr health insurance",
        E::DeLanr => "lanr arztnummer arzt physician",
        E::DeBsnr => "bsnr betriebsstättennummer praxis practice",
        E::FrNir => "nir sécurité sociale insee",
        E::NlBsn => "bsn burgerservicenummer sofinummer",
        E::CaSin => "sin social insurance",
        E::BrCpf => "cpf",
        E::AuAbn => "abn business",
        E::AuAcn => "acn company",
        E::AuTfn => "tfn tax file",
        E::AuMedicare => "medicare",
        E::InAadhaar => "aadhaar aadhar uidai",
        E::InPan => "pan permanent account",
        E::InGstin => "gstin gst",
        E::InVoter => "voter epic elector",
        E::SgNricFin => "nric fin identity",
        E::SgUen => "uen entity",
        E::KrRrn => "rrn resident registration 주민등록번호",
        E::KrBrn => "brn business registration 사업자등록번호",
        E::KrFrn => "frn foreigner registration 외국인등록번호",
        E::ThTnin => "thai national identity",
        E::TrNationalId => "tckn tc kimlik",
        E::PhTin => "tin bir taxpayer",
        E::NgNin => "nin nimc national identity identification",
        E::ZaId => "id identity rsa",
        E::CreditCard => "card credit debit visa mastercard amex payment",
        E::IbanCode => "iban bank account transfer konto",
        E::IpAddress => "ip ipv4 ipv6 address host server subnet gateway ping client login",
        E::MacAddress => "mac hardware ethernet wifi device",
        E::Crypto => "wallet bitcoin btc ethereum eth crypto",
        E::EmailAddress => "mail email contact",
        E::Url => "site website link page",
        E::DateOfBirth => "born birth birthday birthdate dob geboren née né",
        E::Person | E::Location | E::Organization | E::DateTime | E::Age | E::Nrp | E::Title => "",
    }
}
