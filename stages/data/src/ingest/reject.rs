//! Why a line is no row.

/// Why a line cannot become a row: a closed list, counted in reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reject {
    /// Longer than the limit.
    TooLong,
    /// Not UTF-8.
    InvalidUtf8,
    /// A NUL character, raw or escaped.
    Nul,
    /// Nested deeper than the limit.
    TooDeep,
    /// Half of a surrogate pair.
    LoneSurrogate,
    /// A number beyond what a float holds, or a name such as `NaN`.
    NonFinite,
    /// One name twice in an object: readers disagree which one counts.
    DuplicateKey(String),
    /// Not JSON.
    BadJson(String),
    /// JSON, but no object.
    NotObject,
    /// A CSV row with more or fewer cells than the header.
    WrongColumns(String),
    /// A field that the map needs is not there.
    MissingField(String),
    /// A field holds something else than the map needs.
    WrongType(String),
    /// A role that no chat template knows.
    UnknownRole(String),
    /// A message without text.
    EmptyMessage,
    /// A transcript that begins with no speaker.
    BadTranscript,
}

impl Reject {
    /// The reason as reports count it.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Nul => "nul",
            Self::TooDeep => "too_deep",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NonFinite => "non_finite_number",
            Self::DuplicateKey(_) => "duplicate_key",
            Self::BadJson(_) => "bad_json",
            Self::NotObject => "not_object",
            Self::WrongColumns(_) => "wrong_columns",
            Self::MissingField(_) => "missing_field",
            Self::WrongType(_) => "wrong_type",
            Self::UnknownRole(_) => "unknown_role",
            Self::EmptyMessage => "empty_message",
            Self::BadTranscript => "bad_transcript",
        }
    }

    /// What is known beyond the reason; never a value of the row.
    pub(super) fn detail(&self) -> &str {
        match self {
            Self::DuplicateKey(detail)
            | Self::BadJson(detail)
            | Self::WrongColumns(detail)
            | Self::MissingField(detail)
            | Self::WrongType(detail)
            | Self::UnknownRole(detail) => detail,
            Self::TooLong
            | Self::InvalidUtf8
            | Self::Nul
            | Self::TooDeep
            | Self::LoneSurrogate
            | Self::NonFinite
            | Self::NotObject
            | Self::EmptyMessage
            | Self::BadTranscript => "",
        }
    }
}
