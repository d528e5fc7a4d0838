//! Processors, memory, and graphics processors.

use std::{fs, process::Command};

use flow_engine::StageError;

use super::Check;
use crate::text::bytes;

/// The quickstart trains within this.
const SMALL_MEMORY: u64 = 4_000_000_000;

pub(super) fn checks() -> Vec<Check> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    vec![cpus(), memory(&meminfo, cgroup_limit()), gpus(&listed_gpus()), walls(&flow_engine::supports_strict())]
}

fn cpus() -> Check {
    match std::thread::available_parallelism() {
        Ok(count) => Check::ok("cpus", format!("{count} for stages, {}", std::env::consts::ARCH)),
        Err(error) => Check::warn("cpus", format!("their number is unknown: {error}"), "one is used; `/proc` should be readable"),
    }
}

/// Bytes of a line of `/proc/meminfo`.
fn line(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control group of this process may use at most, if it says so.
fn cgroup_limit() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = group.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let files = [format!("/sys/fs/cgroup/{path}/memory.max"), "/sys/fs/cgroup/memory.max".to_owned()];
    files.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
}

fn memory(meminfo: &str, limit: Option<u64>) -> Check {
    let (Some(total), Some(available)) = (line(meminfo, "MemTotal"), line(meminfo, "MemAvailable")) else {
        return Check::warn("memory", "its size is unknown", "`/proc/meminfo` should be readable");
    };
    let usable = limit.map_or(total, |limit| limit.min(total));
    let bound = if usable < total { format!(", limited to {} by the control group", bytes(usable)) } else { String::new() };
    let found = format!("{} of {} available{bound}", bytes(available), bytes(total));
    if usable.min(available) < SMALL_MEMORY {
        return Check::warn(
            "memory",
            found,
            "close other programs, or train smaller batches: the kernel kills what does not fit",
        );
    }
    Check::ok("memory", found)
}

/// What `nvidia-smi -L` lists; none where there is no such program.
fn listed_gpus() -> Result<String, String> {
    match Command::new("nvidia-smi").arg("-L").output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("nvidia-smi failed").to_owned()),
        Err(_) => Ok(String::new()),
    }
}

fn gpus(listed: &Result<String, String>) -> Check {
    match listed {
        Err(problem) => Check::warn("gpu", problem.clone(), "reinstall the driver; stages use the processor meanwhile"),
        Ok(text) => {
            let names: Vec<&str> =
                text.lines().filter_map(|line| line.split(" (UUID").next()).filter(|name| !name.is_empty()).collect();
            let found = if names.is_empty() { "none; stages use the processor".to_owned() } else { names.join(", ") };
            Check::ok("gpu", found)
        }
    }
}

/// Whether commands can be kept to what they declare.
fn walls(supported: &Result<(), StageError>) -> Check {
    match supported {
        Ok(()) => Check::ok("sandbox", "commands can be strict: no undeclared files, no network"),
        Err(error) => Check::warn(
            "sandbox",
            format!("{}; a workdir command can read everything by absolute paths and reach the network", error.message),
            error.help.clone().unwrap_or_default(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:         1000000 kB\nMemAvailable:    8192000 kB\n";

    #[test]
    fn memory_counts_the_smaller_of_machine_and_control_group() {
        let check = memory(MEMINFO, None);
        assert_eq!((check.state, check.found.as_str()), (State::Ok, "8.3 GB of 16.7 GB available"));
        let check = memory(MEMINFO, Some(2_000_000_000));
        assert!(check.state == State::Warn && check.found.contains("limited to 2.0 GB"), "{check:?}");
        assert_eq!(memory("", None).state, State::Warn);
    }

    #[test]
    fn graphics_processors_are_named() {
        let listed = Ok("GPU 0: NVIDIA H100 (UUID: GPU-1234)\nGPU 1: NVIDIA H100 (UUID: GPU-5678)\n".to_owned());
        assert_eq!(gpus(&listed).found, "GPU 0: NVIDIA H100, GPU 1: NVIDIA H100");
        assert_eq!(gpus(&Err("driver mismatch".to_owned())).state, State::Warn);
        assert_eq!(gpus(&Ok(String::new())).state, State::Ok);
    }

    #[test]
    fn a_kernel_that_cannot_keep_commands_is_told_with_what_that_means() {
        let missing = StageError::input("this kernel cannot").help("write `sandbox: workdir`");
        let check = walls(&Err(missing));
        assert!(check.state == State::Warn && check.found.contains("by absolute paths"), "{check:?}");
        assert_eq!(check.next.as_deref(), Some("write `sandbox: workdir`"));
        assert_eq!(walls(&Ok(())).state, State::Ok);
    }
}
