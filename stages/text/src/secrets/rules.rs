//! The rules: name, keywords, expression, and how the value is judged.

use super::judge::Judge::{self, Password, Random, Shape};

/// How one kind of credential is found.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Words parted by spaces; one is in or beside every value, in any case.
    pub(super) keywords: &'static str,
    /// The first group, if there is one, is the value.
    pub(super) regex: &'static str,
    pub(super) judge: Judge,
}

const fn rule(name: &'static str, keywords: &'static str, regex: &'static str, judge: Judge) -> Rule {
    Rule { name, keywords, regex, judge }
}

/// The names of all rules.
pub fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.name)
}

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    rule("private-key", "-----BEGIN", r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^-]+-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----", Shape),
    rule("age-key", "age-secret-key-", r"(?-u:\b)AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}(?-u:\b)", Shape),
    rule("jwt", "eyj", r"(?-u:\b)eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}", Shape),
    rule("aws-access-key", "akia asia abia acca", r"(?-u:\b)(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?-u:\b)", Shape),
    rule("aws-secret-key", "aws", r#"(?i)aws[A-Za-z0-9_.\- ]{0,30}?(?:secret|key)[A-Za-z0-9_.\- ]{0,30}?["']?\s{0,3}(?:=>|[:=])\s{0,3}["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#, Random),
    rule("gcp-api-key", "aiza", r"(?-u:\b)AIza[A-Za-z0-9_-]{35}", Shape),
    rule("google-oauth-token", "ya29.", r"(?-u:\b)ya29\.[A-Za-z0-9_-]{20,}", Shape),
    rule("google-client-secret", "gocspx-", r"(?-u:\b)GOCSPX-[A-Za-z0-9_-]{28}", Shape),
    rule("azure-storage-key", "accountkey=", r"(?i)AccountKey=([A-Za-z0-9+/]{86}==)", Shape),
    rule("azure-client-secret", "q~", r"(?:^|[^A-Za-z0-9_~.-])([A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~.-]|$)", Shape),
    rule("azure-sas", "sig=", r"(?i)[?&]sig=([A-Za-z0-9_%/+]{40,}={0,2})", Random),
    rule("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"(?-u:\b)gh[pousr]_[A-Za-z0-9]{36,}(?-u:\b)", Shape),
    rule("github-fine-grained", "github_pat_", r"(?-u:\b)github_pat_[A-Za-z0-9_]{82}(?-u:\b)", Shape),
    rule("gitlab-token", "glpat- gldt- glrt- glptt- glcbt- glft-", r"(?-u:\b)gl(?:pat|dt|rt|ptt|cbt|ft)-[A-Za-z0-9_-]{20,}", Shape),
    rule("bitbucket-token", "atbb", r"(?-u:\b)ATBB[A-Za-z0-9]{24,}[A-F0-9]{8}(?-u:\b)", Shape),
    rule("atlassian-token", "atatt3", r"(?-u:\b)ATATT3[A-Za-z0-9_=-]{60,}", Shape),
    rule("slack-token", "xoxb- xoxp- xoxa- xoxe- xoxr- xoxs- xapp-", r"(?-u:\b)(?:xox[abeprs]-(?:[0-9]-)?|xapp-[0-9]-)[0-9A-Za-z-]{20,}", Shape),
    rule("slack-webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[A-Z0-9]{8,}/[A-Z0-9]{8,}/[A-Za-z0-9]{16,}", Shape),
    rule("discord-webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}", Shape),
    rule("discord-token", "discord bot", r"(?-u:\b)([MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38})(?-u:\b)", Shape),
    rule("telegram-token", ":aa", r"(?-u:\b)[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?-u:\b)", Shape),
    rule("stripe-key", "sk_live_ sk_test_ rk_live_ rk_test_", r"(?-u:\b)[sr]k_(?:live|test)_[0-9A-Za-z]{16,}(?-u:\b)", Shape),
    rule("stripe-webhook", "whsec_", r"(?-u:\b)whsec_[A-Za-z0-9+/]{32,}", Shape),
    rule("square-token", "sq0atp- sq0csp- eaaa", r"(?-u:\b)(?:sq0atp-[A-Za-z0-9_-]{22}|sq0csp-[A-Za-z0-9_-]{43}|EAAA[A-Za-z0-9_+=-]{60})", Shape),
    rule("paypal-braintree", "access_token$", r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}", Shape),
    rule("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"(?-u:\b)shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}(?-u:\b)", Shape),
    rule("openai-key", "t3blbkfj sk-proj- sk-svcacct-", r"(?-u:\b)sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}|(?-u:\b)sk-(?:proj|svcacct)-[A-Za-z0-9_-]{40,}", Shape),
    rule("anthropic-key", "sk-ant-", r"(?-u:\b)sk-ant-[A-Za-z0-9_-]{60,}", Shape),
    rule("hugging-face-token", "hf_", r"(?-u:\b)hf_[A-Za-z0-9]{34,40}(?-u:\b)", Shape),
    rule("replicate-token", "r8_", r"(?-u:\b)r8_[A-Za-z0-9]{37,40}(?-u:\b)", Shape),
    rule("groq-key", "gsk_", r"(?-u:\b)gsk_[A-Za-z0-9]{52}(?-u:\b)", Shape),
    rule("npm-token", "npm_", r"(?-u:\b)npm_[A-Za-z0-9]{36}(?-u:\b)", Shape),
    rule("pypi-token", "pypi-ageicHlwaS5vcmc", r"(?-u:\b)pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}", Shape),
    rule("rubygems-key", "rubygems_", r"(?-u:\b)rubygems_[a-f0-9]{48}(?-u:\b)", Shape),
    rule("nuget-key", "oy2", r"(?-u:\b)oy2[a-z0-9]{43}(?-u:\b)", Shape),
    rule("docker-token", "dckr_pat_", r"(?-u:\b)dckr_pat_[A-Za-z0-9_-]{27}", Shape),
    rule("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", r"(?-u:\b)do[opr]_v1_[a-f0-9]{64}(?-u:\b)", Shape),
    rule("databricks-token", "dapi", r"(?-u:\b)dapi[a-f0-9]{32}(?:-[0-9])?(?-u:\b)", Shape),
    rule("vault-token", "hvs. hvb.", r"(?-u:\b)hv[sb]\.[A-Za-z0-9_-]{80,}", Shape),
    rule("terraform-token", ".atlasv1.", r"(?-u:\b)[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}", Shape),
    rule("doppler-token", "dp.pt. dp.st.", r"(?-u:\b)dp\.(?:pt|st(?:\.[a-z0-9_-]{2,35})?)\.[A-Za-z0-9]{40,44}(?-u:\b)", Shape),
    rule("pulumi-token", "pul-", r"(?-u:\b)pul-[a-f0-9]{40}(?-u:\b)", Shape),
    rule("fly-token", "fo1_ fm2_", r"(?-u:\b)(?:fo1_[A-Za-z0-9_-]{43}|fm2_[A-Za-z0-9+/]{80,}={0,2})", Shape),
    rule("heroku-key", "hrku-", r"(?-u:\b)HRKU-[A-Za-z0-9_-]{36,}", Shape),
    rule("sendgrid-key", "sg.", r"(?-u:\b)SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", Shape),
    rule("mailgun-key", "key-", r"(?-u:\b)key-[0-9a-f]{32}(?-u:\b)", Shape),
    rule("mailchimp-key", "-us", r"(?-u:\b)[0-9a-f]{32}-us[0-9]{1,2}(?-u:\b)", Shape),
    rule("twilio-key", "twilio sk", r"(?-u:\b)SK[0-9a-f]{32}(?-u:\b)", Shape),
    rule("brevo-key", "xkeysib-", r"(?-u:\b)xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}(?-u:\b)", Shape),
    rule("grafana-token", "glsa_ glc_", r"(?-u:\b)(?:glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{32,}={0,2})", Shape),
    rule("new-relic-key", "nrak- nraa- nrii-", r"(?-u:\b)NR(?:AK|AA|II)-[A-Za-z0-9_-]{27,32}", Shape),
    rule("sentry-token", "sntrys_ sntryu_", r"(?-u:\b)sntry[su]_[A-Za-z0-9_+/=.-]{50,}", Shape),
    rule("notion-token", "ntn_ secret_", r"(?-u:\b)(?:ntn_[A-Za-z0-9]{40,50}|secret_[A-Za-z0-9]{43})(?-u:\b)", Shape),
    rule("linear-key", "lin_api_", r"(?-u:\b)lin_api_[A-Za-z0-9]{40}(?-u:\b)", Shape),
    rule("figma-token", "figd_", r"(?-u:\b)figd_[A-Za-z0-9_-]{40,}", Shape),
    rule("airtable-token", "airtable pat", r"(?-u:\b)pat[A-Za-z0-9]{14}\.[a-f0-9]{64}(?-u:\b)", Shape),
    rule("postman-key", "pmak-", r"(?-u:\b)PMAK-[a-f0-9]{24}-[a-f0-9]{34}(?-u:\b)", Shape),
    rule("planetscale-token", "pscale_", r"(?-u:\b)pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}", Shape),
    rule("supabase-key", "sbp_", r"(?-u:\b)sbp_[a-f0-9]{40}(?-u:\b)", Shape),
    rule("facebook-token", "eaac", r"(?-u:\b)EAAC[A-Za-z0-9]{60,}(?-u:\b)", Shape),
    rule("twitter-bearer", "aaaaaaaaaaaaaaaaaaaaa", r"(?-u:\b)A{21}[A-Za-z0-9_%]{60,}", Shape),
    rule("connection-string", "://", r#"(?i)(?-u:\b)[a-z][a-z0-9+]{2,20}://[^\s:/@"'<>]{0,64}:([^\s/@"'<>]{3,100})@[A-Za-z0-9_.\[\]-]+"#, Shape),
    rule("basic-auth", "basic", r"(?i)authorization[\x22']?\s{0,3}[:=]\s{0,3}[\x22']?basic\s+([A-Za-z0-9+/]{12,}={0,2})", Shape),
    rule("bearer-token", "bearer", r"(?i)(?-u:\b)bearer\s+([A-Za-z0-9._~+/-]{20,}={0,2})", Random),
    rule("api-key", "key token secret credential auth", r#"(?i)[A-Za-z0-9_.-]{0,40}?(?:api[_-]?key|access[_-]?key|private[_-]?key|secret|token|credential|auth)s?(?:[_.-][A-Za-z0-9_.-]{0,30})?["']?\s{0,3}(?:=>|:=|[:=])\s{0,3}["'`]?([A-Za-z0-9_.~+/=-]{16,200})"#, Random),
    rule("password", "passw pwd passphrase", r#"(?i)[A-Za-z0-9_.-]{0,40}?(?:password|passwd|passwort|pwd|passphrase)[A-Za-z0-9_.-]{0,20}["']?(?:\s{0,3}(?:=>|:=|[:=])\s{0,3}|\s+is\s+)["'`]?([^\s"'`,]{8,100})"#, Password),
];
