//! Planted credentials among sentences, and what only looks like them.

use super::*;

/// Random signs from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % below as u64).unwrap()
    }

    /// Fills a pattern: `h` hexadecimal, `w` letters and digits, `U` capitals and digits, `d` digits, `b` base64; others stand.
    fn fill(&mut self, pattern: &[(&str, usize)]) -> String {
        let mut out = String::new();
        for (signs, count) in pattern {
            let set = match *signs {
                "h" => "0123456789abcdef",
                "w" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "U" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
                "d" => "0123456789",
                "b" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                fixed => {
                    out.push_str(fixed);
                    continue;
                }
            };
            (0..*count).for_each(|_| out.push(char::from(set.as_bytes()[self.next(set.len())])));
        }
        out
    }
}

type Pattern = &'static [(&'static str, usize)];

#[rustfmt::skip]
const CREDENTIALS: &[Pattern] = &[
    &[("AKIA", 0), ("U", 16)], &[("ghp_", 0), ("w", 36)], &[("github_pat_", 0), ("w", 82)], &[("glpat-", 0), ("w", 20)],
    &[("xoxb-", 0), ("d", 12), ("-", 0), ("w", 24)], &[("AIza", 0), ("w", 35)], &[("sk_live_", 0), ("w", 24)], &[("hf_", 0), ("w", 34)],
    &[("npm_", 0), ("w", 36)], &[("SG.", 0), ("w", 22), (".", 0), ("w", 43)], &[("key-", 0), ("h", 32)], &[("h", 32), ("-us", 0), ("d", 1)],
    &[("dop_v1_", 0), ("h", 64)], &[("dapi", 0), ("h", 32)], &[("shpat_", 0), ("h", 32)], &[("d", 9), (":AA", 0), ("w", 33)],
    &[("eyJ", 0), ("w", 20), (".eyJ", 0), ("w", 60), (".", 0), ("w", 43)], &[("lin_api_", 0), ("w", 40)], &[("dckr_pat_", 0), ("w", 27)],
    &[("sk-ant-", 0), ("w", 90)], &[("sk-proj-", 0), ("w", 64)], &[("pypi-AgEIcHlwaS5vcmc", 0), ("w", 70)], &[("whsec_", 0), ("w", 32)],
    &[("AccountKey=", 0), ("b", 86), ("==", 0)], &[("ya29.", 0), ("w", 60)], &[("rubygems_", 0), ("h", 48)], &[("hvs.", 0), ("w", 92)],
    &[("https://hooks.slack.com/services/T", 0), ("U", 8), ("/B", 0), ("U", 8), ("/", 0), ("w", 24)],
    &[("postgres://app:", 0), ("w", 12), ("@db.internal:5432/main", 0)], &[("mongodb+srv://root:", 0), ("w", 16), ("@cluster.acme.io", 0)],
    &[("aws_secret_access_key = ", 0), ("b", 40)], &[("\"api_key\": \"", 0), ("w", 32), ("\"", 0)], &[("SECRET_KEY='", 0), ("w", 50), ("'", 0)],
    &[("export AUTH_TOKEN=", 0), ("h", 40)], &[("Authorization: Bearer ", 0), ("w", 48)], &[("Authorization: Basic ", 0), ("b", 24), ("==", 0)],
    &[("password = \"", 0), ("w", 9), ("#7", 0), ("\"", 0)], &[("the password is ", 0), ("w", 8), ("!4x", 0)],
    &[("-----BEGIN RSA PRIVATE KEY-----\n", 0), ("b", 64), ("\n", 0), ("b", 64), ("\n-----END RSA PRIVATE KEY-----", 0)],
    &[("client_secret: ", 0), ("w", 3), ("8Q~", 0), ("w", 34)],
];

#[rustfmt::skip]
const LOOK_ALIKES: &[Pattern] = &[
    &[("commit ", 0), ("h", 40)], &[("h", 8), ("-", 0), ("h", 4), ("-4", 0), ("h", 3), ("-a", 0), ("h", 3), ("-", 0), ("h", 12)],
    &[("md5 ", 0), ("h", 32), ("  setup.tar.gz", 0)], &[("\"integrity\": \"sha512-", 0), ("b", 86), ("==\"", 0)],
    &[("password = getpass.getpass()", 0)], &[("api_key = os.environ[\"API_KEY\"]", 0)], &[("token: str | None = None", 0)],
    &[("api_key: YOUR_API_KEY_GOES_HERE_00", 0)], &[("password=changeme", 0)], &[("the password is required for everybody", 0)],
    &[("password: ********", 0)], &[("secret = settings.SECRET_KEY_VALUE_1", 0)], &[("src=\"data:image/png;base64,", 0), ("b", 200), ("\"", 0)],
    &[("https://user@example.org/path?page=", 0), ("d", 6)], &[("tokenizer: tokenizers/smollm2_135m_instruct", 0)],
    &[("author: \"w3c-html-and-css-group-of-2024\"", 0)], &[("AKIAIOSFODNN7EXAMPLE", 0)], &[("Bearer of good news since 1984", 0)],
    &[("keyboard = layouts/dvorak-left-handed", 0)], &[("monkey: banana-tree-branch-top", 0)], &[("h", 64), ("  flow.tar.zst", 0)],
    &[("isbn 978-", 0), ("d", 10)], &[("postgres://localhost:5432/main", 0)], &[("token = ${CI_JOB_TOKEN_OF_THE_RUNNER}", 0)],
    &[("Order ", 0), ("U", 12), (" has shipped", 0)], &[("secretary: Johanna-Maria Mustermann-2", 0)],
    &[("-----BEGIN CERTIFICATE-----\n", 0), ("b", 64), ("\n-----END CERTIFICATE-----", 0)], &[("-----BEGIN PUBLIC KEY-----\n", 0), ("b", 64), ("\n-----END PUBLIC KEY-----", 0)],
    &[("key-value stores keep keys", 0)], &[("pip install tokenizers==0.23.", 0), ("d", 2)], &[("http://proxy:8080@", 0)],
];

#[test]
fn planted_credentials_are_told_from_look_alikes() {
    let scanner = Scanner::new(&Options::default()).unwrap();
    let mut dice = Dice(7);
    let (mut hits, mut planted, mut false_hits) = (0_u32, 0_u32, 0_u32);
    for round in 0..8 {
        for pattern in CREDENTIALS {
            let text = format!("Step {round}: set it so.\n{}\nThen start the server.", dice.fill(pattern));
            planted += 1;
            let found = scanner.scan(&text);
            hits += u32::from(!found.is_empty());
            assert!(round > 0 || !found.is_empty(), "{text}");
        }
        for pattern in LOOK_ALIKES {
            let text = format!("Step {round}: set it so.\n{}\nThen start the server.", dice.fill(pattern));
            let found = scanner.scan(&text);
            false_hits += u32::from(!found.is_empty());
            assert!(round > 0 || found.is_empty(), "{text} {found:?}");
        }
    }
    let (recall, precision) = (f64::from(hits) / f64::from(planted), f64::from(hits) / f64::from(hits + false_hits));
    assert!(recall >= 0.98 && precision >= 0.98, "recall {recall}, precision {precision}");
}

#[test]
fn only_the_value_is_taken_out() {
    let scanner = Scanner::new(&Options::default()).unwrap();
    let redacted = |text: &str| redact(text, &scanner.scan(text));
    assert_eq!(
        redacted("psql postgres://app:Xk29vvQz1@db/main now"),
        "psql postgres://app:[SECRET:connection-string]@db/main now"
    );
    assert_eq!(redacted("password: \"hU7#kk2!zQ\", ok"), "password: \"[SECRET:password]\", ok");
    assert_eq!(redacted("nothing at all"), "nothing at all");
}

#[test]
fn rules_can_be_skipped_added_and_values_allowed() {
    let text = "id ACME-92817731 key-0123456789abcdef0123456789abcde1";
    let custom = vec![Custom { name: "acme".to_owned(), keyword: "acme-".to_owned(), regex: r"ACME-(\d{8})".to_owned() }];
    let skip: BTreeSet<String> = ["mailgun-key".to_owned()].into();
    let found = Scanner::new(&Options { custom: custom.clone(), skip, ..Options::default() }).unwrap().scan(text);
    assert_eq!(
        found.iter().map(|secret| (secret.rule.as_str(), &text[secret.start..secret.end])).collect::<Vec<_>>(),
        [("acme", "92817731")]
    );
    let allow = ["92817731".to_owned(), "key-0123456789abcdef0123456789abcde1".to_owned()].into();
    assert_eq!(Scanner::new(&Options { allow, custom, ..Options::default() }).unwrap().scan(text), []);
    let broken = vec![Custom { name: "acme".to_owned(), keyword: "a".to_owned(), regex: "(".to_owned() }];
    assert!(Scanner::new(&Options { custom: broken, ..Options::default() }).is_err());
}

#[test]
fn there_are_sixty_rules_with_names_of_their_own() {
    let all: BTreeSet<&str> = names().collect();
    assert!(all.len() >= 60 && all.len() == names().count());
}

#[test]
fn repeated_keywords_stay_cheap() {
    let scanner = Scanner::new(&Options::default()).unwrap();
    let text = "password= token= AKIA eyJ://:".repeat(4_000);
    assert!(scanner.scan(&text).len() < 10);
}
