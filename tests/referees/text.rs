//! Token ids, chat templates, ROUGE, and the model card against those whose formats they are.

use std::{collections::BTreeMap, fs, sync::Arc};

use flow_engine::Digest;
use flow_release::models::{Base, ModelRegistry, NewVersion};
use flow_text::{
    record::Message,
    score::rouge,
    template::{ChatTemplate, GenerationPrompt},
    tokenizer::ChatTokenizer,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Hearing, field, message, smollm2, text_of, tickets};

/// Texts in which no special token stands.
const TEXTS: [&str; 24] = [
    "",
    " ",
    "a",
    "Hello, world!",
    "The parcel with the label printer is late.",
    "  two  spaces   three    four",
    "tab\tnew\nline\r\nand\n\n\nmore\n",
    "trailing space ",
    "don't we'll they've I'M you're it's",
    "3.14159, 1,000,000 and 0x1F",
    "2026-11-24T10:15:00Z",
    "CamelCase snake_case kebab-case SCREAMING_CASE",
    "https://example.org/a/b?c=d&e=f#g",
    "mail kenji.mueller@fastpost.example now",
    "Grüße aus Köln, naïve façade, Ærøskøbing",
    "Привет, как дела?",
    "こんにちは世界。今日はいい天気ですね",
    "안녕하세요 세계",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 and 🇩🇪 and 👍🏽",
    "e\u{301} is not é, \u{fb01} is not fi",
    "zero\u{200b}width\u{feff}marks\u{a0}here",
    "fn main() { let x: Vec<u8> = vec![0; 16]; }",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"b\\n\"}}",
];

/// Texts of a template's author: special tokens in them are special.
const MARKED: [&str; 6] = [
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|>",
    "a<|im_end|>b",
    "<|im_start|><|im_end|>",
    " <|im_start|> spaced <|im_end|> ",
    "<|im_start| >not one<|im_end>",
];

/// Templates of other families: strict turns, an own system part, filters, and a loop with state.
const TEMPLATES: [&str; 3] = [
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
     {{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}\
     {{ '[INST] ' + message['content'].strip() + ' [/INST]' }}{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}\
     {% endif %}{% endfor %}",
    "{%- if messages[0]['role'] == 'system' -%}\n{%- set system = messages[0]['content'] -%}\n{%- set rest = messages[1:] -%}\n\
     {%- else -%}\n{%- set system = 'none' -%}\n{%- set rest = messages -%}\n{%- endif -%}\n# {{ system | trim }}\n\
     {% for message in rest %}\n  {{ loop.index }}: {{ message.role | upper }}: {{ message.content }}\n{% endfor %}\n\
     {% if add_generation_prompt %}\nASSISTANT:\n{% endif %}\n",
    "{% set ns = namespace(users=0) %}{% for message in messages %}{% if message.role == 'user' %}{% set ns.users = ns.users + 1 %}\
     {% endif %}{{ message | tojson }}\n{% endfor %}{{ ns.users }}{% if add_generation_prompt %} >{% endif %}",
];

fn tokenizer() -> Arc<ChatTokenizer> {
    flow_model::open(&smollm2()).expect("opens").tokenizer
}

fn conversations() -> Vec<Vec<Message>> {
    let (system, user, assistant) =
        (|text| message("system", text), |text| message("user", text), |text| message("assistant", text));
    vec![
        vec![user("Hello")],
        vec![system("You are terse."), user("Hello")],
        vec![user("Hello"), assistant("Hi!")],
        vec![user("One"), assistant("Two"), user("Three")],
        vec![system("Be kind."), user("One"), assistant("Two"), user("Three"), assistant("Four")],
        vec![user("  space around  \n"), assistant("\n\nlines\n")],
        vec![user("Grüße, 世界 👍🏽 <b>&amp;</b> \"quoted\" 'single'"), assistant("{\"a\": [1, \"é\"]}")],
        vec![assistant("I begin."), user("So be it.")],
        vec![user(""), assistant("")],
        vec![user("a"), user("b")],
        vec![system(""), user("an empty system turn")],
    ]
}

#[derive(Deserialize)]
struct Tokenized {
    ids: Vec<u32>,
    decoded: String,
}

#[test]
fn token_ids_agree_with_transformers() {
    let Some(hearing) = Hearing::open() else { return };
    let asked = hearing.submit("texts.json", &[&TEXTS[..], &MARKED[..]].concat());
    let said = hearing.ask_about_smollm2("tokenize_ref.py", &["--texts", text_of(&asked)]);
    let answers: Vec<Tokenized> = serde_json::from_str(&said).expect("ids");
    assert_eq!(answers.len(), TEXTS.len() + MARKED.len());
    let tokenizer = tokenizer();
    let (plain, marked) = answers.split_at(TEXTS.len());
    for (text, answer) in TEXTS.iter().zip(plain) {
        assert_eq!(tokenizer.encode(text).expect("encodes"), answer.ids, "{text:?}");
        assert_eq!(tokenizer.decode(&answer.ids).expect("decodes"), answer.decoded, "{text:?}");
    }
    for (text, answer) in MARKED.iter().zip(marked) {
        assert_eq!(tokenizer.encode_template(text).expect("encodes"), answer.ids, "{text:?}");
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rendered {
    Text { plain: String, prompted: String },
    Refused { error: String },
}

#[test]
fn chat_templates_agree_with_transformers() {
    let Some(hearing) = Hearing::open() else { return };
    let own = conversations().into_iter().map(|messages| json!({"messages": messages}));
    let foreign = TEMPLATES.iter().flat_map(|template| {
        conversations().into_iter().map(move |messages| json!({"messages": messages, "template": template}))
    });
    let asked = hearing.submit("conversations.json", &own.chain(foreign).collect::<Vec<_>>());
    let said = hearing.ask_about_smollm2("templates.py", &["--conversations", text_of(&asked)]);
    let answers: Vec<Rendered> = serde_json::from_str(&said).expect("texts");

    let tokenizer = tokenizer();
    let special = BTreeMap::from([("bos_token", "<|im_start|>"), ("eos_token", "<|im_end|>")]);
    let special: BTreeMap<String, String> =
        special.into_iter().map(|(name, token)| (name.to_owned(), token.to_owned())).collect();
    let compile = |source: &&str| ChatTemplate::new(source, special.clone()).expect("compiles");
    let foreign: Vec<ChatTemplate> = TEMPLATES.iter().map(compile).collect();
    let templates = std::iter::once(tokenizer.template()).chain(&foreign);
    let ours = templates.flat_map(|template| conversations().into_iter().map(move |messages| (template, messages)));
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), answers.len());
    assert!(answers.iter().any(|answer| matches!(answer, Rendered::Refused { .. })), "one template refuses");
    for ((template, messages), answer) in ours.iter().zip(&answers) {
        let (omit, add) = (template.render(messages, GenerationPrompt::Omit), template.render(messages, GenerationPrompt::Add));
        match answer {
            Rendered::Text { plain, prompted } => {
                assert_eq!(&omit.expect("renders"), plain, "{messages:?}");
                assert_eq!(&add.expect("renders"), prompted, "{messages:?}");
            }
            Rendered::Refused { error } => {
                assert!(omit.is_err() && add.is_err(), "transformers refuses {messages:?}: {error}");
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scores {
    rouge1: f64,
    rouge2: f64,
    rouge_l: f64,
    rouge_lsum: f64,
}

/// Fifty references with predictions that share words, lines, and order with them to different degrees.
fn pairs() -> Vec<(String, String)> {
    let bodies: Vec<String> = tickets().iter().map(|ticket| field(ticket, "body").replace(". ", ".\n")).collect();
    let pair = |(number, window): (usize, &[String])| {
        let (reference, other) = (&window[0], &window[1]);
        let prediction = match number % 5 {
            0 => other.clone(),
            1 => reference.lines().rev().collect::<Vec<_>>().join("\n"),
            2 => reference.split(' ').step_by(2).collect::<Vec<_>>().join(" "),
            3 => format!("{other}\n{reference}"),
            _ => reference.to_uppercase(),
        };
        (reference.clone(), prediction)
    };
    bodies
        .windows(2)
        .enumerate()
        .map(pair)
        .take(48)
        .chain([(String::new(), "a".to_owned()), ("Straße".to_owned(), "strasse".to_owned())])
        .collect()
}

#[test]
fn rouge_agrees_with_rouge_score() {
    let Some(hearing) = Hearing::open() else { return };
    let pairs = pairs();
    let asked: Vec<Value> =
        pairs.iter().map(|(reference, prediction)| json!({"reference": reference, "prediction": prediction})).collect();
    let asked = hearing.submit("pairs.json", &asked);
    let answers: Vec<Scores> = serde_json::from_str(&hearing.ask("rouge.py", &["--pairs", text_of(&asked)])).expect("scores");
    assert_eq!((pairs.len(), answers.len()), (50, 50));
    for ((reference, prediction), answer) in pairs.iter().zip(&answers) {
        let ours = rouge(prediction, reference);
        let scores = [ours.rouge1, ours.rouge2, ours.rouge_l, ours.rouge_lsum].map(|overlap| overlap.f1);
        let their = [answer.rouge1, answer.rouge2, answer.rouge_l, answer.rouge_lsum];
        assert!(super::answers::apart(&scores, &their) <= 1e-12, "{scores:?} is not {their:?}\n{reference}\n---\n{prediction}");
    }
}

#[test]
fn the_model_card_opens_in_huggingface_hub() {
    let Some(hearing) = Hearing::open() else { return };
    let adapter = hearing.path("adapter");
    fs::create_dir(&adapter).expect("folder");
    fs::write(adapter.join("adapter_config.json"), "{}").expect("writes");
    let new = NewVersion {
        contents: vec![("adapter".to_owned(), adapter)],
        base: Base { uri: "hf:HuggingFaceTB/SmolLM2-135M-Instruct@main".to_owned(), blake3: Digest::of(b"base") },
        description: "Triage: \"billing\", access, and more.".to_owned(),
        licence: "Apache-2.0".to_owned(),
        workflow: "quickstart".to_owned(),
        metrics: BTreeMap::from([("eval.exact_match".to_owned(), 0.875)]),
        lineage: Vec::new(),
    };
    let registry = ModelRegistry::open(&hearing.path("registry")).expect("opens");
    let pushed = registry.push(&"triage".parse().expect("a name"), new).expect("pushes");
    let said = hearing.ask("card.py", &[text_of(&pushed.directory.join("README.md"))]);
    let card: Value = serde_json::from_str(&said).expect("the card");
    let data = &card["data"];
    assert_eq!(data["license"], "apache-2.0", "{data}");
    assert_eq!(data["library_name"], "peft");
    assert_eq!(data["base_model"], "hf:HuggingFaceTB/SmolLM2-135M-Instruct@main");
    assert_eq!(data["pipeline_tag"], "text-generation");
    let metric = &data["model-index"][0]["results"][0]["metrics"][0];
    assert_eq!((&metric["name"], &metric["value"]), (&json!("eval.exact_match"), &json!(0.875)));
    assert!(card["text"].as_str().expect("prose").contains("Triage: \"billing\", access, and more."));
}
