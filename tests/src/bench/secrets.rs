//! `lab bench secrets`: what an activation with many secrets waits for.

use anyhow::{Context as _, Result, ensure};
use lab::secrets::{LINK, put};
use lab::story::Story;

use super::figures::{Figure, Table};
use super::trace;

const SECRETS: usize = 100;
const RUNS: usize = 11;

/// Measures the opening of 100 secrets, and what it takes where nothing has changed.
pub fn secrets() -> Result<Vec<Table>> {
    let story = Story::begin(&["web1"])?;
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
        "nixus-secrets",
        "activate",
        "--system",
        "/run/current-system",
        description.trim(),
    ];
    let measure = |forget: bool| -> Result<[Vec<f64>; 3]> {
        let mut values = [const { Vec::new() }; 3];
        for _ in 0..RUNS {
            if forget {
                host.must([
                    "sh",
                    "-c",
                    "rm -rf /run/nixus-secrets /run/nixus-secrets.d/[0-9]*",
                ])?;
            }
            let traced = trace::on(host, &command, &[0])?;
            let ours = traced.iter().find(|process| process.is("nixus-secrets"));
            let ours = ours.context("nixus-secrets was not run")?;
            let own = ours.images.iter().filter(|image| image.is("nixus-secrets"));
            values[0].push(ours.ended - ours.begun);
            values[1].push(own.map(|image| image.cpu).sum());
            values[2].push(ours.peak as f64 * 1024.0 / 1e6);
        }
        let there = host.must(["sh", "-c", &format!("ls {LINK}/ | wc -l")])?;
        ensure!(
            there.trim() == SECRETS.to_string(),
            "{there} secrets are there"
        );
        Ok(values)
    };
    let [time, cpu, memory] = measure(true)?;
    let [again, again_cpu, _] = measure(false)?;
    Ok(vec![Table {
        title: format!("An activation with {SECRETS} secrets ({RUNS} runs)"),
        figures: vec![
            Figure::of("all opened and swapped in: time", "ms", &time).at_most(200.0),
            Figure::of("of it processor", "ms", &cpu),
            Figure::of("peak memory", "MB", &memory),
            Figure::of("nothing has changed: time", "ms", &again),
            Figure::of("of it processor", "ms", &again_cpu),
        ],
        notes: vec!["To one ed25519 host key, 3,000 bytes each.".to_owned()],
    }])
}
