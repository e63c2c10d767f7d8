//! `lab bench secrets`: what an activation with many secrets waits for.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::secrets::{LINK, put};
use nixus::secrets::description::Description;

use super::figures::{Figure, Table};
use super::trace::Process;
use super::yardstick::{Pairs, used_by};
use super::{as_shipped, trace};

const SECRETS: usize = 100;
const RUNS: usize = 11;
const PROGRAM: &str = "nixus-secrets";
/// How many times the time of `age`, started once for each secret, an activation may take. The limit was
/// 200 ms, and on an idle machine `age` took 996 ms (2026-11-30).
const OPENING_TO_AGE: f64 = 0.2;
/// What activation scripts do that have no program of their own (agenix): the same files are opened with
/// the same key, one by one. In seconds; no shell is traced, which would slow down each start.
const AGE: &str = r#"TIMEFORMAT=%3R
key=$1; shift
time for file; do age --decrypt --identity "$key" -- "$file" >/dev/null || exit; done"#;

/// Measures the opening of 100 secrets, and what it takes where nothing has changed.
pub fn secrets() -> Result<Vec<Table>> {
    let story = as_shipped(&["web1"])?;
    let host = story.host("web1")?;
    let mut nix = String::new();
    for number in 0..SECRETS {
        let file = format!("secrets/s{number:03}.age");
        // As long as a private key.
        put(story.lab(), &file, &["web1"], &[b'x'; 3000])?;
        nix.push_str(&format!("secrets.files.s{number:03}.file = ../{file};\n"));
    }
    let commit = story.lab().deploy("web1", &nix, "a hundred secrets")?;
    story.kept("web1", &commit)?;
    host.must(["nixus", "suspend", "the bench activates"])?;
    let description = host.must([
        "readlink",
        "-f",
        "/run/current-system/etc/nixus/secrets.json",
    ])?;
    let command = [
        PROGRAM,
        "activate",
        "--system",
        "/run/current-system",
        description.trim(),
    ];
    let age = age(host, description.trim())?;
    let mut opened = Pairs::default();
    let [mut cpu, mut memory, mut again, mut again_cpu] = [const { Vec::new() }; 4];
    for _ in 0..RUNS {
        host.must([
            "sh",
            "-c",
            "rm -rf /run/nixus-secrets /run/nixus-secrets.d/[0-9]*",
        ])?;
        let traced = trace::on(host, &command, &[0])?;
        let ours = run(&traced)?;
        opened.add(ours.ended - ours.begun, seconds(host, &age)? * 1e3);
        cpu.push(used_by(PROGRAM, &traced));
        memory.push(ours.peak as f64 * 1024.0 / 1e6);
        are_there(host)?;
        let traced = trace::on(host, &command, &[0])?;
        let ours = run(&traced)?;
        again.push(ours.ended - ours.begun);
        again_cpu.push(used_by(PROGRAM, &traced));
        are_there(host)?;
    }
    Ok(vec![Table {
        title: format!("An activation with {SECRETS} secrets ({RUNS} runs)"),
        figures: vec![
            opened.ours("all opened and swapped in: time"),
            opened.yardstick("age, once for each: time"),
            opened
                .ratio("all opened to age: time")
                .at_most(OPENING_TO_AGE),
            Figure::of("nixus-secrets: processor", "ms", &cpu),
            Figure::of("its peak memory", "MB", &memory),
            Figure::of("nothing has changed: time", "ms", &again),
            Figure::of("of it processor", "ms", &again_cpu),
        ],
        notes: vec!["To one ed25519 host key, 3,000 bytes each.".to_owned()],
    }])
}

fn run(traced: &[Process]) -> Result<&Process> {
    let ours = traced.iter().find(|process| process.is(PROGRAM));
    ours.context("nixus-secrets was not run")
}

fn are_there(host: &Host) -> Result<()> {
    let there = host.must(["sh", "-c", &format!("ls {LINK}/ | wc -l")])?;
    ensure!(
        there.trim() == SECRETS.to_string(),
        "{there} secrets are there"
    );
    Ok(())
}

/// The command that opens all secrets of a description with `age`, and says how long it took.
fn age(host: &Host, description: &str) -> Result<Vec<String>> {
    let text = host.read(description)?;
    let text: Description = serde_json::from_str(&text).context("that describes no secrets")?;
    let key = text.identities.first().context("there is no key")?;
    let files = text.secrets.iter().map(|secret| &secret.file);
    let files: Vec<_> = [key].into_iter().chain(files).collect();
    ensure!(files.len() == 1 + SECRETS, "{} files", files.len());
    let words = ["bash", "-c", AGE, "bash"].map(str::to_owned);
    let files = files.iter().map(|file| file.display().to_string());
    Ok(words.into_iter().chain(files).collect())
}

/// What a command that measures itself has said.
fn seconds(host: &Host, command: &[String]) -> Result<f64> {
    let output = host.exec(command)?;
    ensure!(output.ok(), "{output:?}");
    let said = output.stderr.trim();
    said.parse()
        .with_context(|| format!("{said:?} is not a number of seconds"))
}
