use std::{collections::BTreeSet, fs, net::TcpListener};

use super::*;

struct Yard {
    folder: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["own", "declared", "other"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("declared/file"), "declared\n").unwrap();
        fs::write(folder.path().join("other/file"), "other\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn walls(&self) -> Walls {
        Walls { reads: Reads::Only(vec![self.path("declared/file")]), writes: vec![self.path("own")] }
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.path("own")).env_clear().env("PATH", "/usr/bin:/bin");
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command
    }

    fn works(&self, script: &str) -> bool {
        start(self.shell(script), &self.walls()).unwrap().wait().unwrap().success()
    }

    fn watch(&self, script: &str) -> BTreeSet<Seen> {
        let walls = Walls { reads: Reads::Everywhere, ..self.walls() };
        let (mut child, watch) = start_watched(self.shell(script), &walls).unwrap();
        child.wait().unwrap();
        watch.finish()
    }
}

#[test]
fn a_walled_command_reads_what_is_declared_and_nothing_else() {
    let yard = Yard::new();
    let other = yard.path("other/file");
    assert!(yard.works(&format!("cat {}", yard.path("declared/file").display())));
    assert!(yard.works("ls /usr/bin > list && cat list && cat /etc/passwd && head -c 4 /dev/urandom > /dev/null"));
    assert!(!yard.works(&format!("cat {}", other.display())));
    assert!(!yard.works(&format!("ls {}", yard.path("other").display())));
    assert!(!yard.works("cat /etc/hostname /etc/hosts"));
    // Without walls it could: the refusals above are theirs.
    assert!(yard.shell(&format!("cat {} && ls /", other.display())).status().unwrap().success());
}

#[test]
fn a_walled_command_writes_to_its_own_folder_only() {
    let yard = Yard::new();
    assert!(yard.works("mkdir -p a && echo x > a/b && mv a/b c && rm c"));
    let other = yard.path("other/file").display().to_string();
    for attempt in
        [format!("echo x >> {other}"), format!("truncate -s 0 {other}"), format!("rm {other}"), format!("mv {other} .")]
    {
        assert!(!yard.works(&attempt), "{attempt}");
    }
    assert!(!yard.works(&format!("echo x > {}", yard.path("declared/file").display())));
    assert_eq!(fs::read_to_string(yard.path("other/file")).unwrap(), "other\n");
}

#[test]
fn a_walled_command_reaches_no_network_and_neither_does_what_it_starts() {
    let yard = Yard::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let reach = format!("bash -c 'bash -c \"echo > /dev/tcp/127.0.0.1/{}\"'", server.local_addr().unwrap().port());
    assert!(yard.shell(&reach).status().unwrap().success());
    assert!(!yard.works(&reach));
}

/// Where the kernel takes calls of programs with short pointers, each call has a second number.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_socket_is_refused_under_its_second_number_too() {
    let yard = Yard::new();
    let second = libc::SYS_socket | 0x4000_0000;
    let denied = format!("exit(syscall({second}, 1, 1, 0) == -1 && $!{{EACCES}} ? 0 : 1)");
    assert!(yard.works(&format!("perl -MErrno -e '{denied}'")));
}

/// An administrator could look into every process, make a device of the disk, or load a module.
#[test]
fn a_walled_command_has_no_privileges_beyond_owners_and_modes() {
    let yard = Yard::new();
    let mask = "$((0x$(sed -n 's/^CapPrm:.//p' /proc/self/status) & ~0xdb))";
    assert!(yard.works(&format!("[ {mask} = 0 ] && [ $((0x$(sed -n 's/^CapEff:.//p' /proc/self/status) & ~0xdb)) = 0 ]")));
    assert!(!yard.works(&format!("head -c 1 /proc/{}/environ", std::process::id())));
    assert!(!yard.works("mknod disk b 1 0"));
}

/// A shell or a service that starts the engine may have a file open that the command must not see.
#[test]
fn a_walled_command_inherits_no_open_file() {
    let yard = Yard::new();
    let open = fs::File::open(yard.path("other/file")).unwrap();
    let script = format!("cat <&{}", std::os::fd::AsRawFd::as_raw_fd(&open));
    let leave_open = || rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
    let inherits = || {
        leave_open();
        yard.shell(&script).status().unwrap().success()
    };
    // Walls that another test raises meanwhile keep this file, too.
    assert!((0..50).any(|_| inherits()));
    leave_open();
    assert!(!yard.works(&script));
}

#[test]
fn a_folder_below_the_toolchain_cannot_be_kept_and_is_refused() {
    let yard = Yard::new();
    let walls = Walls { writes: vec![PathBuf::from("/usr/share")], ..yard.walls() };
    let error = start(yard.shell("true"), &walls).unwrap_err();
    assert!(matches!(error, SandboxError::Inside(_)));
    assert!(StageError::from(error).help.unwrap().contains("/home"));
}

#[test]
fn a_program_that_is_not_there_is_told_and_not_run() {
    let yard = Yard::new();
    let error = start(Command::new("no-such-program-here"), &yard.walls()).unwrap_err();
    assert!(matches!(error, SandboxError::Start(_)));
    let error = start_watched(Command::new("no-such-program-here"), &yard.walls()).unwrap_err();
    assert!(matches!(error, SandboxError::Start(_)));
}

#[test]
fn a_watched_command_shows_what_it_reads_runs_and_reaches() {
    let yard = Yard::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let other = yard.path("other/file");
    let script = format!("cat {}; ls missing; echo > /dev/tcp/127.0.0.1/{port}; echo x > /etc/flow-watched", other.display());
    let seen = yard.watch(&script);
    let file = |path: &Path, how: How, found: Found| Seen::File { path: path.to_owned(), how, found };
    assert!(seen.contains(&file(&other, How::Read, Found::File)), "{seen:?}");
    assert!(seen.contains(&file(&yard.path("own/missing"), How::Look, Found::Nothing)), "{seen:?}");
    assert!(seen.contains(&file(Path::new("/etc/flow-watched"), How::Write, Found::Nothing)), "{seen:?}");
    assert!(seen.contains(&Seen::Network(format!("127.0.0.1:{port}"))), "{seen:?}");
    let ran = |name: &str| {
        let is = |seen: &Seen| matches!(seen, Seen::File { path, how: How::Run, found: Found::File } if path.ends_with(name));
        seen.iter().any(is)
    };
    assert!(ran("bash") && ran("cat"), "{seen:?}");
    assert!(!Path::new("/etc/flow-watched").exists(), "what is written elsewhere is refused");
}

/// What a kernel without Landlock answers, or one that was started without it.
fn without_landlock<T: Send + 'static>(error: i32, then: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        let refused = std::collections::BTreeMap::from([(libc::SYS_landlock_create_ruleset, Vec::new())]);
        let answer = seccompiler::SeccompAction::Errno(error.unsigned_abs());
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = seccompiler::SeccompFilter::new(refused, seccompiler::SeccompAction::Allow, answer, arch).unwrap();
        let program: seccompiler::BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        then()
    });
    thread.join().unwrap()
}

#[test]
fn without_landlock_nothing_is_started_and_the_message_says_what_to_do() {
    for error in [libc::ENOSYS, libc::EOPNOTSUPP] {
        let yard = Yard::new();
        let own = yard.path("own");
        let refused = without_landlock(error, move || {
            let walls = yard.walls();
            let strict = start(yard.shell("echo x > started"), &walls).map(drop).unwrap_err();
            let watched = start_watched(yard.shell("echo x > started"), &walls).map(drop).unwrap_err();
            assert!(!own.join("started").exists(), "a promise that is half kept is none");
            [StageError::from(strict), StageError::from(watched), supports_strict().unwrap_err()]
        });
        for told in refused {
            assert_eq!(told.message, "this kernel cannot keep a command from reading files");
            let help = told.help.unwrap();
            assert!(help.contains("Landlock") && help.contains("sandbox: workdir"), "{help}");
        }
    }
    supports_strict().unwrap();
}
