//! What a pass of the generation on trial hands to its verification: that the chain by which the next
//! commit will come (timer, unit, program, repository, Nix) holds, shown by the chain itself.
//!
//! A unit that only resembles the pass's own proves nothing of it. So the pass that the candidate's own
//! timer and unit start finds the deployment open, looks at everything that it will need, and leaves what
//! it found in a file of this boot. `nixus verify` of the same generation reads it, and alone confirms.

use std::path::{Path, PathBuf};

use nixus_switcher::Open;
use nixus_switcher::protocol::{BootId, CheckResult, DeploymentId, Toplevel};
use serde::{Deserialize, Serialize};

use crate::host::files::{Paths, read_bounded, write_atomically};
use crate::host::systemd::{PASS_TIMER, PASS_UNIT};

/// The longest note that is read, in bytes.
const LIMIT: u64 = 256 * 1024;
/// Ticks of `/proc/<pid>/stat` in a second, on every architecture of Linux (USER_HZ).
const TICKS: u64 = 100;

/// Where a process of ours runs, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// When it began, in milliseconds of the boot.
    pub begun: u64,
    /// Its program, links resolved.
    pub program: PathBuf,
    /// The unit that it is part of.
    pub unit: Option<String>,
    /// The unit that had systemd start that unit, where one had (systemd.exec(5), TRIGGER_UNIT).
    pub trigger: Option<String>,
}

impl Place {
    /// This process. What cannot be determined is left out, and then proves nothing.
    pub fn here() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            begun: begun_in(&stat).unwrap_or(0),
            program: std::env::current_exe()
                .and_then(std::fs::canonicalize)
                .unwrap_or_default(),
            unit: unit_in(&group),
            trigger: std::env::var("TRIGGER_UNIT").ok(),
        }
    }
}

/// The start of a process, field 22 of its `stat` (proc_pid_stat(5)); the name in field 2 may hold anything.
pub(crate) fn begun_in(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks.checked_mul(1000)? / TICKS)
}

pub(crate) fn unit_in(group: &str) -> Option<String> {
    let path = group.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.rsplit('/').next().map(str::to_owned)
}

/// What a pass hands over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// The deployment that it found open.
    pub deployment: DeploymentId,
    /// The boot in which it ran.
    pub boot: BootId,
    /// The system that ran.
    pub toplevel: Toplevel,
    /// Where the pass ran.
    pub place: Place,
    /// When the last pass began that the timer had started, in milliseconds of the boot.
    pub by_timer: Option<u64>,
    /// What it found; nothing while it is under way.
    pub found: Option<Vec<CheckResult>>,
}

impl Handed {
    /// What a pass says at its beginning; `earlier` is what the one before it said.
    pub fn begin(open: &Open, place: Place, earlier: Option<Self>) -> Self {
        let mut handed = Self {
            deployment: open.deployment.clone(),
            boot: open.boot.clone(),
            toplevel: open.candidate.clone(),
            place,
            by_timer: None,
            found: None,
        };
        let place = &handed.place;
        handed.by_timer = if place.trigger.as_deref() == Some(PASS_TIMER) {
            Some(place.begun)
        } else {
            let same = |one: &Self| one.is_about(open) && one.place.program == place.program;
            earlier.filter(same).and_then(|one| one.by_timer)
        };
        handed
    }

    fn is_about(&self, open: &Open) -> bool {
        self.deployment == open.deployment
            && self.boot == open.boot
            && self.toplevel == open.candidate
    }

    /// Whether it counts for a verification that runs at `place`: it is about what is on trial, and comes
    /// from a pass of the same program, in the pass's own unit, that began after the verification, so after
    /// the activation.
    pub fn counts(&self, open: &Open, place: &Place) -> bool {
        self.is_about(open)
            && self.place.unit.as_deref() == Some(PASS_UNIT)
            && self.place.program == place.program
            && self.place.begun >= place.begun
    }

    /// Whether the timer has started such a pass.
    pub fn is_by_timer(&self, place: &Place) -> bool {
        self.by_timer.is_some_and(|begun| begun >= place.begun)
    }
}

/// Leaves what a pass has to say.
///
/// # Errors
/// When the file cannot be written.
pub fn hand_over(paths: &Paths, handed: &Handed) -> std::io::Result<()> {
    write(&paths.own_pass(), handed)
}

/// What the last pass on trial said.
pub fn handed(paths: &Paths) -> Option<Handed> {
    read(&paths.own_pass())
}

/// Asks the pass's own unit to look whether a pass could use the repository, and to do nothing else: what
/// an operator's shell can do says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// A new one for each question.
    pub id: String,
}

/// What it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The question.
    pub id: String,
    /// Where it was looked.
    pub place: Place,
    /// What was found.
    pub found: Vec<CheckResult>,
}

/// Leaves a question for the next pass.
///
/// # Errors
/// When the file cannot be written.
pub fn ask(paths: &Paths, question: &Question) -> std::io::Result<()> {
    write(&paths.question(), question)
}

/// Takes the question that waits, so that it is answered once.
pub fn asked(paths: &Paths) -> Option<Question> {
    let question = read(&paths.question());
    let _ = std::fs::remove_file(paths.question());
    question
}

/// Leaves the answer.
///
/// # Errors
/// When the file cannot be written.
pub fn answer(paths: &Paths, answer: &Answer) -> std::io::Result<()> {
    write(&paths.answer(), answer)
}

/// The answer to this question, where a pass of this program has given it in the pass's own unit.
pub fn answered(paths: &Paths, question: &Question) -> Option<Answer> {
    read(&paths.answer())
        .filter(|answer: &Answer| answer.id == question.id)
        .filter(|answer| answer.place.unit.as_deref() == Some(PASS_UNIT))
}

fn write(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    write_atomically(path, &serde_json::to_vec(value)?)
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read_bounded(path, LIMIT).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open {
        serde_json::from_value(serde_json::json!({
            "deployment": "5-aaaaaaa", "format": 1, "phase": "on-trial",
            "candidate": format!("/nix/store/{}-new", "a".repeat(32)),
            "old": { "toplevel": format!("/nix/store/{}-old", "b".repeat(32)), "generation": 1 },
            "commit": { "id": "a".repeat(40), "subject": "s" }, "boot": "boot", "failed_before": [],
            "phase_deadline": 300, "started": 1,
        }))
        .unwrap()
    }

    fn place(begun: u64) -> Place {
        Place {
            begun,
            program: "/nix/store/x/bin/nixus".into(),
            unit: Some(PASS_UNIT.into()),
            trigger: Some(PASS_TIMER.into()),
        }
    }

    #[test]
    fn only_a_pass_of_what_is_on_trial_counts() {
        let verify = Place {
            unit: Some("nixus-verify.service".into()),
            trigger: None,
            ..place(100)
        };
        let check = |change: &dyn Fn(&mut Handed), counts: bool| {
            let mut handed = Handed::begin(&open(), place(101), None);
            change(&mut handed);
            assert_eq!(handed.counts(&open(), &verify), counts, "{handed:?}");
        };
        check(&|_| {}, true);
        check(&|one| one.place.begun = 99, false);
        check(&|one| one.place.program = "/old/nixus".into(), false);
        check(&|one| one.place.unit = None, false);
        check(
            &|one| one.place.unit = Some("nixus-verify.service".into()),
            false,
        );
        check(&|one| one.boot = BootId("other".into()), false);
        check(&|one| one.toplevel = open().old.toplevel, false);
        check(&|one| one.deployment = "4-aaaaaaa".parse().unwrap(), false);
    }

    #[test]
    fn a_pass_that_the_timer_started_is_remembered_for_this_trial_only() {
        let begin = |begun, trigger: Option<&str>, earlier| {
            let place = Place {
                trigger: trigger.map(str::to_owned),
                ..place(begun)
            };
            Handed::begin(&open(), place, earlier)
        };
        let first = begin(101, Some(PASS_TIMER), None);
        assert!(first.is_by_timer(&place(100)));
        assert!(!first.is_by_timer(&place(102)), "it began before");
        assert!(!begin(101, None, None).is_by_timer(&place(100)));
        assert!(!begin(101, Some("push.path"), None).is_by_timer(&place(100)));
        assert!(begin(105, None, Some(first.clone())).is_by_timer(&place(100)));
        let other = Handed {
            boot: BootId("other".into()),
            ..first
        };
        assert!(!begin(105, None, Some(other)).is_by_timer(&place(100)));
    }

    #[test]
    fn the_start_and_the_unit_of_a_process_are_read_as_the_kernel_writes_them() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 2 1 0 0 20 0 1 0 4321 5 6";
        assert_eq!(begun_in(stat), Some(43_210));
        assert_eq!(begun_in(""), None);
        let group = "0::/system.slice/nixus-reconcile.service\n";
        assert_eq!(unit_in(group).as_deref(), Some(PASS_UNIT));
        assert!(Place::here().begun > 0);
    }

    #[test]
    fn a_question_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: folder.path().join("state"),
            run: folder.path().join("run"),
            adopted: folder.path().join("adopted"),
            summary: folder.path().join("summary"),
        };
        assert_eq!(asked(&paths), None);
        let question = Question { id: "1".into() };
        ask(&paths, &question).unwrap();
        assert_eq!(asked(&paths), Some(question.clone()));
        assert_eq!(asked(&paths), None);
        let mut given = Answer {
            id: "1".into(),
            place: place(1),
            found: Vec::new(),
        };
        answer(&paths, &given).unwrap();
        assert_eq!(answered(&paths, &question), Some(given.clone()));
        assert_eq!(answered(&paths, &Question { id: "2".into() }), None);
        given.place.unit = None;
        answer(&paths, &given).unwrap();
        assert_eq!(answered(&paths, &question), None, "it is from a shell");
    }
}
