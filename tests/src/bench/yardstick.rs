//! What a time is judged by: the time of another program that does the same kind of work, measured
//! alternately in the same run. In milliseconds, a limit would judge the machine.

use anyhow::{Result, ensure};
use lab::Host;

use super::figures::Figure;
use super::trace::{Image, Process};

/// Our time and the yardstick's, run by run, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    ours: Vec<f64>,
    yardstick: Vec<f64>,
}

impl Pairs {
    /// Adds one run.
    pub fn add(&mut self, ours: f64, yardstick: f64) {
        self.ours.push(ours);
        self.yardstick.push(yardstick);
    }

    /// Our time.
    pub fn ours(&self, what: &str) -> Figure {
        Figure::of(what, "ms", &self.ours)
    }

    /// The yardstick's time.
    pub fn yardstick(&self, what: &str) -> Figure {
        Figure::of(what, "ms", &self.yardstick)
    }

    /// How many times the yardstick's time ours is. Divided run by run, so that a machine that is
    /// slower for some of the runs does not show.
    pub fn ratio(&self, what: &str) -> Figure {
        let pairs = self.ours.iter().zip(&self.yardstick);
        let ratios: Vec<f64> = pairs.map(|(ours, yardstick)| ours / yardstick).collect();
        Figure::of(what, "times", &ratios)
    }
}

/// What processes used of a processor while they were this program, in milliseconds. A process that
/// was forked is its parent's program until it starts another: that is the parent's cost.
pub fn used_by(program: &str, traced: &[Process]) -> f64 {
    used(traced, |image| image.is(program))
}

/// What all processes used of a processor, without the programs that lead into the host.
pub fn used_by_all(traced: &[Process]) -> f64 {
    used(traced, |image| !image.is("nsenter") && !image.is("env"))
}

fn used(traced: &[Process], of: impl Fn(&Image) -> bool) -> f64 {
    let images = traced.iter().flat_map(|process| &process.images);
    images
        .filter(|image| of(image))
        .map(|image| image.cpu)
        .sum()
}

/// A command that starts git to read the files of Nixus on a host, and to do next to nothing else.
///
/// What a short run costs is the start of a program of some megabytes with its shared libraries, and
/// a few small files: exec, page faults and system calls. These are the costs in which machines
/// differ most, more than in the cryptography of `git ls-remote`. The program is not ours, so that
/// ours cannot start more slowly without being seen.
pub fn start_of_git(host: &Host) -> Result<Vec<String>> {
    let found = host.must([
        "find",
        "-L",
        "/etc/nixus",
        "/run/nixus",
        "/var/lib/nixus",
        "(",
        "-name",
        "*.json",
        "-o",
        "-name",
        "*.toml",
        ")",
    ])?;
    ensure!(
        !found.trim().is_empty(),
        "{} has no files of Nixus",
        host.name
    );
    let command = ["git", "hash-object", "--no-filters", "--"];
    let words = command.into_iter().chain(found.lines());
    Ok(words.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_runs_and_not_of_medians() {
        type Runs = &'static [(f64, f64)];
        let table: [(Runs, f64, f64, f64); 4] = [
            (&[(6.0, 2.0)], 6.0, 2.0, 3.0),
            (&[(6.0, 2.0), (1.0, 1.0), (2.0, 4.0)], 2.0, 2.0, 1.0),
            // A machine that became three times as slow after the first run.
            (&[(2.0, 4.0), (6.0, 12.0), (6.0, 12.0)], 6.0, 12.0, 0.5),
            // The slow runs are others for each median.
            (&[(1.0, 10.0), (9.0, 9.0), (2.0, 1.0)], 2.0, 9.0, 1.0),
        ];
        for (runs, ours, yardstick, ratio) in table {
            let mut pairs = Pairs::default();
            for (ours, yardstick) in runs {
                pairs.add(*ours, *yardstick);
            }
            let medians = [
                pairs.ours("x"),
                pairs.yardstick("x"),
                pairs.ratio("x").at_most(1e9),
            ];
            assert!(medians[2].is_kept());
            assert_eq!(
                medians.map(|figure| figure.median),
                [ours, yardstick, ratio],
                "{runs:?}"
            );
        }
    }

    #[test]
    fn no_limit_is_kept_where_nothing_was_measured() {
        let runs: [&[(f64, f64)]; 3] = [&[], &[(0.0, 0.0)], &[(1.0, 0.0)]];
        for runs in runs {
            let mut pairs = Pairs::default();
            for (ours, yardstick) in runs {
                pairs.add(*ours, *yardstick);
            }
            assert!(!pairs.ratio("x").at_most(1e9).is_kept(), "{runs:?}");
        }
    }

    #[test]
    fn what_a_process_was_before_is_counted_for_that_program() {
        let process = |images: &[(&str, f64)]| Process {
            images: images
                .iter()
                .map(|(command, cpu)| Image {
                    command: command.split(' ').map(str::to_owned).collect(),
                    cpu: *cpu,
                })
                .collect(),
            peak: 0,
            threads: 0,
            begun: 0.0,
            ended: 0.0,
        };
        let traced = [
            process(&[("nsenter --target 7", 100.0)]),
            process(&[
                ("nsenter --target 7", 50.0),
                ("/usr/bin/env HOME=/ nixus", 20.0),
                ("nixus reconcile", 4.0),
            ]),
            process(&[("nixus reconcile", 0.5), ("git ls-remote", 2.0)]),
            process(&[("git ls-remote", 0.25), ("/usr/bin/ssh git", 8.0)]),
        ];
        let table = [("nixus", 4.5), ("git", 2.25), ("ssh", 8.0), ("cat", 0.0)];
        for (program, expected) in table {
            assert_eq!(used_by(program, &traced), expected, "{program}");
        }
        assert_eq!(used_by_all(&traced), 14.75);
    }
}
