//! Telephone numbers by the rules of numbering plans: international with a known country code and length, North American, with a
//! trunk zero, with an area in brackets, and groups or bare digits that need a context word.

use super::{
    Entity, Span,
    detect::{shaped, stands_alone},
    numbers,
};

/// The most digits that a number may have (E.164), and a trunk zero in brackets.
const MOST_DIGITS: usize = 16;
/// The fewest digits of a number that is told from others.
const FEWEST_DIGITS: usize = 7;

/// Groups of digits in a row.
struct Run {
    groups: Vec<Group>,
}

struct Group {
    start: usize,
    end: usize,
    /// What stands before it, up to the group before.
    lead: Lead,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    Nothing,
    Plus,
    Bracket,
    PlusBracket,
    Sign(u8),
}

/// Adds the telephone numbers of a text.
pub(super) fn find(text: &str, found: &mut Vec<Span>) {
    let mut at = 0;
    while let Some(run) = Run::next(text, at) {
        at = run.groups.last().map_or(text.len(), |group| group.end);
        let mut from = 0;
        while from < run.groups.len() {
            let number = run.longest(text, from);
            from += number.as_ref().map_or(1, |(_, groups)| *groups);
            found.extend(number.map(|(span, _)| span));
        }
    }
}

impl Run {
    /// The run of the next digit that has enough digits.
    fn next(text: &str, mut from: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        loop {
            let start = numbers::next_digit(bytes, from)?;
            let (digits, end) = Self::measure(bytes, start);
            if digits >= FEWEST_DIGITS {
                return Some(Self::at(bytes, start));
            }
            from = end;
        }
    }

    /// The digits of a run and its end.
    fn measure(bytes: &[u8], start: usize) -> (usize, usize) {
        let mut last = group(bytes, start, Lead::Nothing);
        let mut digits = last.end - last.start;
        while let Some((next, lead)) = joined(bytes, last.end) {
            last = group(bytes, next, lead);
            digits += last.end - last.start;
        }
        (digits, last.end)
    }

    fn at(bytes: &[u8], start: usize) -> Self {
        let sign = |back: usize| start.checked_sub(back).and_then(|at| bytes.get(at));
        let lead = match (sign(2), sign(1)) {
            (Some(b'+'), Some(b'(')) => Lead::PlusBracket,
            (_, Some(b'(')) => Lead::Bracket,
            (_, Some(b'+')) => Lead::Plus,
            _ => Lead::Nothing,
        };
        let mut groups = vec![group(bytes, start, lead)];
        while let Some((next, lead)) = groups.last().and_then(|last| joined(bytes, last.end)) {
            groups.push(group(bytes, next, lead));
        }
        Self { groups }
    }

    /// The longest number from a group on, and how many groups it takes.
    fn longest(&self, text: &str, from: usize) -> Option<(Span, usize)> {
        let groups = self.groups.get(from..)?;
        let mut digits = 0;
        let most = groups.iter().take_while(|group| {
            digits += group.end - group.start;
            digits <= MOST_DIGITS
        });
        (1..=most.count()).rev().find_map(|count| Some((number(text, groups.get(..count)?)?, count)))
    }
}

fn group(bytes: &[u8], start: usize, lead: Lead) -> Group {
    let length = bytes.get(start..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    Group { start, end: start + length, lead }
}

/// Where the next group begins, if only signs of telephone numbers are before it.
fn joined(bytes: &[u8], end: usize) -> Option<(usize, Lead)> {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let sign = *bytes.get(end)?;
    match (sign, bytes.get(end + 1)) {
        (b' ' | b'-' | b'.' | b'/', _) if is_digit(end + 1) => Some((end + 1, Lead::Sign(sign))),
        (b')', _) if is_digit(end + 1) => Some((end + 1, Lead::Sign(b')'))),
        (b')', Some(b' ' | b'-' | b'.' | b'/')) if is_digit(end + 2) => Some((end + 2, Lead::Sign(b')'))),
        (b'(', _) if is_digit(end + 1) => Some((end + 1, Lead::Bracket)),
        (b' ' | b'-' | b'.', Some(b'(')) if is_digit(end + 2) => Some((end + 2, Lead::Bracket)),
        _ => None,
    }
}

/// What some groups are as a telephone number.
fn number(text: &str, groups: &[Group]) -> Option<Span> {
    let (first, last) = (groups.first()?, groups.last()?);
    let start = match first.lead {
        Lead::PlusBracket => first.start - 2,
        Lead::Plus | Lead::Bracket => first.start - 1,
        Lead::Nothing | Lead::Sign(_) => first.start,
    };
    let shape = Shape::of(text, groups)?;
    let (normal, score) = shape.judge()?;
    let end = last.end + extension(text.get(last.end..)?);
    let span = shaped(Entity::PhoneNumber, start..end, normal, score);
    let is_equation = text[end..].starts_with('=');
    (!is_equation && stands_alone(text, &span)).then_some(span)
}

/// The length of an extension such as ` ext. 12`.
fn extension(rest: &str) -> usize {
    let spaces = usize::from(rest.starts_with(' '));
    let word = rest.get(spaces..).unwrap_or_default();
    let Some(mark) = ["extension", "ext.", "ext", "x"]
        .into_iter()
        .find(|mark| word.get(..mark.len()).is_some_and(|w| w.eq_ignore_ascii_case(mark)))
    else {
        return 0;
    };
    let tail = word.get(mark.len()..).unwrap_or_default();
    let gap = usize::from(tail.starts_with(' '));
    let digits = tail.bytes().skip(gap).take_while(u8::is_ascii_digit).count();
    if (1..=6).contains(&digits) { spaces + mark.len() + gap + digits } else { 0 }
}

/// A number as its plan sees it.
struct Shape {
    digits: String,
    lengths: Vec<usize>,
    plus: bool,
    bracket: Option<usize>,
    uniform: bool,
    sign: u8,
    trunk_in_brackets: bool,
}

impl Shape {
    fn of(text: &str, groups: &[Group]) -> Option<Self> {
        let bracket = groups.iter().position(|group| matches!(group.lead, Lead::Bracket | Lead::PlusBracket));
        let closed = |at: usize| groups.get(at).is_some_and(|group| text[group.end..].starts_with(')'));
        if bracket.is_some_and(|at| !closed(at)) {
            return None;
        }
        // A closing bracket belongs to one that was opened here.
        let dangling = groups.iter().enumerate().take(groups.len() - 1).any(|(at, _)| closed(at) && Some(at) != bracket);
        let signs: Vec<u8> =
            groups.iter().skip(1).filter_map(|group| if let Lead::Sign(sign) = group.lead { Some(sign) } else { None }).collect();
        let digits: String = groups.iter().filter_map(|group| text.get(group.start..group.end)).collect();
        let trunk_in_brackets =
            bracket.is_some_and(|at| at > 0 && groups.get(at).is_some_and(|g| text.get(g.start..g.end) == Some("0")));
        (!dangling).then(|| Self {
            digits,
            lengths: groups.iter().map(|group| group.end - group.start).collect(),
            plus: groups.first().is_some_and(|group| matches!(group.lead, Lead::Plus | Lead::PlusBracket)),
            bracket,
            uniform: signs.iter().all(|sign| Some(sign) == signs.first()),
            sign: signs.first().copied().unwrap_or_default(),
            trunk_in_brackets,
        })
    }

    /// The number without signs and its score before context.
    fn judge(&self) -> Option<(String, f64)> {
        let varied = self.digits.bytes().any(|digit| Some(digit) != self.digits.bytes().next());
        if !varied {
            return None;
        }
        if self.plus {
            return self.international(&self.digits).map(|number| (number, 0.8));
        }
        if let Some(number) = self.digits.strip_prefix("00").and_then(|rest| self.international(rest)) {
            return Some((number, 0.6));
        }
        self.north_american().or_else(|| self.national())
    }

    fn international(&self, digits: &str) -> Option<String> {
        let plan = plan(digits)?;
        let national = digits.get(plan.code.len()..)?;
        let national = if self.trunk_in_brackets { national.strip_prefix('0')? } else { national };
        let fits = |national: &str| (plan.shortest..=plan.longest).contains(&national.len());
        // Some people write the trunk zero behind the country code.
        let national = if fits(national) { national } else { national.strip_prefix('0').filter(|rest| fits(rest))? };
        Some(format!("+{}{national}", plan.code))
    }

    fn north_american(&self) -> Option<(String, f64)> {
        let national = match self.digits.len() {
            10 => self.digits.as_str(),
            11 => self.digits.strip_prefix('1')?,
            _ => return None,
        };
        let valid = [0, 3].iter().all(|at| national.as_bytes().get(*at).is_some_and(|digit| *digit >= b'2'));
        let score = match self.lengths.as_slice() {
            [3, 3, 4] | [1, 3, 3, 4] => 0.65,
            [3, 7] | [1, 10] | [6, 4] => 0.4,
            [_] => 0.2,
            _ => return None,
        };
        valid.then(|| (format!("+1{national}"), score))
    }

    fn national(&self) -> Option<(String, f64)> {
        let count = self.digits.len();
        let grouped = self.lengths.len() > 1;
        let trunk = self.digits.starts_with('0');
        let short_groups = self.lengths.iter().skip(1).all(|length| (2..=8).contains(length));
        let few = self.lengths.iter().skip(1).all(|length| *length <= 4);
        let first = self.lengths.first().copied().unwrap_or_default();
        let in_groups = self.uniform && few && first <= 4 && short_groups && self.sign != b'/' && (7..=12).contains(&count);
        let score = match self.bracket {
            Some(0) if (8..=11).contains(&count) && (2..=5).contains(&first) && short_groups => 0.55,
            None if trunk && grouped && (9..=12).contains(&count) && self.lengths.iter().all(|length| *length > 1) => 0.5,
            None if !self.is_day() && ((grouped && in_groups) || (trunk && !grouped && (9..=12).contains(&count))) => 0.3,
            None if !grouped && (7..=12).contains(&count) => 0.2,
            _ => return None,
        };
        Some((self.digits.clone(), score))
    }

    /// Whether the groups are those of a day, or of two years.
    fn is_day(&self) -> bool {
        matches!(self.lengths.as_slice(), [4, 2, 2] | [2, 2, 4]) || (self.lengths == [4, 4] && self.sign == b'-')
    }
}

/// The part of a numbering plan that tells its numbers from others.
struct Plan {
    code: &'static str,
    shortest: usize,
    longest: usize,
}

/// The plan of a number that begins with its country code.
fn plan(digits: &str) -> Option<Plan> {
    PLANS.split_ascii_whitespace().find_map(|entry| {
        let (code, lengths) = entry.split_once(':')?;
        let (shortest, longest) = lengths.split_once('-').unwrap_or((lengths, lengths));
        digits.starts_with(code).then_some(Plan { code, shortest: shortest.parse().ok()?, longest: longest.parse().ok()? })
    })
}

/// Country codes with the digits of their national numbers, as the plans filed with the ITU have them. No code begins another.
const PLANS: &str = "1:10 7:10 \
    20:8-10 27:9 30:10 31:9 32:8-9 33:9 34:9 36:8-9 39:6-11 40:9 41:9 43:4-13 44:9-10 45:8 46:7-10 47:8 48:9 49:5-13 \
    51:8-9 52:10 53:6-8 54:10-11 55:10-11 56:9 57:8-10 58:10 60:8-10 61:9 62:7-12 63:8-10 64:8-10 65:8 66:8-9 \
    81:9-10 82:8-10 84:9-10 86:10-11 90:10 91:10 92:9-10 93:9 94:9 95:7-10 98:10 \
    211:9 212:9 213:8-9 216:8 218:9 220:7 221:9 222:8 223:8 224:9 225:10 226:8 227:8 228:8 229:8-10 230:7-8 231:7-9 232:8 233:9 \
    234:7-10 235:8 236:8 237:8-9 238:7 239:7 240:9 241:7-8 242:9 243:9 244:9 245:9 246:7 248:7 249:9 250:9 251:9 252:7-9 253:8 \
    254:9-10 255:9 256:9 257:8 258:8-9 260:9 261:9 262:9 263:8-10 264:8-9 265:7-9 266:8 267:7-8 268:8 269:7 290:5 291:7 297:7 298:6 \
    299:6 350:8 351:9 352:4-11 353:7-10 354:7-9 355:8-9 356:8 357:8 358:5-12 359:7-9 370:8 371:8 372:7-8 373:8 374:8 375:9 376:6-9 \
    377:8-9 378:6-10 380:9 381:8-10 382:8 383:8-9 385:8-9 386:8 387:8 389:8 420:9 421:9 423:7-9 500:5 501:7 502:8 503:8 504:8 505:8 \
    506:8 507:7-8 508:6 509:8 590:9 591:8 592:7 593:8-9 594:9 595:9 596:9 597:6-7 598:8 599:7-8 670:7-8 672:6 673:7 674:7 675:7-8 \
    676:5-7 677:5-7 678:5-7 679:7 680:7 681:6 682:5 683:4-5 685:5-7 686:5-8 687:6 688:5-6 689:6-8 690:4-5 691:7 692:7 850:8-10 852:8 \
    853:8 855:8-9 856:8-10 880:8-10 886:8-9 960:7 961:7-8 962:8-9 963:8-9 964:8-10 965:7-8 966:8-9 967:7-9 968:8 970:8-9 971:8-9 \
    972:8-9 973:8 974:8 975:8 976:8 977:8-10 992:9 993:8 994:9 995:9 996:9 998:9";
