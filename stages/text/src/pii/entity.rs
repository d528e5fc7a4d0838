//! The kinds of personal data, with the names that Presidio made common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of personal data. The order is the priority among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Entity {
    /// A payment card that passes Luhn's test and has a known issuer prefix.
    CreditCard,
    /// An international bank account number whose remainder modulo 97 is 1.
    IbanCode,
    /// A Bitcoin or Ethereum address.
    Crypto,
    /// A number of the British health service, checked modulo 11.
    UkNhs,
    /// A social security number of the United States.
    UsSsn,
    /// An e-mail address.
    EmailAddress,
    /// A telephone number.
    PhoneNumber,
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// A hardware address of a network card.
    MacAddress,
    /// A web address.
    Url,
    /// A date next to a word such as `born`.
    DateOfBirth,
}

impl Entity {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::CreditCard,
        Self::IbanCode,
        Self::Crypto,
        Self::UkNhs,
        Self::UsSsn,
        Self::EmailAddress,
        Self::PhoneNumber,
        Self::IpAddress,
        Self::MacAddress,
        Self::Url,
        Self::DateOfBirth,
    ];

    /// What is looked for unless asked otherwise: all but web addresses and dates of birth.
    pub const DEFAULT: [Self; 9] = [
        Self::CreditCard,
        Self::IbanCode,
        Self::Crypto,
        Self::UkNhs,
        Self::UsSsn,
        Self::EmailAddress,
        Self::PhoneNumber,
        Self::IpAddress,
        Self::MacAddress,
    ];

    /// The name in workflow files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreditCard => "CREDIT_CARD",
            Self::IbanCode => "IBAN_CODE",
            Self::Crypto => "CRYPTO",
            Self::UkNhs => "UK_NHS",
            Self::UsSsn => "US_SSN",
            Self::EmailAddress => "EMAIL_ADDRESS",
            Self::PhoneNumber => "PHONE_NUMBER",
            Self::IpAddress => "IP_ADDRESS",
            Self::MacAddress => "MAC_ADDRESS",
            Self::Url => "URL",
            Self::DateOfBirth => "DATE_OF_BIRTH",
        }
    }

    /// The short word that replaces a value, such as `[EMAIL]`.
    pub fn label(self) -> &'static str {
        match self {
            Self::CreditCard => "CREDIT_CARD",
            Self::IbanCode => "IBAN",
            Self::Crypto => "CRYPTO",
            Self::UkNhs => "NHS",
            Self::UsSsn => "SSN",
            Self::EmailAddress => "EMAIL",
            Self::PhoneNumber => "PHONE",
            Self::IpAddress => "IP",
            Self::MacAddress => "MAC",
            Self::Url => "URL",
            Self::DateOfBirth => "DATE_OF_BIRTH",
        }
    }
}
