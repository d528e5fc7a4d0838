//! Licences by name. Identifiers are those of SPDX; what it does not list has a name of ours that begins with `LicenseRef-`.

use super::{Asks, Class, Licence};

use Asks::{Attribution, NoDerivatives, Nothing, ShareAlike, Terms};
use Class::{AcademicOnly, Commercial, NonCommercial, Unspecified};

/// Identifier, class, what is asked for, and other names, with bars between them.
const KNOWN: [(&str, Class, Asks, &str); 55] = [
    ("MIT", Commercial, Attribution, "mit|expat"),
    ("MIT-0", Commercial, Nothing, ""),
    ("Apache-2.0", Commercial, Attribution, "apache|apache software 2.0|apache license 2"),
    ("BSD-2-Clause", Commercial, Attribution, "bsd 2 clause|simplified bsd"),
    ("BSD-3-Clause", Commercial, Attribution, "bsd 3 clause|new bsd|modified bsd"),
    ("ISC", Commercial, Attribution, ""),
    ("Unlicense", Commercial, Nothing, ""),
    ("Zlib", Commercial, Attribution, ""),
    ("AFL-3.0", Commercial, Attribution, "academic free 3.0"),
    ("Artistic-2.0", Commercial, Attribution, ""),
    ("EPL-1.0", Commercial, Attribution, "eclipse 1.0"),
    ("EPL-2.0", Commercial, Attribution, "eclipse 2.0"),
    ("MPL-2.0", Commercial, Attribution, "mozilla 2.0"),
    ("GPL-2.0-only", Commercial, ShareAlike, "gpl 2.0|gnu general 2.0|gplv2"),
    ("GPL-2.0-or-later", Commercial, ShareAlike, "gpl 2.0+"),
    ("GPL-3.0-only", Commercial, ShareAlike, "gpl 3.0|gnu general 3.0|gplv3"),
    ("GPL-3.0-or-later", Commercial, ShareAlike, "gpl 3.0+"),
    ("AGPL-3.0-only", Commercial, ShareAlike, "agpl 3.0|gnu affero general 3.0"),
    ("LGPL-2.1-only", Commercial, Attribution, "lgpl 2.1|gnu lesser general 2.1"),
    ("LGPL-3.0-only", Commercial, Attribution, "lgpl 3.0|gnu lesser general 3.0"),
    ("CC0-1.0", Commercial, Nothing, "cc0|cc zero|cc 0"),
    ("PDDL-1.0", Commercial, Nothing, "odc pddl|open data commons public domain dedication and license"),
    ("LicenseRef-public-domain", Commercial, Nothing, "public domain|pd"),
    ("CDLA-Permissive-1.0", Commercial, Attribution, "community data license agreement permissive 1.0"),
    ("CDLA-Permissive-2.0", Commercial, Attribution, "community data license agreement permissive 2.0"),
    ("CDLA-Sharing-1.0", Commercial, ShareAlike, "community data license agreement sharing 1.0"),
    ("ODC-By-1.0", Commercial, Attribution, "odc by|open data commons attribution 1.0"),
    ("ODbL-1.0", Commercial, ShareAlike, "odbl|odc odbl|open database"),
    ("C-UDA-1.0", Commercial, ShareAlike, "c uda|computational use of data agreement"),
    ("OGL-UK-3.0", Commercial, Attribution, "ogl 3.0|open government 3.0"),
    ("OGL-UK-2.0", Commercial, Attribution, "ogl 2.0|open government 2.0"),
    ("GFDL-1.3-only", Commercial, ShareAlike, "gfdl 1.3|gnu free documentation 1.3"),
    ("BigScience-OpenRAIL-M", Commercial, ShareAlike, "bigscience openrail m|openrail m"),
    ("LicenseRef-AI2-ImpACT-LR", Commercial, ShareAlike, "ai2 impact low risk"),
    ("LicenseRef-OANC", Commercial, Attribution, "oanc|open american national corpus"),
    ("LicenseRef-Llama-2", Commercial, Attribution, "llama 2|llama 2 community|meta llama 2 community"),
    ("LicenseRef-Llama-3", Commercial, Attribution, "llama 3|llama3|meta llama3 community|meta llama 3 community"),
    ("LicenseRef-Skywork", Commercial, Attribution, "skywork community"),
    ("LicenseRef-LMSYS-Chat-1M", Commercial, Nothing, "lmsys chat 1m dataset|lmsys chat 1m"),
    ("LicenseRef-CC-BY", Commercial, Attribution, "cc by"),
    ("LicenseRef-CC-BY-SA", Commercial, ShareAlike, "cc by sa"),
    ("LicenseRef-CC-BY-ND", Commercial, NoDerivatives, "cc by nd"),
    ("LicenseRef-CC-BY-NC", NonCommercial, Attribution, "cc by nc"),
    ("LicenseRef-CC-BY-NC-SA", NonCommercial, ShareAlike, "cc by nc sa"),
    ("LicenseRef-CC-BY-NC-ND", NonCommercial, NoDerivatives, "cc by nc nd"),
    ("LicenseRef-non-commercial", NonCommercial, Nothing, "nc|custom nc|for nc use only|nc use only"),
    ("LicenseRef-LDC", NonCommercial, Attribution, "ldc user agreement|ldc"),
    ("LicenseRef-CSLU", NonCommercial, Attribution, "cslu agreement|cslu"),
    ("LicenseRef-OpenAI", NonCommercial, Terms, "openai|openai terms|openai terms of use"),
    ("LicenseRef-Anthropic", NonCommercial, Terms, "anthropic|anthropic terms|anthropic terms of service"),
    ("LicenseRef-Google-Cloud-Translation", NonCommercial, Terms, "google cloud translation api"),
    ("LicenseRef-Microsoft-Data", AcademicOnly, Attribution, "microsoft data licensing agreement|microsoft data agreement"),
    ("LicenseRef-academic", AcademicOnly, Attribution, "academic research purposes only|academic only|research only"),
    ("LicenseRef-O-UDA-1.0", Commercial, Attribution, "o uda 1.0|open use of data agreement 1.0|o uda"),
    ("LicenseRef-unspecified", Unspecified, Nothing, "unspecified|not specified|not stated|none"),
];

/// Words that make no difference, and the short forms of those that do.
const WORDS: [(&str, &str); 25] = [
    ("license", ""),
    ("licence", ""),
    ("licensed", ""),
    ("licenses", ""),
    ("the", ""),
    ("under", ""),
    ("version", ""),
    ("v", ""),
    ("international", ""),
    ("unported", ""),
    ("generic", ""),
    ("universal", ""),
    ("legalcode", ""),
    ("deed", ""),
    ("intl", ""),
    ("dedication", ""),
    ("noncommercial", "nc"),
    ("sharealike", "sa"),
    ("noderivatives", "nd"),
    ("noderivs", "nd"),
    ("attribution", "by"),
    ("share", "sa"),
    ("alike", ""),
    ("creative", "cc"),
    ("commons", ""),
];

/// Returns the licence of a name.
pub(super) fn find(name: &str) -> Option<Licence> {
    let asked = key(name);
    if asked.is_empty() {
        return None;
    }
    let named = KNOWN.iter().find(|(id, _, _, others)| {
        key(id) == asked || others.split('|').filter(|other| !other.is_empty()).any(|other| key(other) == asked)
    });
    named.map(|(id, class, asks, _)| licence((*id).to_owned(), *class, *asks)).or_else(|| creative_commons(&asked))
}

fn licence(id: String, class: Class, asks: Asks) -> Licence {
    Licence { id, class, asks }
}

/// Creative Commons licences with a version, whatever their name is written like.
fn creative_commons(key: &str) -> Option<Licence> {
    let rest = key.strip_prefix("cc").unwrap_or(key).strip_prefix("by")?;
    let version = ["1.0", "2.0", "2.5", "3.0", "4.0"].into_iter().find(|version| rest.ends_with(&version.replace('.', "")))?;
    let elements = rest.get(..rest.len() - 2)?;
    let (class, asks) = match elements {
        "" => (Commercial, Attribution),
        "sa" => (Commercial, ShareAlike),
        "nd" => (Commercial, NoDerivatives),
        "nc" => (NonCommercial, Attribution),
        "ncsa" => (NonCommercial, ShareAlike),
        "ncnd" => (NonCommercial, NoDerivatives),
        _ => return None,
    };
    let dashed = match elements {
        "" => String::new(),
        "ncsa" => "-NC-SA".to_owned(),
        "ncnd" => "-NC-ND".to_owned(),
        one => format!("-{}", one.to_uppercase()),
    };
    Some(licence(format!("CC-BY{dashed}-{version}"), class, asks))
}

/// What is left of a name without case, punctuation, and words that make no difference.
fn key(name: &str) -> String {
    let lower =
        name.to_lowercase().replace("non-commercial", "nc").replace("non commercial", "nc").replace("no derivatives", "nd");
    let mut out = String::new();
    for word in lower.split(|c: char| !c.is_alphanumeric() && c != '+').filter(|word| !word.is_empty()) {
        // `v3` is a version, `v` alone a word.
        let word = word.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(word);
        out.push_str(WORDS.iter().find(|(long, _)| *long == word).map_or(word, |(_, short)| short));
    }
    out.strip_prefix("licenseref").unwrap_or(&out).replace("public", "")
}
