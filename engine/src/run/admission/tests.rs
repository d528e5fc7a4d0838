use std::{collections::BTreeMap, path::Path};

use super::*;
use crate::{
    settings::{Cards, MachineSettings},
    store::{Process, Store},
    units::Size,
};

fn admission(store: &Path) -> Arc<Admission> {
    let machine = Machine::this(&MachineSettings {
        cpus: Some(4),
        mem: Some(Size::gib(8)),
        gpus: Some(Cards::Named(vec!["GPU-a".into(), "GPU-b".into()])),
        vram: Some(Size::gib(24)),
        tokens: BTreeMap::from([("licence".to_owned(), 2)]),
    });
    Arc::new(Admission::new(machine, Store::open(store).unwrap().slots(), store.to_owned()))
}

fn owner(token: &str) -> Owner {
    Owner {
        token: token.to_owned(),
        epoch: 0,
        lease: token.to_owned(),
        run: "r".to_owned(),
        stage: "s".to_owned(),
        directory: PathBuf::new(),
        process: Process::current(),
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    store: PathBuf,
    admission: Arc<Admission>,
    answers: Arc<Mutex<Vec<(String, Grant)>>>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        Self { admission: admission(&store), store, _folder: folder, answers: Arc::default() }
    }

    /// Asks in the background; what is granted is noted under the name.
    fn ask(&self, name: &str, (remaining, rank): (u64, usize), demand: Resources) {
        let (admission, answers, name) = (self.admission.clone(), self.answers.clone(), name.to_owned());
        tokio::spawn(async move {
            let grant = admission.ask(Turn::new(remaining, rank), (demand, owner(&name)), None).await.unwrap();
            answers.lock().unwrap().push((name, grant));
        });
    }

    /// The stages that run once everything has settled, in the order of their start.
    async fn running(&self) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(80)).await;
        self.answers.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    fn end(&self, name: &str) {
        let ended: Vec<_> = {
            let mut answers = self.answers.lock().unwrap();
            let (ended, left) = answers.drain(..).partition(|(other, _)| other == name);
            *answers = left;
            ended
        };
        assert_eq!(ended.len(), 1, "{name} does not run");
    }
}

#[tokio::test]
async fn the_longest_way_comes_first_and_then_the_order_of_the_file() {
    let bench = Bench::new();
    let looking = bench.admission.looking();
    for (name, remaining, rank) in [("short", 1, 0), ("late", 9, 3), ("long", 9, 1)] {
        bench.ask(name, (remaining, rank), Resources::cpus(4));
    }
    // All of them ask, within the moment that they wait for a stage that is looked up.
    tokio::task::yield_now().await;
    drop(looking);
    assert_eq!(bench.running().await, ["long"]);
    bench.end("long");
    assert_eq!(bench.running().await, ["late"]);
    bench.end("late");
    assert_eq!(bench.running().await, ["short"]);
}

#[tokio::test]
async fn a_stage_that_does_not_fit_is_overtaken_only_by_those_that_need_nothing_it_waits_for() {
    let bench = Bench::new();
    bench.ask("three", (9, 0), Resources::cpus(3));
    assert_eq!(bench.running().await, ["three"]);
    bench.ask("two", (8, 1), Resources::cpus(2));
    bench.ask("one", (7, 2), Resources::cpus(1));
    bench.ask("all", (6, 3), Resources::all_cpus());
    assert_eq!(bench.running().await, ["three", "all"]);
    bench.end("three");
    assert_eq!(bench.running().await, ["all", "two", "one"]);
}

#[tokio::test]
async fn memory_is_a_consumable_and_one_big_stage_runs_at_a_time() {
    let bench = Bench::new();
    let memory = |gib| Resources { mem: Size::gib(gib), ..Resources::one_cpu() };
    bench.ask("five", (9, 0), memory(5));
    bench.ask("four", (8, 1), memory(4));
    bench.ask("all", (7, 2), Resources::all_cpus());
    bench.ask("more", (6, 3), Resources::all_cpus());
    assert_eq!(bench.running().await, ["five", "all"]);
    bench.end("all");
    assert_eq!(bench.running().await, ["five", "more"]);
    bench.end("five");
    assert_eq!(bench.running().await, ["more", "four"]);
}

#[tokio::test]
async fn cards_and_tokens_are_leased_across_engines() {
    let bench = Bench::new();
    let other = admission(&bench.store);
    let cards = |gpus| Resources { gpus, ..Resources::one_cpu() };
    let licences = |count| Resources { tokens: BTreeMap::from([("licence".to_owned(), count)]), ..Resources::one_cpu() };
    let theirs = other.ask(Turn::new(1, 0), (cards(1), owner("theirs")), None).await.unwrap();
    assert_eq!(theirs.cards(), ["GPU-a"]);
    let licensed = other.ask(Turn::new(1, 1), (licences(1), owner("licensed")), None).await.unwrap();
    bench.ask("both", (9, 0), cards(2));
    bench.ask("licences", (8, 1), licences(2));
    bench.ask("licence", (1, 2), Resources { vram: Size::gib(24), ..licences(1) });
    assert_eq!(bench.running().await, Vec::<String>::new());
    drop((theirs, licensed));
    tokio::time::sleep(LOOK_AGAIN * 2).await;
    assert_eq!(bench.running().await, ["both", "licences"]);
    assert_eq!(bench.answers.lock().unwrap()[0].1.cards(), ["GPU-a", "GPU-b"]);
}

#[tokio::test]
async fn the_lease_of_a_dead_process_is_free() {
    let bench = Bench::new();
    let demand = Resources { gpus: 2, ..Resources::one_cpu() };
    let mut dead = owner("dead");
    dead.process.started += 1;
    let kept = admission(&bench.store).ask(Turn::new(1, 0), (demand.clone(), dead), None).await.unwrap();
    std::mem::forget(kept);
    bench.ask("next", (1, 0), demand);
    assert_eq!(bench.running().await, ["next"]);
}

#[tokio::test]
async fn a_stage_that_no_longer_waits_holds_up_nobody() {
    let bench = Bench::new();
    bench.ask("three", (9, 0), Resources::cpus(3));
    assert_eq!(bench.running().await, ["three"]);
    let asked = bench.admission.ask(Turn::new(8, 1), (Resources::cpus(4), owner("gone")), None);
    assert!(tokio::time::timeout(Duration::from_millis(60), asked).await.is_err());
    assert_eq!(bench.admission.lacks(&Resources::cpus(4)), "cores");
    bench.ask("one", (1, 2), Resources::cpus(1));
    assert_eq!(bench.running().await, ["three", "one"]);
}

#[tokio::test]
async fn room_on_the_disk_that_will_never_be_there_is_an_error() {
    let bench = Bench::new();
    let demand = Resources { disk: Size::bytes(1 << 60), ..Resources::one_cpu() };
    let refused = bench.admission.ask(Turn::new(1, 0), (demand, owner("big")), None).await.map(drop);
    let error = refused.unwrap_err();
    assert!(error.message.contains("of disk and") && error.help.is_some(), "{error}");
}
