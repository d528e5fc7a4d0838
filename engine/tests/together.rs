//! Many runs at once: one store, several projects, a collector that never rests, and engines and stages that are killed.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use flow_engine::{
    Digest,
    run::{Event, History, Outcome, StageStatus},
    store::{Company, Depth, GcOptions, Store, failpoint},
};
use serde_json::{Value, json};
use support::{Lab, digests, ran};

#[test]
fn role() {
    support::play_role();
}

fn flow() -> Value {
    let sleep = |text: &str| json!({"uses": "toy/sleep@1", "in": {"in": "judge.report"}, "with": {"steps": 3, "millis": 15, "text": text}});
    json!({
        "data": {"uses": "toy/emit@1", "with": {"text": "abc", "times": 1000}},
        "judge": {"uses": "toy/judge@1", "in": {"in": "data.out"}, "with": {"metrics": {"f1": 0.5}}},
        "a": sleep("a"), "b": sleep("b"), "c": sleep("c"),
        "all": {"uses": "toy/concat@1", "in": {"parts": ["a.out", "b.out", "c.out", "data.out"]}},
    })
}

/// T4: each key is computed once, and the collector takes nothing from anybody.
#[test]
fn eight_runs_on_two_projects_beside_a_collector_compute_each_key_once() {
    let undisturbed = digests(&Lab::new().run(&flow()));
    let one = Lab::new();
    let two = one.beside();
    for lab in [&one, &two] {
        lab.write(&flow());
    }
    let store = Store::open_writable(&one.store).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                let referenced = History::referenced_in(&store).unwrap();
                let eager = GcOptions { older_than: Duration::ZERO, grace: Duration::ZERO, ..GcOptions::default() };
                store.collect(&GcOptions { referenced, trash_for: Duration::ZERO, ..eager }).unwrap();
                rounds += 1;
            }
            rounds
        });
        let mut engines: Vec<Child> = (0..8).map(|index| [&one, &two][index % 2].engine(None, &[])).collect();
        let ended: Vec<bool> = engines.iter_mut().map(|engine| engine.wait().unwrap().success()).collect();
        done.store(true, Ordering::Relaxed);
        assert_eq!(ended, [true; 8]);
        assert!(collector.join().unwrap() > 0);
    });
    let mut computed: BTreeMap<Digest, u32> = BTreeMap::new();
    for lab in [&one, &two] {
        let history = History::of(&lab.project());
        for run in history.runs() {
            for entry in history.entries(run).unwrap() {
                if let Event::StageSucceeded { key, .. } = entry.event {
                    *computed.entry(key).or_default() += 1;
                }
            }
        }
        assert_eq!(history.runs().len(), 4);
        assert_eq!(digests(&lab.run(&flow())), undisturbed);
    }
    assert!(computed.len() == 6 && computed.values().all(|times| *times == 1), "{computed:?}");
    assert!(store.verify(Depth::Full).unwrap().is_clean());
}

#[test]
fn who_does_not_wait_computes_as_well_and_the_first_result_stays() {
    let one = Lab::new();
    let two = one.beside();
    let slow = json!({"slow": {"uses": "toy/sleep@1", "with": {"steps": 1, "millis": 1500, "text": "t"}}});
    for lab in [&one, &two] {
        lab.write(&slow);
    }
    let summaries: Vec<_> = std::thread::scope(|scope| {
        let first = scope.spawn(|| one.execute(&one.start(None), |_| {}).unwrap());
        one.wait_for("slow", |stage| stage.status == StageStatus::Running);
        let second = two.execute(&two.start(None), |options| options.company = Company::Beside).unwrap();
        vec![first.join().unwrap(), second]
    });
    assert!(summaries.iter().all(|summary| summary.outcome == Outcome::Succeeded && ran(summary, "slow")));
    assert_eq!(digests(&summaries[0]), digests(&summaries[1]));
    assert!(fs::read_dir(one.store.join("res")).unwrap().all(|entry| entry.unwrap().file_name() == "lock"));
    assert!(fs::read_dir(one.store.join("lease")).unwrap().next().is_none());
}

/// A collector that dies at any step has lost nothing.
#[test]
fn a_collector_that_is_killed_at_any_step_loses_nothing() {
    let lab = Lab::new();
    let first = lab.run(&flow());
    let store = Store::open(&lab.store).unwrap();
    for site in failpoint::COLLECT_SITES {
        let status = lab.collector(&[(failpoint::VARIABLE, &format!("{site}:abort"))]).wait().unwrap();
        assert!(!status.success(), "{site}");
        assert!(store.verify(Depth::Full).unwrap().damaged.is_empty(), "{site}");
        assert_eq!(digests(&lab.run(&flow())), digests(&first), "{site}");
    }
}

/// A small generator of numbers, so that a campaign can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Processes that an engine started.
fn children(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let parent_of = |pid: u32| stat(pid)?.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn kill(pid: u32) {
    // One that ended a moment ago was faster.
    Command::new("kill").args(["-9", &pid.to_string()]).stderr(std::process::Stdio::null()).status().unwrap();
}

/// Starts or goes on with a run and kills the engine, a stage, or both after a while. True when somebody was hit.
fn strike(lab: &Lab, dice: &mut Dice) -> bool {
    let history = History::of(&lab.project());
    let latest = history.find("latest").ok().filter(|run| history.load(*run).is_ok());
    let mut engine = lab.engine(latest.filter(|_| dice.below(2) == 0), &[]);
    std::thread::sleep(Duration::from_millis(dice.below(250)));
    let stages = children(engine.id());
    let stage = stages.get(usize::try_from(dice.below(64)).unwrap() % stages.len().max(1)).copied();
    let hit = engine.try_wait().unwrap().is_none();
    match (dice.below(3), stage) {
        (0, Some(stage)) => kill(stage),
        (1, Some(stage)) => {
            kill(engine.id());
            kill(stage);
        }
        _ => kill(engine.id()),
    }
    // An engine that lost a stage may end by itself; one that waits for a living stage may as well be stopped here.
    std::thread::sleep(Duration::from_millis(dice.below(50)));
    engine.kill().unwrap();
    engine.wait().unwrap();
    hit
}

/// T2: kills at random times; every workflow ends with the bytes of an undisturbed one, and nobody unlocks anything.
/// `FLOW_KILLS` and `FLOW_SEED` make it longer and another one.
#[test]
fn a_campaign_of_kills_changes_nothing() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (kills, seed) = (number("FLOW_KILLS", 200), number("FLOW_SEED", 20_261_124));
    let undisturbed = digests(&Lab::new().run(&flow()));
    let mut dice = Dice(seed.max(1));
    let (mut hits, mut rounds) = (0, 0);
    while hits < kills {
        let lab = Lab::new();
        lab.write(&flow());
        for _ in 0..=dice.below(9) {
            hits += u64::from(strike(&lab, &mut dice));
        }
        let ended = lab.run(&flow());
        assert_eq!(ended.outcome, Outcome::Succeeded, "seed {seed}, {hits} kills");
        assert_eq!(digests(&ended), undisturbed, "seed {seed}, {hits} kills");
        let verified = Store::open(&lab.store).unwrap().verify(Depth::Full).unwrap();
        assert!(verified.is_clean(), "seed {seed}, {hits} kills: {verified:?}");
        rounds += 1;
    }
    eprintln!("{hits} kills in {rounds} workflows (seed {seed}): every output as undisturbed, every store clean");
}
