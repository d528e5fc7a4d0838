//! The kinds of personal data, with the names that Presidio made common.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose numbers are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Locale {
    /// The United States.
    Us,
    /// The United Kingdom.
    Gb,
    /// Finland, France, Germany, Italy, the Netherlands, Poland, Spain, and Sweden.
    Eu,
    /// Canada.
    Ca,
    /// Brazil.
    Br,
    /// Australia.
    Au,
    /// India.
    In,
    /// Singapore.
    Sg,
    /// South Korea.
    Kr,
    /// Thailand.
    Th,
    /// Türkiye.
    Tr,
    /// The Philippines.
    Ph,
    /// Nigeria.
    Ng,
    /// South Africa.
    Za,
}

impl Locale {
    /// What is looked for unless asked otherwise.
    pub const DEFAULT: [Self; 3] = [Self::Us, Self::Gb, Self::Eu];
}

/// Where a kind of personal data is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Everywhere; looked for unless asked otherwise.
    World,
    /// Everywhere; looked for when asked.
    OnRequest,
    /// One place.
    In(Locale),
    /// In sentences: a model finds it.
    Language,
}

macro_rules! entities {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $label:literal $home:expr;)+) => {
        /// A kind of personal data. The order is the priority among equals.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Entity {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl Entity {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in workflow files and reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The short word that replaces a value, such as `[EMAIL]`.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// Where the kind is at home.
            pub fn home(self) -> Home {
                match self { $(Self::$variant => $home,)+ }
            }
        }
    };
}

entities! {
    /// A payment card that passes Luhn's test and has a known issuer prefix.
    CreditCard "CREDIT_CARD" "CREDIT_CARD" Home::World;
    /// An international bank account number whose remainder modulo 97 is 1.
    IbanCode "IBAN_CODE" "IBAN" Home::World;
    /// A Bitcoin or Ethereum address.
    Crypto "CRYPTO" "CRYPTO" Home::World;
    /// A number of the British health service, checked modulo 11.
    UkNhs "UK_NHS" "NHS" Home::In(Locale::Gb);
    /// A social security number of the United States.
    UsSsn "US_SSN" "SSN" Home::In(Locale::Us);
    /// An e-mail address.
    EmailAddress "EMAIL_ADDRESS" "EMAIL" Home::World;
    /// A tax number of a foreigner in the United States.
    UsItin "US_ITIN" "ITIN" Home::In(Locale::Us);
    /// The number of an American health provider, checked by Luhn's rule.
    UsNpi "US_NPI" "NPI" Home::In(Locale::Us);
    /// The number of an insured person in Medicare.
    UsMbi "US_MBI" "MBI" Home::In(Locale::Us);
    /// The registration of an American prescriber with the drug agency, with a check digit.
    MedicalLicense "MEDICAL_LICENSE" "MEDICAL_LICENSE" Home::In(Locale::Us);
    /// The routing number of an American bank, with a check digit.
    AbaRouting "ABA_ROUTING_NUMBER" "ABA_ROUTING" Home::In(Locale::Us);
    /// A passport of the United States, by its context.
    UsPassport "US_PASSPORT" "PASSPORT" Home::In(Locale::Us);
    /// A driving licence of an American state, by its context.
    UsDriverLicense "US_DRIVER_LICENSE" "DRIVER_LICENSE" Home::In(Locale::Us);
    /// An account at an American bank, by its context.
    UsBankNumber "US_BANK_NUMBER" "BANK_NUMBER" Home::In(Locale::Us);
    /// A British national insurance number.
    UkNino "UK_NINO" "NINO" Home::In(Locale::Gb);
    /// A British driving licence.
    UkDrivingLicence "UK_DRIVING_LICENCE" "DRIVER_LICENSE" Home::In(Locale::Gb);
    /// A British passport, by its context.
    UkPassport "UK_PASSPORT" "PASSPORT" Home::In(Locale::Gb);
    /// A British postcode, by its context.
    UkPostcode "UK_POSTCODE" "POSTCODE" Home::In(Locale::Gb);
    /// A British number plate, by its context.
    UkVehicle "UK_VEHICLE_REGISTRATION" "NUMBER_PLATE" Home::In(Locale::Gb);
    /// A Spanish tax number, whose letter is its remainder modulo 23.
    EsNif "ES_NIF" "NIF" Home::In(Locale::Eu);
    /// A Spanish number of a foreigner, whose letter is its remainder modulo 23.
    EsNie "ES_NIE" "NIE" Home::In(Locale::Eu);
    /// An Italian tax code with a check letter.
    ItFiscalCode "IT_FISCAL_CODE" "FISCAL_CODE" Home::In(Locale::Eu);
    /// An Italian VAT number, checked by Luhn's rule.
    ItVatCode "IT_VAT_CODE" "VAT" Home::In(Locale::Eu);
    /// A Polish personal number with a date of birth and a check digit.
    PlPesel "PL_PESEL" "PESEL" Home::In(Locale::Eu);
    /// A Finnish personal code, whose last sign is its remainder modulo 31.
    FiPersonalIdentityCode "FI_PERSONAL_IDENTITY_CODE" "HETU" Home::In(Locale::Eu);
    /// A Swedish personal number with a date of birth, checked by Luhn's rule.
    SePersonnummer "SE_PERSONNUMMER" "PERSONNUMMER" Home::In(Locale::Eu);
    /// A Swedish number of an organisation, checked by Luhn's rule.
    SeOrganisationsnummer "SE_ORGANISATIONSNUMMER" "ORGANISATIONSNUMMER" Home::In(Locale::Eu);
    /// A German tax number of a person, checked by ISO 7064.
    DeTaxId "DE_TAX_ID" "TAX_ID" Home::In(Locale::Eu);
    /// A German VAT number, checked by ISO 7064.
    DeVat "DE_VAT" "VAT" Home::In(Locale::Eu);
    /// A German identity card with a check digit.
    DeIdCard "DE_ID_CARD" "ID_CARD" Home::In(Locale::Eu);
    /// A German passport with a check digit.
    DePassport "DE_PASSPORT" "PASSPORT" Home::In(Locale::Eu);
    /// A German pension insurance number with a check digit.
    DeSocialSecurity "DE_SOCIAL_SECURITY" "SOCIAL_SECURITY" Home::In(Locale::Eu);
    /// A German health insurance number with a check digit.
    DeHealthInsurance "DE_HEALTH_INSURANCE" "HEALTH_INSURANCE" Home::In(Locale::Eu);
    /// The number of a German physician, with a check digit.
    DeLanr "DE_LANR" "LANR" Home::In(Locale::Eu);
    /// The number of a German medical practice, by its context.
    DeBsnr "DE_BSNR" "BSNR" Home::In(Locale::Eu);
    /// A French social security number, checked modulo 97.
    FrNir "FR_NIR" "NIR" Home::In(Locale::Eu);
    /// A Dutch citizen service number, checked modulo 11.
    NlBsn "NL_BSN" "BSN" Home::In(Locale::Eu);
    /// A Canadian social insurance number, checked by Luhn's rule.
    CaSin "CA_SIN" "SIN" Home::In(Locale::Ca);
    /// A Brazilian tax number of a person, with two check digits.
    BrCpf "BR_CPF" "CPF" Home::In(Locale::Br);
    /// An Australian business number, checked modulo 89.
    AuAbn "AU_ABN" "ABN" Home::In(Locale::Au);
    /// An Australian company number with a check digit.
    AuAcn "AU_ACN" "ACN" Home::In(Locale::Au);
    /// An Australian tax file number, checked modulo 11.
    AuTfn "AU_TFN" "TFN" Home::In(Locale::Au);
    /// An Australian Medicare number with a check digit.
    AuMedicare "AU_MEDICARE" "MEDICARE" Home::In(Locale::Au);
    /// An Indian identity number, checked by Verhoeff's rule.
    InAadhaar "IN_AADHAAR" "AADHAAR" Home::In(Locale::In);
    /// An Indian tax number of a person.
    InPan "IN_PAN" "PAN" Home::In(Locale::In);
    /// An Indian goods and services tax number with a check sign.
    InGstin "IN_GSTIN" "GSTIN" Home::In(Locale::In);
    /// An Indian voter card, by its context.
    InVoter "IN_VOTER" "VOTER_ID" Home::In(Locale::In);
    /// An Indian number plate, by its context.
    InVehicle "IN_VEHICLE_REGISTRATION" "NUMBER_PLATE" Home::In(Locale::In);
    /// A Singaporean identity number with a check letter.
    SgNricFin "SG_NRIC_FIN" "NRIC" Home::In(Locale::Sg);
    /// A Singaporean number of an organisation with a check letter.
    SgUen "SG_UEN" "UEN" Home::In(Locale::Sg);
    /// A Korean resident registration number with a date of birth and a check digit.
    KrRrn "KR_RRN" "RRN" Home::In(Locale::Kr);
    /// A Korean business registration number with a check digit.
    KrBrn "KR_BRN" "BRN" Home::In(Locale::Kr);
    /// A Korean number of a foreigner with a date of birth and a check digit.
    KrFrn "KR_FRN" "FRN" Home::In(Locale::Kr);
    /// A Thai identity number, checked modulo 11.
    ThTnin "TH_TNIN" "TNIN" Home::In(Locale::Th);
    /// A Turkish identity number with two check digits.
    TrNationalId "TR_NATIONAL_ID" "TCKN" Home::In(Locale::Tr);
    /// A Turkish number plate, by its context.
    TrPlate "TR_PLATE" "NUMBER_PLATE" Home::In(Locale::Tr);
    /// A Philippine tax number, checked modulo 11.
    PhTin "PH_TIN" "TIN" Home::In(Locale::Ph);
    /// A Nigerian identity number, checked by Verhoeff's rule.
    NgNin "NG_NIN" "NIN" Home::In(Locale::Ng);
    /// A South African identity number with a date of birth, checked by Luhn's rule.
    ZaId "ZA_ID" "ID" Home::In(Locale::Za);
    /// A telephone number.
    PhoneNumber "PHONE_NUMBER" "PHONE" Home::World;
    /// An IPv4 or IPv6 address.
    IpAddress "IP_ADDRESS" "IP" Home::World;
    /// A hardware address of a network card.
    MacAddress "MAC_ADDRESS" "MAC" Home::World;
    /// A web address.
    Url "URL" "URL" Home::OnRequest;
    /// A date next to a word such as `born`.
    DateOfBirth "DATE_OF_BIRTH" "DATE_OF_BIRTH" Home::OnRequest;
    /// A person by name.
    Person "PERSON" "PERSON" Home::Language;
    /// A place or a postal address.
    Location "LOCATION" "LOCATION" Home::Language;
    /// A company, an authority, or another organisation.
    Organization "ORGANIZATION" "ORGANIZATION" Home::Language;
    /// A date or a time.
    DateTime "DATE_TIME" "DATE" Home::Language;
    /// An age in years.
    Age "AGE" "AGE" Home::Language;
    /// A nationality, a religion, or a political group.
    Nrp "NRP" "NRP" Home::Language;
    /// A form of address or a profession.
    Title "TITLE" "TITLE" Home::Language;
}

impl Entity {
    /// What patterns look for in texts of some places unless asked otherwise.
    pub fn of_locales(locales: &BTreeSet<Locale>) -> BTreeSet<Self> {
        let wanted = |entity: &Self| match entity.home() {
            Home::World => true,
            Home::In(locale) => locales.contains(&locale),
            Home::OnRequest | Home::Language => false,
        };
        Self::ALL.iter().copied().filter(wanted).collect()
    }

    /// What is looked for unless asked otherwise.
    pub fn usual() -> BTreeSet<Self> {
        Self::of_locales(&Locale::DEFAULT.into())
    }
}
