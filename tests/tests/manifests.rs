//! What CI says of a commit, and what a host makes of it.

use anyhow::{Context as _, Result, ensure};
use lab::ci::Signer;
use lab::pipeline::Pipeline;
use lab::signing_key::SigningKey;
use lab::test;
use lab::{Host, Lab};
use nixus::decide::report::State;
use serde_json::{Value, json};

const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;
const GOODBYE: &str = r#"environment.etc."greeting".text = "goodbye";"#;
/// What a host says before there is any manifest of a commit.
const NO_MANIFEST: &str = "the repository has no manifest of it yet";
/// What it says of a manifest of others only.
const NO_ENTRY: &str = "its manifest has no entry for this host";

/// A commit as sentences name it, whatever their number of digits.
fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Takes the stand-ins for nixpkgs and for Nixus' flake from a host's store.
pub fn forget_inputs(lab: &Lab, host: &Host) -> Result<()> {
    let lock = lab.operator().clone_path().join("flake.lock");
    let text = std::fs::read_to_string(&lock).context("no flake.lock")?;
    let lock: Value = serde_json::from_str(&text).context("flake.lock is not JSON")?;
    for input in ["nixpkgs", "nixus"] {
        let path = lock.pointer(&format!("/nodes/{input}/locked/path"));
        let path = path.and_then(Value::as_str);
        let path = path.with_context(|| format!("{input} is not locked to a path"))?;
        host.must(["nix", "store", "delete", "--ignore-liveness", path])?;
    }
    Ok(())
}

/// Whether a host's copy of the deploy repository has the tree of a commit. Listing fetches nothing.
fn has_tree(pipeline: &Pipeline, host: &Host, commit: &str) -> Result<bool> {
    let tree = pipeline
        .ci
        .git(&["rev-parse", &format!("{commit}^{{tree}}")])?;
    let objects = host.must([
        "git",
        "--git-dir",
        "/var/lib/nixus/commits.git",
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objectname)",
    ])?;
    ensure!(
        objects.lines().any(|object| object == commit),
        "{} has no {commit}",
        host.name
    );
    Ok(objects.lines().any(|object| object == tree))
}

#[test(nixos)]
fn a_host_deploys_from_a_manifest_what_it_cannot_evaluate() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let web1 = pipeline.host("web1")?;
    // It could, and then it cannot.
    web1.build(pipeline.story.lab().first_commit())?;
    forget_inputs(pipeline.story.lab(), web1)?;
    let commit = pipeline.deploy("web1", GREETING, "greet")?;
    ensure!(web1.build(&commit).is_err(), "web1 still can evaluate");

    let report = pipeline.story.kept("web1", &commit)?;
    ensure!(
        report.toplevel.map(|path| path.to_string()) == Some(pipeline.ci.toplevel("web1")?),
        "something else than CI's system is kept"
    );
    ensure!(web1.read("/etc/greeting")? == "hello");
    let words = [
        format!("commit {}", short(&commit)),
        ": fetching".to_owned(),
    ];
    let words = words.each_ref().map(String::as_str);
    pipeline.says("web1", &commit, State::Building, &words)?;
    ensure!(
        !has_tree(&pipeline, web1, &commit)?,
        "files came with the commit"
    );
    pipeline.story.tries_no_more("web1")?;

    // The new system was fetched as well: what is in it can take the next commit.
    let next = pipeline.deploy("web1", GOODBYE, "say goodbye")?;
    pipeline.story.kept("web1", &next)?;
    ensure!(web1.read("/etc/greeting")? == "goodbye");
    Ok(())
}

#[test]
fn a_manifest_is_made_from_a_file_or_a_folder_in_a_clone_of_any_name() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let operator = pipeline.story.lab().operator();
    let server = pipeline.host("git")?;
    let by_file = "{ }: { hosts = (builtins.getFlake (toString ./.)).nixosConfigurations; }\n";
    operator.commit(
        &[("hosts.nix".to_owned(), by_file.to_owned())].into(),
        "describe hosts in a file",
    )?;
    std::fs::create_dir(operator.clone_path().join("a b"))?;
    for name in [
        "flake.nix",
        "flake.lock",
        "fleet.nix",
        "lab.nix",
        "common.nix",
        "users.nix",
        "hosts",
    ] {
        let moved = operator.git(&["mv", name, "a b"])?;
        ensure!(moved.ok(), "{}", moved.stderr);
    }
    let moved = operator.git(&["mv", "hosts.nix", "a b/hosts.nix"])?;
    ensure!(moved.ok(), "{}", moved.stderr);
    let commit = operator.deploy(&lab::fleet::Files::new(), "move the flake")?;
    pipeline.ci.git(&["fetch", "--quiet", "origin"])?;
    pipeline.ci.git(&["checkout", "--quiet", &commit])?;
    let odd = "/root/ci/fleet #1?rev=x%20é";
    server.must(["git", "clone", "--quiet", lab::ci::CLONE, odd])?;
    server.must(["git", "-C", odd, "checkout", "--quiet", &commit])?;
    // The words of the folder: `env -C CLONE nixus manifest …`.
    let create = |folder: &str, more: &[&str]| -> Result<Value> {
        let mut words = pipeline
            .ci
            .words(&[&["create", "--output", "-"], more].concat());
        let place = words.iter_mut().find(|word| *word == lab::ci::CLONE);
        *place.context("no folder")? = folder.to_owned();
        // The file evaluates a flake by its path, which a pure evaluation does not.
        let text = server.must(words)?;
        serde_json::from_str(&text).with_context(|| format!("no manifest: {text}"))
    };
    let flake = create(&format!("{odd}/a b/hosts"), &[])?;
    let file = create(odd, &["--file", "a b/hosts.nix", "--attribute", "hosts"])?;
    ensure!(flake["hosts"]["web1"]["toplevel"].is_string(), "{flake}");
    ensure!(flake == file, "{flake}\n{file}");
    Ok(())
}

#[test]
fn what_a_flake_sets_for_nix_is_not_done_by_ci_whatever_its_account_accepts() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let operator = pipeline.story.lab().operator();
    let server = pipeline.host("git")?;
    server.write("/root/hook", "#!/bin/sh\ntouch /root/hooked\n")?;
    server.must(["chmod", "755", "/root/hook"])?;
    server.must(["mkdir", "-p", "/root/accepting/nix"])?;
    server.write(
        "/root/accepting/nix/nix.conf",
        "accept-flake-config = true\n",
    )?;
    let accepting = "XDG_CONFIG_HOME=/root/accepting";
    let flake = std::fs::read_to_string(operator.clone_path().join("flake.nix"))?;
    let flake = flake.replacen('{', "{\n  nixConfig.post-build-hook = \"/root/hook\";", 1);
    operator.commit(
        &[("flake.nix".to_owned(), flake)].into(),
        "run a program of mine after each build",
    )?;
    let commit = pipeline.commit("web1", GREETING, "greet")?;
    pipeline.ci.check_out(&commit)?;
    let mut words = pipeline.ci.words(&lab::ci::CREATE);
    words.insert(3, accepting.to_owned());
    server.must(words)?;
    let hooked = || server.exec(["test", "-e", "/root/hooked"]);
    ensure!(!hooked()?.ok(), "the flake's program was run");

    // Nix itself does as the flake says.
    let commit = pipeline.commit("web1", GOODBYE, "say goodbye")?;
    pipeline.ci.check_out(&commit)?;
    let toplevel = ".#nixosConfigurations.web1.config.system.build.toplevel";
    server.must([
        "env",
        "-C",
        lab::ci::CLONE,
        accepting,
        "nix",
        "--extra-experimental-features",
        "nix-command flakes",
        "build",
        "--no-link",
        toplevel,
    ])?;
    ensure!(
        hooked()?.ok(),
        "no build of this test would run the program"
    );
    Ok(())
}

#[test]
fn an_entry_that_is_missing_is_waited_for_and_then_taken() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let web1 = pipeline.host("web1")?;
    let before = web1.current_system()?;
    let commit = pipeline.commit("web1", GREETING, "greet")?;
    pipeline.waits_for_ci("web1", &commit, NO_MANIFEST)?;
    pipeline.story.tries_no_more("web1")?;

    pipeline.ci.build(&commit)?;
    pipeline.ci.edit(|manifest| {
        let mut entry = manifest["hosts"]["web1"].take();
        entry["toplevel"] =
            json!("/nix/store/00000000000000000000000000000000-nixos-system-db1-lab");
        manifest["hosts"] = json!({ "db1": entry });
    })?;
    pipeline.ci.push_by_hand(&commit)?;
    pipeline.waits_for_ci("web1", &commit, NO_ENTRY)?;
    pipeline.story.at_rest("web1", &before)?;

    pipeline.ci.publish_anew(&commit, &pipeline.caches)?;
    pipeline.story.kept("web1", &commit)?;
    pipeline.story.blames_no_commit("web1")?;
    ensure!(web1.read("/etc/greeting")? == "hello");
    Ok(())
}

#[test]
fn an_entry_for_another_commit_host_or_system_is_refused() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let web1 = pipeline.host("web1")?;
    let lab = pipeline.story.lab();
    let before = web1.current_system()?;
    let first = lab.first_commit();
    let other = lab.first_toplevel("git")?;
    let check = |number: usize, part: &str, wrong: &str, words: &[&str]| -> Result<String> {
        let more = format!(r#"environment.etc."greeting".text = "{number}";"#);
        let commit = pipeline.commit("web1", &more, "be misunderstood")?;
        pipeline.ci.build(&commit)?;
        let systems = pipeline.ci.paths()?;
        let key = SigningKey::trusted()?;
        pipeline.caches.fill(&systems, Some(&key))?;
        pipeline.ci.edit(|manifest| {
            if let Some(value) = manifest.pointer_mut(part) {
                *value = json!(wrong);
            }
        })?;
        pipeline.ci.push_by_hand(&commit)?;
        let not_for = format!(", not for {}", short(&commit));
        let mut words = words.to_vec();
        if part == "/commit" {
            words.push(&not_for);
        }
        pipeline.refused("web1", &commit, &before, &words)?;
        Ok(commit)
    };
    let of_first = format!("is for commit {}", short(first));
    let foreign = "is for aarch64-linux, and this host is x86_64-linux";
    check(1, "/commit", first, &[&of_first])?;
    let (toplevel, system) = ("/hosts/web1/toplevel", "/hosts/web1/system");
    check(2, toplevel, other, &["is not a system of this host"])?;
    let last = check(3, system, "aarch64-linux", &[foreign])?;

    pipeline.ci.publish_anew(&last, &pipeline.caches)?;
    pipeline.try_now("web1")?;
    pipeline.story.kept_at_last("web1", &last)?;
    ensure!(web1.read("/etc/greeting")? == "3");
    Ok(())
}

#[test]
fn a_manifest_is_taken_from_cis_key_only() -> Result<()> {
    let keys = format!(
        "  services.nixus.settings.closure.manifest_keys = [ \"{}\" ];\n",
        Signer::Ci.public()?
    );
    let pipeline = Pipeline::begin(&["web1"], &keys)?;
    let (web1, ci) = (pipeline.host("web1")?, &pipeline.ci);
    let before = web1.current_system()?;
    let key = SigningKey::trusted()?;
    let stranger = "is signed by a key that closure.manifest_keys does not have";
    let mut last = String::new();
    for (signer, words) in [
        (Signer::Nobody, "is not signed"),
        (Signer::Stranger, stranger),
    ] {
        let more = format!(r#"environment.etc."greeting".text = "{signer:?}";"#);
        last = pipeline.commit("web1", &more, "be told by others")?;
        ci.build(&last)?;
        pipeline.caches.fill(&ci.paths()?, Some(&key))?;
        let pushed = ci.push(signer, false)?;
        ensure!(pushed.ok(), "{pushed:?}");
        pipeline.refused("web1", &last, &before, &[words])?;
    }

    // Only one who says so replaces what hosts may have taken already.
    let found = ci.listed(&last)?;
    let refused = ci.push(Signer::Ci, false)?;
    ensure!(refused.code == Some(2), "{refused:?}");
    ensure!(ci.listed(&last)? == found, "it was replaced all the same");
    let pushed = ci.push(Signer::Ci, true)?;
    ensure!(pushed.ok(), "{pushed:?}");
    let found = ci.listed(&last)?;
    let again = ci.push(Signer::Ci, false)?;
    ensure!(again.ok(), "{again:?}");
    ensure!(ci.listed(&last)? == found, "the same content is new again");

    pipeline.try_now("web1")?;
    pipeline.story.kept_at_last("web1", &last)?;
    ensure!(web1.read("/etc/greeting")? == "Stranger");
    Ok(())
}

#[test]
fn a_rewritten_manifest_is_refused() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1", "db1"], "")?;
    let (web1, ci) = (pipeline.host("web1")?, &pipeline.ci);
    let before = web1.current_system()?;
    // A host whose only peer does not answer for a while is not changed. It has fetched its system by then.
    pipeline.host("db1")?.power_cut()?;
    let commit = pipeline.deploy("web1", GREETING, "greet")?;
    pipeline.story.waits_for("web1", "baseline")?;
    let taken = ci.toplevel("web1")?;
    ensure!(
        web1.exec(["test", "-e", &taken])?.ok(),
        "{taken} was not fetched"
    );

    ci.name_built(&commit, "web1", &before)?;
    let refused = ci.push(Signer::Ci, false)?;
    ensure!(refused.code == Some(2), "{refused:?}");
    let pushed = ci.push(Signer::Ci, true)?;
    ensure!(pushed.ok(), "{pushed:?}");
    pipeline.refused("web1", &commit, &before, &["was rewritten"])?;
    // Also by a host that could activate something.
    pipeline.host("db1")?.start()?;
    pipeline.refused("web1", &commit, &before, &["was rewritten"])?;

    // What it says of others, and where it is to be had, is no matter.
    ci.build(&commit)?;
    ci.edit(|manifest| {
        manifest["hosts"]["db1"] = manifest["hosts"]["web1"].clone();
        manifest["hosts"]["web1"]["cache"] = json!("elsewhere");
    })?;
    ensure!(
        ci.toplevel("web1")? == taken,
        "CI builds another system now"
    );
    ci.push_by_hand(&commit)?;
    pipeline.try_now("web1")?;
    pipeline.story.kept_at_last("web1", &commit)?;
    ensure!(web1.current_system()? == taken);
    Ok(())
}

#[test]
fn a_generation_whose_nix_fetches_nothing_is_not_kept() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let web1 = pipeline.host("web1")?;
    let before = web1.current_system()?;
    let deaf = "nix.settings.substitute = lib.mkForce false;";
    let commit = pipeline.deploy("web1", deaf, "ask nobody")?;
    let words = "repository: nix cannot fetch /nix/store/";
    pipeline.story.went_back("web1", &commit, &before, words)?;
    let commit = pipeline.deploy("web1", GREETING, "greet")?;
    pipeline.story.kept("web1", &commit)?;
    let trial = format!("/nix/store/*-nixus-trial-{commit}");
    web1.must(["sh", "-c", &format!("ls -d {trial}")])?;
    Ok(())
}

#[test]
fn without_an_entry_a_host_builds_only_where_that_is_configured() -> Result<()> {
    let wait = "  services.nixus.settings.closure.wait = \"3s\";\n";
    let pipeline = Pipeline::begin(&["web1", "web2"], wait)?;
    let story = &pipeline.story;
    let builds = r#"services.nixus.settings.closure.fallback = "build";"#;
    let commit = pipeline.deploy("web2", builds, "build where CI does not")?;
    story.kept("web1", &commit)?;
    story.kept("web2", &commit)?;

    let before = pipeline.host("web1")?.current_system()?;
    let files = [
        story.lab().describe("web1", GREETING)?,
        story
            .lab()
            .describe("web2", &format!("{builds}\n{GREETING}"))?,
    ];
    let commit = story.lab().operator().deploy(&files.into(), "greet")?;
    story.kept("web2", &commit)?;
    ensure!(pipeline.host("web2")?.read("/etc/greeting")? == "hello");
    // The other one has waited as long.
    pipeline.waits_for_ci("web1", &commit, NO_MANIFEST)?;
    story.tries_no_more("web1")?;
    story.at_rest("web1", &before)?;

    pipeline.ci.publish(&commit, &pipeline.caches)?;
    story.kept("web1", &commit)?;
    ensure!(pipeline.host("web1")?.read("/etc/greeting")? == "hello");
    // The system is the same, whoever has built it.
    story.tries_no_more("web2")
}

#[test]
fn an_older_commit_is_preferred_to_waiting_for_ever() -> Result<()> {
    let older = "  services.nixus.settings.closure.older = true;
  services.nixus.settings.closure.wait = \"3s\";\n";
    let pipeline = Pipeline::begin(&["web1"], older)?;
    let (story, web1) = (&pipeline.story, pipeline.host("web1")?);
    let operator = story.lab().operator();
    // Nobody ever sees the first of them as the branch's head.
    let first = operator.commit(&[story.lab().describe("web1", GREETING)?].into(), "greet")?;
    let second = pipeline.commit("web1", GOODBYE, "say goodbye")?;
    pipeline.waits_for_ci("web1", &second, NO_MANIFEST)?;

    pipeline.ci.publish(&first, &pipeline.caches)?;
    story.report("web1", &first, &[State::Success])?;
    ensure!(web1.read("/etc/greeting")? == "hello");
    story.at_rest("web1", &pipeline.ci.toplevel("web1")?)?;
    story.waits_for("web1", "no-manifest")?;
    story.tries_no_more("web1")?;

    pipeline.ci.publish(&second, &pipeline.caches)?;
    story.kept("web1", &second)?;
    ensure!(web1.read("/etc/greeting")? == "goodbye");
    Ok(())
}
