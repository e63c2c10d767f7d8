//! The commands that look at the whole fleet: `nixus fleet` and `nixus watch`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt as _;
use git2::{Oid, Repository};
use jiff::Timestamp;
use nixus::address::{Address, without_credentials};
use nixus::cli::exit_code::WrongInput;
use nixus::cli::tables;
use nixus::cli::watch::live_lines::Live;
use nixus::cli::watch::progress::Watch;
use nixus::cli::{Cli, ReportsFrom};
use nixus::config::forge::Reach;
use nixus::config::forge::TokenSource;
use nixus::config::forge::detect;
use nixus::config::{Config, Remote};
use nixus::decide::commit_id::CommitId;
use nixus::decide::plan::Head;
use nixus::eprintln;
use nixus::host::files::{Paths, read_bounded};
use nixus::host::output;
use nixus::host::process::{Invocation, in_words};
use nixus::println;
use nixus::report::fleet::{HostKeys, Told, marked};
use nixus::report::follow::{Follower, Reports};
use nixus::report::forge::http::Client;
use nixus::report::forge::read::Reader;
use nixus::report::repository::ReportsRepository;
use nixus::source::Source;
use nixus_switcher::printable::printable;

/// The longest file of host keys, in bytes.
const LONGEST_KEYS: u64 = 4 * 1024 * 1024;
/// The pause between two looks at a whole fleet on a forge: some pages each.
const FLEET_ON_A_FORGE: Duration = Duration::from_secs(30);
/// How often, and how long, busy hosts are asked by SSH.
const ASK: Duration = Duration::from_secs(5);
/// So many hosts are asked at once; each is a process.
const ASKED_AT_ONCE: usize = 16;

/// Where the reports are that were asked for.
pub fn reports_of(cli: &Cli, from: &ReportsFrom, paths: &Paths) -> anyhow::Result<Reports> {
    if let Some(url) = &from.forge {
        return on_forge(from, url);
    }
    let Some(url) = &from.reports else {
        let config = Config::load(&cli.config)?;
        if let Some(remote) = config.reports {
            let local = ReportsRepository::new(paths.state.join("fleet.git"));
            return Ok(Reports::Repository { remote, local });
        }
        let keys = HostKeys::of(&config);
        let statuses = config.statuses.context(
            "this host's configuration has neither [reports] nor [statuses]: say where reports are with --reports or --forge",
        )?;
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
    let wrong = |why| WrongInput(format!("{}: the URL {why}", without_credentials(url)));
    Address::parse(url).map_err(wrong)?;
    let remote = Remote {
        url: url.clone(),
        ssh_key: from.ssh_key.clone(),
        known_hosts: from.known_hosts.clone(),
        token_file: from.token_file.clone(),
        ca_file: None,
        timeout: Duration::from_secs(60),
    };
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    let plain = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter,
        false => '-',
    };
    let name: String = url.chars().map(plain).collect();
    let local = ReportsRepository::new(cache.join("nixus").join(format!("{name}.git")));
    Ok(Reports::Repository { remote, local })
}

fn on_forge(from: &ReportsFrom, url: &str) -> anyhow::Result<Reports> {
    let wrong = |problem: &str| WrongInput(format!("{}: {problem}", without_credentials(url)));
    Address::parse(url).map_err(|why| wrong(&format!("the URL {why}")))?;
    let place = detect::place(url).filter(|_| !url.starts_with("http://"));
    let place = place.ok_or_else(|| {
        wrong("expected the deploy repository, such as https://github.com/fleet/deploy")
    })?;
    let kind = from.forge_kind.or_else(|| detect::kind(&place.server));
    let kind = kind.ok_or_else(|| {
        wrong("its name does not tell what forge it is: name it with --forge-kind")
    })?;
    let reach = Reach {
        token: from.token_file.clone().map(TokenSource::File),
        ca_file: from.ca_file.clone(),
        proxy: None,
        timeout: Duration::from_secs(30),
    };
    let keys = match &from.host_keys {
        None => HostKeys::default(),
        Some(path) => {
            let text = read_bounded(path, LONGEST_KEYS)
                .with_context(|| format!("cannot read the host keys in {}", path.display()))?;
            let keys = HostKeys::parse(&String::from_utf8_lossy(&text));
            if keys.is_empty() {
                bail!(WrongInput(format!(
                    "{} has no host key in it",
                    path.display()
                )));
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
    cli: &Cli,
    from: &ReportsFrom,
    reports: &Reports,
    paths: &Paths,
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
    let config = Config::load(&cli.config).ok()?;
    match Source::of(&config, paths).list().await {
        Ok(Head::At(head)) => Some(head.to_string()),
        Ok(_) => None,
        Err(error) => {
            eprintln!("nixus: {}", in_words(&error));
            None
        }
    }
}

/// Prints the fleet, once or whenever it has changed; gives whether every host is heard of and on the head.
pub async fn fleet(
    reports: &Reports,
    head: Option<&str>,
    watch: bool,
    json: bool,
) -> anyhow::Result<bool> {
    let mut before = None;
    loop {
        let told = reports.fleet().await;
        let told = told.map(|told| marked(told, head, Timestamp::now()));
        let well = told
            .as_ref()
            .is_ok_and(|told| !told.iter().any(Told::is_marked));
        match told {
            Ok(told) if before.as_ref() != Some(&told) => {
                match (json, watch) {
                    (true, false) => super::print_json(&told)?,
                    // One line for each state of the fleet.
                    (true, true) => println!("{}", serde_json::to_string(&told)?),
                    (false, _) => println!("{}", tables::fleet(&told, Timestamp::now())),
                }
                if watch && !json {
                    println!();
                }
                before = Some(told);
            }
            Ok(_) => {}
            // Whoever watches has seen that it worked, and waits for it to work again.
            Err(error) if watch && before.is_some() => eprintln!("nixus: {}", in_words(&error)),
            Err(error) => return Err(error.into()),
        }
        if !watch || !output::is_heard() {
            return Ok(watch || well);
        }
        let pause = match reports {
            Reports::Forge { .. } => FLEET_ON_A_FORGE,
            Reports::Repository { .. } => reports.pause(),
        };
        tokio::time::sleep(pause).await;
    }
}

/// What is to be followed.
pub struct Wanted<'a> {
    /// The commit, as it was written.
    pub commit: Option<&'a str>,
    /// The hosts, where they were named.
    pub hosts: &'a [String],
    /// How long at most.
    pub timeout: Duration,
    /// Whether busy hosts are asked by SSH.
    pub ssh: bool,
    /// Whether it is for machines.
    pub json: bool,
}

/// Follows a deployment; gives whether every host kept the commit.
pub async fn watch(reports: &Reports, wanted: &Wanted<'_>) -> anyhow::Result<bool> {
    let commit = commit(reports, wanted.commit).await?;
    let mut watch = Watch::new(&commit, wanted.hosts);
    let mut follower = Follower::new(reports, &commit);
    if wanted.hosts.is_empty() {
        for host in follower.hosts().await? {
            watch.expect(&host);
        }
    }
    let begun = Instant::now();
    let mut live = Live::new();
    let mut asked = Asked::default();
    while !watch.is_over() && begun.elapsed() < wanted.timeout {
        let looked = follower.look().await;
        let now = Timestamp::now();
        let pause = follower.pause(looked.as_ref().err(), now);
        let news = match looked {
            Ok(said) => watch.take_where(said, &|id| contains(&commit, id)),
            Err(error) => {
                let Some(_) = pause else {
                    return Err(error.into());
                };
                live.end();
                eprintln!("nixus: {}", in_words(&error));
                Vec::new()
            }
        };
        if wanted.json {
            for report in &news {
                println!("{}", serde_json::to_string(report)?);
            }
        } else {
            live.show(&news, &watch, now);
        }
        if let Some(head) = follower.passed_by(now).await {
            watch.is_passed_by(&head);
        }
        if watch.is_over() || !output::is_heard() {
            break;
        }
        if wanted.ssh {
            live.end();
            asked.ask(&watch).await;
        }
        let left = wanted.timeout.saturating_sub(begun.elapsed());
        tokio::time::sleep(pause.unwrap_or_default().min(left)).await;
    }
    live.end();
    let summary = printable(&watch.summary());
    match wanted.json {
        true => eprintln!("{summary}"),
        false => println!("{summary}"),
    }
    Ok(watch.is_kept())
}

/// Whether another commit contains the one that is followed, where the clone in this folder knows both. One that it
/// does not know is newer than it, unless it knows only the newest.
fn contains(commit: &str, other: &str) -> Option<bool> {
    let repository = Repository::discover(".").ok()?;
    let of = |id: &str| Oid::from_str(id).ok();
    let (commit, other) = (of(commit)?, of(other)?);
    repository.find_commit(commit).ok()?;
    if repository.find_commit(other).is_err() {
        return (!repository.is_shallow()).then_some(true);
    }
    repository.graph_descendant_of(other, commit).ok()
}

/// The commit's whole id: as it was written, or as the clone in this folder knows it.
async fn commit(reports: &Reports, written: Option<&str>) -> anyhow::Result<String> {
    if let Some(id) = written.and_then(|text| CommitId::try_from(text.to_owned()).ok()) {
        return Ok(id.to_string());
    }
    let found = Repository::discover(".").and_then(|repository| {
        let object = repository.revparse_single(written.unwrap_or("HEAD"))?;
        Ok(object.peel_to_commit()?.id().to_string())
    });
    match (found, written) {
        (Ok(id), _) => Ok(id),
        (Err(_), None) => reports.head().await?.ok_or_else(|| {
            let problem = "name the commit: this folder is no clone of the deploy repository";
            WrongInput(problem.to_owned()).into()
        }),
        (Err(_), Some(text)) => {
            let problem = format!(
                "{text:?} is no commit that a clone in this folder knows: give all its digits"
            );
            bail!(WrongInput(problem))
        }
    }
}

/// What busy hosts have answered by SSH.
#[derive(Default)]
struct Asked {
    last: Option<Instant>,
    said: BTreeMap<String, String>,
}

impl Asked {
    /// Asks every busy host what it is doing, some at once, and prints what is news.
    async fn ask(&mut self, watch: &Watch) {
        if self.last.is_some_and(|last| last.elapsed() < ASK) {
            return;
        }
        self.last = Some(Instant::now());
        let hosts: Vec<String> = watch.busy().map(|(host, _)| host.to_owned()).collect();
        let asking = hosts.into_iter().map(|host| async move {
            let answer = Invocation::new("ssh", ASK)
                .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "--"])
                .arg(format!("root@{host}"))
                .arg("journalctl --unit=nixus-reconcile.service --output=cat --lines=1 --no-pager")
                .output()
                .await;
            let line = String::from_utf8_lossy(&answer.ok()?).trim().to_owned();
            Some((host, line)).filter(|(_, line)| !line.is_empty())
        });
        let mut answers = futures_util::stream::iter(asking).buffered(ASKED_AT_ONCE);
        while let Some(answer) = answers.next().await {
            let Some((host, said)) = answer else {
                continue;
            };
            if self.said.get(&host) != Some(&said) {
                println!("[{host}] {}", printable(&said));
                self.said.insert(host, said);
            }
        }
    }
}
