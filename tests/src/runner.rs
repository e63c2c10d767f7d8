//! A runner of workflows on the git server's host: act, which the runners of Forgejo and Gitea are
//! made of (code.forgejo.org/forgejo/act, gitea.com/gitea/act). It runs the steps on the host itself,
//! as there are no images of containers in a lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::ci::Signer;
use crate::command;
use crate::fleet::{self, GIT_SERVER};
use crate::gitea::Gitea;
use crate::go::{self, go};
use crate::host::Host;
use crate::keys;
use crate::laboratory::Lab;
use crate::setup::{self, Machine, remove_tree};
use crate::signing_key::SigningKey;

const MODULE: &str = "github.com/nektos/act";
const VERSION: &str = "v0.2.82";
const HOME: &str = "/root/runner";
/// The workflows' files there.
const FLEET: &str = "fleet.yml";
const PUBLISH: &str = "publish.yml";
/// A whole deployment is followed.
const LIMIT: Duration = Duration::from_secs(240);
/// What the template's workflow runs in elsewhere.
const CONTAINER: &str = "    container:\n      image: nixos/nix:2.28.3@sha256:e623d73af9cac82d1b50784c83e0cf2a4b83bfd2cfe8d5b67809a2fc94e043ac\n";

/// Builds act, or finds it in the cache. Nothing where it cannot be had; then one line says so.
///
/// # Errors
/// When it does not build; in CI also where it could not be tried.
pub fn build(machine: &Machine) -> Result<Option<PathBuf>> {
    let program = machine.cache.join(format!("act-{VERSION}"));
    let _lock = setup::lock(&machine.cache.join("act.lock"))?;
    if program.exists() {
        return Ok(Some(program));
    }
    if !go::is_there() {
        return go::skip("act", "there is no Go toolchain");
    }
    eprintln!("lab: building act {VERSION} from its Go module, once, a minute");
    let work = machine.cache.join("act.new");
    remove_tree(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let mut install = go(&work);
    // A static program runs on whatever host.
    install
        .args(["install", "-gcflags=all=-N -l", "-ldflags=-s -w"])
        .arg(format!("{MODULE}@{VERSION}"))
        .env("CGO_ENABLED", "0")
        .env("GOBIN", &work);
    let built = command::run(&mut install, None, go::LONGEST)?;
    if !built.ok() {
        let why = built.stderr.trim();
        return go::skip("act", &format!("its module does not build: {why}"));
    }
    fs::rename(work.join("act"), &program)
        .with_context(|| format!("cannot make {}", program.display()))?;
    remove_tree(&work)?;
    Ok(Some(program))
}

/// What a runner said of a workflow.
#[derive(Debug, Default)]
pub struct Run {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The log, without the summaries. It may lack the last lines of a step that failed: act closes the
    /// terminal then, whether or not it was read to its end (HostEnvironment.exec in
    /// pkg/container/host_environment.go, which waits for its reader only where the exit code is 0).
    pub log: String,
    /// The job summaries, which act reads from their file when a step has ended, whatever its exit code
    /// (processRunnerSummaryCommand in pkg/runner/step.go).
    pub summary: String,
}

impl Run {
    /// What act says with `--json`: an object a line.
    fn read(code: Option<i32>, said: &str) -> Self {
        let mut run = Self {
            code,
            ..Self::default()
        };
        for line in said.lines() {
            let entry: Value = serde_json::from_str(line).unwrap_or_default();
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            let (into, words) = if text("command") == Some("summary") {
                (&mut run.summary, text("content"))
            } else {
                (&mut run.log, text("msg"))
            };
            into.push_str(words.unwrap_or(line).trim_end());
            into.push('\n');
        }
        run
    }
}

/// A runner of a lab with Gitea.
#[derive(Debug)]
pub struct Runner {
    server: Host,
}

impl Runner {
    /// A runner that has the secrets of the template's workflow, and Gitea's token.
    ///
    /// # Errors
    /// When the git server is off, or Gitea refuses.
    pub fn start(lab: &Lab, gitea: &Gitea, program: &Path) -> Result<Self> {
        let server = lab.host("git")?.clone();
        server.must(["mkdir", "-p", "/root/runner/empty"])?;
        let place = server.disk().join("root/runner/act");
        fs::copy(program, &place).with_context(|| format!("cannot write {}", place.display()))?;
        server.write(&format!("{HOME}/ca.pem"), gitea.authority())?;
        let manifest_key = keys::key(
            &setup::prepare()?,
            Signer::Ci.key().context("CI has no key")?,
        )?;
        let secrets = json!({
            "GITHUB_TOKEN": gitea.token(),
            "NIXUS_DEPLOY_TOKEN": gitea.token(),
            "NIXUS_CACHE_KEY": SigningKey::trusted()?.secret,
            "NIXUS_MANIFEST_KEY": fleet::read(&manifest_key.path)?,
        });
        // JSON is YAML, which act tells by the name.
        server.write(&format!("{HOME}/secrets.yml"), &secrets.to_string())?;
        let registry = json!({"version": 2, "flakes": []});
        server.write(&format!("{HOME}/registry.json"), &registry.to_string())?;
        for (name, path, jobs) in [
            (FLEET, ".forgejo/workflows/fleet.yml", 2),
            (PUBLISH, "publish/.forgejo/workflows/publish.yml", 1),
        ] {
            let workflow = fleet::read(&fleet::template().join(path))?;
            ensure!(
                workflow.matches(CONTAINER).count() == jobs,
                "{path} runs in something else: {workflow}"
            );
            let workflow = workflow.replace(CONTAINER, "");
            server.write(&format!("{HOME}/{name}"), &workflow)?;
        }
        Ok(Self { server })
    }

    /// Runs the template's workflow for a commit that was pushed to a branch, with these variables. It
    /// begins in a folder with nothing in it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn run(&self, branch: &str, commit: &str, variables: &[(&str, &str)]) -> Result<Run> {
        let branch = format!("refs/heads/{branch}");
        let event = json!({"ref": branch, "after": commit, "deleted": false});
        self.run_on("push", &event, FLEET, variables)
    }

    /// Runs the workflow of the project that has the keys, with these variables.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn publish(&self, variables: &[(&str, &str)]) -> Result<Run> {
        let deploy = Gitea::page();
        let variables = [&[("NIXUS_DEPLOY", deploy.as_str())], variables].concat();
        self.run_on("workflow_dispatch", &json!({}), PUBLISH, &variables)
    }

    fn run_on(
        &self,
        event: &str,
        described: &Value,
        workflow: &str,
        variables: &[(&str, &str)],
    ) -> Result<Run> {
        self.server
            .write(&format!("{HOME}/event.json"), &described.to_string())?;
        let environment = [
            // The authority of the lab's Gitea, for git and for nixus.
            format!("GIT_SSL_CAINFO={HOME}/ca.pem"),
            format!("SSL_CERT_FILE={HOME}/ca.pem"),
            // A lab has no network to fetch the flakes' registry from.
            format!("NIX_CONFIG=flake-registry = {HOME}/registry.json"),
            "GITHUB_REPOSITORY=fleet/deploy".to_owned(),
            "NIXUS_TIMEOUT=2m".to_owned(),
        ];
        let mut words = vec!["env".to_owned(), "-C".into(), format!("{HOME}/empty")];
        words.extend(["HOME=/root".into(), format!("{HOME}/act"), event.into()]);
        let files = [
            ("--workflows", format!("{HOME}/{workflow}")),
            ("--eventpath", format!("{HOME}/event.json")),
            ("--secret-file", format!("{HOME}/secrets.yml")),
            ("--platform", "docker=-self-hosted".to_owned()),
            ("--github-instance", format!("{GIT_SERVER}:3000")),
        ];
        words.extend(
            files
                .into_iter()
                .flat_map(|(key, value)| [key.to_owned(), value]),
        );
        words.extend(["--no-cache-server".to_owned(), "--json".to_owned()]);
        for variable in environment {
            words.extend(["--env".to_owned(), variable]);
        }
        for (key, value) in variables {
            words.extend(["--var".to_owned(), format!("{key}={value}")]);
        }
        let mut act = self.server.command(words)?;
        let said = command::run(&mut act, None, LIMIT)?;
        Ok(Run::read(said.code, &(said.stdout + &said.stderr)))
    }
}
