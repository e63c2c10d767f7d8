//! Commit statuses on a real forge, and forges that do not answer.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::fleet::{Files, GIT_SERVER};
use lab::gitea::{self, CA_FILE, Gitea, TOKEN_FILE};
use lab::story::{PATIENCE, Story, status};
use lab::test;
use lab::{Lab, command, https_server, setup};
use nixus::decide::report::State;
use serde_json::Value;

/// The newest status of each host on a commit: host, state, description.
fn statuses(gitea: &Gitea, commit: &str) -> Result<Vec<(String, String, String)>> {
    let path = gitea.path(&format!("/commits/{commit}/status?limit=50"));
    let combined = gitea.ask("GET", &path, None)?;
    let all = combined.pointer("/statuses").and_then(Value::as_array);
    let text = |one: &Value, key: &str| {
        one.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut all: Vec<_> = all
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|one| {
            (
                text(one, "context"),
                text(one, "status"),
                text(one, "description"),
            )
        })
        .collect();
    all.sort();
    Ok(all)
}

/// Waits until every host has ended with a commit on its page.
fn ended(
    story: &Story,
    gitea: &Gitea,
    commit: &str,
    states: &[(&str, &str)],
) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    let wanted: Vec<_> = states
        .iter()
        .map(|(host, state)| (format!("nixus/{host}"), (*state).to_owned()))
        .collect();
    let outcome = story
        .host("web1")?
        .wait_until("the page of the commit", PATIENCE, |_| {
            seen = statuses(gitea, commit)?;
            let found: Vec<_> = seen
                .iter()
                .map(|(a, b, _)| (a.clone(), b.clone()))
                .collect();
            Ok(found == wanted)
        });
    outcome.with_context(|| format!("the page says {seen:?}"))?;
    for (context, _, description) in &seen {
        let length = description.chars().count();
        ensure!(
            length <= 140,
            "{context}: {length} characters: {description}"
        );
    }
    Ok(seen
        .into_iter()
        .map(|(_, _, description)| description)
        .collect())
}

#[test(weight = 2, long)]
fn three_hosts_report_on_a_real_gitea() -> Result<()> {
    let machine = setup::prepare()?;
    let Some(program) = gitea::build(&machine)? else {
        return Ok(());
    };
    let lab = Lab::of(&["db1", "web1", "web2"])
        .common(&gitea::followed())
        .start()?;
    let gitea = Gitea::start(&lab, &machine, &program)?;
    gitea.introduce(&lab)?;
    gitea.push(&lab)?;
    let story = Story::adopt(lab, PATIENCE)?;
    let lab = story.lab();

    // A commit that all keep.
    let mut files = Files::new();
    for host in ["db1", "web1", "web2"] {
        files.extend([lab.describe(host, r#"environment.etc."greeting".text = "hello";"#)?]);
    }
    let good = lab.operator().commit(&files, "greet")?;
    gitea.push(lab)?;
    let watch = follow(lab, &gitea, &good, "db1,web1,web2")?;
    ended(
        &story,
        &gitea,
        &good,
        &[("db1", "success"), ("web1", "success"), ("web2", "success")],
    )?;
    let (code, said) = finish(watch)?;
    ensure!(
        code == Some(0) && said.contains("3 of 3 hosts kept"),
        "{code:?} {said}"
    );

    // A commit that one of them cannot keep.
    let broken = lab.describe("web2", r#"lab.break.activation = "exit1";"#)?;
    let bad = lab.operator().commit(&[broken].into(), "break web2")?;
    gitea.push(lab)?;
    let watch = follow(lab, &gitea, &bad, "db1,web1,web2")?;
    let said = ended(
        &story,
        &gitea,
        &bad,
        &[("db1", "success"), ("web1", "success"), ("web2", "failure")],
    )?;
    ensure!(
        said[2].starts_with("failure ") && said[2].contains("exit code 2"),
        "{said:?}"
    );
    let (code, said) = finish(watch)?;
    ensure!(
        code == Some(1) && said.contains("2 of 3 hosts kept"),
        "{code:?} {said}"
    );

    // The fleet as the operator sees it, with the hosts' own signatures.
    let fleet = fleet(lab, &gitea)?;
    let fleet = fleet.as_array().context("no list")?;
    ensure!(fleet.len() == 3, "{fleet:?}");
    ensure!(
        fleet.iter().all(|one| one["signed"] == Value::Bool(true)),
        "{fleet:?}"
    );
    // The commit as people see it.
    let picture = tempfile::tempdir()?;
    let picture = picture.path().join("commit.png");
    let page = gitea.look_at(&format!("{}/commit/{bad}", Gitea::page()), &picture)?;
    for words in ["nixus/db1", "nixus/web1", "nixus/web2", "exit code 2"] {
        ensure!(page.contains(words), "the page has no {words:?}:\n{page}");
    }
    let drawn = fs::metadata(&picture)?.len();
    ensure!(drawn > 10_000, "the picture has {drawn} bytes");
    // Whoever has the token cannot speak for a host.
    let path = gitea.path(&format!("/statuses/{bad}"));
    let forged = serde_json::json!({"state": "success", "context": "nixus/web2", "description": "success all well"});
    gitea.ask("POST", &path, Some(&forged))?;
    let fleet = self::fleet(lab, &gitea)?;
    ensure!(
        fleet[2]["state"] == "failure" && fleet[2]["signed"] == Value::Bool(true),
        "{fleet}"
    );

    // A deploy key reads, and does not write.
    let key = lab.deploy_key("web1")?.path.clone();
    let folder = lab.operator().clone_path();
    let inside = format!(
        "/{}",
        folder.strip_prefix(lab.operator().access_root())?.display()
    );
    let mut push = lab.operator().git_in(
        &inside,
        &key,
        &["push", &Gitea::ssh_url(), "main:refs/heads/stolen"],
    );
    let pushed = command::run(&mut push, None, Duration::from_secs(60))?;
    ensure!(!pushed.ok(), "a host could push: {pushed:?}");
    Ok(())
}

/// Gitea sorts statuses by the second: some are posted after a look, in a second that it has seen.
#[test(weight = 2, long)]
fn what_many_hosts_say_at_once_is_all_followed() -> Result<()> {
    const HOSTS: usize = 400;
    let machine = setup::prepare()?;
    let Some(program) = gitea::build(&machine)? else {
        return Ok(());
    };
    let lab = Lab::of(&["web1"]).start()?;
    let gitea = Gitea::start(&lab, &machine, &program)?;
    gitea.push(&lab)?;
    let commit = lab.operator().git(&["rev-parse", "main"])?.stdout;
    let commit = commit.trim();
    let hosts: Vec<String> = (0..HOSTS).map(|number| format!("host{number}")).collect();
    let mut watch = follow(&lab, &gitea, commit, &hosts.join(","))?;
    let path = gitea.path(&format!("/statuses/{commit}"));
    let begun = Instant::now();
    for host in &hosts {
        let status = serde_json::json!({
            "state": "success", "context": format!("nixus/{host}"), "description": "success kept",
        });
        gitea.ask("POST", &path, Some(&status))?;
    }
    println!("{HOSTS} statuses posted within {:?}", begun.elapsed());
    lab.host("web1")?
        .wait_until("the end of nixus watch", Duration::from_secs(60), |_| {
            Ok(watch.try_wait()?.is_some())
        })?;
    let (code, said) = finish(watch)?;
    ensure!(
        code == Some(0) && said.contains(&format!("{HOSTS} of {HOSTS} hosts kept")),
        "{code:?} {said}"
    );
    Ok(())
}

/// What `nixus fleet` says, at the operator's place.
fn fleet(lab: &Lab, gitea: &Gitea) -> Result<Value> {
    let mut fleet = lab.operator().nixus();
    fleet
        .args(["fleet", "--json"])
        .args(forge_arguments(lab, gitea)?);
    let said = command::run(&mut fleet, None, Duration::from_secs(60))?;
    // A host that went back is not on the head.
    ensure!(matches!(said.code, Some(0 | 1)), "{said:?}");
    Ok(serde_json::from_str(&said.stdout)?)
}

fn forge_arguments(lab: &Lab, gitea: &Gitea) -> Result<Vec<String>> {
    let folder = lab.operator().access_root();
    let write = |name: &str, text: &str| -> Result<String> {
        let inside = format!("/run/lab/{name}");
        let path = folder.join(inside.trim_start_matches('/'));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(inside)
    };
    let keys: String = lab
        .members()
        .values()
        .map(|member| format!("{} {}\n", member.name, member.host_key.public))
        .collect();
    let words = [
        ("--forge", Gitea::page()),
        ("--forge-kind", "gitea".to_owned()),
        ("--token-file", write("forge-token", gitea.token())?),
        ("--ca-file", write("forge-ca.pem", gitea.authority())?),
        ("--host-keys", write("forge-keys", &keys)?),
    ];
    Ok(words
        .into_iter()
        .flat_map(|(key, value)| [key.to_owned(), value])
        .collect())
}

fn follow(lab: &Lab, gitea: &Gitea, commit: &str, hosts: &str) -> Result<std::process::Child> {
    let mut watch = lab.operator().nixus();
    watch
        .args(["watch", commit, "--hosts", hosts, "--timeout", "5m"])
        .args(forge_arguments(lab, gitea)?)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    watch.spawn().context("cannot start nixus watch")
}

fn finish(watch: std::process::Child) -> Result<(Option<i32>, String)> {
    let output = watch.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code(), format!("{said}{errors}")))
}

/// As long as this a host waits for a forge; a deployment that is over before waited for none.
const FORGE_TIMEOUT: Duration = Duration::from_secs(50);

/// Statuses to a forge that is as it is told to be; commits and reports as always.
fn on_faulty_forge(port: u16) -> String {
    format!(
        r#"  services.nixus.settings.statuses = {{
    forge = "gitea";
    api = "https://{GIT_SERVER}:{port}/api/v1";
    repository = "fleet/deploy";
    token_file = "{TOKEN_FILE}";
    pinned_ca_file = "{CA_FILE}";
    timeout = "{}s";
  }};
"#,
        FORGE_TIMEOUT.as_secs()
    )
}

/// Takes connections and either never says a word or resets them; perl is in every Debian.
const FAULTY: &str = r#"
use Socket;
my ($port, $how) = @ARGV;
socket(my $server, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
bind($server, sockaddr_in($port, INADDR_ANY)) or die;
listen($server, 128) or die;
my @kept;
while (accept(my $client, $server)) {
  if ($how eq "hang") { push @kept, $client; next; }
  setsockopt($client, SOL_SOCKET, SO_LINGER, pack("II", 1, 0));
  close($client);
}
"#;

/// A forge that fails in each way, through a deployment that is kept and one that goes back.
#[test(weight = 2, long)]
fn a_forge_that_hangs_resets_or_answers_500_delays_and_changes_no_deployment() -> Result<()> {
    let lab = Lab::of(&["web1"]).common(&on_faulty_forge(7443)).start()?;
    let git = lab.host("git")?;
    let authority = https_server::certificate(git)?;
    git.write("/tmp/faulty.pl", FAULTY)?;
    let web1 = lab.host("web1")?;
    web1.write(TOKEN_FILE, "s3cret\n")?;
    web1.write(CA_FILE, &authority)?;
    let story = Story::adopt(lab, PATIENCE)?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let mut times = Vec::new();
    for (number, how) in ["refuse", "hang", "reset", "500"].into_iter().enumerate() {
        faulty(git, how)?;
        let greeting = format!(r#"environment.etc."greeting".text = "hello {number}";"#);
        let begun = Instant::now();
        let commit = story.lab().deploy("web1", &greeting, "greet")?;
        story.kept("web1", &commit)?;
        times.push((how, begun.elapsed()));
        let before = web1.current_system()?;
        let broken =
            format!(r#"lab.break.activation = "exit1"; environment.etc."n".text = "{number}";"#);
        let commit = story.lab().deploy("web1", &broken, "break web1")?;
        story.went_back(
            "web1",
            &commit,
            &before,
            "activation failed with exit code 2",
        )?;
        // An attempt that hangs ends only with its own limit.
        web1.wait_until("why statuses wait is said", FORGE_TIMEOUT * 2, |web1| {
            let seen = status(web1)?;
            let why = seen.pointer("/statuses/held_back/why");
            Ok(why.is_some_and(Value::is_string))
        })
        .with_context(|| how.to_owned())?;
    }
    println!("from push to kept, by what the forge does: {times:?}");
    for (how, time) in &times {
        ensure!(
            *time < FORGE_TIMEOUT,
            "a pass waited for a forge that does {how}: {times:?}"
        );
    }
    story.report(
        "web1",
        &story.lab().deploy("web1", "", "mend")?,
        &[State::Success],
    )?;
    Ok(())
}

fn faulty(git: &lab::Host, how: &str) -> Result<()> {
    git.exec(["systemctl", "stop", "faulty"])?;
    let unit = |words: &[&str]| {
        let run = [
            "systemd-run",
            "--quiet",
            "--collect",
            "--unit=faulty",
            "--service-type=exec",
        ];
        git.must(run.iter().chain(words)).map(drop)
    };
    match how {
        "refuse" => Ok(()),
        "hang" | "reset" => unit(&["perl", "/tmp/faulty.pl", "7443", how]),
        "500" => {
            git.write("/etc/https/faulty.conf", LIGHTTPD)?;
            unit(&["lighttpd", "-D", "-f", "/etc/https/faulty.conf"])
        }
        other => bail!("no such forge: {other}"),
    }
}

/// A program that says nothing is an error of the server (lighttpd's documentation of mod_cgi).
const LIGHTTPD: &str = r#"server.port = 7443
server.document-root = "/srv/git"
server.modules = ( "mod_openssl", "mod_alias", "mod_cgi" )
ssl.engine = "enable"
ssl.pemfile = "/etc/https/server.pem"
ssl.privkey = "/etc/https/server.key"
alias.url = ( "/api" => "/bin/false" )
cgi.assign = ( "" => "" )
"#;
