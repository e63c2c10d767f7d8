//! The template's pipeline as a runner runs it, on a real forge.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::caches::{self, Caches};
use lab::ci::{self, Signer};
use lab::command::{self, Output};
use lab::fleet::{self, Files};
use lab::gitea::{self, Gitea};
use lab::runner::{self, Run, Runner};
use lab::story::{PATIENCE, Story};
use lab::test;
use lab::{Lab, setup};

use crate::manifests::forget_inputs;

/// The template's files that a pipeline runs.
const SCRIPTS: [&str; 4] = ["ci/build", "ci/keep-reason", "ci/publish", "ci/watch"];

/// The commit by which hosts follow manifests is on trial as soon as they have built it themselves, and
/// cannot be judged before CI has published it. CI is on the same machine, and may be slower.
const TRIAL: &str = r#"  imports = [
    ({ lib, ... }: { services.nixus.settings.switch.trial_timeout = lib.mkForce "150s"; })
  ];
"#;

/// How a deployment ends well.
const KEPT: &str = "2 of 2 hosts kept";

/// A `nix` that names a host, or says much, goes on when its first line was read, and gives a reason.
const NIX: &str = r#"#!/bin/sh
if [ "$1" = eval ]; then printf db1; exit; fi
echo began
tries=0
until [ -e "$READ" ]; do
  tries=$((tries + 1))
  if [ $tries = 200 ]; then echo nobody reads; exit 3; fi
  sleep 0.1
done
line=0
while [ $line -lt 60 ]; do line=$((line + 1)); printf '%0300d\n' $line; done
printf 'it has %s\n' "$NIXUS_CACHE_KEY" "${NIXUS_CACHE_KEY#*:}" "$NIXUS_MANIFEST_KEY" "$NIXUS_TOKEN" \
  "${GIT_CONFIG_VALUE_0##* }" "$NIX_CONFIG" "$NIXUS_PUSH_URL" >&2
echo 'error: no such option' >&2
exit "$CODE"
"#;
/// What runners give to scripts and what is secret of it.
const SECRETS: [(&str, &str, &str); 6] = [
    ("NIXUS_CACHE_KEY", "fleet-1:c4chec4chec4che==", "c4che"),
    (
        "NIXUS_MANIFEST_KEY",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nm4nifestm4nifest\n-----END OPENSSH PRIVATE KEY-----",
        "m4nifest",
    ),
    ("NIXUS_TOKEN", "st4tusst4tus", "st4tus"),
    (
        "GIT_CONFIG_VALUE_0",
        "Authorization: token f3tchf3tch",
        "f3tch",
    ),
    (
        "NIX_CONFIG",
        "access-tokens = github.com=1nput1nput",
        "1nput",
    ),
    (
        "NIXUS_PUSH_URL",
        "https://bot:pu5hpu5h@forge.example/a.git",
        "pu5h",
    ),
];

/// Commits what the template has of pipelines, and gives its scripts their mode.
fn with_pipeline(lab: &Lab) -> Result<()> {
    let template = fleet::template();
    let mut files = Files::new();
    for name in SCRIPTS {
        files.insert(name.to_owned(), fleet::read(&template.join(name))?);
    }
    lab.operator().commit(&files, "Let CI build the fleet")?;
    for name in SCRIPTS {
        let path = lab.operator().clone_path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} a program", path.display()))?;
    }
    lab.operator().commit(&Files::new(), "Make them programs")?;
    Ok(())
}

/// Commits the same description for both hosts and pushes it to Gitea.
fn push(lab: &Lab, gitea: &Gitea, more: &str, message: &str) -> Result<String> {
    let mut files = Files::new();
    for host in ["db1", "web1"] {
        files.extend([lab.describe(host, more)?]);
    }
    let commit = lab.operator().commit(&files, message)?;
    gitea.push(lab)?;
    Ok(commit)
}

/// Holds a run that ended well against what it is to say, and not to do.
fn ended_well(run: &Run, words: &[&str], never: &[&str]) -> Result<()> {
    println!("{}", run.log);
    ensure!(run.code == Some(0), "{run:?}");
    ensure!(run.summary.is_empty(), "it has a summary: {run:?}");
    says(&run.log, words, never)
}

/// Holds a run that failed against the reason that it is to give, and what it is not to do. A failed
/// step's last lines may be lost in the log: the reason is in the summary, and in what the step after
/// it prints, which does not fail.
fn failed(run: &Run, reason: &[&str], never: &[&str]) -> Result<()> {
    println!("{}\n{}", run.log, run.summary);
    ensure!(run.code == Some(1), "{run:?}");
    says(&run.summary, reason, &[])?;
    says(&run.log, reason, never)
}

fn says(text: &str, words: &[&str], never: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "does not say {word:?}:\n{text}");
    }
    for word in never {
        ensure!(!text.contains(word), "says {word:?}:\n{text}");
    }
    Ok(())
}

/// Holds a run of the project that has the keys against what it is to say.
fn published(run: &Run) -> Result<()> {
    println!("{}", run.log);
    ensure!(run.code == Some(0), "{run:?}");
    Ok(())
}

/// A pipeline's jobs, by their lines: those below `jobs:` in a workflow, and all tables of GitLab's.
fn jobs(pipeline: &str) -> Vec<String> {
    let (indent, text) = match pipeline.split_once("\njobs:\n") {
        Some((_, jobs)) => ("  ", jobs),
        None => ("", pipeline),
    };
    let begins = |line: &str| {
        line.strip_prefix(indent).is_some_and(|rest| {
            rest.starts_with(|first: char| first.is_ascii_lowercase()) && rest.ends_with(':')
        })
    };
    let mut jobs: Vec<String> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        match jobs.last_mut() {
            Some(job) if !begins(line) => {
                job.push_str(line);
                job.push('\n');
            }
            _ => jobs.push(format!("{line}\n")),
        }
    }
    jobs
}

/// The template's pipelines, and whether they are of the project that has the keys.
const PIPELINES: [(&str, bool); 5] = [
    (".github/workflows/fleet.yml", false),
    (".forgejo/workflows/fleet.yml", false),
    (".gitlab-ci.yml", false),
    ("publish/.forgejo/workflows/publish.yml", true),
    ("publish/.gitlab-ci.yml", true),
];

#[test]
fn no_branch_but_main_can_reach_the_keys_that_sign() -> Result<()> {
    for (name, is_publishing) in PIPELINES {
        let pipeline = fleet::read(&fleet::template().join(name))?;
        let jobs = jobs(&pipeline);
        ensure!(!jobs.is_empty(), "{name} has no jobs");
        let mut signing = 0;
        for job in &jobs {
            let signs = ["NIXUS_CACHE_KEY", "NIXUS_MANIFEST_KEY", "ci/publish"]
                .iter()
                .any(|word| job.contains(word));
            let writes = job.contains(": write");
            // GitHub gives an environment's secrets to the branches that the environment names.
            let limited = job.contains("\n    environment: publish\n")
                && job.contains("github.ref == 'refs/heads/main'")
                && job.contains("github.event_name == 'push'");
            ensure!(!signs || is_publishing || limited, "{name}: {job}");
            ensure!(!writes || limited, "{name}: {job}");
            signing += usize::from(signs);
        }
        let expected = usize::from(is_publishing || name.starts_with(".github"));
        ensure!(signing == expected, "{name}: {signing} jobs sign");
        // What reads no branch of others is not started by one.
        let by_branch = pipeline.contains("\n  push:") || pipeline.contains("\n  pull_request");
        ensure!(!is_publishing || !by_branch, "{name}");
    }
    Ok(())
}

#[test]
fn actions_and_images_of_the_pipelines_are_pinned_by_digest() -> Result<()> {
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let mut pinned = 0;
    for (name, _) in PIPELINES {
        let pipeline = fleet::read(&fleet::template().join(name))?;
        for line in pipeline
            .lines()
            .map(|line| line.trim_start_matches([' ', '-']))
        {
            let ok = if let Some(action) = line.strip_prefix("uses: ") {
                action.split_once('@').is_some_and(|(_, id)| is_hex(id, 40))
            } else if let Some(image) = line.strip_prefix("image: ") {
                image
                    .split_once("@sha256:")
                    .is_some_and(|(_, digest)| is_hex(digest, 64))
            } else {
                continue;
            };
            ensure!(ok, "{name}: {line}");
            pinned += 1;
        }
    }
    ensure!(pinned >= 8, "only {pinned} actions and images");
    Ok(())
}

/// Whether Gitea has a manifest of a commit.
fn has_manifest(lab: &Lab, commit: &str) -> Result<bool> {
    let reference = ci::reference(commit);
    let listed = lab
        .operator()
        .git(&["ls-remote", &Gitea::ssh_url(), &reference])?;
    ensure!(listed.ok(), "{listed:?}");
    Ok(listed.stdout.contains(&reference))
}

/// Runs a script of the template with [`NIX`], which ends with a code; gives what it wrote to its log,
/// to the summary and to the file for the reason.
fn script(folder: &Path, words: &[&str], code: i32) -> Result<[String; 3]> {
    let at = |name: &str| folder.join(format!("{name}-{code}"));
    let mut script = Command::new(fleet::template().join(words[0]));
    script
        .args(&words[1..])
        .current_dir(folder)
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("CODE", code.to_string())
        .env("READ", at("read"))
        .env("GITHUB_STEP_SUMMARY", at("summary"))
        .env("NIXUS_REASON", at("reason"))
        .env("NIXUS_CACHE", "https://cache.example")
        .envs(SECRETS.map(|(name, value, _)| (name, value)))
        .stdout(Stdio::piped());
    let mut child = script.spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("no output")?);
    let mut log = String::new();
    // It is read while the program runs.
    said.read_line(&mut log)?;
    fs::write(at("read"), "")?;
    said.read_to_string(&mut log)?;
    let ended = child.wait()?;
    ensure!(
        ended.code() == Some(code),
        "{words:?} ended with {ended}: {log}"
    );
    let left = |name| fs::read_to_string(at(name)).unwrap_or_default();
    let texts = [log, left("summary"), left("reason")];
    for name in ["read", "summary", "reason"] {
        // What is not there is none for the next script either.
        fs::remove_file(at(name)).unwrap_or_default();
    }
    Ok(texts)
}

#[test]
fn a_script_that_fails_leaves_its_reason_and_no_secret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nix = folder.path().join("nix");
    fs::write(&nix, NIX)?;
    fs::set_permissions(&nix, fs::Permissions::from_mode(0o755))?;
    let forge = "https://forge.example/fleet/deploy";
    let scripts: [&[&str]; 3] = [
        &["ci/build"],
        &["ci/publish", "origin"],
        &["ci/watch", "a commit", forge, "forgejo"],
    ];
    for words in scripts {
        let [log, summary, reason] = script(folder.path(), words, 0)?;
        says(&log, &["began\n", "error: no such option\n"], &[])?;
        ensure!(
            summary.is_empty() && reason.is_empty(),
            "{words:?}: {summary}{reason}"
        );

        let [log, summary, reason] = script(folder.path(), words, 7)?;
        let first = format!("{:0300}\n", 1);
        says(&log, &["began\n", &first, "error: no such option\n"], &[])?;
        let title = format!("{} failed with exit code 7\n", words[0]);
        let secrets = SECRETS.map(|(_, _, secret)| secret);
        says(&reason, &[&title, "error: no such option\n"], &secrets)?;
        ensure!(summary == reason, "{words:?}: {summary}");
        ensure!(reason.len() < 9000, "{} bytes", reason.len());
        ensure!(reason.lines().count() < 50, "{reason}");
    }
    Ok(())
}

/// GitHub's workflow cannot run here: it installs Debian's Nix from the network.
#[test]
fn a_runner_reads_the_workflows_of_the_template() -> Result<()> {
    let Some(act) = runner::build(&setup::prepare()?)? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let read = |path: &Path| -> Result<Output> {
        let mut validate = Command::new(&act);
        validate
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .args(["--validate", "--strict", "push", "--workflows"])
            .arg(path);
        command::run(&mut validate, None, Duration::from_secs(60))
    };
    for name in [
        ".github/workflows/fleet.yml",
        ".forgejo/workflows/fleet.yml",
        "publish/.forgejo/workflows/publish.yml",
    ] {
        let path = fleet::template().join(name);
        let said = read(&path)?;
        ensure!(said.ok(), "{name}: {said:?}");
        // It reads what there is to be read.
        let wrong = folder.path().join("wrong.yml");
        fs::write(&wrong, fleet::read(&path)?.replace("runs-on:", "runs-no:"))?;
        let said = read(&wrong)?;
        ensure!(
            said.code == Some(1) && said.stderr.contains("steps"),
            "{said:?}"
        );
    }
    Ok(())
}

#[test]
fn what_the_templates_pipeline_publishes_is_deployed_and_followed() -> Result<()> {
    let machine = setup::prepare()?;
    let (Some(program), Some(act)) = (gitea::build(&machine)?, runner::build(&machine)?) else {
        return Ok(());
    };
    let lab = Lab::of(&["db1", "web1"])
        .common(&gitea::followed())
        .common(TRIAL)
        .start()?;
    let gitea = Gitea::start(&lab, &machine, &program)?;
    gitea.introduce(&lab)?;
    gitea.push(&lab)?;
    let runner = Runner::start(&lab, &gitea, &act)?;
    Caches::on(&lab)?.serve()?;
    let story = Story::adopt(lab, PATIENCE)?;
    let lab = story.lab();
    let cache = format!("file://{}", caches::FOLDER);
    let cache = [("NIXUS_CACHE", cache.as_str())];

    // On any branch everything is built and nothing is published.
    with_pipeline(lab)?;
    let first = push(lab, &gitea, "", "build")?;
    let run = runner.run("main", &first, &cache)?;
    ended_well(&run, &["ci/build", KEPT], &["ci/publish"])?;
    let run = runner.run("feature", &first, &cache)?;
    ended_well(&run, &["ci/build"], &["ci/publish", "ci/watch"])?;
    ensure!(!has_manifest(lab, &first)?, "a manifest of {first}");

    // The commit by which hosts follow manifests, and one that they can only fetch.
    let follow = format!(
        "{}  services.nixus.settings.closure.manifest_keys = [ \"{}\" ];\n",
        caches::follow_manifests(&[caches::HTTP])?,
        Signer::Ci.public()?
    );
    let second = push(lab, &gitea, &follow, "follow manifests")?;
    published(&runner.publish(&cache)?)?;
    ensure!(has_manifest(lab, &second)?, "no manifest of {second}");
    let run = runner.run("main", &second, &cache)?;
    ended_well(&run, &["ci/build", KEPT], &["ci/publish"])?;
    // Once for each commit.
    let run = runner.publish(&cache)?;
    ended_well(&run, &[], &["manifest push"])?;
    for host in ["db1", "web1"] {
        forget_inputs(lab, story.host(host)?)?;
    }
    let greeting = format!("{follow}  environment.etc.\"greeting\".text = \"hello\";\n");
    let third = push(lab, &gitea, &greeting, "greet")?;
    published(&runner.publish(&cache)?)?;
    let run = runner.run("main", &third, &cache)?;
    ended_well(&run, &["ci/build", KEPT], &["ci/publish"])?;
    ensure!(story.host("web1")?.read("/etc/greeting")? == "hello");

    // What one host cannot keep fails the pipeline, which names the host.
    let broken = format!("{greeting}  lab.break.activation = \"exit1\";\n");
    let broken = lab.describe("web1", &broken)?;
    let fourth = lab.operator().commit(&[broken].into(), "break web1")?;
    gitea.push(lab)?;
    published(&runner.publish(&cache)?)?;
    let run = runner.run("main", &fourth, &cache)?;
    failed(&run, &["1 of 2 hosts kept", "did not: web1"], &[])?;

    // What does not build is never published.
    let wrong = push(lab, &gitea, "  services.openssh.enabel = true;", "a typo")?;
    let run = runner.run("main", &wrong, &cache)?;
    failed(&run, &["enabel"], &["ci/watch"])?;
    failed(&runner.publish(&cache)?, &["enabel"], &[])?;
    ensure!(!has_manifest(lab, &wrong)?, "a manifest of {wrong}");
    Ok(())
}
