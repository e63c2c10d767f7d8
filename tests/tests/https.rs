//! Commits over HTTPS, from a server with a certificate authority of its own, for a token.

use anyhow::{Result, ensure};
use lab::fleet::Files;
use lab::https_server;
use lab::story::{PATIENCE, Story};
use lab::test;

use crate::commands::noise;

const TOKEN: &str = "s3cret-0123456789abcdef";
const TOKEN_FILE: &str = "/var/lib/lab-keys/token";

/// Takes commits over HTTPS, reports over SSH as before.
fn over_https(authority: &str, token_file: &str, more: &str) -> String {
    over_https_by("pinned_ca_file", authority, token_file, more)
}

/// The same, with the key that names the authority's file.
fn over_https_by(key: &str, authority: &str, token_file: &str, more: &str) -> String {
    format!(
        r#"
        environment.etc."nixus/ca.pem".text = ''
          {authority}'';
        services.nixus.settings.repository = {{
          url = lib.mkForce "{url}";
          ssh_key = lib.mkForce null;
          known_hosts = lib.mkForce null;
          token_file = "{token_file}";
          {key} = "/etc/nixus/ca.pem";
        }};
        services.nixus.settings.reports.ssh_key = "/etc/nixus/deploy_key";
        services.nixus.settings.reports.known_hosts = "/etc/nixus/known_hosts";
        {more}"#,
        url = https_server::URL
    )
}

#[test]
fn commits_come_over_https_with_an_authority_and_a_token_of_ones_own() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let authority = https_server::start(git, TOKEN)?;
    // Most editors end a file with a newline.
    web1.write(TOKEN_FILE, &format!("{TOKEN}\n"))?;
    web1.write("/var/lib/lab-keys/other_token", "s3cret-fedcba9876543210\n")?;
    let right = |more| over_https(&authority, TOKEN_FILE, more);
    let commit = story.lab().deploy("web1", &right(""), "move to HTTPS")?;
    story.kept("web1", &commit)?;

    // What is wrong is told, and never kept.
    let before = web1.current_system()?;
    let stranger = https_server::stranger(git)?;
    for (broken, words) in [
        (
            over_https(&stranger, TOKEN_FILE, ""),
            "certificate signer not trusted",
        ),
        (
            over_https(&authority, "/var/lib/lab-keys/other_token", ""),
            "Authentication failed",
        ),
        (
            over_https(&authority, "/var/lib/lab-keys/no_token", ""),
            "cannot read the token",
        ),
    ] {
        let commit = story.lab().deploy("web1", &broken, "break HTTPS")?;
        story.went_back("web1", &commit, &before, words)?;
    }

    // Long enough under way to be looked at.
    web1.throttle("2mbit")?;
    let more = right(r#"environment.etc."greeting".text = "hello";"#);
    let mut files: Files = [story.lab().describe("web1", &more)?].into();
    files.insert("ballast".to_owned(), noise(1536 * 1024));
    let commit = story.lab().operator().deploy(&files, "carry ballast")?;
    web1.wait_until("fetches", PATIENCE, |host| {
        Ok(host
            .exec(["pgrep", "-f", "remote-https .*deploy.git"])?
            .ok())
    })?;
    // The pattern comes from a file, so that the search does not find itself.
    let search = |arguments: &[&str]| web1.exec(arguments.iter().chain(&["-F", "-f", TOKEN_FILE]));
    for list in ["cmdline", "environ"] {
        let found = web1.exec([
            "find",
            "/proc",
            "-maxdepth",
            "2",
            "-name",
            list,
            "-exec",
            "grep",
            "-l",
            "-a",
            "-F",
            "-f",
            TOKEN_FILE,
            "{}",
            "+",
        ])?;
        ensure!(found.stdout.is_empty(), "the token is in {}", found.stdout);
    }
    web1.throttle("1gbit")?;
    story.kept("web1", &commit)?;
    web1.must(["journalctl", "--sync"])?;
    let written = [
        "/var/lib/nixus",
        "/run/nixus",
        "/var/log",
        "/run/log",
        "/etc/nixus",
    ];
    let found = search(&[&["grep", "-r", "-l", "-a", "-s"][..], &written].concat())?;
    ensure!(found.stdout.is_empty(), "the token is in {}", found.stdout);
    for report in story.lab().operator().reports("web1")? {
        ensure!(!report.text.contains(TOKEN), "the token is in a report");
    }

    // In addition to the system's, for git and for the poll; and by the former name of the key, which pins.
    for key in ["extra_ca_file", "ca_file"] {
        let by = over_https_by(key, &authority, TOKEN_FILE, "");
        let commit = story.lab().deploy("web1", &by, key)?;
        story.kept("web1", &commit)?;
    }
    let said = web1.exec(["nixus", "check-config"])?;
    let warning = "repository.ca_file replaces the system's authorities: write pinned_ca_file";
    ensure!(said.ok() && said.stderr.contains(warning), "{said:?}");
    Ok(())
}

#[test]
fn a_page_with_an_authority_of_ones_own_is_judged_by_the_hosts_certificate_store() -> Result<()> {
    const STORE: &str = "/etc/ssl/certs/ca-certificates.crt";
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let authority = https_server::start(git, TOKEN)?;
    // Whoever is believed is asked, and answers that it wants a password.
    let check = format!(
        r#"services.nixus.settings.checks = [
          {{ kind = "http"; name = "shop"; need = "wanted"; url = "{}"; status = 401; }}
        ];"#,
        https_server::URL
    );
    let commit = story.lab().deploy("web1", &check, "look at a page")?;
    story.kept("web1", &commit)?;
    let said = |words: &str| -> Result<()> {
        let said = web1.exec(["nixus", "check"])?.stdout;
        let line = said.lines().find(|line| line.contains("shop"));
        let line = line.unwrap_or_default();
        ensure!(line.contains(words), "not {words:?}: {said}");
        Ok(())
    };
    said("UnknownIssuer")?;
    let store = web1.read(STORE)?;
    web1.write(STORE, &format!("{store}\n{authority}"))?;
    said("answers with 401")?;
    // The store that the system names in another place.
    web1.write(STORE, &store)?;
    web1.write("/root/own.pem", &authority)?;
    let named = ["env", "SSL_CERT_FILE=/root/own.pem", "nixus", "check"];
    let named = web1.exec(named)?.stdout;
    ensure!(named.contains("answers with 401"), "{named}");
    Ok(())
}
