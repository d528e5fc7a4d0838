//! From YAML events to a [`Node`] tree. Bounded: depth, nodes that aliases copy, and the size of the file.

use std::{collections::HashMap, sync::Arc};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::{
    Node, NodeValue, Problem, Problems, SourceText, Span,
    scalar::{self, Unrepresentable},
    tree::Entry,
};

/// Lists and mappings inside each other, at most.
const DEPTH: usize = 64;
/// Nodes that all aliases of a file may copy.
const ALIAS_NODES: usize = 100_000;

/// Parses one document. Problems that do not end the parse are added; the one that does is also added and gives none.
pub(crate) fn parse(file: &Arc<SourceText>, problems: &mut Problems) -> Option<Node> {
    let options = granit_parser::options! { emit_comments: false, flow_nesting_limit: DEPTH, block_nesting_limit: DEPTH };
    let parser = Parser::new_from_str_with_options(file.text(), options);
    let mut reader = Reader { file, parser, anchors: HashMap::new(), copied: 0, problems };
    match reader.document() {
        Ok(node) => Some(node),
        Err(problem) => {
            problems.add(*problem);
            None
        }
    }
}

struct Reader<'t, 'p> {
    file: &'t Arc<SourceText>,
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Anchor>,
    copied: usize,
    problems: &'p mut Problems,
}

/// Where the keys of one mapping were written first. A short mapping is searched, a long one indexed.
#[derive(Default)]
struct Seen {
    places: HashMap<String, usize>,
}

impl Seen {
    /// Longest mapping that is searched.
    const SHORT: usize = 16;

    fn first(&mut self, key: &str, entries: &[Entry]) -> Option<Span> {
        if entries.len() <= Self::SHORT {
            return entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_span);
        }
        for (place, entry) in entries.iter().enumerate().skip(self.places.len()) {
            self.places.insert(entry.key.clone(), place);
        }
        self.places.get(key).and_then(|place| entries.get(*place)).map(|entry| entry.key_span)
    }
}

struct Anchor {
    node: Node,
    nodes: usize,
    depth: usize,
}

type Parsed<T> = Result<T, Box<Problem>>;

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Parsed<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => return Err(self.second_document(span).into()),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span)?),
            }
        }
        match root {
            Some(Node { value: NodeValue::Null, .. }) | None => Err(self.empty().into()),
            Some(node) => Ok(node),
        }
    }

    fn next(&mut self) -> Parsed<(Event<'t>, Span)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, bytes(span))),
            Some(Err(error)) => Err(self.syntax(&error).into()),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Parsed<Node> {
        match event {
            Event::Alias(id) => self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, (tag.as_deref(), span));
                Ok(self.anchored(anchor, Node { span, value }))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                let node = self.list(span)?;
                Ok(self.anchored(anchor, node))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                let node = self.mapping(span)?;
                Ok(self.anchored(anchor, node))
            }
            _ => Err(self.problem(SYNTAX, span, "expected a value here", "write a value, or remove the key").into()),
        }
    }

    fn list(&mut self, start: Span) -> Parsed<Node> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                items.shrink_to_fit();
                return Ok(Node { span: Span::new(start.start, span.end), value: NodeValue::List(items) });
            }
            items.push(self.node(event, span)?);
        }
    }

    fn mapping(&mut self, start: Span) -> Parsed<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = Seen::default();
        loop {
            let (event, key_span) = self.next()?;
            let key = match event {
                Event::MappingEnd => {
                    entries.shrink_to_fit();
                    return Ok(Node { span: Span::new(start.start, key_span.end), value: NodeValue::Map(entries) });
                }
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.problem(KEY, key_span, "a key must be a plain word", "write `key: value`").into()),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            if key == "<<" {
                self.merge_key(key_span);
            } else if let Some(first) = seen.first(&key, &entries) {
                self.duplicate_key(&key, key_span, first);
            } else {
                entries.push(Entry { key, key_span, value });
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: (Option<&Tag>, Span)) -> NodeValue {
        let (tag, span) = place;
        self.check_tag(tag, span);
        if style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str")) {
            return NodeValue::Text(text.to_owned());
        }
        scalar::plain(text).unwrap_or_else(|reason| {
            let (message, help) = match reason {
                Unrepresentable::Integer => {
                    ("the integer does not fit 64 bits", "use a smaller number, or quote it to make it a text")
                }
                Unrepresentable::Float => ("the number is not finite", "use a finite number, or quote it to make it a text"),
            };
            let problem = self.problem("flow::workflow::number", span, message, help);
            self.problems.add(problem);
            NodeValue::Broken
        })
    }

    fn anchored(&mut self, anchor: usize, node: Node) -> Node {
        if anchor > 0 {
            let (nodes, depth) = measure(&node);
            self.anchors.insert(anchor, Anchor { node: node.clone(), nodes, depth });
        }
        node
    }

    fn alias(&mut self, id: usize, span: Span) -> Parsed<Node> {
        let Some(anchor) = self.anchors.get(&id) else {
            let help = "an alias cannot stand inside the value it names";
            return Err(self.problem("flow::workflow::alias", span, "the alias names a value that is not complete", help).into());
        };
        self.copied += anchor.nodes;
        if self.copied > ALIAS_NODES || anchor.depth > DEPTH {
            let message = format!("the aliases of this file copy more than {ALIAS_NODES} values or nest deeper than {DEPTH}");
            return Err(self.problem("flow::workflow::alias", span, &message, "write the values out, or use a component").into());
        }
        Ok(anchor.node.clone())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, span: Span) {
        let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) else { return };
        let message = format!("unknown tag `{}`", tag.original());
        let problem = self.problem("flow::workflow::tag", span, &message, "remove the tag; values are typed by their stage");
        self.problems.add(problem);
    }

    fn merge_key(&mut self, span: Span) {
        let help = "repeat the keys, put shared settings under `defaults:`, or make a component";
        let problem = self.problem("flow::workflow::merge_key", span, "merge keys are not part of YAML 1.2", help);
        self.problems.add(problem);
    }

    fn duplicate_key(&mut self, key: &str, span: Span, first: Span) {
        let line = self.file.position(first.start).line;
        let message = format!("key `{key}` is written twice, first on line {line}");
        let problem = self.problem("flow::workflow::duplicate_key", span, &message, "remove one of the two, or rename it");
        self.problems.add(problem);
    }

    fn second_document(&self, span: Span) -> Problem {
        let help = "put every workflow in a file of its own and remove the second `---`";
        self.problem("flow::workflow::documents", span, "the file holds more than one document", help)
    }

    fn empty(&self) -> Problem {
        let help = "begin with `flow: 1`, a `name:`, and `stages:`";
        self.problem("flow::workflow::empty", Span::default(), "the file holds no workflow", help)
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = error.marker().byte_offset().unwrap_or_default().min(self.file.text().len());
        let end = self.file.text().get(at..).and_then(|rest| rest.chars().next()).map_or(at, |letter| at + letter.len_utf8());
        let (code, help) = match error.kind() {
            ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => (SYNTAX, "indent with spaces, not with tabs"),
            ErrorKind::UnknownAnchor => ("flow::workflow::alias", "define it with `&name` before it is used"),
            _ if self.indented_by_tab(at) => (SYNTAX, "indent with spaces, not with tabs"),
            _ => (SYNTAX, "look for a missing colon, quote, or bracket here or on the line before"),
        };
        let message = format!("cannot parse the file: {}", lower_first(&error.info()));
        self.problem(code, Span::new(at, end), &message, help)
    }

    fn indented_by_tab(&self, at: usize) -> bool {
        let line = self.file.text().get(..at).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
        line.chars().take_while(|letter| letter.is_whitespace()).any(|letter| letter == '\t')
    }

    fn problem(&self, code: &'static str, span: Span, message: &str, help: &str) -> Problem {
        Problem {
            code,
            message: message.to_owned(),
            file: self.file.clone(),
            span,
            label: "here".to_owned(),
            help: help.to_owned(),
        }
    }
}

const SYNTAX: &str = "flow::workflow::syntax";
const KEY: &str = "flow::workflow::key";

fn bytes(span: granit_parser::Span) -> Span {
    let start = span.start.byte_offset().unwrap_or_default();
    Span::new(start, span.end.byte_offset().unwrap_or(start))
}

/// How many nodes a tree has and how deep it is.
fn measure(node: &Node) -> (usize, usize) {
    let fold = |(nodes, depth): (usize, usize), child: (usize, usize)| (nodes + child.0, depth.max(child.1 + 1));
    match &node.value {
        NodeValue::List(items) => items.iter().map(measure).fold((1, 1), fold),
        NodeValue::Map(entries) => entries.iter().map(|entry| measure(&entry.value)).fold((1, 1), fold),
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::Text(_) | NodeValue::Broken => (1, 1),
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::registry::PathStep;

    fn read(text: &str) -> Result<Node, Vec<Problem>> {
        let mut problems = Problems::default();
        let node = parse(&SourceText::new("test.yaml", text), &mut problems);
        match node {
            Some(node) if problems.is_empty() => Ok(node),
            _ => Err(problems.into_sorted()),
        }
    }

    fn codes(text: &str) -> Vec<&'static str> {
        read(text).unwrap_err().iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn every_scalar_and_key_knows_its_bytes() {
        let text = "stages:\n  a: {uses: toy/emit@1, with: {text: ünï}}\n  b:\n    - 'x'\n";
        let root = read(text).unwrap();
        let key = |name: &str| PathStep::Key(name.to_owned());
        let place = root.place(&[key("stages"), key("a"), key("with"), key("text")]);
        assert_eq!(&text[place.value.start..place.value.end], "ünï");
        assert_eq!(place.key.map(|span| &text[span.start..span.end]), Some("text"));
        let item = root.place(&[key("stages"), key("b"), PathStep::Index(0)]);
        assert_eq!(&text[item.value.start..item.value.end], "'x'");
        let missing = root.place(&[key("stages"), key("a"), key("nothing")]);
        assert_eq!(&text[missing.pointer().start..missing.pointer().end], "a");
    }

    #[test]
    fn aliases_copy_their_values() {
        let root = read("a: &x {k: [1, 2]}\nb: *x\n").unwrap();
        assert_eq!(root.get("a"), root.get("b"));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            writeln!(bomb, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", ")).unwrap();
        }
        assert_eq!(codes(&bomb), ["flow::workflow::alias"]);
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for level in 1..200 {
            writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
        }
        assert_eq!(codes(&chain), ["flow::workflow::alias"]);
        assert_eq!(codes("a: &a [*a]\n"), ["flow::workflow::alias"]);
        assert_eq!(codes("a: *nowhere\n"), ["flow::workflow::alias"]);
    }

    #[test]
    fn what_yaml_allows_and_a_workflow_does_not_is_refused() {
        assert_eq!(codes("a: 1\nb: 2\na: 3\n"), ["flow::workflow::duplicate_key"]);
        assert_eq!(codes("a: &a {x: 1}\nb:\n  <<: *a\n"), ["flow::workflow::merge_key"]);
        assert_eq!(codes("a: !secret x\n"), ["flow::workflow::tag"]);
        assert_eq!(codes("a: 1\n---\nb: 2\n"), ["flow::workflow::documents"]);
        assert_eq!(codes("? [a]\n: 1\n"), ["flow::workflow::key"]);
        for empty in ["", "\n", "# nothing\n", "---\n", "~\n"] {
            assert_eq!(codes(empty), ["flow::workflow::empty"], "{empty:?}");
        }
        assert_eq!(codes(&"[".repeat(5000)), ["flow::workflow::syntax"]);
        assert_eq!(codes("a: 99999999999999999999\nb: .inf\n"), ["flow::workflow::number", "flow::workflow::number"]);
    }

    #[test]
    fn tabs_are_named() {
        let problems = read("stages:\n\ta: 1\n").unwrap_err();
        assert!(problems[0].help.contains("tabs"), "{:?}", problems[0]);
        assert_eq!(problems[0].file.position(problems[0].span.start).line, 2);
    }

    /// The values of a tree that both readers write alike: the other reads some words as older YAML did.
    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i32>().prop_map(serde_json::Value::from),
            "[ -~äß漢]{0,12}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-z]{1,5}", inner, 1..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\PC\n\t]{0,80}") {
            let told = read(&text).err().is_none_or(|problems| !problems.is_empty());
            prop_assert!(told);
        }

        #[test]
        fn what_another_writer_writes_is_read_the_same(value in values().prop_filter("a document", |value| !value.is_null())) {
            let text = serde_yaml::to_string(&value).unwrap();
            let node = read(&text).map_err(|problems| TestCaseError::fail(format!("{text}\n{problems:?}")))?;
            prop_assert_eq!(node.to_json(), value);
        }
    }
}
