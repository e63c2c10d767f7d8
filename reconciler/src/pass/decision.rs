//! Decisions in the journal: one event each, with fields that `journalctl` can be asked for.
//!
//! - `COMMIT`: the commit's id. `DEPLOYMENT`: the deployment's.
//! - `PHASE`: what the host does about the commit, a word of [`crate::decide::report::State`]; or `waiting`.
//! - `REASON`: why it waits, a word of [`Reason::word`].

use nixus_switcher::printable::{printable, printable_lines};

use super::Reason;
use crate::decide::commit_id::CommitId;
use crate::decide::report::Report;

/// The pass ends with something to wait for.
pub fn waits(reason: &Reason) {
    tracing::info!(
        commit = reason.commit().map(CommitId::as_str),
        deployment = reason.deployment().map(|id| id.as_str()),
        phase = "waiting",
        reason = reason.word(),
        "{}",
        printable(&reason.to_string())
    );
}

/// The pass does something, or has learned how it ended.
pub fn says(report: &Report) {
    tracing::info!(
        commit = report.commit.id,
        deployment = report.deployment.as_ref().map(|id| id.as_str()),
        phase = report.state.word(),
        "{}",
        printable_lines(&report.text)
    );
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn check(decide: impl FnOnce(), expected: &str) {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        tracing::subscriber::with_default(subscriber, decide);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.trim(), expected);
    }

    #[test]
    fn a_decision_is_one_event_with_its_fields() {
        let id = "a".repeat(40);
        let commit = CommitId::try_from(id.clone()).unwrap();
        check(
            || waits(&Reason::UpToDate { commit }),
            &format!(
                "INFO up to date with aaaaaaa commit=\"{id}\" phase=\"waiting\" reason=\"up-to-date\""
            ),
        );
        let deployment = "5-aaaaaaa".parse().unwrap();
        check(
            || waits(&Reason::DeploymentOpen { deployment }),
            "INFO deployment 5-aaaaaaa is under way deployment=\"5-aaaaaaa\" phase=\"waiting\" reason=\"deployment-open\"",
        );
        let reporter = crate::decide::report::Reporter {
            host: "web1",
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let commit = nixus_switcher::protocol::Commit {
            id: id.clone(),
            subject: "one".into(),
        };
        check(
            || says(&reporter.building(&commit)),
            &format!("INFO commit aaaaaaa \"one\": building commit=\"{id}\" phase=\"building\""),
        );
    }
}
