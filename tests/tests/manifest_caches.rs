//! Where a system that CI has built comes from, and what may be wrong with it on the way.

use anyhow::{Result, ensure};
use lab::caches::{self, DEAD, HTTP};
use lab::ci::Signer;
use lab::fleet::Files;
use lab::pipeline::Pipeline;
use lab::signing_key::SigningKey;
use lab::story::{PATIENCE, deployments};
use lab::test;
use lab::{Host, Output};

use crate::commands::noise;

/// What a host says of a system in its store that nobody whom it trusts has signed.
const UNTRUSTED: &str = "has no signature of a key that this host trusts";
/// What it says of one that its Nix did not even take, for that reason or any other.
const NOT_FETCHED: &str = "nix did not fetch /nix/store/";
/// A system whose evaluation takes more than a gigabyte, all of it in use at once.
const HUNGRY: &str = r#"environment.etc."hungry".text = toString (
  builtins.length (
    builtins.filter (text: text != "") (
      builtins.genList (n: toString n + "abcdefghijklmnopqrstuvwxyz") 14000000
    )
  )
);"#;

fn greeting(text: &str) -> String {
    format!(r#"environment.etc."greeting".text = "{text}";"#)
}

/// Pushes the manifest of the commit that CI has built; what the caches have is another matter.
fn push(pipeline: &Pipeline) -> Result<()> {
    let pushed = pipeline.ci.push(Signer::Ci, false)?;
    ensure!(pushed.ok(), "{pushed:?}");
    Ok(())
}

/// What went wrong is over: the host takes the commit, and keeps it.
fn takes_it_after_all(pipeline: &Pipeline, commit: &str) -> Result<()> {
    pipeline.try_now("web1")?;
    pipeline.story.kept_at_last("web1", commit)?;
    pipeline.story.blames_no_commit("web1")
}

#[test]
fn a_path_without_a_trusted_signature_is_refused() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let (web1, ci) = (pipeline.host("web1")?, &pipeline.ci);
    let before = web1.current_system()?;
    let (trusted, impostor) = (SigningKey::trusted()?, SigningKey::impostor()?);
    let mut last = (String::new(), String::new());
    for (case, key, is_local) in [
        ("unsigned", None, false),
        ("signed by an impostor", Some(&impostor), false),
        ("unsigned in its own store", None, true),
    ] {
        let commit = pipeline.commit("web1", &greeting(case), case)?;
        ci.build(&commit)?;
        let toplevel = ci.toplevel("web1")?;
        if is_local {
            ensure!(web1.build(&commit)? == toplevel, "CI builds another system");
        } else {
            pipeline.caches.fill(&[&toplevel], key)?;
        }
        push(&pipeline)?;
        let words: &[&str] = if is_local { &[UNTRUSTED] } else { &[] };
        let said = pipeline.refused("web1", &commit, &before, words)?.text;
        ensure!(
            said.contains(UNTRUSTED) || said.contains(NOT_FETCHED),
            "{case}: {said}"
        );
        ensure!(deployments(web1)?.is_empty(), "{case}: it was activated");
        last = (commit, toplevel);
    }

    // The host has the files; the signature that it misses is in the cache.
    pipeline.caches.fill(&[&last.1], Some(&trusted))?;
    takes_it_after_all(&pipeline, &last.0)?;

    // What was pushed unsigned is signed later, and the host does not remember it otherwise.
    let commit = pipeline.commit("web1", &greeting("signed late"), "sign late")?;
    ci.build(&commit)?;
    let toplevel = ci.toplevel("web1")?;
    pipeline.caches.fill(&[&toplevel], None)?;
    push(&pipeline)?;
    let running = web1.current_system()?;
    pipeline.refused("web1", &commit, &running, &[])?;
    pipeline.caches.sign(&toplevel, &trusted)?;
    takes_it_after_all(&pipeline, &commit)
}

/// The system of a commit is not to be had: the host says so and is as before, until it is.
fn tried_again(
    pipeline: &Pipeline,
    case: &str,
    spoil: impl FnOnce(&str) -> Result<()>,
    mend: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let web1 = pipeline.host("web1")?;
    let before = web1.current_system()?;
    let commit = pipeline.commit("web1", &greeting(case), case)?;
    pipeline.ci.build(&commit)?;
    let toplevel = pipeline.ci.toplevel("web1")?;
    spoil(&toplevel)?;
    push(pipeline)?;
    let words = format!("nix did not fetch {toplevel}");
    pipeline.refused("web1", &commit, &before, &[&words])?;
    mend(&toplevel)?;
    takes_it_after_all(pipeline, &commit)?;
    ensure!(web1.read("/etc/greeting")? == case);
    Ok(())
}

#[test]
fn a_cache_that_is_dead_behind_or_damaged_is_tried_again_and_hides_no_other() -> Result<()> {
    let pipeline = Pipeline::over(&["web1"], &[DEAD, HTTP], "")?;
    let (web1, caches) = (pipeline.host("web1")?, &pipeline.caches);
    let key = SigningKey::trusted()?;
    // A dead cache does not hide the next one.
    let commit = pipeline.deploy("web1", &greeting("from the second"), "greet")?;
    pipeline.story.kept("web1", &commit)?;

    let fill = |path: &str| caches.fill(&[path], Some(&key));
    tried_again(&pipeline, "not there yet", |_| Ok(()), fill)?;
    tried_again(
        &pipeline,
        "damaged",
        |path| {
            fill(path)?;
            caches.damage(path)
        },
        |path| {
            caches.remove(path)?;
            fill(path)
        },
    )?;
    let stop = |path: &str| {
        fill(path)?;
        caches.stop()
    };
    tried_again(&pipeline, "all are dead", stop, |_| caches.serve())?;
    ensure!(web1.read("/etc/greeting")? == "all are dead");
    Ok(())
}

#[test]
fn a_cache_that_dies_in_the_middle_is_tried_again() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let (web1, caches) = (pipeline.host("web1")?, &pipeline.caches);
    let before = web1.current_system()?;
    let more = format!(
        r#"environment.etc."ballast".source = ../ballast; {}"#,
        greeting("hello")
    );
    let mut files: Files = [pipeline.story.lab().describe("web1", &more)?].into();
    files.insert("ballast".to_owned(), noise(4 << 20));
    // A host that takes its system from elsewhere does not fetch the files of a commit either.
    web1.throttle("3mbit")?;
    let commit = pipeline
        .story
        .lab()
        .operator()
        .deploy(&files, "carry ballast")?;
    pipeline.ci.publish(&commit, caches)?;
    web1.wait_until("is in the middle of the ballast", PATIENCE, |_| {
        Ok(caches.under_way()? > 20_000)
    })?;
    caches.stop()?;
    pipeline.refused("web1", &commit, &before, &[NOT_FETCHED])?;
    ensure!(deployments(web1)?.is_empty(), "something was activated");
    let toplevel = pipeline.ci.toplevel("web1")?;
    ensure!(
        !web1
            .exec(["nix-store", "--check-validity", &toplevel])?
            .ok(),
        "the host calls a system whole that it has not got"
    );

    web1.throttle("1gbit")?;
    caches.serve()?;
    takes_it_after_all(&pipeline, &commit)?;
    ensure!(web1.read("/etc/ballast")?.len() == 4 << 20);
    Ok(())
}

/// Evaluates and builds a commit on a host as its passes would, within the host's memory.
fn builds_within_its_memory(host: &Host, commit: &str) -> Result<Output> {
    // Only what systemd starts is limited.
    let run = ["systemd-run", "--wait", "--pipe", "--quiet", "--collect"];
    let run = run.map(str::to_owned).into_iter();
    host.exec(run.chain(["--".to_owned()]).chain(host.build_words(commit)))
}

#[test]
fn a_host_with_one_gigabyte_deploys_what_it_could_not_evaluate() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1"], "")?;
    let web1 = pipeline.host("web1")?;
    let limit = web1.limit_memory(1 << 30)?;
    let first = builds_within_its_memory(web1, pipeline.story.lab().first_commit())?;
    ensure!(first.ok(), "a usual system is too much: {first:?}");
    let commit = pipeline.deploy("web1", HUNGRY, "be hungry")?;
    pipeline.story.kept("web1", &commit)?;
    ensure!(web1.read("/etc/hungry")? == "14000000");
    // Nothing was built or evaluated there, or it would have died as this does.
    let hungry = builds_within_its_memory(web1, &commit)?;
    ensure!(!hungry.ok(), "one gigabyte is enough: {hungry:?}");
    limit.lift()
}

#[test]
fn closures_come_from_file_http_ssh_ng_and_a_pull_through() -> Result<()> {
    let pipeline = Pipeline::begin(&["web1", "mirror1"], "")?;
    let (story, caches, ci) = (&pipeline.story, &pipeline.caches, &pipeline.ci);
    let (web1, mirror1) = (pipeline.host("web1")?, pipeline.host("mirror1")?);
    let file = caches.mount_on(web1)?;
    let ssh = caches.open_by_ssh(story.lab(), "web1")?;
    let mirror = caches::pull_through(mirror1)?;
    let key = SigningKey::trusted()?;
    // Each commit comes from the cache that the one before it has named, and is proved by the one that it
    // names itself.
    let cases = [
        ("http", file.as_str()),
        ("file", ssh.as_str()),
        ("ssh-ng", mirror.as_str()),
        ("pull-through", HTTP),
    ];
    for (from, next) in cases {
        let more = format!("{}\n{}", caches::only(&[next]), greeting(from));
        let commit = pipeline.commit("web1", &more, from)?;
        ci.build(&commit)?;
        let toplevel = ci.toplevel("web1")?;
        caches.fill(&ci.paths()?, Some(&key))?;
        caches.mount_on(web1)?;
        caches.sign_own_store(&toplevel, &key)?;
        // Somebody else has asked the mirror for it, while there was somebody behind it.
        mirror1.must(["nix", "copy", "--from", &mirror, &toplevel])?;
        // Whatever is taken then comes from elsewhere.
        if from != "http" {
            caches.stop()?;
        }
        push(&pipeline)?;
        web1.wait_until("has fetched it", PATIENCE, |host| {
            Ok(host.exec(["test", "-e", &toplevel])?.ok())
        })?;
        if from != "http" {
            caches.serve()?;
        }
        story.kept("web1", &commit)?;
        ensure!(web1.read("/etc/greeting")? == from);
    }
    Ok(())
}
