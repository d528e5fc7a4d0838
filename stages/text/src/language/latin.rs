//! Languages in Latin letters: a classifier proposes, alphabet and common words confirm.
//!
//! The classifier knows ten of them and names one of its own for every text. Letters that its answer is not written with, and
//! common words of languages beyond the ten, give away the rest: Polish is then no Dutch, but of unknown language.

use std::{collections::HashMap, sync::LazyLock};

use whichlang::Lang;

use super::Language;
use crate::words::words;

/// A language, the letters beyond a-z that it is written with, and words without which few of its sentences do.
struct Known {
    lang: Lang,
    code: &'static str,
    letters: &'static str,
    words: &'static str,
}

const KNOWN: [Known; 10] = [
    Known {
        lang: Lang::Eng,
        code: "en",
        letters: "éèêïñöüçáàâôó",
        words: "the of and to in a is that for it was on are as with be by this at from or an have not you we they he she his her \
                i my your their its which one all there can has but if what when who will more no how do so up out about would \
                our were been than only also into other some could may any new after use see get go him me us",
    },
    Known {
        lang: Lang::Deu,
        code: "de",
        letters: "äöüßéèàôáóç",
        words: "der die das und in den von zu ist mit sich des auf für nicht es ein eine im dem auch als an er hat aus bei sie nach \
                wird wie einer um am sind noch einen war so zum werden kann ich haben nur oder aber vor zur bis mehr durch man \
                wenn was sein wir dass mir mich ihr unter über",
    },
    Known {
        lang: Lang::Fra,
        code: "fr",
        letters: "éèêëàâäîïôöùûüçœæÿñáíóú",
        words: "de la le et les des en un une du que est dans qui pour au par sur pas plus a ce il ne se son avec ou sont mais sa \
                comme aux ces ont être cette leur y tout nous vous je elle on d l s qu n c j m si été deux même fait",
    },
    Known {
        lang: Lang::Spa,
        code: "es",
        letters: "áéíóúüñçàèªº",
        words: "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre este \
                ya entre cuando todo esta ser son dos también fue había era muy años hasta desde está mi porque qué sólo han yo",
    },
    Known {
        lang: Lang::Ita,
        code: "it",
        letters: "àèéìíòóùúîçäöüñêâôºª",
        words: "di e il la che in a un per del è una non le con si da i sono al della come più dei nel alla ha gli lo dal ma se anche \
                o su mi ci ad ed delle cui ho era due io l d c quello questo tutto suo sua nella dell all solo molto perché chi",
    },
    Known {
        lang: Lang::Por,
        code: "pt",
        letters: "ãõáéíóúâêôàçüªºñèòì",
        words: "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou quando muito nos \
                já eu também só pelo pela até isso ela entre era depois sem mesmo aos seus quem nas me esse eles foi é são ser está",
    },
    Known {
        lang: Lang::Nld,
        code: "nl",
        letters: "éèëêïíóöüàáçîôâĳ",
        words: "de van het een en in is dat op te zijn met die voor niet aan er om ook als dan maar bij of uit nog naar heeft hij ze wat \
                ik je we was door over tot kan worden wordt deze zo hun had al geen meer zich hebben u dit haar mijn moet moeten",
    },
    Known {
        lang: Lang::Swe,
        code: "sv",
        letters: "åäöéèàüá",
        words: "och att det i en som på är av för med till den har de inte om ett han men var jag sig från vi så kan när år du ska \
                under också efter eller nu sin där vid mot ut skulle kommer vara alla andra mycket än här då sedan över bara denna \
                detta man",
    },
    Known {
        lang: Lang::Tur,
        code: "tr",
        letters: "çğıöşüâîûýþð",
        words: "ve bir bu de da için ile olarak çok daha olan gibi en o ne kadar sonra var ki ama her değil mi ya olduğu olduğunu ise \
                diye ben sen biz siz onlar şu iki büyük yeni ilk kendi göre tarafından yok bunu böyle önce zaman",
    },
    Known {
        lang: Lang::Vie,
        code: "vi",
        letters: "áàảãạăắằẳẵặâấầẩẫậéèẻẽẹêếềểễệíìỉĩịóòỏõọôốồổỗộơớờởỡợúùủũụưứừửữựýỳỷỹỵđð",
        words: "và của là có được cho không các trong một với người này đã những để từ khi đến về như ra tại vào trên sẽ cũng làm nhưng \
                lại sau năm theo nhiều hay phải đó nếu thì anh tôi bạn",
    },
];

/// Common words of languages that are taken for one of the ten: Danish and Norwegian, Finnish, Hungarian, Indonesian and
/// Malay, Polish, Czech and Slovak, Romanian, Catalan, Croatian, Slovene, and Estonian.
const OTHERS: [&str; 11] = [
    "og af ikke jeg det er den til på for med som har de vi kan et fra eller ble blir skal være også efter etter så når ved mere hun \
     sig seg hvor hvad hva disse dette mange",
    "ja on ei että se hän ovat oli kun mutta myös niin kuin sen tai joka jos ole mitä voi vain nyt tämä siitä mukaan kanssa jo ovat \
     olla sekä jälkeen mm",
    "és az hogy nem egy is ez meg csak már van volt mint még de ha el kell lehet vagy azt amely minden után pedig mert ki sem",
    "yang dan di dengan untuk pada dalam ini itu dari adalah tidak ke akan oleh juga atau ada saya kami mereka bisa telah sebagai \
     anda dapat karena orang",
    "i w na z się nie do to że jest od za o jak po co dla ale tym są przez przy czy lub już tylko może jego oraz być które był",
    "a v na se je že to s z do o k i ve pro jako za by ale si jsou podle od nebo který jeho před však jsem které sa ako pre ktoré \
     bol není jen",
    "și de la în cu pe un o nu care din este mai ce să sunt au pentru fost prin fi dar sau când după această lui sa ale si",
    "i el els les amb per que és dels una del no ha al com va més aquest també ser són seva des però ho hi",
    "i u na je se da za su od s ne kao što će ali bi iz koji sam o bio više po samo kako ili nije ima sve",
    "in je v na se da za so ki z s bo pa od po tudi ne kot bil ali več še pri ob lahko ter iz biti",
    "ja on ei et see oma ka kui oli aga või ning mis ta selle nii kes olema siis nende ma seda veel",
];

/// Which lists a word is in: bit `n` stands for the list of that number, the known languages first.
static LISTS: LazyLock<HashMap<u64, u32>> = LazyLock::new(|| {
    let mut lists: HashMap<u64, u32> = HashMap::new();
    for (at, list) in KNOWN.iter().map(|known| known.words).chain(OTHERS).enumerate() {
        for word in words(list) {
            *lists.entry(word.hash).or_default() |= 1 << at;
        }
    }
    lists
});

/// Words of a text from which on at least one must be common.
const MANY_WORDS: usize = 12;

/// The share of words of random letters that the classifier, asked for each, gives to the language it gives to all of them
/// together: 0.20 to 0.23 measured.
const CHANCE: f64 = 0.22;

/// A text is taken for a language by its letters alone if so many words would be given to it by chance less often than this.
const SURPRISE: f64 = 0.05;

/// The languages this module names.
pub(super) fn languages() -> impl Iterator<Item = Language> {
    KNOWN.iter().map(|known| Language(known.code))
}

/// Returns the language of prose in Latin letters.
pub(super) fn detect(prose: &str) -> Option<Language> {
    let lang = whichlang::detect_language(prose);
    let at = KNOWN.iter().position(|known| known.lang == lang)?;
    let known = KNOWN.get(at)?;
    (keeps_alphabet(prose, known) && keeps_words(prose, at)).then_some(Language(known.code))
}

/// Whether at most one in fifty letters lies outside the alphabet: foreign names do not make a text foreign.
fn keeps_alphabet(prose: &str, known: &Known) -> bool {
    if prose.is_ascii() {
        return true;
    }
    let lower = |c: char| c.to_lowercase().next().unwrap_or(c);
    let is_own = |c: char| c.is_ascii_alphabetic() || known.letters.contains(lower(c));
    let (own, foreign) = prose
        .chars()
        .filter(|c| c.is_alphabetic())
        .fold((0, 0), |(own, foreign), c| if is_own(c) { (own + 1, foreign) } else { (own, foreign + 1) });
    foreign * 50 <= own + foreign
}

/// Whether no other language has more of its common words in a text, and a long text has one at least; the words of a short
/// one without any must each look like the language.
fn keeps_words(prose: &str, own: usize) -> bool {
    let found = words(prose);
    let Some(lang) = KNOWN.get(own).map(|known| known.lang) else { return false };
    let beats_chance = || found.len() < MANY_WORDS && beats_chance(found.iter().map(|word| &prose[word.range()]), lang);
    let has_turkish_letters = prose.contains(['ğ', 'ı', 'ş', 'İ', 'ý', 'þ', 'ð']);
    let mut hits = [0_usize; KNOWN.len() + OTHERS.len()];
    for lists in found.iter().filter_map(|word| LISTS.get(&word.hash)) {
        for (at, count) in hits.iter_mut().enumerate() {
            *count += usize::from(lists & (1 << at) != 0);
        }
    }
    let ours = hits.get(own).copied().unwrap_or(0);
    let others = hits.iter().skip(KNOWN.len()).max().copied().unwrap_or(0);
    match lang {
        // Words of Turkish carry their grammar in endings, and syllables of Vietnamese are few: their letters tell more.
        Lang::Vie => prose.contains(|c| "ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđơư".contains(c)),
        Lang::Tur => has_turkish_letters || (others <= ours && (ours > 0 || beats_chance())),
        // Danish and Norwegian share most common words with Swedish, but neither has its letters.
        Lang::Swe => ours > others || (ours == others && ours > 0 && prose.contains(['ä', 'ö', 'Ä', 'Ö'])),
        _ => others <= ours && (ours > 0 || beats_chance()),
    }
}

/// Whether the classifier gives more words of a text to a language than it would of random letters.
fn beats_chance<'a>(words: impl Iterator<Item = &'a str>, lang: Lang) -> bool {
    let (mut all, mut given) = (0_u32, 0_u32);
    for word in words {
        all += 1;
        given += u32::from(whichlang::detect_language(word) == lang);
    }
    at_least(given, all) < SURPRISE
}

/// The probability that chance gives `least` or more of `all` words to one language.
fn at_least(least: u32, all: u32) -> f64 {
    let mut ways = 1.0;
    let mut sum = 0.0;
    for count in 0..=all {
        if count >= least {
            sum += ways * CHANCE.powf(f64::from(count)) * (1.0 - CHANCE).powf(f64::from(all - count));
        }
        ways *= f64::from(all - count) / f64::from(count + 1);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(prose: &str) -> Option<&'static str> {
        detect(prose).map(Language::code)
    }

    #[test]
    fn letters_that_are_no_words_have_no_language() {
        for noise in [
            "qxz vlkj wrtp zzgh qqpl mnbv xxcv lkjh gfds poiu ztrw",
            "asdf qwer zxcv hjkl uiop vbnm",
            "lorvit namsu pekol zudrag wimbo tesnaf",
        ] {
            assert_eq!(code(noise), None, "{noise}");
        }
    }

    #[test]
    fn short_texts_without_common_words_have_one() {
        assert_eq!(code("Inventarisatie jongere bouwkunst beschrijving gemeente"), Some("nl"));
        assert_eq!(code("procedimientos importantes"), Some("es"));
        assert_eq!(code("zudem Rechtsschutzversicherung"), Some("de"));
    }

    #[test]
    fn chance_adds_up() {
        assert!((at_least(0, 11) - 1.0).abs() < 1e-12);
        assert!((at_least(2, 2) - 0.0484).abs() < 1e-12);
        assert!((at_least(1, 3) - 0.525_448).abs() < 1e-12);
    }
}
