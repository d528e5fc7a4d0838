//! Adapters of every kind over every family: what ours gives under peft, and twelve steps of training against TRL.

use std::path::{Path, PathBuf};

use flow_model::{
    Adapter, AdapterKind, Checkpoint, Family, LoraConfig, Network, Padding, Pattern, Scaling, device, generator,
    rng::Rng,
    train::{Replay, Replayed, replay},
};
use flow_rows::TokenRow;
use serde_json::json;

use super::{
    Hearing,
    answers::{Answers, apart},
    read_json, text_of,
    training::{Step, options, product_difference},
};

/// Largest difference of a logit.
const LOGITS: f64 = 5e-6;
/// Largest difference of a step's loss, and of its gradient's norm as a share of it.
const STEPS: f64 = 1e-5;
/// Largest relative difference of the product of all pairs.
const PRODUCTS: f64 = 1e-3;
/// Largest difference of the trained length of a row; lengths are near one.
const LENGTHS: f64 = 1e-4;
/// What an adapter must move for the comparison to mean something.
const MOVED: f64 = 0.05;
const COUNT: usize = 12;
const BATCH: usize = 2;

/// Rows of a question that is not learned and an answer that is.
struct Rows(Vec<(Vec<u32>, Vec<i32>)>);

impl Rows {
    fn random(count: usize, vocabulary: usize) -> Self {
        let mut rng = Rng::new(11);
        let mut below = |bound: usize| usize::try_from(rng.next_u64() % bound as u64).expect("small");
        let row = |_| {
            let (question, answer) = (2 + below(5), 2 + below(5));
            let ids: Vec<u32> = (0..question + answer).map(|_| u32::try_from(below(vocabulary)).expect("small")).collect();
            let label = |(at, id): (usize, &u32)| if at < question { -100 } else { i32::try_from(*id).expect("small") };
            let labels = ids.iter().enumerate().map(label).collect();
            (ids, labels)
        };
        Self((0..count).map(row).collect())
    }

    /// The ids of a few rows.
    fn prompts(&self) -> impl Iterator<Item = &[u32]> {
        self.0.iter().take(3).map(|(ids, _)| ids.as_slice())
    }

    fn get(&self) -> Vec<TokenRow<'_>> {
        self.0.iter().map(|(input_ids, labels)| TokenRow { row_id: "", input_ids, labels }).collect()
    }
}

/// Models of a family, with a tokenizer beside them, because TRL asks for one.
fn models(hearing: &Hearing, family: Family, count: usize) -> Vec<PathBuf> {
    let (out, count_text) = (hearing.path(family.model_type()), count.to_string());
    let drawn = ["--family", family.model_type(), "--seed", "5", "--count", &count_text, "--tokenizer"];
    hearing.ask("families.py", &[&drawn[..], &["--out", text_of(&out)]].concat());
    (0..count).map(|index| out.join(format!("{}-{index}", family.model_type()))).collect()
}

/// One model of every family, but of Falcon, which has several architectures, so many.
fn one_of_each(hearing: &Hearing, falcons: usize) -> Vec<PathBuf> {
    let count = |family| if family == Family::Falcon { falcons } else { 1 };
    Family::ALL.into_iter().flat_map(|family| models(hearing, family, count(family))).collect()
}

/// A plain adapter over every projection, once it is laid over a network.
fn plain() -> LoraConfig {
    LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() }
}

/// One of each kind: rows with lengths of their own, the other scale, blocks and ranks by pattern, and everything at once.
fn variants() -> Vec<(&'static str, LoraConfig)> {
    let end = |text: &str| Pattern::end(text).expect("a pattern");
    let pattern = LoraConfig {
        only: Some(Pattern::whole(r".*\.0\..*(query|q|k|v|up|down|dense|4h).*").expect("a pattern")),
        ranks: vec![(end(r".*(down_proj|4h_to_h)"), 2)],
        alphas: vec![(end(r"\d.mlp.*"), 3.0)],
        ..plain()
    };
    let dora = LoraConfig { kind: AdapterKind::Dora, ..plain() };
    let all = LoraConfig { kind: AdapterKind::Dora, scaling: Scaling::RootOfRank, ..pattern.clone() };
    let root = LoraConfig { scaling: Scaling::RootOfRank, ..plain() };
    vec![("dora", dora), ("rslora", root), ("patterns", pattern), ("all", all)]
}

/// A model and the adapter that it is trained with.
struct Case<'a> {
    what: String,
    model: &'a Path,
    shape: LoraConfig,
}

impl<'a> Case<'a> {
    fn new(model: &'a Path, kind: &str, shape: LoraConfig) -> Self {
        let name = model.file_name().expect("a name").to_string_lossy();
        Self { what: format!("{name}-{kind}"), model, shape }
    }

    fn network(&self) -> Network {
        Network::load(self.model, &device::open("cpu").expect("a processor")).expect("loads")
    }

    /// Trains from a fresh adapter, which is left in `start`.
    fn train(&self, start: &Path, rows: &Rows, steps: usize) -> Replayed {
        let network = self.network();
        let targets = network.config().family.projections().iter().copied().collect();
        let config = LoraConfig { targets, ..self.shape.clone() };
        config.check(network.config()).expect("patterns fit");
        Adapter::fresh(config, &network, 7).save(start, "base").expect("saves");
        let rows = rows.get();
        let request =
            Replay { base: self.model, adapter: start, rows: &rows, batch: BATCH, steps, options: options(1e-2, steps) };
        replay(&request).expect("trains")
    }
}

#[test]
fn adapters_of_every_family_agree_with_peft() {
    let Some(hearing) = Hearing::open() else { return };
    // Every architecture of Falcon, with biases and without.
    let models = one_of_each(&hearing, 6);
    face_peft(&hearing, &models.iter().map(|model| Case::new(model, "lora", plain())).collect::<Vec<_>>());
}

#[test]
fn twelve_steps_of_every_family_agree_with_trl() {
    let Some(hearing) = Hearing::open() else { return };
    // Falcon 7B and 40B.
    let models = one_of_each(&hearing, 2);
    face_trl(&hearing, &models.iter().map(|model| Case::new(model, "lora", plain())).collect::<Vec<_>>());
}

#[test]
fn every_kind_of_adapter_agrees_with_peft_and_trl() {
    let Some(hearing) = Hearing::open() else { return };
    // A gated feed-forward part, biases of keys, and a fused projection.
    let models: Vec<PathBuf> =
        [Family::Llama, Family::Qwen2, Family::Falcon].iter().flat_map(|family| models(&hearing, *family, 1)).collect();
    let kinds = |model| variants().into_iter().map(move |(kind, shape)| Case::new(model, kind, shape));
    let cases: Vec<Case<'_>> = models.iter().flat_map(|model| kinds(model)).collect();
    face_peft(&hearing, &cases);
    face_trl(&hearing, &cases);
}

/// Holds the logits of trained adapters against those that peft computes from their folders.
fn face_peft(hearing: &Hearing, cases: &[Case<'_>]) {
    let questions: Vec<Question<'_>> = cases.iter().map(|case| Question::about(hearing, case)).collect();
    let arguments: Vec<Vec<String>> = questions.iter().map(Question::arguments).collect();
    hearing.ask_each("peft_logits.py", &arguments);
    for question in &questions {
        question.judge();
    }
}

/// What peft is asked about one trained adapter.
struct Question<'a> {
    case: &'a Case<'a>,
    rows: Rows,
    trained: PathBuf,
    asked: PathBuf,
    out: PathBuf,
}

impl<'a> Question<'a> {
    fn about(hearing: &Hearing, case: &'a Case<'a>) -> Self {
        let what = &case.what;
        let rows = Rows::random(BATCH * 4, case.network().config().vocab_size);
        let (trained, out) = (hearing.path(&format!("{what}-trained")), hearing.path(&format!("{what}.safetensors")));
        case.train(&hearing.path(&format!("{what}-start")), &rows, 20).adapter.save(&trained, "base").expect("saves");
        let prompts: Vec<&[u32]> = rows.prompts().collect();
        let asked = hearing.submit(&format!("{what}.json"), &prompts);
        Self { case, rows, trained, asked, out }
    }

    fn arguments(&self) -> Vec<String> {
        let paths = [self.case.model, &self.trained, &self.asked, &self.out];
        let named = ["--model", "--adapter", "--prompts", "--out"].into_iter().zip(paths);
        named.flat_map(|(name, path)| [name.to_owned(), text_of(path).to_owned()]).collect()
    }

    fn judge(&self) {
        let (what, network, answers) = (&self.case.what, self.case.network(), Answers::read(&self.out));
        let checkpoint = Checkpoint::open(self.case.model).expect("opens");
        let adapter = Adapter::load(&self.trained, network.config(), &network.device()).expect("the adapter fits");
        for (number, prompt) in self.rows.prompts().enumerate() {
            let want = answers.numbers(&format!("float32.{number}"));
            let moved = apart(&answers.numbers(&format!("base.{number}")), &want);
            assert!(moved >= MOVED, "{what}: the adapter moves logits by {moved:e} only");
            let (ids, cx) = network.batch(&[prompt], Padding::Right);
            let whole = network.logits(ids, &cx, Some(&adapter)).into_data().iter::<f32>().map(f64::from).collect();
            let decoder = generator::logits(&checkpoint, Some(&self.trained), prompt).expect("decodes");
            for (who, found) in [("network", whole), ("decoder", decoder.into_iter().map(f64::from).collect::<Vec<f64>>())] {
                let distance = apart(&found, &want);
                eprintln!("{what}, {who}: {distance:.1e} apart, moved {moved:.2}");
                assert!(distance <= LOGITS, "{what}: the {who} is {distance:e} apart");
            }
        }
    }
}

/// Holds every step of a training against TRL's from the same adapter.
fn face_trl(hearing: &Hearing, cases: &[Case<'_>]) {
    let trainings: Vec<Training<'_>> = cases.iter().map(|case| Training::of(hearing, case)).collect();
    let arguments: Vec<Vec<String>> = trainings.iter().map(|training| training.arguments.clone()).collect();
    hearing.ask_each("trl_steps.py", &arguments);
    for training in &trainings {
        training.judge();
    }
}

/// A training that was done here and is asked of TRL.
struct Training<'a> {
    case: &'a Case<'a>,
    ours: Replayed,
    theirs: PathBuf,
    arguments: Vec<String>,
}

impl<'a> Training<'a> {
    fn of(hearing: &Hearing, case: &'a Case<'a>) -> Self {
        let what = &case.what;
        let rows = Rows::random(COUNT * BATCH, case.network().config().vocab_size);
        let (start, theirs) = (hearing.path(&format!("{what}-trl-start")), hearing.path(&format!("{what}-trl")));
        let ours = case.train(&start, &rows, COUNT);
        let given: Vec<_> = rows.0.iter().map(|(ids, labels)| json!({"input_ids": ids, "labels": labels})).collect();
        let settings =
            json!({"steps": COUNT, "batch": BATCH, "accumulation": 1, "lr": 1e-2, "warmup_steps": 2, "schedule": "cosine"});
        let given = hearing.submit(&format!("{what}-rows.json"), &given);
        let settings = hearing.submit("settings.json", &settings);
        let paths = [case.model, &start, &given, &settings, &theirs];
        let named = ["--model", "--adapter", "--rows", "--settings", "--out"].into_iter().zip(paths);
        let arguments = named.flat_map(|(name, path)| [name.to_owned(), text_of(path).to_owned()]).collect();
        Self { case, ours, theirs, arguments }
    }

    fn judge(&self) {
        let (what, network) = (&self.case.what, self.case.network());
        let steps: Vec<Step> = read_json(&self.theirs.join("steps.json"));
        assert_eq!((self.ours.history.len(), steps.len()), (COUNT, COUNT));
        for (number, (our, their)) in self.ours.history.iter().zip(&steps).enumerate() {
            let (loss, norm) = ((our.loss - their.loss).abs(), (our.grad_norm - their.grad_norm).abs() / their.grad_norm);
            assert!(loss <= STEPS, "{what}, step {number}: loss {} is not {}", our.loss, their.loss);
            assert!(norm <= STEPS, "{what}, step {number}: gradient norm {} is not {}", our.grad_norm, their.grad_norm);
        }
        let theirs = Adapter::load(&self.theirs, network.config(), &network.device()).expect("PEFT's folder opens");
        let difference = product_difference(&self.ours.adapter, &theirs);
        eprintln!("{what}: product of all pairs {difference:.1e} apart");
        assert!(difference <= PRODUCTS, "{what}: {difference:e}");
        lengths(what, &self.ours.adapter, &theirs);
    }
}

/// Holds the trained lengths of rows against theirs.
fn lengths(what: &str, ours: &Adapter, theirs: &Adapter) {
    let magnitudes = |adapter: &Adapter| -> Vec<f64> {
        let vectors = adapter.parameters().filter(|(path, _)| path.ends_with("lora_magnitude_vector"));
        vectors.flat_map(|(_, vector)| vector.to_data().iter::<f32>().map(f64::from).collect::<Vec<_>>()).collect()
    };
    let (ours, theirs) = (magnitudes(ours), magnitudes(theirs));
    let distance = apart(&ours, &theirs);
    assert!(distance <= LENGTHS, "{what}: trained lengths are {distance:e} apart");
}
