//! A command ends with 0.

use std::time::Duration;

use nixus_switcher::protocol::CheckOutcome;

use crate::health::protocol::Found;
use crate::health::sshd::printable;
use crate::host::process::{Invocation, in_words};

/// Runs the command; what it prints last is the reason where it fails.
pub async fn ends_well(command: &[String], limit: Duration) -> Found {
    let Some((program, arguments)) = command.split_first() else {
        return Found::new(CheckOutcome::Fail, "there is no command");
    };
    match Invocation::new(program, limit)
        .args(arguments)
        .output()
        .await
    {
        Ok(_) => Found::new(CheckOutcome::Pass, format!("{program} ended well")),
        Err(error) => Found::new(CheckOutcome::Fail, printable(in_words(&error).as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::run;

    #[test]
    fn a_command_is_judged_by_its_exit_code_and_its_time() {
        let check = |command: &[&str], outcome, words: &str| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            let limit = Duration::from_millis(500);
            let found = run(ends_well(&command, limit));
            assert_eq!(found.outcome, outcome);
            assert!(found.reason.contains(words), "{}", found.reason);
        };
        check(&["/bin/true"], CheckOutcome::Pass, "ended well");
        let complains = ["/bin/sh", "-c", "echo no disk >&2; exit 3"];
        check(
            &complains,
            CheckOutcome::Fail,
            "no disk (/bin/sh: exit code 3)",
        );
        check(&["/bin/sleep", "60"], CheckOutcome::Fail, "was ended after");
        check(&["/no/such/program"], CheckOutcome::Fail, "cannot start");
    }
}
