use russh::keys::{PrivateKey, ssh_key};

use super::*;
use crate::host::process::in_words;
use crate::host::public_key::PublicKey;
use crate::source::FoundManifest;

/// Made with ssh-keygen for a test of signed statuses.
const KEY: &str = include_str!("../report/signature/test_ed25519");
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE alice";

fn id(letter: &str) -> CommitId {
    CommitId::try_from(letter.repeat(40)).unwrap()
}

fn path(name: &str) -> PathBuf {
    format!("/nix/store/{}-{name}", "a".repeat(32)).into()
}

fn manifest(hosts: &[(&str, &str)]) -> Manifest {
    let built = |(host, name): &(&str, &str)| {
        let built = Built {
            system: "x86_64-linux".to_owned(),
            toplevel: path(name),
            cache: None,
        };
        ((*host).to_owned(), built)
    };
    Manifest {
        version: VERSION,
        commit: id("a"),
        hosts: hosts.iter().map(built).collect(),
        trial: None,
    }
}

#[test]
fn a_manifest_is_read_as_it_is_written() {
    let mut manifest = manifest(&[("web1", "nixos-system-web1-25.05"), ("db1", "x")]);
    manifest.hosts.get_mut("db1").unwrap().cache = Some("https://cache.example".to_owned());
    manifest.trial = Some(path("nixus-trial-a"));
    let text = manifest.to_text().unwrap();
    assert_eq!(
        text,
        format!(
            r#"{{
  "version": 1,
  "commit": "{}",
  "hosts": {{
    "db1": {{
      "system": "x86_64-linux",
      "toplevel": "/nix/store/{}-x",
      "cache": "https://cache.example"
    }},
    "web1": {{
      "system": "x86_64-linux",
      "toplevel": "/nix/store/{}-nixos-system-web1-25.05"
    }}
  }},
  "trial": "/nix/store/{}-nixus-trial-a"
}}
"#,
            "a".repeat(40),
            "a".repeat(32),
            "a".repeat(32),
            "a".repeat(32)
        )
    );
    assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
}

#[test]
fn what_is_no_manifest_of_the_commit_is_refused_in_one_sentence() {
    let check = |text: &str, expected: &str| {
        let error = parse(text.as_bytes(), &id("b")).unwrap_err();
        assert!(in_words(&error).starts_with(expected), "{error:?}");
    };
    let unread = "the manifest of commit bbbbbbb cannot be read: ";
    check("", &format!("{unread}it is not a manifest: "));
    check(
        "{}",
        &format!("{unread}it is not a manifest: missing field"),
    );
    check(
        r#"{"version": 2, "hosts": []}"#,
        &format!("{unread}it has version 2, and this release reads version 1"),
    );
    check(
        r#"{"version": 1, "commit": "HEAD", "hosts": {}}"#,
        &format!("{unread}it is not a manifest: \"HEAD\" is not a commit id"),
    );
    let other = manifest(&[]).to_text().unwrap();
    check(
        &other,
        "the manifest is for commit aaaaaaa, not for bbbbbbb",
    );
}

#[test]
fn a_path_is_this_hosts_where_no_other_hosts_name_fits_it_better() {
    let check = |hosts: &[&str], host: &str, name: &str, toplevel: &str, expected: bool| {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host, "x")).collect();
        let path = Toplevel::try_from(path(toplevel)).unwrap();
        let found = is_of_host(&manifest(&hosts), &path, host, name);
        assert_eq!(found, expected, "{host} {toplevel}");
    };
    let all = ["web1", "web1-db", "web2.example"];
    check(&all, "web1", "web1", "nixos-system-web1-25.05", true);
    check(&all, "web1", "web1", "nixos-system-web1", true);
    check(&all, "web1", "web1", "nixos-system-web1-tag-25.05pre", true);
    check(&all, "web1", "web1", "nixos-system-web10-25.05", false);
    check(&all, "web1", "web1", "nixos-system-web1-db-25.05", false);
    check(&all, "web1", "web1", "nixos-system-web2-25.05", false);
    check(&all, "web1", "web1", "web1-25.05", false);
    check(
        &all,
        "web1-db",
        "web1-db",
        "nixos-system-web1-db-25.05",
        true,
    );
    check(
        &all,
        "web2.example",
        "web2",
        "nixos-system-web2-25.05",
        true,
    );
    // A host whose systems are named otherwise says so.
    check(&all, "web1", "shop", "nixos-system-shop-25.05", true);
    check(&all, "web1", "shop", "nixos-system-web1-25.05", false);
}

#[test]
fn only_a_manifest_that_one_of_the_keys_has_signed_is_believed() {
    let key = PrivateKey::from_openssh(KEY).unwrap();
    let own = PublicKey::from(key.public_key().clone());
    let other: PublicKey = OTHER.parse().unwrap();
    let sign = |text: &str| signature::sign(text.as_bytes(), &key).unwrap().into_bytes();
    let check = |text: &str, signature: Option<Vec<u8>>, keys: &[&PublicKey], expected: &str| {
        let found = FoundManifest {
            text: text.into(),
            signature,
        };
        let keys: Vec<_> = keys.iter().map(|key| (*key).clone()).collect();
        let said = match signature::check(&found, &keys) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(said.is_empty(), expected.is_empty(), "{said}");
    };
    check("a", Some(sign("a")), &[&other, &own], "");
    check("a", None, &[], "");
    check("a", None, &[&own], "it is not signed");
    check(
        "a",
        Some(sign("a")),
        &[&other],
        "it is signed by a key that closure.manifest_keys does not have: SHA256:",
    );
    check(
        "b",
        Some(sign("a")),
        &[&own],
        "it has a signature that does not fit it",
    );
    check(
        "a",
        Some(b"rubbish".to_vec()),
        &[&own],
        "it has a signature that cannot be read",
    );
    // What the same key signed for another purpose.
    let elsewhere = key.sign("git", ssh_key::HashAlg::Sha512, b"a").unwrap();
    let elsewhere = elsewhere.to_pem(ssh_key::LineEnding::LF).unwrap();
    check(
        "a",
        Some(elsewhere.into_bytes()),
        &[&own],
        "it has a signature that does not fit it",
    );
}
