//! A configuration as it is in effect, defaults included, for `nixus check-config`.

use std::collections::BTreeMap;
use std::time::Duration;

use nixus_switcher::protocol::FailedUnits;
use serde::Serialize;

use crate::config::forge::TokenSource;
use crate::host::public_key::PublicKey;

use super::health::{Health, Kind, Quorum};
use super::hooks::Command;
use super::statuses::Statuses;
use super::{Closure, ClosureSource, Config, Expression, Otherwise, Remote};

/// What `nixus check-config --json` prints. Settings are named as in the file, their table before
/// them; those of a list have their number or name after it. Times are in seconds with an `s`, or where they may be
/// shorter in milliseconds with `ms`. Times and sizes are as they may be written in the file.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The version of this format.
    pub version: u32,
    /// Every setting in effect.
    pub settings: BTreeMap<String, String>,
    /// Who is believed in what, a sentence each.
    pub trust: Vec<String>,
}

impl Config {
    /// Every setting in effect, for machines.
    pub fn shown(&self) -> Shown {
        Shown {
            version: 1,
            settings: self.settings().into_iter().collect(),
            trust: self.trusted(),
        }
    }

    /// Who decides what this host runs, a sentence each: whoever does has root on it.
    pub fn trusted(&self) -> Vec<String> {
        let mut all = vec![format!(
            "{} decides what runs here: whoever may push to {} there, and whoever runs that server, has root on this host",
            self.repository.url, self.branch
        )];
        for mirror in &self.mirrors {
            all.push(format!(
                "{} is believed in what {} has said, and decides alone after that has not answered for {}",
                mirror.url,
                self.repository.url,
                time(self.mirror_after)
            ));
        }
        if let Some(following) = self.closure.following() {
            all.push(match following.keys.is_empty() {
                true => format!(
                    "whoever may push any ref to {} decides what commits are built to, among what the host's caches have signed",
                    self.repository.url
                ),
                false => "whoever has a key of closure.manifest_keys decides what commits are built to".to_owned(),
            });
        }
        all
    }

    /// Every setting in effect, as key and value, in the order of the file.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut all = vec![("host".to_owned(), self.host.clone())];
        let mut add = |key: &str, value: String| all.push((key.to_owned(), value));
        for (key, value) in remote("repository", &self.repository) {
            add(&key, value);
        }
        for (number, mirror) in self.mirrors.iter().enumerate() {
            for (key, value) in remote(&format!("repository.mirrors.{number}"), mirror) {
                add(&key, value);
            }
        }
        add("repository.mirror_after", time(self.mirror_after));
        add("repository.branch", self.branch.clone());
        for (key, value) in closure(&self.closure) {
            add(&format!("closure.{key}"), value);
        }
        add("closure.submodules", self.closure.submodules.to_string());
        add("closure.lfs", self.closure.lfs.word().to_owned());
        add("closure.build_timeout", time(self.closure.build_timeout));
        add("closure.recheck", time(self.closure.recheck));
        add("closure.retries", self.closure.retries.to_string());
        let limits = &self.closure.limits;
        add("closure.memory_limit", limits.memory.written());
        add("closure.cpu_weight", limits.cpu_weight.to_string());
        let switch = &self.switch;
        add("switch.activation_timeout", time(switch.activation_timeout));
        add("switch.trial_timeout", time(switch.trial_timeout));
        add("switch.commit_timeout", time(switch.commit_timeout));
        add("switch.carrier_timeout", time(switch.carrier_timeout));
        let failed_units = match switch.failed_units {
            FailedUnits::Revert => "revert",
            FailedUnits::Ignore => "ignore",
        };
        add("switch.failed_units", failed_units.to_owned());
        add("switch.drift", switch.drift.word().to_owned());
        add("passes.interval", millis(self.passes.interval));
        add("passes.boot_delay", millis(self.passes.boot_delay));
        add("passes.timeout", time(self.passes.timeout));
        let commands = |commands: &[Command]| serde_json::to_string(commands).unwrap_or_default();
        add("hooks.before", commands(&self.hooks.before));
        add("hooks.after", commands(&self.hooks.after));
        add("hooks.timeout", time(self.hooks.timeout));
        add("health.soak", time(self.health.soak));
        let lost_after = self.health.peers_lost_after;
        add("health.peers_lost_after", time(lost_after));
        for (key, value) in self.reports.iter().flat_map(|one| remote("reports", one)) {
            add(&key, value);
        }
        if self.reports.is_some() {
            add("reports.heartbeat", time(self.heartbeat));
        }
        all.extend(self.statuses.iter().flat_map(statuses));
        all.extend(health(&self.health));
        all
    }
}

fn closure(closure: &Closure) -> Vec<(&'static str, String)> {
    let from = match &closure.source {
        ClosureSource::Manifest(_) => "manifest",
        ClosureSource::Expression(Expression::Flake { .. }) => "flake",
        ClosureSource::Expression(Expression::File { .. }) => "file",
    };
    let mut all = vec![("from", from.to_owned())];
    if let Some(following) = closure.following() {
        let keys: Vec<_> = following.keys.iter().map(ToString::to_string).collect();
        all.push(("manifest_keys", keys.join(", ")));
        all.push(("system_name", following.system_name.clone()));
        all.push(("wait", time(following.wait)));
        match &following.otherwise {
            Otherwise::Wait | Otherwise::Older => {}
            Otherwise::Build(_) => all.push(("fallback", "build".to_owned())),
        }
        let older = following.otherwise == Otherwise::Older;
        all.push(("older", older.to_string()));
    }
    match closure.expression() {
        Some(Expression::Flake { attribute, .. }) => all.push(("attribute", attribute.clone())),
        Some(Expression::File {
            file, attribute, ..
        }) => {
            all.push(("file", file.clone()));
            all.push(("attribute", attribute.clone()));
        }
        None => {}
    }
    let directory = closure.expression().and_then(Expression::directory);
    all.extend(directory.map(|directory| ("directory", directory.to_owned())));
    all
}

fn health(health: &Health) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |key: String, value: String| all.push((key, value));
    let list = |keys: &[PublicKey]| {
        let keys: Vec<_> = keys.iter().map(PublicKey::fingerprint).collect();
        keys.join(", ")
    };
    let own = &health.ssh;
    add("ssh.addresses".to_owned(), own.addresses.join(", "));
    add("ssh.port".to_owned(), own.port.to_string());
    add(
        "ssh.host_key".to_owned(),
        own.host_key.display().to_string(),
    );
    add("ssh.host_keys".to_owned(), list(&own.host_keys));
    for (number, operator) in health.operators.iter().enumerate() {
        add(format!("operators.{number}.user"), operator.user.clone());
        add(
            format!("operators.{number}.keys"),
            operator.key.fingerprint(),
        );
        if !operator.from.is_empty() {
            add(format!("operators.{number}.from"), operator.from.join(", "));
        }
    }
    for peer in &health.peers {
        let name = |key: &str| format!("peers.{}.{key}", peer.name);
        add(name("addresses"), peer.addresses.join(", "));
        add(name("port"), peer.port.to_string());
        add(name("host_keys"), list(&peer.host_keys));
        add(name("user"), peer.user.clone());
    }
    for check in &health.checks {
        let name = |key: &str| format!("checks.{}.{key}", check.name);
        let need = if check.required { "required" } else { "wanted" };
        add(name("kind"), check.kind.word().to_owned());
        add(name("need"), need.to_owned());
        add(name("timeout"), time(check.timeout));
        add(name("interval"), millis(check.interval));
        match &check.kind {
            Kind::Repository | Kind::Ssh => {}
            Kind::Peer { quorum, ports } => {
                add(
                    name("quorum"),
                    match quorum {
                        Quorum::Any => "any".to_owned(),
                        Quorum::All => "all".to_owned(),
                        Quorum::Number(number) => number.to_string(),
                    },
                );
                let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                add(name("ports"), ports.join(", "));
            }
            Kind::Tcp { host, port } => add(name("address"), address(host, *port)),
            Kind::Http { url, status, body } => {
                add(name("url"), url.clone());
                add(name("status"), status.to_string());
                if let Some(body) = body {
                    add(name("body"), body.clone());
                }
            }
            Kind::Command { command } => add(name("command"), command.join(" ")),
            Kind::Units { ignore } => add(name("ignore"), ignore.join(", ")),
        }
    }
    all
}

fn remote(table: &str, remote: &Remote) -> Vec<(String, String)> {
    let files = [
        ("ssh_key", &remote.ssh_key),
        ("known_hosts", &remote.known_hosts),
        ("token_file", &remote.token_file),
        ("ca_file", &remote.ca_file),
    ];
    let files = files
        .iter()
        .filter_map(|(key, path)| Some((*key, path.as_ref()?.display().to_string())));
    let mut all = vec![("url", remote.url.clone())];
    all.extend(files);
    all.push(("timeout", time(remote.timeout)));
    all.into_iter()
        .map(|(key, value)| (format!("{table}.{key}"), value))
        .collect()
}

fn statuses(statuses: &Statuses) -> Vec<(String, String)> {
    let repository = &statuses.repository;
    let mut all = vec![
        ("forge", repository.kind.word().to_owned()),
        ("api", repository.api.clone()),
        ("repository", repository.path.clone()),
    ];
    match &statuses.reach.token {
        Some(TokenSource::File(path)) => all.push(("token_file", path.display().to_string())),
        Some(TokenSource::Credential(name)) => all.push(("credential", name.clone())),
        None => {}
    }
    let ca_file = statuses.reach.ca_file.as_ref();
    all.extend(ca_file.map(|path| ("ca_file", path.display().to_string())));
    all.extend(statuses.reach.proxy.clone().map(|proxy| ("proxy", proxy)));
    all.push(("timeout", time(statuses.reach.timeout)));
    all.extend(statuses.link.clone().map(|link| ("link", link)));
    all.push(("sign", statuses.sign.to_string()));
    all.push(("hosts", statuses.policy.hosts.to_string()));
    all.push(("canary", statuses.policy.canary.to_string()));
    all.into_iter()
        .map(|(key, value)| (format!("statuses.{key}"), value))
        .collect()
}

fn time(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// For times that may be shorter than a second.
fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// As it may be written: an IPv6 address has brackets.
fn address(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
