//! Whose keys: hosts that get another, operators who leave, all of them at once; accounts that a key
//! alone does not open.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::{GREETING, NO_OPERATORS, SSHD_FORCES_A_COMMAND};
use lab::fleet::Files;
use lab::story::Story;
use lab::test;

use crate::failures::takes_the_next_commit;
use crate::health::breaks;

/// A new key on a host's disk, at this path; gives its public half.
pub fn new_key(host: &Host, path: &str) -> Result<String> {
    host.must([
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "",
        "-f",
        path,
    ])?;
    let public = host.read(&format!("{path}.pub"))?;
    Ok(public.trim().to_owned())
}

/// Changes the fleet's own file in the deploy repository.
pub fn change_fleet(story: &Story, from: &str, to: &str, message: &str) -> Result<String> {
    let operator = story.lab().operator();
    let path = operator.clone_path().join("fleet.nix");
    let text = std::fs::read_to_string(&path).context("cannot read fleet.nix")?;
    ensure!(text.contains(from), "{from:?} is not in {text}");
    let files: Files = [("fleet.nix".to_owned(), text.replace(from, to))].into();
    operator.deploy(&files, message)
}

const NEW_HOST_KEY: &str = r#"services.openssh.hostKeys = lib.mkForce [
  { type = "ed25519"; path = "/var/lib/lab-keys/new_host_key"; }
];"#;

#[test]
fn own_host_key_changed_unannounced() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    new_key(story.host("web1")?, "/var/lib/lab-keys/new_host_key")?;
    breaks(
        &story,
        NEW_HOST_KEY,
        &["peer db1: ", "this host's key has changed"],
    )?;
    takes_the_next_commit(&story)
}

#[test]
fn own_host_key_changed_in_two_commits() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    let new = new_key(web1, "/var/lib/lab-keys/new_host_key")?;
    let members = story.lab().members();
    let old = &members.get("web1").context("no web1")?.host_key.public;
    let both = format!("\"{old}\" \"{new}\"");
    let announced = change_fleet(&story, &format!("\"{old}\""), &both, "announce a host key")?;
    story.kept("db1", &announced)?;
    story.kept("web1", &announced)?;
    let changed = story
        .lab()
        .deploy("web1", NEW_HOST_KEY, "change the host key")?;
    story.kept("web1", &changed)?;
    // And the new key is one that peers know from then on.
    let next = format!("{NEW_HOST_KEY} {GREETING}");
    let next = story.lab().deploy("web1", &next, "greet")?;
    story.kept("web1", &next)?;
    let evidence = crate::health::evidence(web1)?;
    ensure!(evidence.contains("login ok"), "{evidence}");
    Ok(())
}

/// The operators in the fleet's file, from one list to another.
fn operators(story: &Story, from: &[&str], to: &[&str], message: &str) -> Result<String> {
    let list = |keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        format!("operators = [ {} ];", keys.join(" "))
    };
    change_fleet(story, &list(from), &list(to), message)
}

fn first_operator(story: &Story) -> Result<String> {
    let key = story.lab().operator().key().with_extension("pub");
    let public = std::fs::read_to_string(&key).context("no operator's key")?;
    let words: Vec<&str> = public.split_whitespace().take(2).collect();
    Ok(format!("{} operator", words.join(" ")))
}

#[test]
fn one_operator_leaves() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let first = first_operator(&story)?;
    let second = new_key(story.host("web1")?, "/root/second")?;
    let both = operators(&story, &[&first], &[&first, &second], "a second operator")?;
    story.kept("web1", &both)?;
    let left = operators(
        &story,
        &[&first, &second],
        &[&first],
        "the second one leaves",
    )?;
    story.kept("web1", &left)?;
    story.kept("db1", &left)?;
    takes_the_next_commit(&story)
}

#[test]
fn all_operators_are_replaced_at_once() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    let first = first_operator(&story)?;
    let second = new_key(web1, "/root/second")?;
    let before = web1.current_system()?;
    let replaced = operators(&story, &[&first], &[&second], "other operators")?;
    let words =
        "none of the operators' keys before is accepted any more: add the new keys in one commit";
    story.went_back("web1", &replaced, &before, words)?;
    // The way that it says.
    let both = operators(
        &story,
        &[&second],
        &[&first, &second],
        "add the new operator",
    )?;
    story.kept("web1", &both)?;
    let changed = operators(&story, &[&first, &second], &[&second], "remove the old one")?;
    story.kept("web1", &changed)?;
    Ok(())
}

#[test]
fn a_list_of_operators_that_is_empty_is_never_kept() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    breaks(
        &story,
        NO_OPERATORS,
        &["ssh: no operator's key is configured"],
    )?;
    takes_the_next_commit(&story)
}

#[test]
fn an_account_that_is_locked_although_its_key_is_accepted() -> Result<()> {
    let story = Story::alone(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    // PAM refuses it after the key was accepted: only a real login shows that.
    breaks(
        &story,
        r#"system.activationScripts.lock = "usermod --expiredate 1 nixus-probe";"#,
        &["peer db1: ", "nixus-probe"],
    )?;
    web1.must(["usermod", "--expiredate", "", "nixus-probe"])?;
    // Nobody has root's private key here; but that its account has expired is known.
    breaks(
        &story,
        r#"system.activationScripts.lock = "usermod --expiredate 1 root";"#,
        &["ssh: nobody can log in as root: it has expired"],
    )?;
    web1.must(["usermod", "--expiredate", "", "root"])?;
    takes_the_next_commit(&story)
}

#[test]
fn a_key_that_is_accepted_and_opens_nothing() -> Result<()> {
    let story = Story::alone(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    let key = first_operator(&story)?;
    let only = format!(
        r#"users.users.root.openssh.authorizedKeys.keys = lib.mkForce [ "command=\"/bin/false\",restrict {key}" ];"#
    );
    for (broken, words) in [
        (
            SSHD_FORCES_A_COMMAND,
            "worse than before for root: sshd has ForceCommand /bin/false, from 10.77.0.12",
        ),
        (
            r#"services.openssh.extraConfig = "Match all\n  PermitRootLogin no";"#,
            "worse than before for root: sshd has PermitRootLogin no, from 10.77.0.12",
        ),
        // Nobody looks from there, but the fleet says that operators come from it.
        (
            r#"
            services.nixus.settings.operators = [ { keys = (import ../fleet.nix).nixus.operators; from = [ "10.88.0.0/16" ]; } ];
            services.openssh.extraConfig = "Match Address 10.88.0.1\n  DenyUsers *";
            "#,
            "worse than before for root: sshd has DenyUsers *, from 10.88.0.1",
        ),
        (&only, "has command=\"/bin/false\""),
        (
            r#"system.activationScripts.age = "chage -d 2000-01-01 -M 1 -I -1 root";"#,
            "worse than before for root: PAM's account rules refuse it",
        ),
    ] {
        breaks(&story, broken, &["ssh: ", words])?;
    }
    web1.must(["chage", "-M", "99999", "root"])?;
    takes_the_next_commit(&story)
}

#[test]
fn wrong_keys_in_the_configuration_are_told_with_their_place() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    for (broken, words) in [
        (
            r#"[[operators]]\nkeys = [ \"no key\" ]\n"#,
            "operators.keys: \"no key\" is not a public key",
        ),
        (
            r#"[[peers]]\nname = \"db1\"\naddresses = [ \"10.77.0.12\" ]\nhost_keys = [ ]\n"#,
            "peers.host_keys: db1 needs a host key",
        ),
        (
            r#"[[checks]]\nkind = \"ping\"\n"#,
            "checks.kind: unknown variant `ping`",
        ),
    ] {
        // The options would refuse it; the text takes anything.
        let broken =
            format!(r#"environment.etc."nixus/config.toml".text = lib.mkAfter "\n{broken}";"#);
        breaks(
            &story,
            &broken,
            &["configuration: /etc/nixus/config.toml:", words],
        )?;
    }
    takes_the_next_commit(&story)
}
