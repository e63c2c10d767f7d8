//! Secrets on real hosts: there when they are needed, as they should be, and rolled back with the
//! generation. What is refused is in `secrets_refused`, operators' commands in `secrets_operators`, and where
//! nothing secret may be in `secrets_leaks`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64ct::{Base64, Encoding as _};
use lab::secrets::{LINK, put, put_for};
use lab::story::{PATIENCE, Story, status, switcher_status};
use lab::test;
use lab::{Host, keys, setup};
use serde_json::Value;

use crate::failures::takes_the_next_commit;

/// A unit that uses two secrets, one that is reloaded for one of them, and one that uses none.
pub const SHOP: &str = r#"
  users.users.shop = { isSystemUser = true; group = "shop"; };
  users.groups.shop = { };
  secrets.files = {
    db = { file = ../secrets/db.age; user = "shop"; restartUnits = [ "shop.service" ]; };
    tls = {
      file = ../secrets/tls.age;
      group = "shop";
      restartUnits = [ "shop.service" ];
      reloadUnits = [ "proxy.service" ];
    };
    other = { file = ../secrets/other.age; path = "/etc/shop/other"; restartUnits = [ "other.service" ]; };
  };
  systemd.services = {
    shop = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; LoadCredential = "db:/run/nixus-secrets/db"; };
      script = "cp \"$CREDENTIALS_DIRECTORY/db\" /run/shop-saw; echo shop has started";
    };
    proxy = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      script = "echo proxy has started";
      reload = "echo proxy was reloaded";
    };
    other = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      script = "test -s /etc/shop/other; echo other has started";
    };
  };
"#;
/// Fails after everything was activated.
pub const FAILS: &str = r#"
  systemd.services.broken = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = { Type = "oneshot"; ExecStart = "false"; };
  };
"#;

/// Seals the shop's secrets to a host.
pub fn seal(story: &Story, db: &[u8], tls: &[u8], other: &[u8]) -> Result<()> {
    for (file, plaintext) in [("db", db), ("tls", tls), ("other", other)] {
        put(
            story.lab(),
            &format!("secrets/{file}.age"),
            &["web1"],
            plaintext,
        )?;
    }
    Ok(())
}

/// A host that has opened a shop.
fn shop(db: &[u8]) -> Result<Story> {
    let story = Story::alone(&["web1"])?;
    seal(&story, db, b"tls", b"other")?;
    let commit = story.lab().deploy("web1", SHOP, "open a shop")?;
    story.kept("web1", &commit)?;
    Ok(story)
}

/// Every byte there is, and a mark of its own.
fn bytes(mark: u8) -> Vec<u8> {
    (0..=255).chain([mark, b'\n', 0]).collect()
}

/// What is in a file of a host.
pub fn content(host: &Host, path: &str) -> Result<Vec<u8>> {
    let text = host.must(["base64", "--wrap=0", "--", path])?;
    Base64::decode_vec(text.trim())
        .ok()
        .context("that is not base64")
}

/// Sees that a secret has this content.
pub fn is(host: &Host, name: &str, expected: &[u8]) -> Result<()> {
    let found = content(host, &format!("{LINK}/{name}"))?;
    ensure!(
        found == expected,
        "{name} is {found:?} and not {expected:?}"
    );
    Ok(())
}

/// How often a unit has said something.
fn said(host: &Host, unit: &str, words: &str) -> Result<usize> {
    host.must(["journalctl", "--sync"])?;
    let text = host.must(["journalctl", "--unit", unit, "--output=cat", "--no-pager"])?;
    Ok(text.lines().filter(|line| *line == words).count())
}

#[test]
fn secrets_are_there_with_their_owner_group_and_mode_wherever_an_option_names_them() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    seal(&story, &bytes(1), b"tls", b"other")?;
    // The path in any option.
    let uses = format!(
        r#"{SHOP}
        secrets.files.both = {{ file = ../secrets/other.age; user = "shop"; group = "shop"; mode = "0440"; }};
        imports = [ ({{ config, ... }}: {{ environment.etc."shop/config".text = config.secrets.files.db.path; }}) ];"#
    );
    let commit = story.lab().deploy("web1", &uses, "open a shop")?;
    story.kept("web1", &commit)?;
    is(web1, "db", &bytes(1))?;
    ensure!(content(web1, &web1.read("/etc/shop/config")?)? == bytes(1));
    ensure!(content(web1, "/run/shop-saw")? == bytes(1));
    ensure!(content(web1, "/etc/shop/other")? == b"other");
    for (name, expected) in [
        ("db", "shop root 400"),
        ("tls", "root shop 40"),
        ("other", "root root 400"),
        ("both", "shop shop 440"),
    ] {
        let path = format!("{LINK}/{name}");
        let found = web1.must(["stat", "--format=%U %G %a", "--", &path])?;
        ensure!(found.trim() == expected, "{name}: {found}");
    }
    let as_shop = [
        "setpriv",
        "--reuid=shop",
        "--regid=shop",
        "--clear-groups",
        "cat",
    ];
    for (name, readable) in [("db", true), ("tls", true), ("other", false)] {
        let path = format!("{LINK}/{name}");
        let read = web1.exec(as_shop.iter().copied().chain([path.as_str()]))?;
        ensure!(read.ok() == readable, "{name}: {read:?}");
    }
    let memory = web1.must(["stat", "--file-system", "--format=%T", &format!("{LINK}/")])?;
    ensure!(memory.trim() == "ramfs", "{memory}");

    // And gone with the last of them.
    let commit = story.lab().deploy("web1", "", "close the shop")?;
    story.kept("web1", &commit)?;
    let left = web1.exec(["test", "-e", &format!("{LINK}/db")])?;
    let link = web1.exec(["test", "-L", "/etc/shop/other"])?;
    ensure!(!left.ok() && !link.ok(), "secrets are left");
    Ok(())
}

#[test(nixos)]
fn a_changed_secret_restarts_and_reloads_what_uses_it_once() -> Result<()> {
    let story = shop(b"one")?;
    let web1 = story.host("web1")?;
    let counts = || -> Result<[usize; 4]> {
        Ok([
            said(web1, "shop.service", "shop has started")?,
            said(web1, "proxy.service", "proxy has started")?,
            said(web1, "proxy.service", "proxy was reloaded")?,
            said(web1, "other.service", "other has started")?,
        ])
    };
    ensure!(counts()? == [1, 1, 0, 1], "{:?}", counts()?);
    // Two of its secrets; the third is only encrypted anew.
    seal(&story, b"two", b"tls two", b"other")?;
    let commit = story.lab().deploy("web1", SHOP, "change the passwords")?;
    story.kept("web1", &commit)?;
    ensure!(counts()? == [2, 1, 1, 1], "{:?}", counts()?);
    ensure!(content(web1, "/run/shop-saw")? == b"two");
    // Nothing but the ciphertext.
    seal(&story, b"two", b"tls two", b"other")?;
    let commit = story.lab().deploy("web1", SHOP, "encrypt anew")?;
    story.kept("web1", &commit)?;
    ensure!(counts()? == [2, 1, 1, 1], "{:?}", counts()?);
    // The unit changes, too, so that the switch restarts it by itself.
    seal(&story, b"three", b"tls two", b"other")?;
    let colder = "imports = [ { systemd.services.shop.environment.SEASON = \"winter\"; } ];";
    let commit = story
        .lab()
        .deploy("web1", &format!("{SHOP}{colder}"), "change both")?;
    story.kept("web1", &commit)?;
    ensure!(counts()? == [3, 1, 1, 1], "{:?}", counts()?);
    ensure!(content(web1, "/run/shop-saw")? == b"three");
    // Without the interface that NixOS 26.11 removes, of which its switch-to-configuration warns.
    let logs = "/var/lib/nixus/switcher/log";
    let logged = |words: &str| web1.exec(["grep", "--recursive", "--quiet", words, logs]);
    ensure!(
        logged("activating the configuration")?.ok(),
        "no switch is logged"
    );
    ensure!(!logged("from the activation script is deprecated")?.ok());
    let lists = ["restart", "reload"].map(|verb| format!("/run/nixus/secrets-{verb}-list"));
    for list in lists {
        ensure!(!web1.exec(["test", "-e", &list])?.ok(), "{list} is left");
    }
    Ok(())
}

#[test]
fn a_revert_brings_the_old_secret_back_byte_by_byte() -> Result<()> {
    let story = shop(&bytes(1))?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    seal(&story, &bytes(2), b"tls", b"other")?;
    let broken = format!("{SHOP}{FAILS}");
    let commit = story.lab().deploy("web1", &broken, "break the shop")?;
    story.went_back("web1", &commit, &before, "failed units: broken.service")?;
    is(web1, "db", &bytes(1))?;
    ensure!(
        content(web1, "/run/shop-saw")? == bytes(1),
        "the shop runs with the new one"
    );
    takes_the_next_commit(&story)
}

#[test]
fn after_a_reboot_secrets_are_there_before_the_units_that_need_them() -> Result<()> {
    let story = shop(b"one")?;
    let web1 = story.host("web1")?;
    seal(&story, b"two", b"tls", b"other")?;
    let commit = story.lab().deploy("web1", SHOP, "change the password")?;
    story.kept("web1", &commit)?;
    web1.reboot()?;
    is(web1, "db", b"two")?;
    ensure!(content(web1, "/run/shop-saw")? == b"two");
    web1.wait_until("is boot-proven", PATIENCE, |host| {
        Ok(status(host)?.pointer("/boot/proven") == Some(&Value::Bool(true)))
    })?;
    story.waits_for("web1", "up-to-date")?;
    let failed = web1.must(["systemctl", "--failed", "--plain", "--no-legend"])?;
    ensure!(failed.trim().is_empty(), "{failed}");
    // An older generation from the boot menu has its own.
    let menu = "/boot/loader/loader.conf";
    let text = web1.read(menu)?;
    web1.write(menu, "default nixos-generation-2.conf\n")?;
    web1.reboot()?;
    web1.write(menu, &text)?;
    is(web1, "db", b"one")?;
    ensure!(content(web1, "/run/shop-saw")? == b"one");
    Ok(())
}

#[test(long)]
fn a_kill_or_a_power_cut_in_the_middle_of_the_swap_mixes_no_generations() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let names: Vec<String> = (0..40).map(|number| format!("s{number:02}")).collect();
    let nix: String = names
        .iter()
        .map(|name| format!("secrets.files.{name}.file = ../secrets/{name}.age;\n"))
        .collect();
    let seal = |word: &str| -> Result<()> {
        for name in &names {
            put(
                story.lab(),
                &format!("secrets/{name}.age"),
                &["web1"],
                word.as_bytes(),
            )?;
        }
        Ok(())
    };
    let mut descriptions = Vec::new();
    for word in ["one\n", "two\n"] {
        seal(word)?;
        let commit = story.lab().deploy("web1", &nix, word)?;
        story.kept("web1", &commit)?;
        let path = web1.must([
            "readlink",
            "-f",
            "/run/current-system/etc/nixus/secrets.json",
        ])?;
        descriptions.push(path.trim().to_owned());
    }
    let whole = || -> Result<String> {
        let all = web1.must(["sh", "-c", &format!("cat {LINK}/*")])?;
        let [one, two] = ["one\n", "two\n"].map(|word| word.repeat(names.len()));
        ensure!(all == one || all == two, "generations are mixed: {all}");
        Ok(all.lines().next().unwrap_or_default().to_owned())
    };
    let activate = |limit: Duration| -> Result<(Option<i32>, Duration)> {
        let other = if whole()? == "one" { 1 } else { 0 };
        // Whatever is kept is opened anew.
        let forget = "for g in /run/nixus-secrets.d/[0-9]*; do \
                      [ \"$g\" -ef /run/nixus-secrets ] || rm -rf \"$g\"; done";
        web1.must(["sh", "-c", forget])?;
        let begun = Instant::now();
        let ended = web1.exec([
            "timeout",
            "--signal=KILL",
            &format!("{:.4}", limit.as_secs_f64()),
            "nixus-secrets",
            "activate",
            &descriptions[other],
        ])?;
        let took = begun.elapsed();
        whole()?;
        Ok((ended.code, took))
    };
    let (code, took) = activate(PATIENCE)?;
    ensure!(code == Some(0), "it ended with {code:?}");
    let mut seen = std::collections::BTreeMap::new();
    // The command to start it is in the time, and a busy machine in both: some are killed and some are not.
    for round in 1..=60 {
        let (code, _) = activate(took * round / 50)?;
        *seen.entry(code).or_insert(0) += 1;
    }
    ensure!(
        seen.len() > 1,
        "no activation was killed, or each was: {seen:?}"
    );
    // The power, while a deployment is under way.
    let before = web1.current_system()?;
    seal("one\n")?;
    let slow = format!("{nix} system.activationScripts.zz-slow.text = \"sleep 5\";");
    story.lab().deploy("web1", &slow, "change slowly")?;
    web1.wait_until("activates", PATIENCE, |host| {
        let open = switcher_status(host)?;
        Ok(open.pointer("/open/phase") == Some(&Value::String("activating".into())))
    })?;
    web1.power_cut()?;
    web1.start()?;
    ensure!(
        web1.booted_system()? == before,
        "it did not boot the old system"
    );
    ensure!(whole()? == "two", "it has not its own secrets");
    takes_the_next_commit(&story)
}

#[test]
fn a_secret_may_be_for_a_user_whom_the_old_generation_does_not_have() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    ensure!(!web1.exec(["id", "newcomer"])?.ok());
    put(story.lab(), "secrets/new.age", &["web1"], b"welcome")?;
    let nix = r#"
      users.users.newcomer = { isSystemUser = true; group = "newcomer"; };
      users.groups.newcomer = { };
      secrets.files.new = { file = ../secrets/new.age; user = "newcomer"; };
    "#;
    let commit = story.lab().deploy("web1", nix, "welcome somebody")?;
    story.kept("web1", &commit)?;
    let owner = web1.must(["stat", "--format=%U %a", &format!("{LINK}/new")])?;
    ensure!(owner.trim() == "newcomer 400", "{owner}");
    is(web1, "new", b"welcome")
}

#[test]
fn host_keys_are_rotated_with_both_open_during_the_change() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let new = keys::key(&setup::prepare()?, "rotated-web1")?;
    let old = lab::secrets::host_key(story.lab(), "web1")?;
    let paths = [
        "/var/lib/lab-keys/ssh_host_ed25519_key",
        "/var/lib/lab-keys/rotated",
    ];
    let describe = |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| format!("\"{path}\"")).collect();
        format!(
            "secrets.identityPaths = [ {} ]; secrets.files.db.file = ../secrets/db.age;",
            paths.join(" ")
        )
    };
    let deploy = |to: &[&String], paths: &[&str], plaintext: &str| -> Result<()> {
        let keys: Vec<String> = to.iter().map(|key| (*key).clone()).collect();
        put_for(story.lab(), "secrets/db.age", &keys, plaintext.as_bytes())?;
        let commit = story.lab().deploy("web1", &describe(paths), plaintext)?;
        story.kept("web1", &commit)?;
        is(web1, "db", plaintext.as_bytes())
    };
    deploy(&[&old], &paths[..1], "before")?;
    // Encrypted to both, and the new key is not there yet: the old one opens.
    deploy(&[&old, &new.public], &paths, "both, old key")?;
    let secret = std::fs::read_to_string(&new.path).context("cannot read the new key")?;
    web1.write(paths[1], &secret)?;
    web1.must(["chmod", "600", paths[1]])?;
    deploy(&[&old, &new.public], &paths, "both, both keys")?;
    deploy(&[&new.public], &paths, "new key")?;
    deploy(&[&new.public], &paths[1..], "after")?;
    // What only the old key opens is refused now.
    let before = web1.current_system()?;
    put_for(story.lab(), "secrets/db.age", &[old], b"too late")?;
    let commit = story
        .lab()
        .deploy("web1", &describe(&paths[1..]), "too late")?;
    story.went_back("web1", &commit, &before, "cannot open secret db")?;
    is(web1, "db", b"after")
}
