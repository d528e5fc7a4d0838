//! What this machine has for stages: what the operating system says, unless `flow.toml` says otherwise.
//!
//! Limits of the control group this process lives in count as the machine. Graphics cards are asked for only when somebody
//! wants one, because their driver answers slowly.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    settings::{Cards, MachineSettings},
    units::Size,
};

/// The control groups of this process and where they are mounted.
const GROUPS: &str = "/proc/self/cgroup";
const MOUNTED: &str = "/sys/fs/cgroup";

/// One graphics card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What `CUDA_VISIBLE_DEVICES` calls it: its UUID, else its index.
    pub name: String,
    /// Its memory, where known.
    pub vram: Option<Size>,
}

/// Lists the graphics cards of the machine.
pub type ListCards = fn() -> Vec<Card>;

/// What stages may use of this machine.
#[derive(Debug)]
pub struct Machine {
    /// Processor cores.
    pub cpus: u32,
    /// Memory.
    pub mem: Size,
    /// How many of each named thing there are.
    pub tokens: BTreeMap<String, u32>,
    settings: MachineSettings,
    list: ListCards,
    cards: OnceLock<Vec<Card>>,
}

impl Machine {
    /// This machine, as its settings correct it.
    pub fn this(settings: &MachineSettings) -> Self {
        Self::with_cards(settings, from_driver)
    }

    /// A machine whose graphics cards `list` tells.
    pub fn with_cards(settings: &MachineSettings, list: ListCards) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
        Self {
            cpus: settings.cpus.unwrap_or_else(cores).max(1),
            mem: settings.mem.unwrap_or_else(memory),
            tokens: settings.tokens.clone(),
            settings: settings.clone(),
            list,
            cards: OnceLock::new(),
        }
    }

    /// Its graphics cards, in a fixed order.
    pub fn cards(&self) -> &[Card] {
        self.cards.get_or_init(|| corrected(&self.settings, self.list))
    }
}

fn corrected(settings: &MachineSettings, list: ListCards) -> Vec<Card> {
    let card = |name: &str, known: &[Card]| {
        let vram = known.iter().find(|card| card.name == name).and_then(|card| card.vram);
        Card { name: name.to_owned(), vram: settings.vram.or(vram) }
    };
    let known = if settings.gpus == Some(Cards::Count(0)) { Vec::new() } else { list() };
    match &settings.gpus {
        Some(Cards::Named(names)) => names.iter().map(|name| card(name, &known)).collect(),
        Some(Cards::Count(count)) => {
            // A card without a driver that names it goes by its index.
            let name = |index: usize| known.get(index).map_or_else(|| index.to_string(), |card| card.name.clone());
            (0..*count as usize).map(|index| card(&name(index), &known)).collect()
        }
        None => known.iter().map(|found| card(&found.name, &known)).collect(),
    }
}

/// What the driver of NVIDIA cards tells. A machine without it has none.
fn from_driver() -> Vec<Card> {
    let asked = Command::new("nvidia-smi").args(["--query-gpu=uuid,memory.total", "--format=csv,noheader,nounits"]).output();
    match asked {
        Ok(output) if output.status.success() => parse_cards(&String::from_utf8_lossy(&output.stdout)),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// Lines such as `GPU-8f3b…, 81559`, the memory in mebibytes.
fn parse_cards(text: &str) -> Vec<Card> {
    let card = |line: &str| {
        let (name, mebibytes) = line.split_once(',').unwrap_or((line, ""));
        let name = name.trim();
        let vram = mebibytes.trim().parse::<u64>().ok().map(|count| Size::bytes(count << 20));
        (!name.is_empty()).then(|| Card { name: name.to_owned(), vram })
    };
    text.lines().filter_map(card).collect()
}

/// The memory of the machine, or of the control group this process is confined to.
fn memory() -> Size {
    let total = meminfo("MemTotal").unwrap_or(u64::MAX);
    Size::bytes(limits().into_iter().fold(total, u64::min))
}

fn meminfo(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// The memory limits of this process's control group and of those around it.
fn limits() -> Vec<u64> {
    let groups = memory_groups(&fs::read_to_string(GROUPS).unwrap_or_default(), Path::new(MOUNTED));
    let around = groups.iter().flat_map(|group| group.ancestors().take_while(|folder| folder.starts_with(MOUNTED)));
    let files = around.flat_map(|folder| ["memory.max", "memory.limit_in_bytes"].map(|file| folder.join(file)));
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
}

/// The folders of the control groups that count memory, of both versions.
pub(crate) fn memory_groups(membership: &str, mounted: &Path) -> Vec<PathBuf> {
    let folder = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let path = path.trim_start_matches('/');
        match controllers {
            "" => [mounted.join("unified").join(path), mounted.join(path)].into_iter().find(|folder| folder.is_dir()),
            names if names.split(',').any(|name| name == "memory") => Some(mounted.join("memory").join(path)),
            _ => None,
        }
    };
    membership.lines().filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_cards() -> Vec<Card> {
        parse_cards("GPU-aa, 81559\nGPU-bb, 24576\n")
    }

    fn names(settings: &MachineSettings) -> Vec<String> {
        Machine::with_cards(settings, two_cards).cards().iter().map(|card| card.name.clone()).collect()
    }

    #[test]
    fn cards_are_those_of_the_driver_unless_the_settings_say_otherwise() {
        let settings = |gpus| MachineSettings { gpus, ..MachineSettings::default() };
        assert_eq!(names(&settings(None)), ["GPU-aa", "GPU-bb"]);
        assert_eq!(names(&settings(Some(Cards::Count(0)))), Vec::<String>::new());
        assert_eq!(names(&settings(Some(Cards::Count(3)))), ["GPU-aa", "GPU-bb", "2"]);
        assert_eq!(names(&settings(Some(Cards::Named(vec!["GPU-bb".into()])))), ["GPU-bb"]);
        let machine = Machine::with_cards(&settings(None), two_cards);
        assert_eq!(machine.cards()[1].vram, Some(Size::gib(24)));
    }

    #[test]
    fn this_machine_has_memory_and_a_core() {
        let machine = Machine::this(&MachineSettings::default());
        assert!(machine.cpus >= 1 && machine.mem > Size::bytes(1 << 20) && machine.mem < Size::bytes(1 << 50));
        let told = MachineSettings { cpus: Some(7), mem: Some(Size::gib(3)), ..MachineSettings::default() };
        let machine = Machine::this(&told);
        assert_eq!((machine.cpus, machine.mem), (7, Size::gib(3)));
    }

    #[test]
    fn control_groups_of_both_versions_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("unified/a")).unwrap();
        let groups = memory_groups("4:cpu,memory:/box/1\n3:cpuset:/\n0::/a\n", folder.path());
        assert_eq!(groups, [folder.path().join("memory/box/1"), folder.path().join("unified/a")]);
    }
}
