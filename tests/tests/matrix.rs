//! Nixus beside what people have: each row of `nix/matrix.nix` evaluated with all of nixpkgs, its own modules and
//! packages. No host runs for it.

use anyhow::{Result, ensure};
use lab::evaluator::{self, Evaluator};
use lab::harness::some_rows;
use lab::test;

const MATRIX: &str = "matrix.nix";
/// How many rows each run has; `--hosts nixos` has all of them.
const AT_LEAST: usize = 6;

#[test(only_nixos, weight = 2)]
fn nixus_goes_with_what_people_have() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let (names, _): (Vec<String>, u64) = evaluator.of_nixpkgs(MATRIX, "names")?;
    ensure!(names.len() > 20, "only {} rows", names.len());
    let names = some_rows(names, AT_LEAST);
    eprintln!("rows of the matrix: {}", names.join(", "));
    let wrong = evaluator::wrong_with(&names, |name| {
        let problems = evaluator.of_nixpkgs::<Vec<String>>(MATRIX, &format!("problems {name:?}"));
        let (problems, _) = problems.unwrap_or_else(|error| (vec![format!("{error:#}")], 0));
        problems
            .iter()
            .map(|problem| format!("{name}: {problem}"))
            .collect()
    });
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test(only_nixos)]
fn a_hosts_system_costs_the_same_in_a_fleet_of_ten_and_of_a_hundred() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let calls = |count: usize| -> Result<u64> {
        let (path, calls): (String, u64) =
            evaluator.of_nixpkgs(MATRIX, &format!("toplevel {count}"))?;
        ensure!(path.ends_with(".drv"), "{path}");
        Ok(calls)
    };
    let [one, ten, hundred] = [1, 10, 100].map(calls);
    let (one, ten, hundred) = (one?, ten?, hundred?);
    eprintln!("calls for one host's system, in fleets of 1, 10 and 100: {one}, {ten}, {hundred}");
    // Two neighbours are looked at.
    ensure!(
        ten < one * 2,
        "{one} in a fleet of one, {ten} in one of ten"
    );
    ensure!(
        hundred < ten + ten / 20,
        "{ten} in a fleet of ten, {hundred} in one of a hundred"
    );
    Ok(())
}
