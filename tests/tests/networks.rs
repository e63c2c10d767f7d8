//! What the modules that span hosts set up works between real hosts, and a commit that takes it away
//! from one of them is not kept there.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::fleet::Files;
use lab::story::Story;
use lab::test;
use lab::{Host, power};

use crate::health::{breaks, evidence};
use crate::health_keys::new_key;

const SOON: Duration = Duration::from_secs(60);
/// The hosts' addresses in the private network.
const WEB1: &str = "10.10.0.11";
const DB1: &str = "10.10.0.1";
const DB1_V6: &str = "fd10::1";

/// What the fleet's file says of all that lies between its two hosts.
fn between(web1: &str, deploy: &str, wireguard: Option<[&str; 2]>) -> String {
    let network = wireguard.map_or_else(String::new, |[web1, db1]| {
        format!(
            r#"
  vpn.networks.lan = {{
    ipv4 = "10.10.0.0/16";
    ipv6 = "fd10::/64";
    server = "db1";
    members.db1 = {{
      publicKey = "{db1}";
      privateKeyFile = "/var/lib/lab-keys/wireguard";
      endpoint = "10.77.0.12";
    }};
    members.web1 = {{
      publicKey = "{web1}";
      privateKeyFile = "/var/lib/lab-keys/wireguard";
      number = 11;
    }};
  }};"#
        )
    });
    format!(
        r#"{network}
  dns.zones."fleet.test" = {{
    primary = "web1";
    secondaries = [ "db1" ];
    soa.email = "hostmaster@fleet.test";
  }};
  dns.records."fleet.test.".NS = [ "ns1.fleet.test." "ns2.fleet.test." ];
  dns.records."ns1.fleet.test." = {{ A = "10.77.0.11"; AAAA = "fd77::11"; }};
  dns.records."ns2.fleet.test.".A = "10.77.0.12";
  dns.records."long.fleet.test.".TXT = "{}";
  ssh.access.web1.keys.root = {{
    publicKey = "{web1}";
    hasAccessTo.db1.deploy = true;
  }};
  ssh.access.web1.keys.clock = {{
    publicKey = "{deploy}";
    hasAccessTo.db1.deploy = {{ command = "/bin/date +%Y"; restrict = true; }};
  }};
  ssh.access = {{"#,
        "x".repeat(300)
    )
}

/// What is checked on web1: a generation without it is not kept.
fn checks(with_network: bool) -> String {
    let network = format!(r#"{{ kind = "tcp"; name = "network"; address = "{DB1}:22"; }}"#);
    let network = if with_network { network.as_str() } else { "" };
    format!(
        r#"
  services.nixus.settings.checks = [
    {{ kind = "tcp"; name = "dns"; address = "10.77.0.11:53"; }}
    {network}
  ];"#
    )
}

/// A private key that stays on the host; gives its public half.
fn wireguard_key(host: &Host) -> Result<String> {
    let make = "umask 077; wg genkey > /var/lib/lab-keys/wireguard; wg pubkey < /var/lib/lab-keys/wireguard";
    let public = host.must(["sh", "-c", make])?;
    Ok(public.trim().to_owned())
}

/// Runs ssh on web1, with one of its keys, as the account `deploy` of db1 by that host's name.
fn ssh(web1: &Host, key: &str, command: &str) -> Result<lab::Output> {
    web1.exec([
        "ssh",
        "-i",
        key,
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "deploy@db1",
        command,
    ])
}

/// An answer of a name server, without the rest.
fn dig(host: &Host, server: &str, arguments: &[&str]) -> Result<String> {
    let at = format!("@{server}");
    let words = ["dig", "+short", "+time=2", "+tries=1", &at];
    Ok(host.exec(words.iter().chain(arguments))?.stdout)
}

fn reaches(host: &Host, address: &str) -> Result<bool> {
    let words = ["ssh-keyscan", "-T", "3", "-t", "ed25519", address];
    Ok(!host.exec(words)?.stdout.is_empty())
}

/// That all of it works, now or soon.
fn works(story: &Story, with_network: bool) -> Result<()> {
    let (web1, db1) = (story.host("web1")?, story.host("db1")?);
    let said = ssh(web1, "/root/deploy", "id -un")?;
    ensure!(said.stdout.trim() == "deploy", "{said:?}");
    // A key with a command runs that, whatever is asked for.
    let said = ssh(web1, "/root/clock", "id -un")?;
    ensure!(said.stdout.trim().parse::<u32>().is_ok(), "{said:?}");

    for (server, transport) in [
        ("10.77.0.11", "+notcp"),
        ("10.77.0.11", "+tcp"),
        ("fd77::11", "+notcp"),
        // The secondary has copied it.
        ("10.77.0.12", "+notcp"),
        ("10.77.0.12", "+tcp"),
    ] {
        db1.wait_until(&format!("{server} answers"), SOON, |db1| {
            Ok(dig(db1, server, &[transport, "ns1.fleet.test", "A"])?.trim() == "10.77.0.11")
        })?;
    }
    let long = dig(web1, "10.77.0.12", &["+tcp", "long.fleet.test", "TXT"])?;
    ensure!(long.matches('x').count() == 300, "{long}");
    let other = dig(web1, "10.77.0.11", &["example.org", "A"])?;
    ensure!(other.trim().is_empty(), "it answers for others: {other}");

    if with_network {
        for (host, address) in [(web1, DB1), (web1, DB1_V6), (db1, WEB1)] {
            host.wait_until(&format!("reaches {address}"), SOON, |host| {
                reaches(host, address)
            })?;
        }
        let passed = web1.must(["wg", "show", "vpn-lan", "transfer"])?;
        let bytes: Vec<u64> = passed
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        ensure!(
            bytes.len() == 2 && bytes.iter().all(|one| *one > 0),
            "{passed}"
        );
    }
    Ok(())
}

#[test]
fn what_lies_between_hosts_works_and_is_not_taken_away_from_one() -> Result<()> {
    let story = Story::alone(&["web1", "db1"])?;
    let (web1, db1) = (story.host("web1")?, story.host("db1")?);
    let with_network = power::tunnels();
    if !with_network {
        writeln!(
            std::io::stderr(),
            "networks: WireGuard is skipped, as this machine has no /dev/net/tun"
        )?;
    }
    let keys = with_network
        .then(|| -> Result<_> { Ok([wireguard_key(web1)?, wireguard_key(db1)?]) })
        .transpose()?;
    let (deploy, clock) = (
        new_key(web1, "/root/deploy")?,
        new_key(web1, "/root/clock")?,
    );

    // First what is to be there, and then what it is checked by.
    let operator = story.lab().operator();
    let path = operator.clone_path().join("fleet.nix");
    let fleet = std::fs::read_to_string(&path).context("cannot read fleet.nix")?;
    let wireguard = keys
        .as_ref()
        .map(|[web1, db1]| [web1.as_str(), db1.as_str()]);
    let more = between(&deploy, &clock, wireguard);
    ensure!(fleet.contains("\n  ssh.access = {"), "{fleet}");
    let fleet = fleet.replacen("\n  ssh.access = {", &more, 1);
    let account = "users.users.deploy.isNormalUser = true;";
    let mut files: Files = [story.lab().describe("db1", account)?].into();
    files.insert("fleet.nix".to_owned(), fleet);
    let commit = operator.deploy(&files, "names, a network and access")?;
    story.kept_at_last("db1", &commit)?;
    story.kept_at_last("web1", &commit)?;
    works(&story, with_network)?;
    let checks = checks(with_network);
    let commit = story.lab().deploy("web1", &checks, "check all that")?;
    story.kept("web1", &commit)?;
    let found = evidence(web1)?;
    ensure!(
        found.contains("peer db1") && found.contains("login ok"),
        "{found}"
    );

    let gone = format!(
        r#"{checks}
  services.bind.enable = lib.mkForce false;
  systemd.network.netdevs = lib.mkForce {{ }};
  programs.ssh.knownHosts = lib.mkForce {{ }};
  programs.ssh.extraConfig = lib.mkForce "";
  users.users.nixus-probe.openssh.authorizedKeys.keys = lib.mkForce [ ];"#
    );
    breaks(&story, &gone, &["dns: "])?;
    works(&story, with_network)
}
