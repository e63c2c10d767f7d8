//! A real Gitea on the lab's git server: built from its Go module, once, and kept in the lab's cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::browser;
use crate::command;
use crate::fleet::GIT_SERVER;
use crate::go::{self, go};
use crate::host::Host;
use crate::https_server;
use crate::keys::{self, Key};
use crate::laboratory::Lab;
use crate::setup::{self, Machine, remove_tree};

const MODULE: &str = "code.gitea.io/gitea";
/// The newest release whose requirements the Go module proxy has all of.
const VERSION: &str = "v1.26.0";
/// The folders of the source that the program needs beside it.
const STATIC: [&str; 3] = ["templates", "options", "public"];

const HOME: &str = "/var/lib/gitea";
/// The account that owns the repository.
const OWNER: &str = "fleet";
/// The repository's name.
const REPOSITORY: &str = "deploy";

/// Where a host has the token that posts statuses.
pub const TOKEN_FILE: &str = "/var/lib/lab-keys/forge_token";
/// Where it has the certificate of the authority that vouches for the forge.
pub const CA_FILE: &str = "/var/lib/lab-keys/forge_ca.pem";
const KNOWN_HOSTS: &str = "/var/lib/lab-keys/forge_known_hosts";

/// Lines of Nix for [`crate::laboratory::Builder::common`]: commits from Gitea, statuses to it, reports
/// over SSH as before.
pub fn followed() -> String {
    format!(
        r#"  services.nixus.settings.repository.url = lib.mkForce "{}";
  services.nixus.settings.repository.known_hosts = "{KNOWN_HOSTS}";
  services.nixus.settings.reports.known_hosts = "/etc/nixus/known_hosts";
  services.nixus.settings.statuses = {{
    forge = "gitea";
    api = "{}/api/v1";
    repository = "fleet/deploy";
    token_file = "{TOKEN_FILE}";
    extra_ca_file = "{CA_FILE}";
    link = "https://logs.example/{{host}}/{{commit}}";
    sign = true;
  }};
"#,
        Gitea::ssh_url(),
        Gitea::url()
    )
}

/// A running Gitea.
#[derive(Debug)]
pub struct Gitea {
    server: Host,
    token: String,
    authority: String,
    ssh_key: Key,
}

/// Builds Gitea, or finds it in the cache. Nothing where there is no Go toolchain or no module proxy;
/// then one line says so.
///
/// # Errors
/// When it does not build; in CI also where it could not be tried.
pub fn build(machine: &Machine) -> Result<Option<PathBuf>> {
    let folder = machine.cache.join(format!("gitea-{VERSION}"));
    let _lock = setup::lock(&machine.cache.join("gitea.lock"))?;
    if folder.join("gitea").exists() {
        return Ok(Some(folder));
    }
    if !go::is_there() {
        return go::skip("Gitea", "there is no Go toolchain");
    }
    eprintln!("lab: building Gitea {VERSION} from its Go module, once, some minutes");
    let mut download = go(Path::new("/"));
    download.args(["mod", "download", "-json", &format!("{MODULE}@{VERSION}")]);
    let downloaded = command::run(&mut download, None, Duration::from_secs(600))?;
    let described: Value = serde_json::from_str(&downloaded.stdout).unwrap_or_default();
    let Some(source) = described.pointer("/Dir").and_then(Value::as_str) else {
        let why = downloaded.stderr.trim();
        return go::skip(
            "Gitea",
            &format!("the Go module proxy does not give it: {why}"),
        );
    };
    let work = folder.with_extension("new");
    remove_tree(&work)?;
    // Modules are read-only, and a build writes go.sum.
    let mut copy = Command::new("cp");
    copy.args(["--recursive", "--no-preserve=mode", source])
        .arg(&work);
    command::must(&mut copy, None, Duration::from_secs(120))?;
    let mut compile = go(&work);
    // It is compiled once and runs for minutes: unoptimised it takes a third of the processor time.
    compile.args(["build", "-gcflags=all=-N -l", "-ldflags=-s -w"]);
    compile.env("CGO_CFLAGS", "-O0 -w");
    compile.args([
        "-tags",
        "sqlite sqlite_unlock_notify",
        "-o",
        "gitea.program",
        ".",
    ]);
    command::must(&mut compile, None, go::LONGEST)?;
    // The frontend is built with npm; pages are readable without it.
    let assets = work.join("public/assets/.vite");
    fs::create_dir_all(&assets)
        .and_then(|()| fs::write(assets.join("manifest.json"), "{}\n"))
        .with_context(|| format!("cannot write to {}", assets.display()))?;
    let kept = machine.cache.join("gitea.kept");
    remove_tree(&kept)?;
    fs::create_dir_all(&kept).with_context(|| format!("cannot make {}", kept.display()))?;
    let mut pairs: Vec<(&str, &str)> = STATIC.iter().map(|name| (*name, *name)).collect();
    pairs.push(("gitea.program", "gitea"));
    for (from, to) in pairs {
        fs::rename(work.join(from), kept.join(to))
            .with_context(|| format!("cannot keep {from}"))?;
    }
    fs::rename(&kept, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    remove_tree(&work)?;
    Ok(Some(folder))
}

impl Gitea {
    /// Starts Gitea on the lab's git server, with an owner, a token and an empty repository that the
    /// operator may push to.
    ///
    /// # Errors
    /// When it does not start or refuses what is asked.
    pub fn start(lab: &Lab, machine: &Machine, program: &Path) -> Result<Self> {
        let server = lab.host("git")?.clone();
        let ssh_key = keys::key(machine, "gitea")?;
        setup::install(&[("curl", "curl")])?;
        let disk = server.disk().join(HOME.trim_start_matches('/'));
        fs::create_dir_all(disk.join("ssh")).context("cannot make Gitea's folder")?;
        let mut copy = Command::new("cp");
        copy.arg("--recursive")
            .arg(program)
            .arg(disk.join("static"));
        command::must(&mut copy, None, Duration::from_secs(120))?;
        // A page that misses its scripts says so in a dialog, which no browser without a screen closes.
        let scripts = disk.join("static/public/assets/js");
        fs::create_dir_all(&scripts).context("cannot make a folder for Gitea's scripts")?;
        for name in ["iife.js", "index.js"] {
            fs::write(scripts.join(name), "").context("cannot write Gitea's scripts")?;
        }
        let authority = https_server::certificate(&server)?;
        let private = fs::read_to_string(&ssh_key.path)
            .with_context(|| format!("cannot read {}", ssh_key.path.display()))?;
        server.write(&format!("{HOME}/ssh/ed25519"), &private)?;
        server.must(["chmod", "600", &format!("{HOME}/ssh/ed25519")])?;
        server.write(&format!("{HOME}/app.ini"), CONFIG)?;
        server.must(["chown", "-R", "git", HOME])?;
        let mut gitea = Self {
            server,
            token: String::new(),
            authority,
            ssh_key,
        };
        gitea.command(&["migrate"])?;
        gitea.command(&[
            "admin",
            "user",
            "create",
            "--admin",
            "--username",
            OWNER,
            "--password",
            "lab-lab-lab-1",
            "--email",
            "fleet@lab.example",
            "--must-change-password=false",
        ])?;
        let said = gitea.command(&[
            "admin",
            "user",
            "generate-access-token",
            "--username",
            OWNER,
            "--raw",
            "--scopes",
            "write:repository,write:user",
        ])?;
        gitea.token = said.lines().last().unwrap_or_default().trim().to_owned();
        gitea.power(true)?;
        gitea.ask(
            "POST",
            "/user/repos",
            Some(&json!({
                "name": REPOSITORY, "default_branch": "main", "private": false,
            })),
        )?;
        gitea.ask(
            "POST",
            "/user/keys",
            Some(&json!({
                "title": "operator", "key": keys::key(machine, "operator")?.public,
            })),
        )?;
        // Hosts may read, and nothing else.
        for member in lab.members().values() {
            gitea.ask(
                "POST",
                &gitea.path("/keys"),
                Some(&json!({
                    "title": member.name, "key": member.deploy_key.public, "read_only": true,
                })),
            )?;
        }
        Ok(gitea)
    }

    /// Starts the service and waits until it answers, or stops it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn power(&self, on: bool) -> Result<()> {
        if !on {
            return self.server.must(["systemctl", "stop", "gitea"]).map(drop);
        }
        self.server.must([
            "systemd-run",
            "--quiet",
            "--collect",
            "--unit=gitea",
            "--uid=git",
            &format!("--setenv=HOME={HOME}"),
            "--setenv=USER=git",
            "--service-type=exec",
            &format!("{HOME}/static/gitea"),
            "web",
            "--config",
            &format!("{HOME}/app.ini"),
        ])?;
        self.server
            .wait_until("answers as Gitea", Duration::from_secs(120), |_| {
                Ok(self.ask("GET", "/version", None).is_ok())
            })
    }

    fn command(&self, arguments: &[&str]) -> Result<String> {
        let program = format!("{HOME}/static/gitea");
        let config = format!("{HOME}/app.ini");
        let mut words = vec![
            "setpriv",
            "--reuid=git",
            "--clear-groups",
            "env",
            "-C",
            HOME,
        ];
        let home = format!("HOME={HOME}");
        words.extend([home.as_str(), "USER=git", &program, "--config", &config]);
        words.extend(arguments);
        self.server.must(words)
    }

    /// The path of the interface for something of the repository.
    pub fn path(&self, rest: &str) -> String {
        format!("/repos/{OWNER}/{REPOSITORY}{rest}")
    }

    /// Asks the interface, as the operator.
    ///
    /// # Errors
    /// When it refuses, with what it says.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let ca = self.server.access.path("/run/lab/gitea-ca.pem");
        fs::write(&ca, &self.authority).context("cannot write the authority")?;
        let mut curl = self.server.access.command("curl");
        // The token comes on standard input, like everything that others should not see.
        curl.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--max-time",
            "30",
        ])
        .args(["--cacert", "/run/lab/gitea-ca.pem", "--request", method])
        .args([
            "--header",
            "Content-Type: application/json",
            "--config",
            "-",
        ])
        .arg(format!("{}/api/v1{path}", Self::url()));
        let mut config = format!("header = \"Authorization: token {}\"\n", self.token);
        if let Some(body) = body {
            let quoted = Value::String(body.to_string());
            config.push_str(&format!("data = {quoted}\n"));
        }
        if self.token.is_empty() {
            config.clear();
        }
        let said = command::must(&mut curl, Some(config.as_bytes()), Duration::from_secs(60))?;
        if said.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&said).with_context(|| format!("{method} {path}: {said}"))
    }

    /// Gives every host of the fleet what [`followed`] says that it has.
    ///
    /// # Errors
    /// When a host is off.
    pub fn introduce(&self, lab: &Lab) -> Result<()> {
        for host in lab.members().keys() {
            let host = lab.host(host)?;
            host.write(TOKEN_FILE, &format!("{}\n", self.token))?;
            host.must(["chmod", "600", TOKEN_FILE])?;
            host.write(CA_FILE, &self.authority)?;
            host.write(KNOWN_HOSTS, &self.known_host())?;
        }
        Ok(())
    }

    /// Pushes the operator's clone.
    ///
    /// # Errors
    /// When Gitea refuses it.
    pub fn push(&self, lab: &Lab) -> Result<()> {
        let known = lab.operator().known_hosts();
        let path = self.server.access.path(&known);
        let mut text = fs::read_to_string(&path).context("cannot read known_hosts")?;
        if !text.contains(&self.known_host()) {
            text.push_str(&self.known_host());
            fs::write(&path, text).context("cannot write known_hosts")?;
        }
        let said = lab
            .operator()
            .git(&["push", "--quiet", &Self::ssh_url(), "main"])?;
        if !said.ok() {
            bail!("Gitea took no push: {}", said.stderr);
        }
        Ok(())
    }

    /// Its pages.
    pub fn url() -> String {
        format!("https://{GIT_SERVER}:3000")
    }

    /// The repository's page.
    pub fn page() -> String {
        format!("{}/{OWNER}/{REPOSITORY}", Self::url())
    }

    /// A page as people see it, and a picture of it; see [`browser::look`].
    ///
    /// # Errors
    /// When there is no browser.
    pub fn look_at(&self, url: &str, picture: &Path) -> Result<String> {
        browser::look(&self.server.access, url, picture)
    }

    /// The repository over SSH.
    pub fn ssh_url() -> String {
        format!("ssh://git@{GIT_SERVER}:2222/{OWNER}/{REPOSITORY}.git")
    }

    /// The line of known_hosts for it.
    pub fn known_host(&self) -> String {
        format!("[{GIT_SERVER}]:2222 {}\n", self.ssh_key.public)
    }

    /// The certificate of the authority that vouches for it.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The token that may post statuses.
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// docs.gitea.com/administration/config-cheat-sheet. What hosts of a lab do not need is off.
const CONFIG: &str = r"APP_NAME = lab
RUN_USER = git
RUN_MODE = prod
WORK_PATH = /var/lib/gitea
[server]
PROTOCOL = https
HTTP_ADDR = 10.77.0.2
HTTP_PORT = 3000
ROOT_URL = https://10.77.0.2:3000/
CERT_FILE = /etc/https/server.pem
KEY_FILE = /etc/https/server.key
STATIC_ROOT_PATH = /var/lib/gitea/static
OFFLINE_MODE = true
START_SSH_SERVER = true
BUILTIN_SSH_SERVER_USER = git
SSH_DOMAIN = 10.77.0.2
SSH_LISTEN_HOST = 10.77.0.2
SSH_PORT = 2222
SSH_LISTEN_PORT = 2222
SSH_SERVER_HOST_KEYS = /var/lib/gitea/ssh/ed25519
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = /var/lib/gitea/gitea.db
[repository]
ROOT = /var/lib/gitea/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = lab
INTERNAL_TOKEN = eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYmYiOjE3MDAwMDAwMDB9.bGFi
[service]
DISABLE_REGISTRATION = true
[oauth2]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[actions]
ENABLED = false
[cron]
ENABLED = false
[mailer]
ENABLED = false
[log]
MODE = console
LEVEL = Warn
";
