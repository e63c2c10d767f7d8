//! What the tables of `nix/cases` promise, on NixOS' own modules in place of the stand-in of them (`modules`), and
//! what programs read of every option. No host runs for it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use lab::evaluator::{self, Evaluator};
use lab::harness::some_rows;
use lab::test;

use crate::modules::{Judged, Throwing};

const CASES: &str = "cases/run.nix";
/// The table that every run has all of: every option at a realistic value.
const OPTIONS: &str = "options: ";
/// How many other cases each run has; `--hosts nixos` has all of them.
const AT_LEAST: usize = 24;
/// How many cases an evaluation has: more take more memory, and fewer more of the processor.
const TOGETHER: usize = 5;

/// What one evaluation looks at.
enum Asked<'a> {
    Judged(&'a [String]),
    Throwing(&'a Throwing),
}

#[test(only_nixos, weight = 2)]
fn real_modules_give_each_host_what_the_tables_say() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let (mut rows, _): (Vec<String>, u64) = evaluator.of_nixpkgs(CASES, "rows")?;
    let (throwing, _): (Vec<Throwing>, u64) = evaluator.of_nixpkgs(CASES, "throwing")?;
    let throwing: BTreeMap<String, Throwing> = throwing
        .into_iter()
        .map(|case| (case.row(), case))
        .collect();
    rows.extend(throwing.keys().cloned());
    ensure!(rows.len() > 120, "only {} cases", rows.len());
    let count = rows.len();
    let (options, rows): (Vec<String>, Vec<String>) =
        rows.into_iter().partition(|row| row.starts_with(OPTIONS));
    ensure!(!options.is_empty(), "no option is set");
    let rows = [options, some_rows(rows, AT_LEAST)].concat();
    eprintln!(
        "{} of {count} cases with NixOS' own modules: {}",
        rows.len(),
        rows.join(", ")
    );
    let (throw, judged): (Vec<String>, Vec<String>) =
        rows.into_iter().partition(|row| throwing.contains_key(row));
    let asked: Vec<Asked> = judged
        .chunks(TOGETHER)
        .map(Asked::Judged)
        .chain(throw.iter().map(|row| Asked::Throwing(&throwing[row])))
        .collect();
    let wrong = evaluator::wrong_with(&asked, |asked| {
        let wrong = match asked {
            Asked::Judged(rows) => judge(&evaluator, rows),
            Asked::Throwing(case) => evaluator
                .with_nixpkgs(CASES, &case.attribute())
                .map(|said| case.wrong(&said).into_iter().collect()),
        };
        wrong.unwrap_or_else(|error| vec![format!("{error:#}")])
    });
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn judge(evaluator: &Evaluator, rows: &[String]) -> Result<Vec<String>> {
    let quoted: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    let attribute = format!("judge [ {} ]", quoted.join(" "));
    let (judged, _): (Vec<Judged>, u64) = evaluator.of_nixpkgs(CASES, &attribute)?;
    ensure!(judged.len() == rows.len(), "{attribute}: a case is missing");
    Ok(judged.iter().flat_map(Judged::wrong).collect())
}
