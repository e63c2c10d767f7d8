//! `lab demo`: the story of a small fleet, told by the hosts' own reports.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::fleet::{self, Files, UNCHECKED};
use lab::story::{PATIENCE, Story};
use lab::{Kind, Lab};
use nixus::decide::report::{Report, State};

/// The hosts of the story.
const HOSTS: [&str; 3] = ["db1", "web1", "web2"];
/// The scenes of the picture in the README, by the beginnings of their headings.
pub const SCENES: [&str; 4] = [
    "The operator pushes a good commit",
    "A commit that breaks the network",
    "The fleet, as any operator sees it",
    "Every host is on commit",
];
const SHOP: &str = r#"  environment.etc."shop/port".text = "8080";"#;
const BROKEN_NETWORK: &str =
    r#"  systemd.network.networks."10-lab".address = lib.mkForce [ "10.99.0.12/24" ];"#;
const NO_KEYS: &str = "  users.users.root.openssh.authorizedKeys.keys = lib.mkForce [ ];";
const BROKEN_BUILD: &str = r#"  environment.systemPackages = [ (pkgs.runCommand "shop" { } "echo 'shop.c:1: error: no such header' >&2; exit 1") ];"#;

/// Tells the story; succeeds only if every host is where it should be, at each turn and at the end.
pub fn demo(kind: Kind) -> Result<ExitCode> {
    let begun = Instant::now();
    say("A git server and three hosts boot; each host is told once to follow the repository.");
    let lab = Lab::of(&HOSTS).kind(kind).start()?;
    let story = Story::adopt(lab, PATIENCE)?;
    let mut demo = Demo {
        shown: BTreeMap::new(),
        story,
    };
    say(&format!(
        "Up and following after {:.0} s.",
        begun.elapsed().as_secs_f32()
    ));
    demo.tell(&HOSTS, 0)?;

    say("The operator pushes a good commit.");
    let good = demo.push(
        "open port 8080",
        &[("db1", SHOP), ("web1", SHOP), ("web2", SHOP)],
    )?;
    demo.follow(&good, &HOSTS, |_| State::Success)?;

    say("A commit that breaks the network of web2. The others keep it.");
    let network = format!("{SHOP}\n{BROKEN_NETWORK}");
    let cut = demo.push(
        "renumber web2",
        &[
            ("web1", &more("one")),
            ("db1", &more("one")),
            ("web2", &network),
        ],
    )?;
    demo.follow(&cut, &HOSTS, |host| match host {
        "web2" => State::Failure,
        _ => State::Success,
    })?;
    demo.lets_the_operator_in("web2")?;

    say(
        "A commit that removes the operators' keys on web1. Its peers cannot see them accepted any more.",
    );
    let removed = format!("{}\n{UNCHECKED}{NO_KEYS}", more("one"));
    let keys = demo.push(
        "tidy up the keys of web1",
        &[("web1", &removed), ("web2", SHOP)],
    )?;
    demo.follow(&keys, &HOSTS, |host| match host {
        "web1" => State::Failure,
        _ => State::Success,
    })?;
    demo.peers_said(&keys, "web1")?;
    demo.lets_the_operator_in("web1")?;

    say("A commit that does not build on db1.");
    let build = demo.push(
        "build our own shop",
        &[("db1", BROKEN_BUILD), ("web1", &more("one"))],
    )?;
    demo.follow(&build, &HOSTS, |host| match host {
        "db1" => State::Error,
        _ => State::Success,
    })?;

    say("The fix.");
    let fixed = more("two");
    let fix = demo.push(
        "use the packaged shop",
        &[("db1", &fixed), ("web1", &fixed), ("web2", &fixed)],
    )?;
    demo.follow(&fix, &HOSTS, |_| State::Success)?;

    say(
        "A password for the database of db1, in git as ciphertext: db1 and the operators can open it.",
    );
    let first = demo.password("correct horse")?;
    demo.follow(&first, &HOSTS, |_| State::Success)?;
    demo.database("correct horse")?;
    say("The password is changed. What uses it restarts.");
    let last = demo.password("battery staple")?;
    demo.follow(&last, &HOSTS, |_| State::Success)?;
    demo.database("battery staple")?;

    say("The fleet, as any operator sees it: nixus fleet");
    demo.fleet()?;
    for host in HOSTS {
        demo.story.kept(host, &last)?;
    }
    say(&format!(
        "Every host is on commit {} after {:.0} s.",
        &last[..7],
        begun.elapsed().as_secs_f32()
    ));
    Ok(ExitCode::SUCCESS)
}

fn more(text: &str) -> String {
    format!("{SHOP}\n  environment.etc.\"shop/menu\".text = \"{text}\";")
}

/// A database that has read its password when it started.
const DATABASE: &str = r#"
  users.users.database = { isSystemUser = true; group = "database"; };
  users.groups.database = { };
  services.nixus.secrets.files.password = {
    file = ../secrets/db1-password.age;
    user = "database";
    restartUnits = [ "database.service" ];
  };
  systemd.services.database = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = { User = "database"; RuntimeDirectory = "database"; };
    script = "cksum < /run/nixus-secrets/password > /run/database/read; exec sleep infinity";
  };
"#;

struct Demo {
    story: Story,
    /// How many of each host's reports have been told.
    shown: BTreeMap<String, usize>,
}

impl Demo {
    fn push(&self, subject: &str, hosts: &[(&str, &str)]) -> Result<String> {
        let lab = self.story.lab();
        let files: Files = hosts
            .iter()
            .map(|(host, more)| lab.describe(host, more))
            .collect::<Result<_>>()?;
        let commit = lab.operator().deploy(&files, subject)?;
        println!("$ git push    # {} \"{subject}\"", &commit[..7]);
        Ok(commit)
    }

    /// Encrypts a password of the database, as `nixus secrets set` does, and pushes it.
    fn password(&self, password: &str) -> Result<String> {
        let file = "secrets/db1-password.age";
        println!("{file} is encrypted to db1 and the operators, as `nixus secrets set` does it.");
        lab::secrets::put(self.story.lab(), file, &["db1"], password.as_bytes())?;
        let described = format!("{}\n{DATABASE}", more("two"));
        self.push("set the password of the database", &[("db1", &described)])
    }

    /// Sees that the database has read this password, and that it is where and whose it should be.
    fn database(&self, password: &str) -> Result<()> {
        let host = self.story.host("db1")?;
        let path = format!("{}/password", lab::secrets::LINK);
        ensure!(host.read(&path)? == password, "db1 has another password");
        let sum = host.must(["cksum", "--", &path])?;
        let sum = sum.trim_end().trim_end_matches(&path).trim_end().to_owned();
        host.wait_until("has read it", PATIENCE, |host| {
            Ok(host
                .read("/run/database/read")
                .is_ok_and(|read| read.trim() == sum))
        })?;
        let stat = ["stat", "--format=%A %U %n", "--", &path];
        println!(
            "$ ssh root@{} {}\n{}",
            host.address,
            stat.join(" "),
            host.must(stat)?.trim()
        );
        let since = "systemctl show --property=ActiveEnterTimestamp database.service";
        let words: Vec<&str> = since.split(' ').collect();
        println!(
            "$ ssh root@{} {since}\n{}",
            host.address,
            host.must(words)?.trim()
        );
        Ok(())
    }

    /// Tells what the hosts report until all have ended with this commit, each as it should.
    fn follow(
        &mut self,
        commit: &str,
        hosts: &[&str],
        expected: impl Fn(&str) -> State,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut waiting: Vec<&str> = hosts.to_vec();
        while !waiting.is_empty() {
            for report in self.news(hosts)? {
                tell(&report)?;
                let ended = matches!(report.state, State::Success | State::Failure | State::Error);
                if ended && report.commit.id == commit {
                    ensure!(
                        report.state == expected(&report.host),
                        "{} ended with {}",
                        report.host,
                        report.state.word()
                    );
                    waiting.retain(|host| *host != report.host);
                }
            }
            if begun.elapsed() > 2 * PATIENCE {
                let host = self
                    .story
                    .host(waiting.first().context("nobody is waited for")?)?;
                bail!(
                    "{} does not end with {commit}\n{}",
                    host.name,
                    host.portrait()
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Tells the last reports there are, at most `lines` of each host, and marks all as told.
    fn tell(&mut self, hosts: &[&str], lines: usize) -> Result<()> {
        let news = self.news(hosts)?;
        for report in news.iter().rev().take(lines).rev() {
            tell(report)?;
        }
        Ok(())
    }

    fn news(&mut self, hosts: &[&str]) -> Result<Vec<Report>> {
        let mut news = Vec::new();
        for host in hosts {
            let reports = self.story.lab().operator().reports(host)?;
            let shown = self.shown.entry((*host).to_owned()).or_default();
            news.extend(reports.iter().skip(*shown).cloned());
            *shown = reports.len();
        }
        news.sort_by_key(|report| report.time);
        Ok(news)
    }

    /// Sees that the roll-back line of a host has what a peer found.
    fn peers_said(&self, commit: &str, host: &str) -> Result<()> {
        let reports = self.story.lab().operator().reports(host)?;
        let says = |report: &Report| {
            report.commit.id == commit
                && report.text.contains("Rolled back")
                && report.text.contains("peer db1: root key SHA256:")
        };
        ensure!(
            reports.iter().any(says),
            "no peer's finding in: {reports:?}"
        );
        Ok(())
    }

    fn lets_the_operator_in(&self, name: &str) -> Result<()> {
        let host = self.story.host(name)?;
        let operator = self.story.lab().operator();
        let to = format!("root@{}", host.address);
        let said = operator.ssh(operator.key(), &to, &["hostname"])?;
        ensure!(said.stdout.trim() == name, "nobody can get into {name}");
        println!("$ ssh {to} hostname\n{name}");
        Ok(())
    }

    fn fleet(&self) -> Result<()> {
        let operator = self.story.lab().operator();
        let mut command = operator.nixus();
        command
            .args(["fleet", "--reports", &fleet::url(fleet::REPORTS)])
            .arg("--ssh-key")
            .arg(operator.key())
            .arg("--known-hosts")
            .arg(operator.known_hosts());
        ensure!(command.status()?.success(), "nixus fleet failed");
        Ok(())
    }
}

fn say(text: &str) {
    println!("\n{}", styled("1", &format!("# {text}")));
}

fn tell(report: &Report) -> Result<()> {
    let colour = match report.state {
        State::Success => "32",
        State::Failure | State::Error => "31",
        State::Waiting | State::Building | State::Activating => "33",
    };
    println!(
        "{} {}",
        styled(colour, &format!("[{}]", report.host)),
        report.text
    );
    std::io::stdout().flush().context("cannot write")
}

fn styled(code: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
