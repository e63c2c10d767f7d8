//! Secrets that a host cannot open: the commit is refused before anything changes, and where they are
//! activated nevertheless, one takes no other away.

use anyhow::{Context as _, Result, ensure};
use lab::secrets::{LINK, put, write};
use lab::story::{Story, deployments};
use lab::test;

use crate::failures::takes_the_next_commit;
use crate::secrets::{content, is};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Five secrets, each with a unit that cannot do without it.
fn five(more: &str) -> String {
    let each = NAMES.map(|name| {
        format!(
            r#"
            secrets.files.{name} = {{ file = ../secrets/{name}.age; restartUnits = [ "needs-{name}.service" ]; }};
            systemd.services.needs-{name} = {{
              wantedBy = [ "multi-user.target" ];
              serviceConfig = {{ Type = "oneshot"; RemainAfterExit = true; ExecStart = "test -s {LINK}/{name}"; }};
            }};
            "#
        )
    });
    format!("{}{more}", each.concat())
}

fn seal(story: &Story, word: &str) -> Result<()> {
    for name in NAMES {
        let plaintext = format!("{word} {name}");
        put(
            story.lab(),
            &format!("secrets/{name}.age"),
            &["web1"],
            plaintext.as_bytes(),
        )?;
    }
    Ok(())
}

/// Changes the last byte of a file in the operator's clone.
fn damage(story: &Story, name: &str) -> Result<()> {
    let file = format!("secrets/{name}.age");
    let path = story.lab().operator().clone_path().join(&file);
    let mut bytes = std::fs::read(&path).context("there is no such secret")?;
    *bytes.last_mut().context("it is empty")? ^= 1;
    write(story.lab(), &file, &bytes).map(drop)
}

/// Sees that the host refused a commit without asking its switcher, and has what it had.
fn refused(story: &Story, commit: &str, before: &str, words: &[&str]) -> Result<()> {
    let web1 = story.host("web1")?;
    let known = deployments(web1)?;
    for words in words {
        story.went_back("web1", commit, before, words)?;
    }
    ensure!(deployments(web1)? == known, "the switcher was asked");
    Ok(())
}

#[test]
fn one_damaged_file_among_five_is_refused_and_takes_no_other_away() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    seal(&story, "one")?;
    let commit = story.lab().deploy("web1", &five(""), "five secrets")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;

    seal(&story, "two")?;
    damage(&story, "c")?;
    let commit = story.lab().deploy("web1", &five(""), "five, one damaged")?;
    let words = [
        "refused, nothing was changed",
        "cannot open secret c: it is damaged",
    ];
    refused(&story, &commit, &before, &words)?;
    for name in NAMES {
        is(web1, name, format!("one {name}").as_bytes())?;
    }

    // Somebody activates it by hand.
    web1.must(["nixus", "suspend", "by hand"])?;
    let damaged = web1.build(&commit)?;
    let switch =
        |toplevel: &str| web1.exec([&format!("{toplevel}/bin/switch-to-configuration"), "test"]);
    let said = switch(&damaged)?;
    ensure!(matches!(said.code, Some(2 | 4)), "{said:?}");
    ensure!(
        said.stderr
            .contains("nixus-secrets: cannot open secret c: it is damaged"),
        "{said:?}"
    );
    for name in ["a", "b", "d", "e"] {
        is(web1, name, format!("two {name}").as_bytes())?;
        web1.must(["systemctl", "is-active", &format!("needs-{name}.service")])?;
    }
    ensure!(
        content(web1, &format!("{LINK}/c")).is_err(),
        "the old one is still there"
    );
    let dependant = web1.exec(["systemctl", "is-active", "needs-c.service"])?;
    ensure!(dependant.stdout.trim() == "failed", "{dependant:?}");

    // And back, by hand as well.
    let said = switch(&before)?;
    ensure!(said.ok(), "{said:?}");
    for name in NAMES {
        is(web1, name, format!("one {name}").as_bytes())?;
        web1.must(["systemctl", "is-active", &format!("needs-{name}.service")])?;
    }
    web1.must(["nixus", "resume"])?;
    takes_the_next_commit(&story)
}

#[test]
fn ciphertext_for_another_host_is_refused_before_anything_changes() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    // To nobody but the operator.
    put(story.lab(), "secrets/db.age", &[], b"for somebody else")?;
    let nix = "secrets.files.db.file = ../secrets/db.age;";
    let commit = story.lab().deploy("web1", nix, "another host's secret")?;
    let words = [
        "this host cannot open all its secrets",
        "cannot open secret db: none of the private keys here opens it",
    ];
    refused(&story, &commit, &before, &words)?;
    ensure!(
        !web1.exec(["test", "-e", LINK])?.ok(),
        "something was changed"
    );
    // Encrypted to this host, it is another system, and deployed.
    put(story.lab(), "secrets/db.age", &["web1"], b"for web1")?;
    let commit = story.lab().deploy("web1", nix, "web1's secret")?;
    story.kept("web1", &commit)?;
    is(web1, "db", b"for web1")
}

#[test]
fn somebody_elses_file_in_a_secrets_place_is_refused_and_not_overwritten() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.write("/var/lib/shop/key", "made by hand")?;
    put(story.lab(), "secrets/db.age", &["web1"], b"from git")?;
    let nix = r#"secrets.files.db = { file = ../secrets/db.age; path = "/var/lib/shop/key"; };"#;
    let commit = story.lab().deploy("web1", nix, "take the key into git")?;
    refused(
        &story,
        &commit,
        &before,
        &["/var/lib/shop/key is there already"],
    )?;
    ensure!(web1.read("/var/lib/shop/key")? == "made by hand");
    // Moved away, the same commit goes on.
    web1.must(["mv", "/var/lib/shop/key", "/var/lib/shop/key.old"])?;
    web1.must(["nixus", "retry"])?;
    story.kept_at_last("web1", &commit)?;
    ensure!(web1.read("/var/lib/shop/key")? == "from git");
    Ok(())
}

#[test]
fn a_host_without_its_key_waits_and_blames_no_commit() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    put(story.lab(), "secrets/db.age", &["web1"], b"x")?;
    let nix = r#"
      secrets.files.db.file = ../secrets/db.age;
      secrets.identityPaths = [ "/var/lib/lab-keys/copy" ];
    "#;
    let commit = story.lab().deploy("web1", nix, "a secret")?;
    story.waits_for("web1", "backing-off")?;
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(
        text.contains("there is no private key to open secrets with"),
        "{text}"
    );
    story.blames_no_commit("web1")?;
    story.at_rest("web1", &before)?;
    web1.must([
        "cp",
        "/var/lib/lab-keys/ssh_host_ed25519_key",
        "/var/lib/lab-keys/copy",
    ])?;
    web1.must(["nixus", "retry"])?;
    story.kept_at_last("web1", &commit).map(drop)
}
