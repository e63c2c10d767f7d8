//! What holds for each program, whatever it is asked to do. No host runs for it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use lab::test;
use lab::{binaries, setup};
use nix::sys::signal::Signal;
use nixus_switcher::panic::TRIGGER;

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
