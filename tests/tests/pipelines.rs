//! The template's pipeline as a runner runs it, on a real forge.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::caches::{self, Caches};
use lab::ci::{self, Signer};
use lab::command::{self, Output};
use lab::fleet::{self, Files};
use lab::gitea::{self, Gitea};
use lab::runner::{self, Runner};
use lab::story::{PATIENCE, Story};
use lab::{Lab, setup};

use crate::manifests::forget_inputs;

/// The template's files that a pipeline runs.
const SCRIPTS: [&str; 3] = ["ci/build", "ci/publish", "ci/watch"];

/// How a deployment ends well.
const KEPT: &str = "2 of 2 hosts kept";

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

/// Holds a run against what it is to end with, to say, and not to do.
fn ended(run: &Output, code: i32, words: &[&str], never: &[&str]) -> Result<()> {
    let said = format!("{}{}", run.stdout, run.stderr);
    println!("{said}");
    ensure!(run.code == Some(code), "ended with {:?}:\n{said}", run.code);
    for word in words {
        ensure!(said.contains(word), "does not say {word:?}:\n{said}");
    }
    for word in never {
        ensure!(!said.contains(word), "says {word:?}:\n{said}");
    }
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

    // Without a cache, and on another branch, everything is built and nothing is published.
    with_pipeline(lab)?;
    let first = push(lab, &gitea, "", "build")?;
    let run = runner.run("main", &first, &[])?;
    ended(&run, 0, &["ci/build", KEPT], &["ci/publish"])?;
    let run = runner.run("feature", &first, &cache)?;
    ended(&run, 0, &["ci/build"], &["ci/publish", "ci/watch"])?;
    ensure!(!has_manifest(lab, &first)?, "a manifest of {first}");

    // The commit by which hosts follow manifests, and one that they can only fetch.
    let follow = format!(
        "{}  services.nixus.settings.closure.manifest_keys = [ \"{}\" ];\n",
        caches::follow_manifests(&[caches::HTTP])?,
        Signer::Ci.public()?
    );
    let second = push(lab, &gitea, &follow, "follow manifests")?;
    let run = runner.run("main", &second, &cache)?;
    ended(&run, 0, &["ci/publish", KEPT], &["ci/build"])?;
    ensure!(has_manifest(lab, &second)?, "no manifest of {second}");
    for host in ["db1", "web1"] {
        forget_inputs(lab, story.host(host)?)?;
    }
    let greeting = format!("{follow}  environment.etc.\"greeting\".text = \"hello\";\n");
    let third = push(lab, &gitea, &greeting, "greet")?;
    let run = runner.run("main", &third, &cache)?;
    ended(&run, 0, &["ci/publish", KEPT], &["ci/build"])?;
    ensure!(story.host("web1")?.read("/etc/greeting")? == "hello");

    // What one host cannot keep fails the pipeline, which names the host.
    let broken = format!("{greeting}  lab.break.activation = \"exit1\";\n");
    let broken = lab.describe("web1", &broken)?;
    let fourth = lab.operator().commit(&[broken].into(), "break web1")?;
    gitea.push(lab)?;
    let run = runner.run("main", &fourth, &cache)?;
    ended(&run, 1, &["1 of 2 hosts kept", "did not: web1"], &[])?;

    // What does not build is never published.
    let wrong = push(lab, &gitea, "  services.openssh.enabel = true;", "a typo")?;
    let run = runner.run("main", &wrong, &cache)?;
    ended(&run, 1, &["enabel"], &["ci/watch"])?;
    ensure!(!has_manifest(lab, &wrong)?, "a manifest of {wrong}");
    Ok(())
}
