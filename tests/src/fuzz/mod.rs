//! `lab fuzz`: gives the parsers of what comes from outside inputs that are to break them.
//!
//! The engine is this one and not libFuzzer or a library around it: those have a program for each target and
//! compile all libraries anew, which alone takes longer than the minute that a change has for this. Here all targets
//! are in the lab's own program. With `--coverage`, the two packages are compiled once more with the same counters
//! that libFuzzer reads (SanitizerCoverage, which the stable compiler has), and an input that reaches new code is
//! kept and changed further; what a run keeps is added to the corpus, with which the next one begins.

pub mod corpus;
mod coverage;
mod mutation;
mod run;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nixus::fuzzing::{Target, targets};

pub use run::problem;

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Only this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// How long each target is tried
    #[arg(long, default_value_t = 0.9, value_name = "SECONDS")]
    seconds: f64,
    /// The seed of the changes; with the same corpus and program, the same inputs are tried
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Compile with counters of what code is reached, and add to the corpus what reaches more
    #[arg(long)]
    coverage: bool,
    /// Write what is printed into the document that shows it
    #[arg(long, conflicts_with_all = ["target", "coverage"])]
    pub markdown: bool,
}

/// Tries the targets, and prints what each of them cost.
///
/// # Errors
/// The corpus cannot be read or written, or there is no such target.
pub fn fuzz(options: &Options) -> Result<ExitCode> {
    if options.coverage && !coverage::is_there() {
        return with_coverage(options);
    }
    let wanted = |target: &Target| {
        options
            .target
            .as_deref()
            .is_none_or(|name| name == target.name)
    };
    let chosen: Vec<Target> = targets().filter(wanted).collect();
    ensure!(
        !chosen.is_empty(),
        "there is no such target; there are: {}",
        targets()
            .map(|target| target.name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let time = Duration::try_from_secs_f64(options.seconds)
        .context("--seconds is not a length of time")?;
    run::limit_memory()?;
    run::silence_panics();
    println!("{}", run::HEADING);
    let mut broken = Vec::new();
    let mut inputs = 0;
    for target in chosen {
        let found = run::campaign(target, time, options.seed)?;
        println!("{found}");
        inputs += found.inputs;
        broken.extend(found.broken);
    }
    println!("{inputs} inputs, {} of them broke a target", broken.len());
    for (file, why) in &broken {
        println!("{}: {why}", file.display());
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "Once it is mended, move the file into {}.",
        corpus::folder("<target>").display()
    );
    Ok(ExitCode::FAILURE)
}

/// This command again, by a program that counts.
fn with_coverage(options: &Options) -> Result<ExitCode> {
    let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/rustc-with-counters");
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "run",
            "--release",
            "--locked",
            "-p",
            "lab",
            "--bin",
            "lab",
            "--",
            "fuzz",
            "--coverage",
        ])
        .args([
            "--seconds",
            &options.seconds.to_string(),
            "--seed",
            &options.seed.to_string(),
        ])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    if let Some(name) = &options.target {
        cargo.args(["--target", name]);
    }
    // Or a program without counters would begin itself again and again.
    ensure!(
        std::env::var_os(BEGUN).is_none(),
        "the compiler has put no counters into the program"
    );
    let status = cargo.env(BEGUN, "1").status().context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

const BEGUN: &str = "LAB_FUZZ_WITH_COVERAGE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_the_corpus_breaks_its_target() {
        for target in targets() {
            let files = corpus::read(target.name).unwrap();
            assert!(!files.is_empty(), "{} has no corpus", target.name);
            for (path, bytes) in files {
                let found = problem(target, &bytes);
                assert_eq!(found, None, "{} of {}", path.display(), target.name);
            }
        }
    }

    #[test]
    fn every_folder_of_the_corpus_is_that_of_a_target_and_small() {
        let names: Vec<&str> = targets().map(|target| target.name).collect();
        let mut bytes = 0;
        for name in corpus::folders().unwrap() {
            assert!(names.contains(&name.as_str()), "there is no target {name}");
            bytes += corpus::read(&name)
                .unwrap()
                .iter()
                .map(|(_, file)| file.len())
                .sum::<usize>();
        }
        assert!(bytes < 2 << 20, "the corpus has {bytes} bytes");
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "two targets have one name");
    }

    #[test]
    fn a_panic_and_what_does_not_hold_are_found() {
        fn panics(bytes: &[u8]) -> Result<(), String> {
            assert!(!bytes.starts_with(b"x"), "broken");
            Ok(())
        }
        fn fails(bytes: &[u8]) -> Result<(), String> {
            bytes
                .is_empty()
                .then_some(())
                .ok_or_else(|| "not empty".to_owned())
        }
        let target = |run| Target { name: "test", run };
        assert_eq!(problem(target(panics), b"a"), None);
        assert_eq!(problem(target(panics), b"x").unwrap(), "it panics: broken");
        assert_eq!(problem(target(fails), b"x").unwrap(), "not empty");
    }

    #[test]
    fn a_target_that_can_be_broken_is_broken_within_its_time() {
        fn breaks_at_a_number(bytes: &[u8]) -> Result<(), String> {
            let text = String::from_utf8_lossy(bytes);
            let big = text
                .trim()
                .parse::<u64>()
                .is_ok_and(|number| number > 1_000_000);
            (!big).then_some(()).ok_or_else(|| "too big".to_owned())
        }
        let target = Target {
            name: "of-the-test",
            run: breaks_at_a_number,
        };
        let mut changes = mutation::Mutation::new(1, "of-the-test");
        let pool = [b"17".to_vec()];
        let broken = (0..100_000).any(|_| problem(target, &changes.next(&pool)).is_some());
        assert!(broken);
    }
}
