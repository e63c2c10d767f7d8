//! Each check of a configuration, made once: one file for each kind.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use nixus_switcher::Open;
use nixus_switcher::protocol::{Before, CheckOutcome};

use crate::config::Config;
use crate::config::health::{Check, Kind};
use crate::decide::baseline::Baseline;
use crate::decide::verdict::Finding;
use crate::health::protocol::Found;
use crate::host::files::Paths;
use crate::source::reach;

pub mod access;
pub mod accounts;
pub mod build;
pub mod command;
pub mod http;
pub mod last_pass;
pub mod now;
pub mod overdue;
pub mod own_pass;
pub mod peer;
pub mod probe;
pub mod protocol;
pub mod recovery;
pub mod repository;
pub mod ssh;
pub mod sshd;
pub mod tcp;
pub mod unit;
pub mod units;
pub mod verify;

use ssh::Bar;

/// What a check is made for.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The configuration that is to work.
    pub config: &'a Config,
    /// Where this host keeps its state.
    pub paths: &'a Paths,
    /// The deployment that is on trial; none where a system is looked at as it is.
    pub open: Option<&'a Open>,
    /// Whether the pass's own unit is to say how the repository is, where nothing is on trial: what a shell
    /// can do proves nothing of it.
    pub by_unit: bool,
}

impl<'a> Scene<'a> {
    /// What was so before, where this is a trial.
    pub fn before(&self) -> Option<&'a Before> {
        self.open.and_then(|open| open.before.as_ref())
    }
}

/// Makes one check. Peers give a finding each.
pub async fn make(check: &Check, scene: &Scene<'_>) -> Vec<Finding> {
    let health = &scene.config.health;
    let limit = check.timeout;
    let one = |found: Found| vec![Finding::new(&check.name, found.outcome, found.reason)];
    match &check.kind {
        Kind::Repository => repository::check(scene, limit).await,
        Kind::Ssh => {
            let bar = match scene.open {
                Some(_) => Bar::Candidate(scene.before()),
                None => Bar::AsConfigured,
            };
            vec![ssh::own(health, bar, limit).await]
        }
        Kind::Peer { ports, .. } => peer::all(health, ports, limit, scene.before()).await,
        Kind::Tcp { host, port } => one(tcp::open(host, *port, limit).await),
        Kind::Http { url, status, body } => {
            one(http::page(url, *status, body.as_deref(), limit).await)
        }
        Kind::Command { command } => one(command::ends_well(command, limit).await),
        Kind::Units { ignore } => {
            let failed_before = scene.open.map_or(&[][..], |open| &open.failed_before);
            vec![units::units(failed_before, ignore).await]
        }
    }
}

/// Makes all checks at once.
pub async fn all(scene: &Scene<'_>) -> Vec<Finding> {
    let checks = scene.config.health.checks.iter();
    let found = join_all(checks.map(|check| make(check, scene))).await;
    found.into_iter().flatten().collect()
}

/// Looks at the running system before anything is changed: what a candidate will be judged by, and
/// all that decides whether it may be changed at all.
pub async fn baseline(config: &Config, paths: &Paths) -> Looked {
    let scene = Scene {
        config,
        paths,
        open: None,
        by_unit: false,
    };
    let health = &config.health;
    // The pass that asks has just used the repository, and the switcher notes the failed units.
    let looked_at = |check: &&Check| !matches!(check.kind, Kind::Repository | Kind::Units { .. });
    let checks = health.checks.iter().filter(looked_at);
    let (state, ways, found, access) = tokio::join!(
        units::baseline(),
        ways(config),
        join_all(checks.map(|check| make(check, &scene))),
        ssh::access(health)
    );
    let mut found: Vec<Finding> = found.into_iter().flatten().collect();
    found.push(recovery::state(&paths.state));
    let before = Before {
        checks: found.iter().map(Finding::as_it_was).collect(),
        operators: health.operators.iter().map(ssh::as_line).collect(),
        host_key: ssh::public_half(&health.ssh.host_key)
            .ok()
            .map(|key| key.to_string()),
        ways,
        rollback: false,
        lost: None,
        access: access.map(|looked| looked.access),
    };
    Looked {
        state,
        found,
        before,
    }
}

/// What was found before anything was changed.
#[derive(Debug)]
pub struct Looked {
    /// What systemd says.
    pub state: Baseline,
    /// What the checks have found.
    pub found: Vec<Finding>,
    /// The same as it is handed on.
    pub before: Before,
}

/// Those whom this host needs: its repository, and the peers that vouch for it.
async fn ways(config: &Config) -> Vec<IpAddr> {
    let peers = config.health.peers.iter().flat_map(|peer| {
        let addresses = peer.addresses.iter();
        addresses.map(|address| (address.clone(), peer.port))
    });
    let remotes = config.remotes();
    let (mut all, peers) = tokio::join!(reach::addresses(&remotes), reach::found(peers.collect()));
    all.extend(peers);
    all.sort_unstable();
    all.dedup();
    all
}

/// What an operator's own rollback is judged by: all that the running system does not do either.
pub async fn before_rollback(config: &Config, paths: &Paths) -> Before {
    let scene = Scene {
        config,
        paths,
        open: None,
        by_unit: false,
    };
    let checks = config.health.checks.iter();
    let repositories = checks.filter(|check| matches!(check.kind, Kind::Repository));
    let (looked, repository) = tokio::join!(
        baseline(config, paths),
        join_all(repositories.map(|check| make(check, &scene)))
    );
    let before = looked.before;
    let repository = repository.iter().flatten().map(Finding::as_it_was);
    Before {
        checks: before.checks.into_iter().chain(repository).collect(),
        rollback: true,
        ..before
    }
}

/// The pause until a check is made again.
pub fn pause(check: &Check, passed: bool) -> Option<Duration> {
    (!(passed && check.kind.asks_for_keys())).then_some(check.interval)
}

/// Those of the named checks that pass of the system as it runs, but for the repository: of a check
/// by peers, that one of them finds all well.
pub async fn passing(config: &Config, paths: &Paths, names: &[String]) -> Vec<String> {
    let scene = Scene {
        config,
        paths,
        open: None,
        by_unit: false,
    };
    let checks = config.health.checks.iter();
    let asked = checks
        .filter(|check| names.contains(&check.name) && !matches!(check.kind, Kind::Repository));
    let made = join_all(asked.map(async |check| {
        let found = make(check, &scene).await;
        let mut passes = found.iter().map(|one| one.outcome == CheckOutcome::Pass);
        let well = match check.kind {
            Kind::Peer { .. } => passes.any(|pass| pass),
            _ => passes.all(|pass| pass),
        };
        well.then(|| check.name.clone())
    }))
    .await;
    made.into_iter().flatten().collect()
}
