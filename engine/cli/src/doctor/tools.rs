//! Programs that some workflows call. None is needed by all of them.

use std::process::{Command, Stdio};

use super::Check;

pub(super) fn checks() -> Vec<Check> {
    vec![
        tool("git", &[("git", &["--version"])], "install git to use components of repositories (`uses: git:…`)"),
        tool("pip", &[("pip", &["--version"]), ("pip3", &["--version"])], "install pip to fetch models that are named `pip:…`"),
    ]
}

/// The first of several ways to call a program that answers.
fn tool(name: &'static str, ways: &[(&str, &[&str])], missing: &str) -> Check {
    match ways.iter().find_map(|(program, arguments)| answer(program, arguments)) {
        Some(version) => Check::ok(name, version),
        None => Check::warn(name, "not found", missing),
    }
}

fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `pip 25.1 from /usr/lib/…`: the rest of the line is of no use here.
    let line = text.lines().next()?;
    Some(line.split(" from ").next().unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_missing_program_is_a_warning_with_what_it_is_for() {
        let check = tool("git", &[("no-such-program-here", &[])], "install git");
        assert_eq!((check.state, check.next.as_deref()), (State::Warn, Some("install git")));
        let check = tool("sh", &[("no-such-program-here", &[]), ("echo", &["one 1.2 from /usr"])], "install it");
        assert_eq!((check.state, check.found.as_str()), (State::Ok, "one 1.2"));
    }
}
