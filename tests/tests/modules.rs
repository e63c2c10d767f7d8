//! The modules for users give each host what their tables say (`tests/nix/cases`), and their options
//! are the configuration file's. No host runs for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lab::command::Output;
use lab::evaluator::{Evaluator, Library};
use lab::test;
use nixus::config::Config;
use nixus_switcher::protocol::VERSION;
use serde::Deserialize;

/// A case of the tables that has evaluated.
#[derive(Deserialize)]
pub struct Judged {
    table: String,
    name: String,
    problems: Vec<String>,
}

impl Judged {
    /// What is not as the table says.
    pub fn wrong(&self) -> impl Iterator<Item = String> {
        let Self { table, name, .. } = self;
        let problems = self.problems.iter();
        problems.map(move |problem| format!("{table}: {name}: {problem}"))
    }
}

/// A case of the tables whose evaluation is to fail.
#[derive(Deserialize)]
pub struct Throwing {
    table: String,
    name: String,
    throws: String,
}

impl Throwing {
    /// The table and the name, as the rows of the tables have them.
    pub fn row(&self) -> String {
        format!("{}: {}", self.table, self.name)
    }

    /// What is to be evaluated.
    pub fn attribute(&self) -> String {
        format!("throw {:?} {:?}", self.table, self.name)
    }

    /// What is wrong with how it ended.
    pub fn wrong(&self, said: &Output) -> Option<String> {
        let fails = !said.ok() && said.stderr.contains(&self.throws);
        (!fails).then(|| {
            format!(
                "{}: was to fail with {:?}, and said {}",
                self.row(),
                self.throws,
                said.stderr
            )
        })
    }
}

#[derive(Deserialize)]
struct Settings {
    options: Vec<Setting>,
    rendered: Vec<String>,
}

#[derive(Deserialize)]
struct Setting {
    path: Vec<String>,
    values: Vec<String>,
}

/// Names that hosts may have, and names that they may not.
const NAMES: [&str; 12] = [
    "web1",
    "Web_1",
    "1",
    "mail.example.org",
    "a-b.c_d.e",
    "lock",
    "x.lock.org",
    "www.lock-smith",
    "w--1",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "123.456",
    "A.B",
];
const NO_NAMES: [&str; 17] = [
    "",
    ".",
    "web1.",
    ".web1",
    "web1..org",
    "-web1",
    "web1-",
    "_web1",
    "web1_.org",
    "web1.-org",
    "web1.lock",
    "web 1",
    "web1/..",
    "web1;id",
    "wéb1",
    "web1\n",
    "*",
];

#[test]
fn nix_the_program_and_the_git_server_take_the_same_host_names() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let long = format!("{}a", "a.".repeat(127));
    let all: Vec<&str> = NAMES.into_iter().chain(NO_NAMES).chain([&*long]).collect();
    let quoted: Vec<String> = all.iter().map(|name| format!("{name:?}")).collect();
    let attribute = format!("hostNames [ {} ]", quoted.join(" "));
    let by_nix: Vec<String> = evaluator.must(Library::StandIn, &attribute)?;
    ensure!(by_nix == NAMES, "Nix takes {by_nix:?}");
    let by_program = |name: &str| {
        let text = format!("host = {name:?}\nrepository.url = \"file:///srv/git/deploy.git\"\n");
        Config::parse(Path::new("config.toml"), &text).is_ok()
    };
    for name in all {
        let expected = NAMES.contains(&name);
        ensure!(by_program(name) == expected, "the program: {name:?}");
        // Its limit is that of a file's name in the reports repository.
        if name != long {
            ensure!(by_git_server(name)? == expected, "the git server: {name:?}");
        }
    }
    Ok(())
}

/// Spans of time, and what is none.
const SPANS: [&str; 12] = [
    "1min",
    "5s",
    "90",
    "1h 30m",
    "2h30min",
    "1.5 hours",
    " 3000ms ",
    "1d",
    "2 days 3hr",
    "1w",
    "0.5w",
    "2000usec",
];
const NO_SPANS: [&str; 9] = [
    "",
    " ",
    "soon",
    "1 fortnight",
    "-1s",
    "m",
    "1min,",
    "1..5s",
    "s1",
];

#[test]
fn nix_and_the_program_take_the_same_spans_of_time() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let all: Vec<&str> = SPANS.into_iter().chain(NO_SPANS).collect();
    let quoted: Vec<String> = all.iter().map(|span| format!("{span:?}")).collect();
    let by_nix: Vec<String> =
        evaluator.must(Library::StandIn, &format!("spans [ {} ]", quoted.join(" ")))?;
    ensure!(by_nix == SPANS, "Nix takes {by_nix:?}");
    for span in all {
        let text = format!(
            "host = \"web1\"\nrepository.url = \"file:///srv/git/deploy.git\"\npasses.interval = {span:?}\n"
        );
        let said = Config::parse(Path::new("config.toml"), &text);
        ensure!(said.is_ok() == SPANS.contains(&span), "{span:?}: {said:?}");
    }
    Ok(())
}

/// URLs of repositories, on forges and elsewhere.
const URLS: [&str; 20] = [
    "https://github.com/o/r.git",
    "ssh://git@github.com/o/r.git",
    "ssh://git@ssh.github.com:443/o/r.git",
    "https://GitHub.com/o/r",
    "https://gitlab.com/g/sub/r.git/",
    "ssh://git@altssh.gitlab.com:443/g/r",
    "https://gitlab.example.org:8443/g/r.git",
    "ssh://git@forge.gitea.lan:2222//o/r/",
    "https://codeberg.org/o/r",
    "https://bitbucket.org/w/r",
    "https://bitbucket.corp.example/o/r",
    "https://github.gitlab.example/o/r",
    "https://notgithub.com/o/r",
    "https://github.com/only-one",
    "https://github.com/o/../r",
    "https://github.com/o//r",
    "https://github.com/o/r%20",
    "https://git.example/o/r",
    "ssh://git@git.example/srv/git/deploy.git",
    "file:///srv/git/deploy.git",
];

#[test]
fn nix_and_the_program_tell_a_forge_from_the_same_urls() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let quoted: Vec<String> = URLS.iter().map(|url| format!("{url:?}")).collect();
    let attribute = format!("forges [ {} ]", quoted.join(" "));
    let by_nix: Vec<Option<String>> = evaluator.must(Library::StandIn, &attribute)?;
    ensure!(by_nix.len() == URLS.len(), "{by_nix:?}");
    for (url, by_nix) in URLS.iter().zip(by_nix) {
        let ssh = if url.starts_with("ssh:") {
            "ssh_key = \"/k\"\nknown_hosts = \"/k\"\n"
        } else {
            ""
        };
        let text = format!(
            "host = \"web1\"\n[repository]\nurl = {url:?}\n{ssh}[statuses]\ntoken_file = \"/k\"\n"
        );
        let by_program = match Config::parse(Path::new("config.toml"), &text) {
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let agree = match (&by_nix, &by_program) {
            (None, None) => true,
            (Some(key), Some(said)) => said.contains(&format!("[statuses]: needs {key},")),
            _ => false,
        };
        ensure!(
            agree,
            "{url}: Nix misses {by_nix:?}, the program says {by_program:?}"
        );
    }
    Ok(())
}

/// What `nixus-git-shell` makes of a name in `authorized_keys`.
fn by_git_server(name: &str) -> Result<bool> {
    let shell = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy-repo-template/git-server/nixus-git-shell");
    let said = Command::new("sh")
        .arg(shell)
        .arg(name)
        .env_remove("SSH_ORIGINAL_COMMAND")
        .output()
        .context("cannot run the git server's shell")?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let [no_host, host] = ["names no host", "and nothing else"].map(|words| said.contains(words));
    ensure!(no_host != host, "{name:?}: {said}");
    Ok(host)
}

#[derive(Deserialize)]
struct Template {
    hosts: BTreeMap<String, TemplateHost>,
    checks: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct TemplateHost {
    toplevel: String,
    config: String,
    secrets: Vec<String>,
}

/// Said whether or not the test passes, and so not by `println!`.
fn say(words: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{words}").context("cannot write to standard error")
}

/// The libraries that there are; of nixpkgs' own it is said why there is none.
fn libraries(evaluator: &Evaluator, skipped: &str) -> Result<Vec<Library>> {
    let mut all = vec![Library::StandIn];
    match evaluator.missing() {
        None => all.insert(0, Library::Nixpkgs),
        Some(why) => say(&format!(
            "modules: skipped {skipped} with nixpkgs' library: {why}"
        ))?,
    }
    Ok(all)
}

#[test]
fn modules_give_each_host_what_their_tables_say() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let throwing: Vec<Throwing> = evaluator.must(Library::StandIn, "throwing")?;
    let mut wrong = Vec::new();
    let judged: Vec<Judged> = evaluator.must(Library::StandIn, "judged")?;
    let count = judged.len() + throwing.len();
    for library in libraries(&evaluator, &format!("{count} cases"))? {
        let judged: Vec<Judged> = evaluator.must(library, "judged")?;
        wrong.extend(judged.iter().flat_map(Judged::wrong));
        for case in &throwing {
            wrong.extend(case.wrong(&evaluator.evaluate(library, &case.attribute())?));
        }
        let count = judged.len() + throwing.len();
        say(&format!(
            "modules: {count} cases evaluated with {library:?}"
        ))?;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A file without the table that is asked about, in which every other rule is kept.
fn with_unknown_key(table: &str) -> String {
    let header = match table {
        "" => String::new(),
        _ if table.ends_with(".*") => format!("[[{}]]\n", table.trim_end_matches(".*")),
        _ => format!("[{table}]\n"),
    };
    format!("{header}no-such-key = 1\n")
}

/// The names in backquotes after a word.
fn names_after(text: &str, word: &str) -> BTreeSet<String> {
    let rest = text.split_once(word).map_or("", |(_, rest)| rest);
    rest.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What the parser itself says that it would take there.
fn expected(text: &str) -> Result<BTreeSet<String>> {
    let Err(error) = Config::parse(Path::new("config.toml"), text) else {
        anyhow::bail!("the parser takes {text}");
    };
    let said = error.to_string();
    ensure!(said.contains("unknown"), "{text}: {said}");
    Ok(names_after(&said, "expected"))
}

#[test]
fn options_and_the_configuration_file_know_the_same() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let Some(Library::Nixpkgs) = libraries(&evaluator, "85 options")?.first() else {
        return Ok(());
    };
    let settings: Settings = evaluator.must(Library::Nixpkgs, "settings")?;
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for option in &settings.options {
        let (name, table) = option.path.split_last().context("an option has a name")?;
        tables
            .entry(table.join("."))
            .or_default()
            .insert(name.clone());
        if !option.values.is_empty() {
            let table = table.join(".");
            let asked = with_unknown_key(&table)
                .replace("no-such-key = 1", &format!("{name} = \"no-such-value\""));
            let values: BTreeSet<String> = option.values.iter().cloned().collect();
            ensure!(
                expected(&asked)? == values,
                "{table}.{name}: the option has {values:?}, the file {:?}",
                expected(&asked)?
            );
        }
    }
    for (table, options) in &tables {
        let keys = expected(&with_unknown_key(table))?;
        ensure!(
            *options == keys,
            "[{table}]: the options are {options:?}, the file's keys {keys:?}"
        );
    }

    let mut written = BTreeSet::new();
    for text in &settings.rendered {
        Config::parse(Path::new("config.toml"), text)
            .map_err(|error| anyhow::anyhow!("{error}\n{text}"))?;
        let value: toml::Table = toml::from_str(text).context("what was read is TOML")?;
        keys_of(&value, "", &mut written);
    }
    let options: BTreeSet<String> = settings
        .options
        .iter()
        .map(|option| option.path.join("."))
        .collect();
    ensure!(
        written == options,
        "not written: {:?}; no option: {:?}",
        options.difference(&written),
        written.difference(&options)
    );
    say(&format!(
        "modules: {} options in {} files read by the parser",
        options.len(),
        settings.rendered.len()
    ))
}

fn keys_of(table: &toml::Table, above: &str, all: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = format!("{above}{key}");
        all.insert(path.clone());
        let tables: Vec<&toml::Table> = match value {
            toml::Value::Table(table) => vec![table],
            toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_table).collect(),
            _ => Vec::new(),
        };
        let star = if value.is_array() { ".*" } else { "" };
        for table in tables {
            keys_of(table, &format!("{path}{star}."), all);
        }
    }
}

#[test]
fn the_template_evaluates_with_all_its_hosts() -> Result<()> {
    let evaluator = Evaluator::new()?;
    for library in libraries(&evaluator, "the template's hosts")? {
        let template: Template = evaluator.must(library, "template")?;
        let hosts = template.hosts;
        // A text for each host and one for all, in the place of systems.
        let checks = &template.checks["x86_64-linux"];
        let names: Vec<&str> = checks.keys().map(String::as_str).collect();
        ensure!(names == ["fleet", "host-db1", "host-web1"], "{names:?}");
        for (name, check) in checks {
            ensure!(
                check.contains(&format!("-{name}:")) && check.contains("nixos-system-"),
                "{check}"
            );
        }
        let names: Vec<&str> = hosts.keys().map(String::as_str).collect();
        ensure!(names == ["db1", "web1"], "{names:?}");
        for (name, host) in &hosts {
            ensure!(host.toplevel.contains(name), "{}", host.toplevel);
            let config = Config::parse(Path::new("config.toml"), &host.config)
                .map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
            ensure!(config.host == *name && config.reports.is_some(), "{name}");
            ensure!(host.secrets.is_empty(), "{name}: {:?}", host.secrets);
        }
        say(&format!(
            "modules: {} hosts of the template evaluated with {library:?}",
            hosts.len()
        ))?;
    }
    Ok(())
}

/// `inputs.NAME.url = "github:NixOS/nixpkgs/REF"` and the like: the references.
fn references(flake: &str) -> BTreeSet<String> {
    let parts = flake.split("github:NixOS/nixpkgs/").skip(1);
    parts
        .filter_map(|rest| rest.split_once('"'))
        .map(|(reference, _)| reference.to_owned())
        .collect()
}

#[test]
fn the_template_is_for_two_releases_of_nixos_and_the_next() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let releases = references(&read("tests/nix/releases/flake.nix")?);
    ensure!(releases.len() == 3, "{releases:?}");
    ensure!(releases.contains("nixos-unstable"), "{releases:?}");
    // The newest one, which sorts last but for the next.
    let newest = releases
        .iter()
        .rfind(|reference| *reference != "nixos-unstable")
        .context("there is no release")?;
    let newest = BTreeSet::from([newest.clone()]);
    for (flake, expected) in [
        ("flake", Some(&newest)),
        ("deploy-repo-template/flake", None),
        ("tests/nix/releases/flake", Some(&releases)),
    ] {
        let named = references(&read(&format!("{flake}.nix"))?);
        let Some(expected) = expected else {
            ensure!(named == newest, "{flake}.nix: {named:?}");
            continue;
        };
        ensure!(named == *expected, "{flake}.nix: {named:?}");
        let lock: serde_json::Value = serde_json::from_str(&read(&format!("{flake}.lock"))?)?;
        let nodes = lock["nodes"].as_object().context("a lock has nodes")?;
        let locked: BTreeSet<String> = nodes
            .values()
            .filter_map(|node| node.pointer("/original/ref")?.as_str())
            .map(str::to_owned)
            .collect();
        ensure!(locked == *expected, "{flake}.lock: {locked:?}");
    }
    let evaluator = Evaluator::new()?;
    for library in libraries(&evaluator, "the template on each release")? {
        let checks: BTreeMap<String, String> = evaluator.must(library, "releases")?;
        ensure!(checks.len() == releases.len(), "{checks:?}");
        for check in checks.values() {
            ensure!(check.matches("nixos-system-").count() == 2, "{check}");
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Flake {
    outputs: Vec<String>,
    packages: BTreeMap<String, BTreeMap<String, Package>>,
    template: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Package {
    pname: String,
    version: String,
    format: u32,
}

#[test]
fn the_flake_has_packages_modules_and_the_template_for_each_platform() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let Some(Library::Nixpkgs) = libraries(&evaluator, "the flake")?.first() else {
        return Ok(());
    };
    let flake: Flake = evaluator.must(Library::Nixpkgs, "flake")?;
    let outputs = [
        "checks",
        "fleetModules",
        "lib",
        "nixosModules",
        "packages",
        "templates",
    ];
    ensure!(flake.outputs == outputs, "{:?}", flake.outputs);
    let platforms: Vec<_> = flake.packages.keys().map(String::as_str).collect();
    ensure!(
        platforms == ["aarch64-linux", "x86_64-linux"],
        "{platforms:?}"
    );
    for packages in flake.packages.values() {
        for (name, program) in [
            ("default", "nixus"),
            ("nixus", "nixus"),
            ("nixus-switcher", "nixus-switcher"),
        ] {
            let package = packages.get(name).context("a package is missing")?;
            ensure!(package.pname == program, "{name} is {}", package.pname);
            ensure!(package.version == env!("CARGO_PKG_VERSION"), "{name}");
            // What units say of the release that they start (nixus-verify.service).
            ensure!(package.format == VERSION, "{name}: {}", package.format);
        }
        ensure!(packages.len() == 3, "there are other packages");
    }
    for hosts in flake.template.values() {
        ensure!(hosts.matches("nixos-system-").count() == 2, "{hosts}");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Unset {
    host: Vec<String>,
    fleet: Vec<String>,
    options: usize,
}

/// What comes of the values is looked at with NixOS' own modules (`real_modules`).
#[test]
fn every_option_has_a_realistic_value() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let Some(Library::Nixpkgs) = libraries(&evaluator, "the options' values")?.first() else {
        return Ok(());
    };
    let unset: Unset = evaluator.must(Library::Nixpkgs, "unset")?;
    ensure!(
        unset.host.is_empty() && unset.fleet.is_empty(),
        "tests/nix/cases/options.nix sets no {} of a host, and no {} of the fleet",
        unset.host.join(", "),
        unset.fleet.join(", ")
    );
    ensure!(unset.options > 200, "only {} options", unset.options);
    say(&format!("modules: {} options have a value", unset.options))
}

/// How a type is called is the library's own, and changes with it.
fn without_types(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.starts_with("- type: "))
        .collect()
}

#[test]
fn the_reference_of_options_is_current() -> Result<()> {
    let evaluator = Evaluator::new()?;
    let Some(Library::Nixpkgs) = libraries(&evaluator, "the reference")?.first() else {
        return Ok(());
    };
    let made: String = evaluator.must(Library::Nixpkgs, "reference")?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reconciler/nix/OPTIONS.md");
    let kept = std::fs::read_to_string(&path).context("cannot read the reference")?;
    if without_types(&made) != without_types(&kept) {
        let new = std::env::temp_dir().join("OPTIONS.md");
        std::fs::write(&new, &made).context("cannot write the new reference")?;
        anyhow::bail!(
            "the options have changed: cp {} {}",
            new.display(),
            path.display()
        );
    }
    let options = made.lines().filter(|line| line.starts_with("### ")).count();
    say(&format!("modules: {options} options in the reference"))
}
