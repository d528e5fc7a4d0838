//! The walls themselves: a Landlock ruleset for files and a seccomp filter for sockets, raised around the calling thread.

use std::collections::BTreeMap;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

use super::{
    Reads, SandboxError, Walls,
    toolchain::{DEVICES, READABLE},
};

/// The first version that also guards against truncation; before it a command could empty any file.
const FILES: ABI = ABI::V3;

/// `__X32_SYSCALL_BIT`: marks the calls of programs with short pointers, where the kernel has them.
const SHORT: libc::c_long = 0x4000_0000;

/// Keeps this thread, and all it starts, to the given files.
pub(super) fn keep_files(walls: &Walls) -> Result<(), SandboxError> {
    ruleset(walls).and_then(RulesetCreated::restrict_self).map(drop).map_err(SandboxError::Files)
}

/// Makes a ruleset as strict as any, and raises nothing.
pub(super) fn try_files() -> Result<(), SandboxError> {
    ruleset(&Walls { reads: Reads::Only(Vec::new()), writes: Vec::new() }).map(drop).map_err(SandboxError::Files)
}

fn ruleset(walls: &Walls) -> Result<RulesetCreated, RulesetError> {
    let kept: BitFlags<AccessFs> = match walls.reads {
        Reads::Everywhere => AccessFs::from_write(FILES),
        Reads::Only(_) => AccessFs::from_all(FILES),
    };
    let devices = (AccessFs::ReadFile | AccessFs::WriteFile) & kept;
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(kept)?
        // Newer kernels also keep signals to the command's own processes; without that it still sees no more.
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .add_rules(path_beneath_rules(DEVICES, devices))?
        .add_rules(path_beneath_rules(&walls.writes, kept))?;
    match &walls.reads {
        Reads::Everywhere => Ok(created),
        Reads::Only(declared) => {
            let read = AccessFs::from_read(FILES);
            created.add_rules(path_beneath_rules(READABLE, read))?.add_rules(path_beneath_rules(declared, read))
        }
    }
}

/// Refuses every socket to this thread and all it starts. Pairs of sockets, which reach nobody else, stay allowed.
pub(super) fn keep_from_network() -> Result<(), SandboxError> {
    // A ring could open sockets and files without a call that the filter sees. Some kernels take each call under a second
    // number, too.
    let calls = [libc::SYS_socket, libc::SYS_io_uring_setup];
    let refused: BTreeMap<_, _> =
        calls.into_iter().flat_map(|call| [call, call | SHORT]).map(|call| (call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(SandboxError::Filter)?;
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, denied, arch).map_err(SandboxError::Filter)?;
    let program: seccompiler::BpfProgram = filter.try_into().map_err(SandboxError::Filter)?;
    seccompiler::apply_filter(&program).map_err(SandboxError::Network)
}
