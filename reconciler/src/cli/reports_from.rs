//! Where `nixus fleet` and `nixus watch` read reports: the reports repository, or commit statuses on a forge.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::arguments::{Host, repository_url};
use super::exit_code::{CommandError, Failed, HasExit, WrongInput};
use crate::address::{Address, without_credentials};
use crate::config::forge::detect;
use crate::config::forge::{Kind, Reach, TokenSource};
use crate::config::{Authorities, Remote};
use crate::decide::commit_id::CommitId;
use crate::decide::plan::Head;
use crate::eprintln;
use crate::host::files::read_bounded;
use crate::host::process::in_words;
use crate::report::fleet::HostKeys;
use crate::report::follow::{FollowError, Reports};
use crate::report::forge::http::{Client, HttpError};
use crate::report::forge::read::Reader;
use crate::report::repository::ReportsRepository;
use crate::source::Source;

/// The longest file of host keys, in bytes.
const LONGEST_KEYS: u64 = 4 * 1024 * 1024;

/// Where reports are read.
#[derive(Debug, Args)]
pub struct ReportsFrom {
    /// The reports repository [default: the one of this host's configuration]
    #[arg(long, value_name = "URL", conflicts_with = "forge")]
    pub reports: Option<String>,
    /// The deploy repository on its forge, whose commit statuses are read.
    #[arg(long, value_name = "URL")]
    pub forge: Option<String>,
    /// What the forge is, where its name does not show: github, gitlab, gitea, forgejo or bitbucket.
    #[arg(long, requires = "forge", value_name = "KIND", value_parser = parse_kind)]
    pub forge_kind: Option<Kind>,
    /// The branch that hosts follow.
    #[arg(
        long,
        requires = "forge",
        value_name = "BRANCH",
        default_value = "main"
    )]
    pub branch: String,
    /// Certificate authorities to trust in addition to the system's.
    #[arg(long, requires = "forge", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The hosts' public keys, as in known_hosts: whether they have signed their statuses.
    #[arg(long, requires = "forge", value_name = "FILE")]
    pub host_keys: Option<PathBuf>,
    /// SSH private key [default: agent, then the usual files]
    #[arg(long, requires = "reports", value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// Accepted host keys [default: the user's known_hosts]
    #[arg(long, requires = "reports", value_name = "FILE")]
    pub known_hosts: Option<PathBuf>,
    /// File with the token for HTTPS [default: git's own credentials]; with --forge, one that may read statuses
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.into_iter().find(|kind| kind.word() == text);
    known.ok_or_else(|| "expected github, gitlab, gitea, forgejo or bitbucket".to_owned())
}

impl HasExit for FollowError {}
impl HasExit for HttpError {}

/// Where the reports are that were asked for.
///
/// # Errors
/// What was named is not what it was named as, or nothing was named and the configuration names nothing.
pub fn reports_of(host: &Host, from: &ReportsFrom) -> Result<Reports, CommandError> {
    if let Some(url) = &from.forge {
        return on_forge(from, url);
    }
    let Some(url) = &from.reports else {
        let config = host.config()?;
        if let Some(remote) = config.reports {
            let local = ReportsRepository::new(host.paths.state.join("fleet.git"));
            return Ok(Reports::Repository { remote, local });
        }
        let keys = HostKeys::of(&config);
        let none = || {
            Failed::new(
                "this host's configuration has neither [reports] nor [statuses]: say where reports are with --reports or --forge",
            )
        };
        let statuses = config.statuses.ok_or_else(none)?;
        let client = Client::new(statuses.repository.kind.forge(), &statuses.reach)?;
        return Ok(Reports::Forge {
            reader: Reader {
                client,
                repository: statuses.repository,
            },
            branch: config.branch,
            keys,
        });
    };
    repository_url(url)?;
    let remote = Remote {
        url: url.clone(),
        ssh_key: from.ssh_key.clone(),
        known_hosts: from.known_hosts.clone(),
        token_file: from.token_file.clone(),
        authorities: Authorities::System,
        timeout: Duration::from_secs(60),
    };
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or_else(|| Failed::new("neither XDG_CACHE_HOME nor HOME is set"))?;
    let plain = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter,
        false => '-',
    };
    let name: String = url.chars().map(plain).collect();
    let local = ReportsRepository::new(cache.join("nixus").join(format!("{name}.git")));
    Ok(Reports::Repository { remote, local })
}

fn on_forge(from: &ReportsFrom, url: &str) -> Result<Reports, CommandError> {
    let wrong = |problem: &str| WrongInput(format!("{}: {problem}", without_credentials(url)));
    Address::parse(url).map_err(|why| wrong(&format!("the URL {why}")))?;
    let place = detect::place(url).filter(|_| !url.starts_with("http://"));
    let place = place.ok_or_else(|| {
        wrong("expected the deploy repository, such as https://github.com/fleet/deploy")
    })?;
    let kind = from.forge_kind.or_else(|| detect::kind(&place.server));
    let kind = kind.ok_or_else(|| {
        wrong("its name does not show what forge it is: name it with --forge-kind")
    })?;
    let reach = Reach {
        token: from.token_file.clone().map(TokenSource::File),
        authorities: from
            .ca_file
            .clone()
            .map_or(Authorities::System, Authorities::Extra),
        proxy: None,
        timeout: Duration::from_secs(30),
    };
    let keys = match &from.host_keys {
        None => HostKeys::default(),
        Some(path) => {
            let unread = format!("cannot read the host keys in {}", path.display());
            let text =
                read_bounded(path, LONGEST_KEYS).map_err(|error| Failed::because(unread, error))?;
            let keys = HostKeys::parse(&String::from_utf8_lossy(&text));
            if keys.is_empty() {
                let problem = format!("{} has no host key in it", path.display());
                return Err(WrongInput(problem).into());
            }
            keys
        }
    };
    Ok(Reports::Forge {
        reader: Reader {
            client: Client::new(kind.forge(), &reach)?,
            repository: detect::repository(kind, None, &place),
        },
        branch: from.branch.clone(),
        keys,
    })
}

/// The head of the branch: the one named, or as the forge or the configured repository has it; nothing where neither
/// tells.
pub async fn head_of(
    host: &Host,
    from: &ReportsFrom,
    reports: &Reports,
    named: Option<&CommitId>,
) -> Option<String> {
    if let Some(named) = named {
        return Some(named.to_string());
    }
    if let Reports::Forge { .. } = reports {
        return reports.head().await.ok().flatten();
    }
    // Reports that were named need not be of this host's fleet.
    if from.reports.is_some() {
        return None;
    }
    let config = host.config().ok()?;
    match Source::of(&config, &host.paths).list().await {
        Ok(Head::At(head)) => Some(head.to_string()),
        Ok(_) => None,
        Err(error) => {
            eprintln!("nixus: {}", in_words(&error));
            None
        }
    }
}
