//! What holds for each program, whatever it is asked to do. No host runs for it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use lab::test;
use lab::{binaries, setup};
use nix::sys::signal::Signal;
use nixus_switcher::panic::TRIGGER;
use toml::Table;

#[test]
fn a_panic_on_any_thread_ends_the_program() -> Result<()> {
    let built = binaries::build(&setup::prepare()?)?;
    for program in [&built.nixus, &built.secrets, &built.switcher] {
        let run = |asked: bool| {
            let mut command = Command::new(program);
            command.arg("--help").stdin(Stdio::null());
            if asked {
                command.env(TRIGGER, "1");
            }
            let said = command.output();
            said.with_context(|| format!("cannot start {}", program.display()))
        };
        let said = run(true)?;
        let words = String::from_utf8_lossy(&said.stderr);
        ensure!(
            said.status.signal() == Some(Signal::SIGABRT as i32)
                && words.contains("a panic was asked for"),
            "{} went on after a panic: {said:?}",
            program.display()
        );
        ensure!(run(false)?.status.success(), "{}", program.display());
    }
    Ok(())
}

#[test]
fn what_ships_is_compiled_with_optimisations() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let workspace: Table = toml::from_str(&fs::read_to_string(&path)?)?;
    let level = |keys: &[&str]| {
        let mut keys = keys.iter();
        let first = workspace.get(*keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))?
            .as_integer()
    };
    for package in ["nixus", "nixus-switcher"] {
        // A setting for one package wins over the profile's own, and is inherited with it.
        let shipped = level(&["profile", "dist", "package", package, "opt-level"])
            .or_else(|| level(&["profile", "release", "package", package, "opt-level"]))
            .or_else(|| level(&["profile", "dist", "opt-level"]));
        ensure!(shipped == Some(3), "{package}: {shipped:?}");
    }
    Ok(())
}
