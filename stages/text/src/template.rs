//! Renders a model's own chat template as `transformers` does: the same bytes for the same conversation.
//!
//! The language is Jinja by minijinja, set up like the environment of `apply_chat_template`. What becomes of the text
//! (ids, labels) is left to [`crate::tokenizer`] and [`crate::encode`].

use std::{collections::BTreeMap, sync::LazyLock};

use minijinja::{
    Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context, escape_formatter,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde, ValueKind},
};
use regex::Regex;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::record::Message;

/// The one name in the environment.
const NAME: &str = "chat";
/// The filter that stands for `{% generation %}`.
const SPAN_FILTER: &str = "flow_generation_span";
/// The variable that switches it on.
const MARKS: &str = "flow_marks";
/// What `strftime_now` returns the date of: a template must give the same bytes every day.
const NOW: jiff::civil::DateTime = jiff::civil::date(2024, 7, 26).at(0, 0, 0, 0);

static GENERATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").expect("the pattern is a constant"));

/// A compiled chat template with the special tokens it may name.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special_tokens: BTreeMap<String, String>,
    tagged: bool,
}

/// Whether a rendering ends where the assistant starts to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationPrompt {
    /// It does: for generating.
    Add,
    /// It ends after the last message: for training.
    Omit,
}

/// Characters that enclose what `{% generation %}` blocks give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpanMarks {
    pub(crate) open: char,
    pub(crate) close: char,
}

/// A chat template that could not be compiled or rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not Jinja, or uses what no chat template uses.
    #[error("cannot compile the chat template")]
    Compile(#[source] Error),
    /// It refused the conversation: many templates insist on alternating roles.
    #[error("cannot render the chat template")]
    Render(#[source] Error),
}

impl ChatTemplate {
    /// Compiles a template; `special_tokens` are its variables, such as `bos_token`.
    pub fn new(source: &str, special_tokens: BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let tagged = GENERATION.is_match(source);
        let compiled = GENERATION.replace_all(source, |tag: &regex::Captures<'_>| {
            let (open, close) = (tag.get(1).map_or("", |m| m.as_str()), tag.get(3).map_or("", |m| m.as_str()));
            let word = if tag.get(2).is_some() { "endfilter".to_owned() } else { format!("filter {SPAN_FILTER}") };
            format!("{{%{open} {word} {close}%}}")
        });
        let mut environment = environment().map_err(TemplateError::Compile)?;
        environment.add_template_owned(NAME, compiled.into_owned()).map_err(TemplateError::Compile)?;
        Ok(Self { environment, source: source.to_owned(), special_tokens, tagged })
    }

    /// Returns the text that `apply_chat_template(..., tokenize=False)` returns.
    pub fn render(&self, messages: &[Message], prompt: GenerationPrompt) -> Result<String, TemplateError> {
        self.render_with(messages, prompt, None)
    }

    /// Renders a whole conversation with the text of every `{% generation %}` block between marks.
    pub(crate) fn render_marked(&self, messages: &[Message], marks: SpanMarks) -> Result<String, TemplateError> {
        self.render_with(messages, GenerationPrompt::Omit, Some(marks))
    }

    /// Whether the template itself says what the assistant's words are.
    pub fn is_tagged(&self) -> bool {
        self.tagged
    }

    /// The Jinja source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Digest of the source and the special tokens: 32 hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut bytes = self.source.clone().into_bytes();
        for (name, token) in &self.special_tokens {
            bytes.extend(format!("\0{name}\0{token}").into_bytes());
        }
        format!("{:032x}", xxh3_128(&bytes))
    }

    fn render_with(
        &self,
        messages: &[Message],
        prompt: GenerationPrompt,
        marks: Option<SpanMarks>,
    ) -> Result<String, TemplateError> {
        let conversation = context! {
            messages => Serde(messages),
            tools => Value::from(()),
            documents => Value::from(()),
            add_generation_prompt => prompt == GenerationPrompt::Add,
            flow_marks => marks.map(|marks| vec![marks.open.to_string(), marks.close.to_string()]),
        };
        let variables = context! { ..conversation, ..Value::from(Serde(&self.special_tokens)) };
        self.environment.get_template(NAME).and_then(|template| template.render(variables)).map_err(TemplateError::Render)
    }
}

fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(python_formatter);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_test("iterable", is_iterable);
    environment.add_filter("tojson", to_json);
    environment.add_filter(SPAN_FILTER, mark_span);
    Ok(environment)
}

/// Python cannot iterate over `None`, and templates ask so whether there are tools.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// Python prints its constants with a capital.
fn python_formatter(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        ValueKind::None => Ok(out.write_str("None")?),
        _ => escape_formatter(out, state, value),
    }
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, NOW)
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, "unknown date format").with_source(e))
}

fn mark_span(state: &State<'_, '_>, text: &str) -> Result<String, Error> {
    let Some(marks) = state.lookup(MARKS).filter(|marks| marks.kind() == ValueKind::Seq) else {
        return Ok(text.to_owned());
    };
    Ok(format!("{}{text}{}", marks.get_item_by_index(0)?, marks.get_item_by_index(1)?))
}

/// Python's `json.dumps` with `ensure_ascii=False`: no HTML escapes, a space after each comma and colon.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands a filter its options by value")]
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let sorted: Option<bool> = options.get("sort_keys")?;
    options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let failed = |e| Error::new(ErrorKind::InvalidOperation, "cannot serialize to JSON").with_source(e);
    let mut json = serde_json::to_value(value).map_err(failed)?;
    if sorted == Some(true) {
        json.sort_all_objects();
    }
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let indent = " ".repeat(width);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        }
        None => json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, PythonFormatter)),
    };
    written.map_err(failed)?;
    String::from_utf8(bytes).map_err(|e| Error::new(ErrorKind::InvalidOperation, "JSON is not UTF-8").with_source(e))
}

/// `json.dumps` without an indent.
struct PythonFormatter;

impl serde_json::ser::Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = r"{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn template(source: &str) -> ChatTemplate {
        let tokens = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
        ChatTemplate::new(source, tokens).expect("the template compiles")
    }

    fn conversation(turns: &[(&str, &str)]) -> Vec<Message> {
        turns.iter().map(|(role, content)| Message { role: (*role).to_owned(), content: (*content).to_owned() }).collect()
    }

    fn show(source: &str) -> String {
        let messages = conversation(&[("user", " a<b>é "), ("assistant", "yes")]);
        template(source).render(&messages, GenerationPrompt::Omit).expect("the template renders")
    }

    #[test]
    fn chatml_ends_with_the_generation_prompt_when_asked() {
        let messages = conversation(&[("user", "Hi")]);
        let template = template(CHATML);
        let asked = template.render(&messages, GenerationPrompt::Add).expect("it renders");
        assert_eq!(asked, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
        let closed = template.render(&messages, GenerationPrompt::Omit).expect("it renders");
        assert_eq!(closed, "<|im_start|>user\nHi<|im_end|>\n");
    }

    // The expected texts below are what jinja2 3.1.6 gives in the environment of transformers 5.23.
    #[test]
    fn blocks_are_trimmed_as_in_jinja2() {
        assert_eq!(show("  {% if true %}\n x\n  {% endif %}\ny\n"), " x\ny");
        assert_eq!(show("{%- for m in messages -%}\n {{ m.role }} \n{%- endfor %}"), "userassistant");
    }

    #[test]
    fn python_methods_slices_and_constants_work() {
        assert_eq!(show("{{ messages[0].content.strip().split('<')[0] }}"), "a");
        assert_eq!(show("{{ messages[1:] | length }}{{ messages[0].content.startswith(' a') }}{{ none }}"), "1TrueNone");
        assert_eq!(show("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}"), "user");
        assert_eq!(
            show("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"),
            "2"
        );
        assert_eq!(
            show("{{ bos_token }}{{ tools is none }}{{ tools is iterable }}{{ messages is iterable }}{{ missing }}"),
            "<s>TrueFalseTrue"
        );
    }

    #[test]
    fn json_is_written_as_by_python() {
        assert_eq!(show("{{ messages[0] | tojson }}"), r#"{"role": "user", "content": " a<b>é "}"#);
        assert_eq!(
            show("{{ {'b': [1, true], 'a': none} | tojson(indent=2) }}"),
            "{\n  \"b\": [\n    1,\n    true\n  ],\n  \"a\": null\n}"
        );
        assert_eq!(show("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}"), r#"{"a": 2, "b": 1}"#);
    }

    #[test]
    fn the_clock_stands_still() {
        assert_eq!(show("{{ strftime_now('%d %b %Y') }}"), "26 Jul 2024");
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let refused = template("{{ raise_exception('roles must alternate') }}").render(&[], GenerationPrompt::Omit);
        let Err(TemplateError::Render(cause)) = refused else { panic!("it must refuse, got {refused:?}") };
        assert!(cause.to_string().contains("roles must alternate"), "{cause}");
    }

    #[test]
    fn generation_tags_leave_no_trace_but_marks() {
        let source = "{% for m in messages %}[{{ m.role }}]\n{%- if m.role == 'assistant' %}\n\
            {%- generation -%}\n {{ m.content }}!\n{%- endgeneration -%}\n{% else %}{{ m.content }}{% endif %}{% endfor %}";
        let template = template(source);
        let messages = conversation(&[("user", "q"), ("assistant", "a")]);
        assert!(template.is_tagged());
        assert_eq!(template.render(&messages, GenerationPrompt::Omit).expect("it renders"), "[user]q[assistant]a!");
        let marks = SpanMarks { open: '\u{FDD0}', close: '\u{FDD1}' };
        let marked = template.render_marked(&messages, marks).expect("it renders");
        assert_eq!(marked, "[user]q[assistant]\u{FDD0}a!\u{FDD1}");
    }

    #[test]
    fn the_digest_depends_on_the_source_and_the_tokens() {
        let other = ChatTemplate::new("x", BTreeMap::new()).expect("it compiles");
        assert_ne!(template("x").digest(), other.digest());
        assert_ne!(template("x").digest(), template("y").digest());
        assert_eq!(template("x").digest(), template("x").digest());
    }
}
