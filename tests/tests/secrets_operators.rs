//! `nixus secrets`, and other programs that make and open the same files.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::secrets::{host_key, operator_key, put, write};
use lab::story::Story;
use lab::test;
use lab::{Host, Output, command, fleet, keys, setup};

use crate::secrets::is;

const LIMIT: Duration = Duration::from_secs(60);
/// Where the host has a clone of the deploy repository.
const CLONE: &str = "/root/deploy";

/// Runs a command in the clone on a host, with a standard input.
fn in_clone(host: &Host, arguments: &[&str], input: &[u8]) -> Result<Output> {
    let words = ["env", "-C", CLONE].iter().chain(arguments);
    command::run(&mut host.command(words)?, Some(input), LIMIT)
}

/// The same; it must end with this exit code, and say these words.
fn says(host: &Host, arguments: &[&str], input: &[u8], code: i32, words: &str) -> Result<Output> {
    let said = in_clone(host, arguments, input)?;
    let text = format!("{}{}", said.stdout, said.stderr);
    ensure!(
        said.code == Some(code) && text.contains(words),
        "{arguments:?}: {said:?}, and not {code} with {words:?}"
    );
    Ok(said)
}

#[test]
fn operators_edit_set_show_rekey_and_check_and_recipients_follow_from_the_fleet() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let operator = story.lab().operator();
    let ssh = "GIT_SSH_COMMAND=ssh -F none -i /etc/nixus/deploy_key -o BatchMode=yes \
               -o UserKnownHostsFile=/etc/nixus/known_hosts";
    web1.must([
        "env",
        ssh,
        "git",
        "clone",
        "--quiet",
        &fleet::url(fleet::DEPLOY),
        CLONE,
    ])?;
    let (file, text) = story.lab().describe(
        "web1",
        "secrets.files.db = { file = ../secrets/db.age; restartUnits = [ \"db.service\" ]; };",
    )?;
    web1.write(&format!("{CLONE}/{file}"), &text)?;
    let secret = std::fs::read_to_string(operator.key()).context("no operator's key")?;
    web1.write("/root/key", &secret)?;
    let db = "secrets/db.age";
    let show = ["nixus", "secrets", "show", db, "--identity", "/root/key"];

    let outside = web1.exec(["env", "-C", "/", "nixus", "secrets", "check"])?;
    ensure!(
        outside.code == Some(2) && outside.stderr.contains("this folder is not a clone"),
        "{outside:?}"
    );
    says(
        web1,
        &["nixus", "secrets", "check"],
        b"",
        1,
        "not there yet",
    )?;
    says(web1, &show, b"", 2, "cannot read secrets/db.age")?;
    let unused = ["nixus", "secrets", "set", "secrets/x.age"];
    says(web1, &unused, b"x", 2, "no host uses secrets/x.age")?;
    let set = ["nixus", "secrets", "set", db];
    says(web1, &set, b"", 2, "standard input is empty")?;
    says(web1, &set, b"hunter2\n", 0, "Made secrets/db.age")?;
    let checked = says(web1, &["nixus", "secrets", "check"], b"", 0, "ok")?;
    ensure!(
        checked.stdout.contains("web1, the operators"),
        "{checked:?}"
    );
    let shown = says(web1, &show, b"", 0, "hunter2")?;
    ensure!(shown.stdout == "hunter2\n", "{shown:?}");

    // An editor that looks where its file is, and adds a line.
    let editor = "#!/bin/sh\nstat --file-system --format=%T \"$1\" > /root/kind\n\
                  stat --format=%a \"$1\" > /root/mode\necho more >> \"$1\"\ncp \"$1\" \"$1~\"\n";
    web1.write("/root/editor", editor)?;
    web1.must(["chmod", "755", "/root/editor"])?;
    let edit = |editor: &str, code: i32, words: &str| {
        let editor = format!("EDITOR={editor}");
        let words_of = [
            "env",
            &editor,
            "nixus",
            "secrets",
            "edit",
            db,
            "--identity",
            "/root/key",
        ];
        says(web1, &words_of, b"", code, words)
    };
    edit("/root/editor", 0, "Changed secrets/db.age")?;
    ensure!(web1.read("/root/kind")?.trim() == "tmpfs");
    ensure!(web1.read("/root/mode")?.trim() == "600");
    ensure!(says(web1, &show, b"", 0, "")?.stdout == "hunter2\nmore\n");
    edit("/bin/true", 0, "is unchanged")?;
    edit("/bin/false", 1, "is unchanged")?;
    edit("/no/such/editor", 2, "cannot start the editor")?;
    let left = web1.must(["find", "/dev/shm", "/tmp", "-name", "*nixus-secrets*"])?;
    ensure!(left.trim().is_empty(), "{left}");

    // A host gets another key.
    let new = keys::key(&setup::prepare()?, "rotated-web1")?;
    let old = host_key(story.lab(), "web1")?;
    let described = web1.read(&format!("{CLONE}/fleet.nix"))?;
    let both = described.replace(
        &format!("\"{old}\""),
        &format!("\"{old}\" \"{}\"", new.public),
    );
    ensure!(both != described, "fleet.nix does not have the host's key");
    web1.write(&format!("{CLONE}/fleet.nix"), &both)?;
    says(
        web1,
        &["nixus", "secrets", "check"],
        b"",
        1,
        "a key of web1 does not open it",
    )?;
    let rekey = ["nixus", "secrets", "rekey", "--identity", "/root/key"];
    let done = "Encrypted secrets/db.age anew to web1, the operators.";
    let said = says(web1, &rekey, b"", 0, done)?.stdout;
    // Whoever rekeys sees first to whom nothing was encrypted before.
    let (before, _) = said.split_once(done).context("nothing is encrypted")?;
    ensure!(
        before.contains("secrets/db.age: a key of web1 does not open it"),
        "{said}"
    );
    says(web1, &["nixus", "secrets", "check"], b"", 0, "ok")?;
    says(web1, &rekey, b"", 0, "Nothing to do")?;
    // The host's own key opens it as well; a stranger's does not.
    let own = "/var/lib/lab-keys/ssh_host_ed25519_key";
    let by = |key: &str, code: i32, words: &str| {
        says(
            web1,
            &["nixus", "secrets", "show", db, "--identity", key],
            b"",
            code,
            words,
        )
    };
    by(own, 0, "hunter2")?;
    by(
        "/etc/nixus/deploy_key",
        1,
        "none of the private keys here opens it",
    )?;
    Ok(())
}

#[test]
fn files_of_age_and_agenix_open_and_ours_open_with_age() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let plaintext = b"made elsewhere\n";
    let [host, operator] = [host_key(story.lab(), "web1")?, operator_key(story.lab())?];
    // As agenix calls it: recipients in a file, from standard input, armoured where it is told to.
    web1.write("/root/recipients", &format!("{host}\n{operator}\n"))?;
    web1.must(["age-keygen", "--output", "/root/age-key"])?;
    let own = web1.must(["age-keygen", "-y", "/root/age-key"])?;
    let age = |more: &[&str]| -> Result<Vec<u8>> {
        let words = ["age", "--encrypt", "--output", "/root/made.age"]
            .iter()
            .chain(more);
        command::must(&mut web1.command(words)?, Some(plaintext), LIMIT)?;
        crate::secrets::content(web1, "/root/made.age")
    };
    let made = [
        ("agenix", age(&["--recipients-file", "/root/recipients"])?),
        (
            "armoured",
            age(&["--armor", "--recipients-file", "/root/recipients"])?,
        ),
        (
            "mixed",
            age(&["--recipient", own.trim(), "--recipient", &host])?,
        ),
    ];
    let mut nix = String::new();
    for (name, bytes) in &made {
        write(story.lab(), &format!("secrets/{name}.age"), bytes)?;
        nix.push_str(&format!(
            "secrets.files.{name}.file = ../secrets/{name}.age;\n"
        ));
    }
    let commit = story.lab().deploy("web1", &nix, "bring files of agenix")?;
    story.kept("web1", &commit)?;
    for (name, _) in &made {
        is(web1, name, plaintext)?;
    }

    let ours = put(story.lab(), "secrets/ours.age", &["web1"], plaintext)?;
    let ours = std::fs::read(ours).context("no secret was made")?;
    let key = "/var/lib/lab-keys/ssh_host_ed25519_key";
    let opened = command::run(
        &mut web1.command(["age", "--decrypt", "--identity", key])?,
        Some(&ours),
        LIMIT,
    )?;
    ensure!(
        opened.ok() && opened.stdout.as_bytes() == plaintext,
        "{opened:?}"
    );
    Ok(())
}
