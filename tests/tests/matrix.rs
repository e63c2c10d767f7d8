//! Nixus beside what people have: each row of `nix/matrix.nix` evaluated with all of nixpkgs, its own modules and
//! packages. No host runs for it.

use anyhow::{Result, ensure};
use lab::evaluator::{self, Evaluator};
use lab::harness::some_rows;
use lab::test;

const MATRIX: &str = "matrix.nix";
/// How many rows each run has; `--hosts nixos` has all of them.
const AT_LEAST: usize = 6;
/// How many calls a host may cost that another one has to know of: its addresses, records, peers' lines.
const MOST_CALLS: u64 = 20_000;

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
fn a_host_is_known_to_others_without_being_evaluated() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let calls = |attribute: &str| -> Result<u64> {
        let (path, calls): (String, u64) = evaluator.of_nixpkgs(MATRIX, attribute)?;
        ensure!(path.ends_with(".drv"), "{path}");
        Ok(calls)
    };
    let alone = calls("toplevel 1")?;
    let among = calls("toplevel 100")?;
    // Looks at two neighbours; each would cost 630,000 calls.
    eprintln!("calls for one host's system, alone and among a hundred: {alone}, {among}");
    ensure!(
        among < alone + alone / 20,
        "{alone} alone, {among} among a hundred"
    );
    // Looks at all of them.
    let [ten, hundred] = [10, 100].map(|count| calls(&format!("toplevelOfAll {count}")));
    let (ten, hundred) = (ten?, hundred?);
    eprintln!("calls for the system that names all others, of 10 and of 100: {ten}, {hundred}");
    let each = hundred.saturating_sub(ten) / 90;
    ensure!(each < MOST_CALLS, "{each} calls for each host more");
    Ok(())
}
