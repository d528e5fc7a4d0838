//! Control groups of version 2: one for an attempt whose memory is capped, and the kernel's count of processes it killed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{machine::memory_groups, units::Size};

const MEMBERSHIP: &str = "/proc/self/cgroup";
const MOUNTED: &str = "/sys/fs/cgroup";

/// A control group that is removed when this goes away.
pub(super) struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes a group below the one this process is in, if its owner lets us and hands the memory controller down.
    pub(super) fn make(name: &str, limit: Size) -> Option<Self> {
        let membership = fs::read_to_string(MEMBERSHIP).ok()?;
        let parent = memory_groups(&membership, Path::new(MOUNTED)).into_iter().find(|folder| hands_down(folder))?;
        let group = Self { folder: parent.join(format!("flow-{name}")) };
        fs::create_dir(&group.folder).ok()?;
        fs::write(group.folder.join("memory.max"), limit.get().to_string()).ok()?;
        // Swapping would only make a stage that is too big slow. Kernels without swap accounting lack the file.
        fs::write(group.folder.join("memory.swap.max"), "0").ok();
        Some(group)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The most its processes used together.
    pub(super) fn peak(&self) -> Option<u64> {
        fs::read_to_string(self.folder.join("memory.peak")).ok()?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            tracing::debug!(%error, "Could not remove a control group.");
        }
    }
}

fn hands_down(folder: &Path) -> bool {
    let controllers = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    controllers.split_whitespace().any(|controller| controller == "memory")
}

/// How many processes the kernel killed for want of memory: in the given group, else in that of this process, else at all.
pub(super) fn kills(group: Option<&Group>) -> u64 {
    let own = group.map(|group| group.folder.clone());
    let around = || memory_groups(&fs::read_to_string(MEMBERSHIP).unwrap_or_default(), Path::new(MOUNTED));
    let folders = own.map_or_else(around, |folder| vec![folder]);
    let files = folders.iter().flat_map(|folder| ["memory.events", "memory.oom_control"].map(|file| folder.join(file)));
    let counts = files.chain([PathBuf::from("/proc/vmstat")]).filter_map(|file| count(&fs::read_to_string(file).ok()?));
    counts.max().unwrap_or(0)
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_count_is_read() {
        assert_eq!(count("low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"), Some(4));
        assert_eq!(count("nothing"), None);
    }
}
