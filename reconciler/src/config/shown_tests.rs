//! That `nixus check-config` shows every key that the file may have. The keys are those that the parser names
//! itself, so that no new one is forgotten.

use std::collections::BTreeSet;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBT6MQqUxSWOzRU0MScLyq7oAFDuWq3S3zbWqb1cCFSC";

/// Together these set every key; no single one may.
const TEXTS: [&str; 5] = [
    r#"
host = "web1"

[repository]
url = "ssh://git@git.example/deploy.git"
branch = "live"
ssh_key = "/etc/nixus/deploy_key"
known_hosts = "/etc/nixus/known_hosts"
timeout = "61s"
mirror_after = "72s"

[[repository.mirrors]]
url = "https://mirror.example/deploy.git"
token_file = "/etc/nixus/token"
pinned_ca_file = "/etc/nixus/ca.pem"
timeout = "62s"

[[repository.mirrors]]
url = "ssh://git@mirror.example/deploy.git"
ssh_key = "/etc/nixus/mirror_key"
known_hosts = "/etc/nixus/mirrors"

[closure]
from = "file"
file = "hosts.nix"
directory = "nix"
attribute = "web1"
submodules = true
lfs = "ignore"
build_timeout = "63s"
memory_limit = "1536MiB"
cpu_weight = 21
recheck = "64s"
retries = 2

[switch]
activation_timeout = "65s"
trial_timeout = "66s"
commit_timeout = "67s"
carrier_timeout = "68s"
failed_units = "ignore"
drift = "report"

[passes]
interval = "2min"
boot_delay = "1500ms"
timeout = "9h"

[hooks]
before = ["/bin/look", "-x"]
after = [["/bin/tell"], ["/bin/write", "it down"]]
timeout = "73s"

[health]
soak = "9s"
peers_lost_after = "69m"

[reports]
url = "ssh://git@git.example/reports.git"
ssh_key = "/etc/nixus/reports_key"
known_hosts = "/etc/nixus/known_hosts"
timeout = "70s"
heartbeat = "12h"

[statuses]
forge = "gitea"
api = "https://git.example/api/v1"
repository = "fleet/deploy"
token_file = "/run/keys/forge"
pinned_ca_file = "/etc/nixus/ca.pem"
proxy = "http://proxy.example:3128"
timeout = "11s"
link = "https://logs.example/{host}"
sign = true
hosts = 300
canary = true

[ssh]
addresses = ["192.0.2.11"]
port = 2222
host_key = "/etc/ssh/key"
host_keys = ["KEY"]

[[operators]]
user = "alice"
keys = ["KEY"]
from = ["192.0.2.0/24"]

[[peers]]
name = "db1"
addresses = ["192.0.2.12"]
host_keys = ["KEY"]
port = 2223
user = "looker"

[[checks]]
kind = "http"
name = "shop"
need = "wanted"
timeout = "71s"
interval = "100ms"
url = "http://127.0.0.1:8080/"
status = 204
body = "ready"

[[checks]]
kind = "tcp"
name = "port"
address = "[::1]:8080"

[[checks]]
kind = "command"
name = "script"
command = ["/bin/true", "-x"]

[[checks]]
kind = "peer"
quorum = "all"
ports = [8080]

[[checks]]
kind = "units"
ignore = ["noisy.service"]
"#,
    r#"
host = "web1"

[repository]
url = "https://git.example/fleet/deploy.git"
token_file = "/etc/nixus/token"
pinned_ca_file = "/etc/nixus/ca.pem"

[closure]
from = "manifest"
manifest_keys = ["KEY"]
system_name = "web-one"
wait = "72s"
fallback = "build"

[reports]
url = "https://git.example/reports.git"
token_file = "/etc/nixus/reports_token"
pinned_ca_file = "/etc/nixus/ca.pem"

[statuses]
forge = "gitlab"
credential = "forge"
"#,
    r#"
host = "web1"

[repository]
url = "file:///srv/deploy.git"

[closure]
from = "manifest"
older = true
"#,
    r#"
host = "web1"

[repository]
url = "https://git.example/fleet/deploy.git"
extra_ca_file = "/etc/nixus/more.pem"

[[repository.mirrors]]
url = "https://mirror.example/deploy.git"
extra_ca_file = "/etc/nixus/more.pem"

[reports]
url = "https://git.example/reports.git"
extra_ca_file = "/etc/nixus/more.pem"

[statuses]
forge = "gitlab"
credential = "forge"
extra_ca_file = "/etc/nixus/more.pem"
"#,
    FORMER,
];

/// Names that keys had.
const FORMER: &str = r#"
host = "web1"

[repository]
url = "https://git.example/fleet/deploy.git"
ca_file = "/etc/nixus/ca.pem"

[[repository.mirrors]]
url = "https://mirror.example/deploy.git"
ca_file = "/etc/nixus/ca.pem"

[reports]
url = "https://git.example/reports.git"
ca_file = "/etc/nixus/ca.pem"

[statuses]
forge = "gitlab"
credential = "forge"
ca_file = "/etc/nixus/ca.pem"
"#;

/// Tables of the file; those of a list are entries of it.
const TABLES: [&str; 14] = [
    "",
    "repository",
    "repository.mirrors",
    "closure",
    "switch",
    "passes",
    "hooks",
    "health",
    "reports",
    "statuses",
    "ssh",
    "operators",
    "peers",
    "checks",
];

/// What names an entry, and stands in the names of its other keys instead.
const NAMES: [&str; 2] = ["peers.name", "checks.name"];

fn parsed(text: &str) -> Config {
    let text = text.replace("KEY", KEY);
    Config::parse(Path::new("config.toml"), &text).unwrap()
}

/// The keys that the parser itself knows in a table.
fn known(table: &str) -> BTreeSet<String> {
    let own = TEXTS[0].replace("KEY", KEY);
    let header = |brackets: (&str, &str)| format!("\n{}{table}{}\n", brackets.0, brackets.1);
    let place = match table {
        "" => Some(0),
        _ => [("[", "]"), ("[[", "]]")]
            .map(header)
            .iter()
            .find_map(|header| own.find(header).map(|start| start + header.len())),
    };
    let place = place.unwrap_or_else(|| unreachable!("[{table}] is in the first text"));
    let mut text = own;
    text.insert_str(place, "unheard_of = 1\n");
    let said = Config::parse(Path::new("config.toml"), &text).unwrap_err();
    let said = said.to_string();
    let (_, keys) = said.split_once("expected").unwrap();
    let keys = keys.split('`').skip(1).step_by(2);
    let name = |key: &str| match table {
        "" => key.to_owned(),
        _ => format!("{table}.{key}"),
    };
    keys.map(name)
        .filter(|key| !TABLES.contains(&key.as_str()))
        .collect()
}

/// The keys of what is shown, without the names and numbers of entries.
fn shown(config: &Config) -> BTreeSet<String> {
    let entry = |table: &str, key: &str| {
        let rest = key.strip_prefix(table)?.strip_prefix('.')?;
        let (_, rest) = rest.split_once('.')?;
        Some(format!("{table}.{rest}"))
    };
    let lists = ["repository.mirrors", "operators", "peers", "checks"];
    config
        .settings
        .iter()
        .map(|(key, _)| {
            lists
                .iter()
                .find_map(|list| entry(list, key))
                .unwrap_or_else(|| key.clone())
        })
        .collect()
}

fn is_former(key: &str) -> bool {
    key.ends_with(".ca_file")
}

/// The keys that a text sets.
fn set(text: &str) -> BTreeSet<String> {
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_matches(['[', ']']).to_owned() + ".";
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{table}{key}"));
        }
    }
    keys
}

#[test]
fn every_key_that_is_set_is_shown() {
    for text in TEXTS {
        let config = parsed(text);
        assert_eq!(config.shown().settings.len(), config.settings.len(), "once");
        let shown = shown(&parsed(text));
        let missing: Vec<_> = set(text)
            .into_iter()
            .filter(|key| !shown.contains(key) && !NAMES.contains(&key.as_str()))
            .filter(|key| !is_former(key))
            .collect();
        assert_eq!(missing, Vec::<String>::new());
    }
}

#[test]
fn every_key_that_the_file_may_have_is_shown_by_some_configuration() {
    let all: BTreeSet<String> = TEXTS.iter().flat_map(|text| shown(&parsed(text))).collect();
    let set: BTreeSet<String> = TEXTS.iter().flat_map(|text| set(text)).collect();
    for table in TABLES {
        for key in known(table) {
            assert!(set.contains(&key), "{key} is in none of the texts");
            let named = NAMES.contains(&key.as_str());
            let shown = named || is_former(&key) || all.contains(&key);
            assert!(shown, "{key} is never shown");
        }
    }
    // Nothing is shown under a name that the file does not know.
    for key in &all {
        assert!(
            set.contains(key),
            "{key} is shown, and is not a key of the file"
        );
    }
}

#[test]
fn what_was_pinned_stays_pinned_and_what_was_added_stays_added() {
    let config = parsed(FORMER);
    let file = || "/etc/nixus/ca.pem".into();
    let pinned = Authorities::Pinned(file());
    assert_eq!(config.repository.authorities, pinned);
    assert_eq!(config.mirrors[0].authorities, pinned);
    assert_eq!(config.reports.map(|one| one.authorities), Some(pinned));
    let reach = config.statuses.map(|one| one.reach.authorities);
    assert_eq!(reach, Some(Authorities::Extra(file())));
    let replaces = "replaces the system's authorities: write pinned_ca_file in its place";
    let adds = "adds to the system's authorities: write extra_ca_file in its place";
    assert_eq!(
        config.warnings,
        [
            format!("repository.ca_file {replaces}"),
            format!("repository.mirrors.0.ca_file {replaces}"),
            format!("reports.ca_file {replaces}"),
            format!("statuses.ca_file {adds}"),
        ]
    );
    // What the server of the deploy repository is known by is inherited, as before.
    let inherits = "host = \"web1\"\n[repository]\nurl = \"https://a/x\"\nextra_ca_file = \"/a\"\n\
                    [reports]\nurl = \"https://b/x\"\n";
    let config = parsed(inherits);
    let extra = Authorities::Extra("/a".into());
    assert_eq!(config.reports.map(|one| one.authorities), Some(extra));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn defaults_are_shown_too() {
    let bare = "host = \"web1\"\n[repository]\nurl = \"file:///srv/deploy.git\"\n\
                [[checks]]\nkind = \"tcp\"\naddress = \"a:1\"\n\
                [[checks]]\nkind = \"http\"\nurl = \"http://a/\"\n\
                [[peers]]\nname = \"db1\"\naddresses = [\"a\"]\nhost_keys = [\"KEY\"]\n\
                [[operators]]\nkeys = [\"KEY\"]\n\
                [statuses]\nforge = \"github\"\ncredential = \"forge\"\nrepository = \"a/b\"\napi = \"https://a\"\n";
    let manifest = "host = \"web1\"\n[repository]\nurl = \"file:///srv/deploy.git\"\n\
                    [closure]\nfrom = \"manifest\"\n";
    let mut shown = shown(&parsed(bare));
    shown.extend(self::shown(&parsed(manifest)));
    // What there is nothing of unless it is set.
    let without = [
        "ssh_key",
        "known_hosts",
        "token_file",
        "ca_file",
        "extra_ca_file",
        "pinned_ca_file",
        "link",
        "proxy",
        "body",
        "from",
        "command",
        "directory",
        "file",
        "fallback",
    ];
    for table in TABLES {
        if ["reports", "repository.mirrors"].contains(&table) {
            continue;
        }
        for key in known(table) {
            let last = key.rsplit('.').next().unwrap_or_default();
            let optional = without.contains(&last) && key != "closure.from";
            assert!(
                optional || NAMES.contains(&key.as_str()) || shown.contains(&key),
                "the default of {key} is not shown"
            );
        }
    }
}

#[test]
fn times_and_sizes_are_shown_as_they_may_be_written() {
    let mut replaced = 0;
    for text in TEXTS {
        let config = parsed(text);
        let mut again = String::new();
        let mut table = String::new();
        for line in text.lines() {
            if let Some(header) = line.strip_prefix('[') {
                table = header.trim_matches(['[', ']']).to_owned();
            }
            // Entries of lists have other names.
            let key = line
                .split_once(" = ")
                .map(|(key, _)| format!("{table}.{key}"));
            let value = key.and_then(|key| {
                let timed = [
                    "timeout",
                    "interval",
                    "delay",
                    "limit",
                    "wait",
                    "soak",
                    "lost_after",
                    "recheck",
                    "heartbeat",
                ];
                timed.iter().any(|end| key.ends_with(end)).then_some(())?;
                config.shown().settings.get(&key).cloned()
            });
            match (value, line.split_once(" = ")) {
                (Some(value), Some((key, _))) => {
                    replaced += 1;
                    again += &format!("{key} = {value:?}\n");
                }
                _ => again += &format!("{line}\n"),
            }
        }
        assert_eq!(parsed(&again), config);
    }
    assert!(replaced > 10, "{replaced}");
    // Each default is one that may be written.
    let config = parsed(TEXTS[0]);
    for check in &config.health.checks {
        let text = format!(
            "{}\n[[checks]]\nkind = \"tcp\"\nname = \"x\"\naddress = \"a:1\"\ninterval = \"{}ms\"\n",
            TEXTS[0],
            check.interval.as_millis()
        );
        assert_eq!(
            parsed(&text)
                .health
                .checks
                .iter()
                .find(|one| one.name == "x")
                .map(|one| one.interval),
            Some(check.interval)
        );
    }
}
