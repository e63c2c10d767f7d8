//! The same host, where it follows the repository over HTTPS.

use anyhow::{Context as _, Result, ensure};
use lab::{Host, Lab, https_server};
use toml::{Table as Toml, Value};

use super::super::figures::{Figure, Table};
use super::super::relay::counted;
use super::super::trace;
use super::super::yardstick::{Pairs, used_by_all};
use super::{COUNTED, COUNTS, LAB, OTHER_REFS, PASS, PASSES, is_up_to_date, time};

const TOKEN: &str = "s3cret-0123456789abcdef";
const TOKEN_FILE: &str = "/var/lib/lab-keys/token";
/// The configuration of the host, but for the repository's URL.
const CONFIG: &str = "/root/https.toml";
const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";
const BACKEND: &str = "/usr/lib/git-core/git-http-backend";
const COUNTING: &str = "/usr/local/bin/counting-backend";
/// How many times the processor time of `git ls-remote` over HTTPS all of a pass may use: 20 ms of the 86 ms
/// that a pass took when it started git.
const PASS_TO_GIT: f64 = 0.23;

/// Measures passes with nothing to do, beside git itself.
pub fn passes(lab: &Lab, host: &Host) -> Result<Table> {
    let server = lab.host("git")?;
    let authority = https_server::start(server, TOKEN)?;
    // One authority more than the system has: all of them are read.
    let store = host.read(STORE)?;
    host.write(STORE, &format!("{store}\n{authority}"))?;
    host.write(TOKEN_FILE, TOKEN)?;
    host.write(CONFIG, &over_https(&host.read("/etc/nixus/config.toml")?)?)?;
    let pass: Vec<&str> = PASS[..4]
        .iter()
        .chain(&["--config", CONFIG, "reconcile"])
        .copied()
        .collect();
    let url = https_server::URL.replace("://", &format!("://x-access-token:{TOKEN}@"));
    let plain = ["git", "ls-remote", "--heads", &url, "main"];

    let [mut cpu, mut wall]: [Pairs; 2] = Default::default();
    for _ in 0..PASSES {
        let ours = trace::on(host, &pass, &[0])?;
        is_up_to_date(host)?;
        ensure!(
            !ours.iter().any(|process| process.is("git")),
            "git was started"
        );
        let bare = trace::on(host, &plain, &[0])?;
        cpu.add(used_by_all(&ours), used_by_all(&bare));
        wall.add(time(&ours), time(&bare));
    }
    let (ours, gits) = bytes(server, host, &pass, &plain)?;
    Ok(Table {
        title: format!(
            "A pass with nothing to do over HTTPS ({PASSES} passes, {} other refs)",
            2 * OTHER_REFS
        ),
        figures: vec![
            cpu.ours("all processes of the pass: processor"),
            cpu.yardstick("git ls-remote --heads URL main: processor"),
            cpu.ratio("the pass to git ls-remote: processor")
                .at_most(PASS_TO_GIT),
            wall.ours("the whole pass: time"),
            wall.yardstick("git ls-remote --heads URL main: time"),
            Figure::of("nixus: git protocol, from the server", "bytes", &ours).at_most(600.0),
            Figure::of("git ls-remote: git protocol", "bytes", &gits),
        ],
        notes: vec![
            "The pass is one process: TLS, with the certificate store of a whole system, is in it.".to_owned(),
            "Git protocol: what git-http-backend wrote on its standard output, four headers included.".to_owned(),
        ],
    })
}

/// A host's configuration with the repository at another URL.
fn over_https(config: &str) -> Result<String> {
    let mut config: Toml = toml::from_str(config).context("the host's configuration is strange")?;
    let repository = config.get_mut("repository").and_then(Value::as_table_mut);
    let repository = repository.context("the host has no repository")?;
    let keys = ["ssh_key", "known_hosts"].map(|key| (key, repository.remove(key)));
    repository.insert("url".to_owned(), https_server::URL.into());
    repository.insert("token_file".to_owned(), TOKEN_FILE.into());
    if let Some(reports) = config.get_mut("reports").and_then(Value::as_table_mut) {
        for (key, value) in keys {
            if let Some(value) = value {
                reports.entry(key).or_insert(value);
            }
        }
    }
    toml::to_string(&config).context("cannot write the configuration")
}

/// What the server sent for each of our polls, and of git's.
fn bytes(
    server: &Host,
    host: &Host,
    pass: &[&str],
    plain: &[&str],
) -> Result<(Vec<f64>, Vec<f64>)> {
    let script = format!("#!/bin/sh\nexec /{LAB} relay --to {COUNTS} -- {BACKEND}\n");
    server.write(COUNTING, &script)?;
    server.must(["chmod", "755", COUNTING])?;
    let file = format!("{}/lighttpd.conf", https_server::FOLDER);
    server.write(&file, &server.read(&file)?.replace(BACKEND, COUNTING))?;
    server.must(["systemctl", "restart", "https"])?;
    let count = |command: &[&str]| -> Result<Vec<f64>> {
        let counts = server.disk().join(COUNTS.trim_start_matches('/'));
        let mut sent = Vec::new();
        for _ in 0..COUNTED {
            let before = counted(&counts)?.len();
            host.must(command)?;
            sent.push(counted(&counts)?.split_off(before).iter().sum());
        }
        Ok(sent)
    };
    Ok((count(pass)?, count(plain)?))
}
