//! The lab's CI: a clone of the deploy repository on the git server's host, where commits are built
//! and manifests pushed. Its single steps can be taken one by one, and wrongly.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::caches::Caches;
use crate::command::{self, Output};
use crate::fleet::{self, GIT_SERVER};
use crate::host::Host;
use crate::keys;
use crate::laboratory::Lab;
use crate::setup;
use crate::signing_key::SigningKey;

/// The clone of the deploy repository.
pub const CLONE: &str = "/root/ci/deploy";
/// The manifest that was made last. It lies outside the clone, which stays as it was checked out.
pub const MANIFEST: &str = "/root/ci/manifest.json";
/// The words of `nixus manifest` that build a commit.
pub const CREATE: [&str; 3] = ["create", "--output", MANIFEST];
/// The key that may push.
const PUSHER: &str = "/root/ci/pusher";
const KNOWN_HOSTS: &str = "/root/ci/known_hosts";
const ACCOUNTS: &str = "/srv/git/.ssh/authorized_keys";
const LIMIT: Duration = Duration::from_secs(60);

/// Who signs a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// Nobody.
    Nobody,
    /// CI, with the key that hosts may be told of.
    Ci,
    /// Somebody of whom no host was told.
    Stranger,
}

impl Signer {
    /// The private key's name in the lab's keys, and of its file.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::Nobody => None,
            Self::Ci => Some("ci"),
            Self::Stranger => Some("ci-stranger"),
        }
    }

    /// What hosts are told of: the public key's line.
    ///
    /// # Errors
    /// When nobody signs, or the key cannot be made.
    pub fn public(self) -> Result<String> {
        let name = self.key().context("nobody has no key")?;
        let key = keys::key(&setup::prepare()?, name)?;
        Ok(format!("{} {name}", key.public))
    }
}

/// CI of a running lab.
#[derive(Debug, Clone)]
pub struct Ci {
    server: Host,
    nixus: String,
}

impl Ci {
    /// CI with a clone of this lab's deploy repository, and a key that may push to it.
    ///
    /// # Errors
    /// When the git server is off or refuses.
    pub fn on(lab: &Lab) -> Result<Self> {
        let server = lab.host("git")?.clone();
        // It is in the layer that all hosts share, and no part of the git server's system.
        let found = server.must(["sh", "-c", "ls -d /nix/store/*-nixus-0.1.0"])?;
        let package = found.lines().next().context("the store has no nixus")?;
        let ci = Self {
            nixus: format!("{package}/bin/nixus"),
            server,
        };
        ci.furnish()?;
        Ok(ci)
    }

    fn furnish(&self) -> Result<()> {
        let machine = setup::prepare()?;
        let pusher = keys::key(&machine, "ci-push")?;
        let signers = [Signer::Ci, Signer::Stranger];
        let mut files = vec![(PUSHER.to_owned(), fleet::read(&pusher.path)?)];
        for name in signers.into_iter().filter_map(Signer::key) {
            let key = keys::key(&machine, name)?;
            files.push((format!("/root/ci/{name}"), fleet::read(&key.path)?));
        }
        for (file, text) in &files {
            self.server.write(file, text)?;
            self.server.must(["chmod", "600", file])?;
        }
        let accounts = self.server.read(ACCOUNTS)?;
        self.server
            .write(ACCOUNTS, &format!("{accounts}{} ci\n", pusher.public))?;
        let host_key = keys::key(&machine, "host-git")?;
        self.server
            .write(KNOWN_HOSTS, &format!("{GIT_SERVER} {}\n", host_key.public))?;
        let ssh = format!(
            "core.sshCommand=ssh -F none -i {PUSHER} -o UserKnownHostsFile={KNOWN_HOSTS} \
             -o IdentitiesOnly=yes -o BatchMode=yes"
        );
        let clone = ["git", "clone", "--quiet", "--config", &ssh];
        let who = ["--config", "user.name=CI", "--config", "user.email=ci@lab"];
        let url = fleet::url(fleet::DEPLOY);
        let words = clone.into_iter().chain(who).chain([url.as_str(), CLONE]);
        self.server.must(words).map(drop)
    }

    /// Runs git in the clone; gives what it printed.
    ///
    /// # Errors
    /// When git fails.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        self.git_told("", arguments)
    }

    fn git_told(&self, input: &str, arguments: &[&str]) -> Result<String> {
        let words = ["git", "-C", CLONE].iter().chain(arguments);
        let mut git = self.server.command(words)?;
        let said = command::must(&mut git, Some(input.as_bytes()), LIMIT)?;
        Ok(said.trim().to_owned())
    }

    /// The words of a command of `nixus manifest` in the clone, not started yet.
    pub fn words(&self, arguments: &[&str]) -> Vec<String> {
        ["env", "-C", CLONE, &self.nixus, "manifest"]
            .iter()
            .chain(arguments)
            .map(|word| (*word).to_owned())
            .collect()
    }

    /// Runs `nixus manifest` in the clone, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn nixus(&self, arguments: &[&str]) -> Result<Output> {
        self.server.exec(self.words(arguments))
    }

    fn nixus_must(&self, arguments: &[&str]) -> Result<()> {
        self.server.must(self.words(arguments)).map(drop)
    }

    /// Puts the clone to a commit of the deploy repository.
    ///
    /// # Errors
    /// When there is no such commit.
    pub fn check_out(&self, commit: &str) -> Result<()> {
        self.git(&["fetch", "--quiet", "origin"])?;
        self.git(&["checkout", "--quiet", "--detach", commit])?;
        Ok(())
    }

    /// Builds all hosts of a commit and writes its manifest to [`MANIFEST`]; nothing of it is garbage.
    ///
    /// # Errors
    /// When a host does not build.
    pub fn build(&self, commit: &str) -> Result<()> {
        self.check_out(commit)?;
        self.nixus_must(&CREATE)?;
        ensure!(
            self.manifest()?.pointer("/commit").and_then(Value::as_str) == Some(commit),
            "the manifest is not for {commit}"
        );
        self.keep()
    }

    /// Keeps what the manifest names from being garbage in CI's store.
    ///
    /// # Errors
    /// When there is no manifest.
    pub fn keep(&self) -> Result<()> {
        for path in self.paths()? {
            let name = path.trim_start_matches("/nix/store/");
            let root = format!("/nix/var/nix/gcroots/ci-{name}");
            self.server.must(["ln", "-sfn", &path, &root])?;
        }
        Ok(())
    }

    /// Writes a manifest of a commit that names a system for one host, which was built elsewhere.
    ///
    /// # Errors
    /// When it is not written.
    pub fn name_built(&self, commit: &str, host: &str, toplevel: &str) -> Result<()> {
        self.check_out(commit)?;
        let built = format!("{host}={toplevel}");
        self.nixus_must(&[
            "create", "--commit", commit, "--built", &built, "--output", MANIFEST,
        ])
    }

    /// The manifest that was made last.
    ///
    /// # Errors
    /// When there is none, or it is not JSON.
    pub fn manifest(&self) -> Result<Value> {
        let text = self.server.read(MANIFEST)?;
        serde_json::from_str(&text).with_context(|| format!("no manifest: {text}"))
    }

    /// Changes the manifest that was made last.
    ///
    /// # Errors
    /// When there is none.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut manifest = self.manifest()?;
        change(&mut manifest);
        self.server.write(MANIFEST, &manifest.to_string())
    }

    /// All that the manifest names: systems, and what hosts on trial fetch.
    ///
    /// # Errors
    /// When there is no manifest.
    pub fn paths(&self) -> Result<Vec<String>> {
        let manifest = self.manifest()?;
        let hosts = manifest.pointer("/hosts").and_then(Value::as_object);
        let hosts = hosts.context("the manifest has no hosts")?;
        let paths = hosts
            .values()
            .filter_map(|entry| entry["toplevel"].as_str());
        let trial = manifest["trial"].as_str();
        Ok(paths.chain(trial).map(str::to_owned).collect())
    }

    /// The system that the manifest names for a host.
    ///
    /// # Errors
    /// When it names none.
    pub fn toplevel(&self, host: &str) -> Result<String> {
        let manifest = self.manifest()?;
        let path = manifest.pointer(&format!("/hosts/{host}/toplevel"));
        let path = path.and_then(Value::as_str);
        let path = path.with_context(|| format!("no entry for {host}: {manifest}"))?;
        Ok(path.to_owned())
    }

    /// Pushes the manifest as `nixus` does it, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn push(&self, signer: Signer, replace: bool) -> Result<Output> {
        let key = signer.key().map(|name| format!("/root/ci/{name}"));
        let mut arguments = vec!["push", MANIFEST, "--remote", "origin"];
        if let Some(key) = &key {
            arguments.extend(["--sign-key", key]);
        }
        if replace {
            arguments.push("--replace");
        }
        self.nixus(&arguments)
    }

    /// Pushes whatever [`MANIFEST`] says to the ref of any commit, unsigned and without looking at it.
    ///
    /// # Errors
    /// When git refuses.
    pub fn push_by_hand(&self, commit: &str) -> Result<()> {
        let blob = self.git(&["hash-object", "-w", "--", MANIFEST])?;
        let listed = format!("100644 blob {blob}\tmanifest.json\n");
        let tree = self.git_told(&listed, &["mktree"])?;
        let made = self.git(&["commit-tree", "-m", "Pushed by hand", &tree])?;
        let update = format!("{made}:{}", reference(commit));
        self.git(&["push", "--quiet", "--force", "origin", &update])?;
        Ok(())
    }

    /// What the git server has at the ref of a commit.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn listed(&self, commit: &str) -> Result<String> {
        self.git(&["ls-remote", "origin", &reference(commit)])
    }

    /// All that CI does for a commit: it is built, the caches are filled, and the manifest is pushed.
    ///
    /// # Errors
    /// With the first of these that fails.
    pub fn publish(&self, commit: &str, caches: &Caches) -> Result<()> {
        self.make(commit, caches, false)
    }

    /// The same in place of what was pushed for the commit before.
    ///
    /// # Errors
    /// Those of [`Ci::publish`].
    pub fn publish_anew(&self, commit: &str, caches: &Caches) -> Result<()> {
        self.make(commit, caches, true)
    }

    fn make(&self, commit: &str, caches: &Caches, replace: bool) -> Result<()> {
        self.build(commit)?;
        caches.fill(&self.paths()?, Some(&SigningKey::trusted()?))?;
        let pushed = self.push(Signer::Ci, replace)?;
        ensure!(pushed.ok(), "the manifest was not pushed: {pushed:?}");
        Ok(())
    }
}

/// Where a commit's manifest is.
pub fn reference(commit: &str) -> String {
    format!("refs/nixus/closures/{commit}")
}
