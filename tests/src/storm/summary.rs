//! The figures of many rounds.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::record::{After, Record};
use crate::bench::figures::{Figure, Table};

/// What came of some rounds.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub rounds: usize,
    pub minutes: f64,
    /// How often a host was told each kind of commit.
    pub commits: BTreeMap<String, usize>,
    /// How often each kind of fault came, and how often there was something for it to meet.
    pub faults: BTreeMap<String, Faults>,
    pub judgements: usize,
    /// How often each promise was broken.
    pub violations: BTreeMap<String, usize>,
    /// Times until hosts were quiet, and sizes.
    pub measured: Table,
}

/// How often a kind of fault came.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    pub drawn: usize,
    pub hit: usize,
}

impl Summary {
    /// Counts and measures.
    pub fn of(records: &[Record]) -> Self {
        let mut summary = Self {
            rounds: records.len(),
            minutes: records.iter().map(|one| one.seconds).sum::<f64>() / 60.0,
            commits: BTreeMap::new(),
            faults: BTreeMap::new(),
            judgements: 0,
            violations: BTreeMap::new(),
            measured: measured(records),
        };
        for record in records {
            let told = record
                .plan
                .commits
                .iter()
                .flat_map(|commit| commit.hosts.values());
            for kind in told {
                *summary.commits.entry(kind.name()).or_default() += 1;
            }
            for strike in &record.strikes {
                let faults = summary.faults.entry(strike.kind.name()).or_default();
                faults.drawn += 1;
                faults.hit += usize::from(strike.hit);
                if strike.wrong.is_some() {
                    summary.count("command");
                }
            }
            summary.judgements += record.judgements.len();
            for violation in record.judgements.iter().flat_map(|one| &one.violations) {
                summary.count(&violation.what);
            }
            if record.problem.is_some() {
                summary.count("the round itself");
            }
        }
        summary
    }

    fn count(&mut self, what: &str) {
        *self.violations.entry(what.to_owned()).or_default() += 1;
    }

    /// How many promises were broken.
    pub fn broken(&self) -> usize {
        self.violations.values().sum()
    }
}

fn measured(records: &[Record]) -> Table {
    let times = |after: After| -> Vec<f64> {
        let all = records.iter().flat_map(|record| &record.judgements);
        all.filter(|one| one.after == after)
            .map(|one| one.seconds)
            .collect()
    };
    let all = || records.iter().flat_map(|record| &record.judgements);
    let sizes: Vec<f64> = all().map(|one| one.seen.state.0 as f64).collect();
    let files: Vec<f64> = all().map(|one| one.seen.state.1 as f64).collect();
    Table {
        title: "One host".to_owned(),
        figures: vec![
            Figure::of(
                "after all faults, until it is quiet",
                "s",
                &times(After::Faults),
            ),
            Figure::of(
                "after a clean commit, until it is kept",
                "s",
                &times(After::CleanCommit),
            ),
            Figure::of("/var/lib/nixus", "KiB", &sizes),
            Figure::of("files in it", "", &files),
        ],
        notes: Vec::new(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: usize = self.commits.values().sum();
        let drawn: usize = self.faults.values().map(|faults| faults.drawn).sum();
        let hit: usize = self.faults.values().map(|faults| faults.hit).sum();
        writeln!(
            f,
            "rounds        {} in {:.0} min",
            self.rounds, self.minutes
        )?;
        writeln!(f, "commits       {told}, counted on each host")?;
        writeln!(f, "faults        {drawn}, of which {hit} met something")?;
        writeln!(f, "judgements    {}", self.judgements)?;
        writeln!(f, "violations    {}", self.broken())?;
        for (what, count) in &self.violations {
            writeln!(f, "  {what:<22} {count:>4}")?;
        }
        writeln!(f, "\n{}", self.measured)?;
        writeln!(f, "COMMITS                 TOLD")?;
        for (kind, count) in &self.commits {
            writeln!(f, "{kind:<22} {count:>5}")?;
        }
        writeln!(f, "\nFAULTS                 DRAWN   HIT")?;
        for (kind, Faults { drawn, hit }) in &self.faults {
            writeln!(f, "{kind:<22} {drawn:>5} {hit:>5}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::{Observation, Violation};
    use super::super::plan::Plan;
    use super::super::record::Judgement;
    use super::super::strike::Strike;
    use super::*;

    #[test]
    fn rounds_are_counted_and_survive_the_log() {
        let plan = Plan::of(1, 2);
        let record = Record {
            strikes: plan
                .faults
                .iter()
                .map(|fault| Strike {
                    kind: fault.kind,
                    host: fault.host.clone(),
                    hit: true,
                    note: String::new(),
                    wrong: None,
                })
                .collect(),
            judgements: vec![Judgement {
                host: "web1".to_owned(),
                after: After::Faults,
                seconds: 3.0,
                seen: Observation::default(),
                journal: String::new(),
                violations: vec![Violation {
                    what: "bad".to_owned(),
                    expected: "no".to_owned(),
                    seen: "yes".to_owned(),
                }],
            }],
            problem: None,
            seconds: 60.0,
            plan,
        };
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        super::super::record::append(&log, &record).unwrap();
        super::super::record::append(&log, &record).unwrap();
        let read = super::super::record::read(&log).unwrap();
        assert_eq!(read[0].plan, record.plan);
        let summary = Summary::of(&read);
        assert_eq!(
            (summary.rounds, summary.judgements, summary.broken()),
            (2, 2, 2)
        );
        let told: usize = record.plan.commits.iter().map(|one| one.hosts.len()).sum();
        assert_eq!(summary.commits.values().sum::<usize>(), 2 * told);
        let hit: usize = summary.faults.values().map(|faults| faults.hit).sum();
        assert_eq!(hit, 2 * record.strikes.len());
        assert!(
            summary.to_string().contains("violations    2\n"),
            "{summary}"
        );
    }
}
