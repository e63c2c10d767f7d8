use super::super::ciphertext::tests::{age_key, ssh_key};
use super::super::ciphertext::{marks, seal};
use super::*;

/// A fleet of hosts, each with its keys and its files.
pub(in super::super) fn described(
    hosts: &[(&str, &[&str], &[&str])],
    operators: &[&str],
) -> Described {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Described {
        hosts: hosts
            .iter()
            .map(|(name, keys, secrets)| {
                let host = Host {
                    keys: texts(keys),
                    secrets: texts(secrets),
                };
                ((*name).to_owned(), host)
            })
            .collect(),
        operators: texts(operators),
    }
}

#[test]
fn a_file_is_for_the_hosts_that_use_it_and_for_the_operators() {
    let [web, db, alice] = [ssh_key().0, ssh_key().0, age_key().0];
    let fleet = Fleet::of(&described(
        &[
            ("web1", &[&web], &["secrets/tls.age"]),
            ("db1", &[&db], &["secrets/db.age", "secrets/tls.age"]),
        ],
        &[&alice],
    ))
    .unwrap();
    let check = |file: &str, who: &[&str], keys: &[&str]| {
        let found: Vec<String> = fleet.who(file).map(ToString::to_string).collect();
        assert_eq!(found, who, "{file}");
        let mut keys: Vec<Recipient> = keys.iter().map(|key| key.parse().unwrap()).collect();
        keys.sort();
        assert_eq!(fleet.recipients(file), keys, "{file}");
    };
    check("secrets/db.age", &["db1", "the operators"], &[&db, &alice]);
    check(
        "secrets/tls.age",
        &["db1", "web1", "the operators"],
        &[&web, &db, &alice],
    );
    check("secrets/other.age", &[], &[]);
    let files: Vec<&str> = fleet.files().collect();
    assert_eq!(files, ["secrets/db.age", "secrets/tls.age"]);
}

#[test]
fn what_is_wrong_with_the_fleet_is_named() {
    let [web, alice] = [ssh_key().0, age_key().0];
    let ecdsa = "ecdsa-sha2-nistp256 AAAA";
    type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a str);
    let table: [Case<'_>; 9] = [
        (&[&web], &["a.age"], &[&alice], ""),
        // Kinds that are meant for something else are not a mistake.
        (&[ecdsa, &web], &["a.age"], &[ecdsa, &alice], ""),
        (&[ecdsa], &[], &[&alice], ""),
        (&[ecdsa], &["a.age"], &[&alice], "web1 has secrets"),
        (&[&web], &["a.age"], &[ecdsa], "no operator has a key"),
        (
            &["nonsense"],
            &["a.age"],
            &[&alice],
            "a key of web1 is wrong",
        ),
        (
            &[&web],
            &["a.age"],
            &["x"],
            "a key of the operators is wrong",
        ),
        (
            &[&web],
            &["../a.age"],
            &[&alice],
            "is not a file of the repository",
        ),
        (
            &[&web],
            &["/etc/a.age"],
            &[&alice],
            "is not a file of the repository",
        ),
    ];
    for (keys, secrets, operators, words) in table {
        match Fleet::of(&described(&[("web1", keys, secrets)], operators)) {
            Ok(_) => assert_eq!(words, "", "{keys:?} {secrets:?} {operators:?}"),
            Err(error) => assert!(
                !words.is_empty() && error.to_string().contains(words),
                "{error}"
            ),
        }
    }
}

#[test]
fn who_can_open_a_file_is_compared_with_who_needs_it() {
    let [web, old, new, stranger] = [ssh_key().0, ssh_key().0, ssh_key().0, ssh_key().0];
    let [alice, bob] = [age_key().0, age_key().0];
    let fleet = Fleet::of(&described(
        &[
            ("web1", &[&web], &["a.age"]),
            ("db1", &[&old, &new], &["a.age"]),
        ],
        &[&alice],
    ))
    .unwrap();
    let missing = |who: &str, keys| Problem::Missing {
        who: who.to_owned(),
        keys,
    };
    let surplus = |keys| Problem::Surplus { keys };
    let table: [(&[&str], &[Problem]); 7] = [
        (&[&web, &old, &new, &alice], &[]),
        (&[&web, &old, &alice], &[missing("db1", 1)]),
        (&[&old, &new, &alice], &[missing("web1", 1)]),
        (&[&web, &alice], &[missing("db1", 2)]),
        (&[&web, &old, &new], &[missing("the operators", 1)]),
        (&[&web, &old, &new, &alice, &stranger], &[surplus(1)]),
        (&[&web, &old, &new, &alice, &bob, &stranger], &[surplus(2)]),
    ];
    for (keys, expected) in table {
        let keys: Vec<Recipient> = keys.iter().map(|key| key.parse().unwrap()).collect();
        let sealed = seal(b"x", &keys).unwrap();
        assert_eq!(fleet.problems("a.age", &marks(&sealed).unwrap()), expected);
    }
}

#[test]
fn the_flakes_answer_is_read_and_a_misspelt_key_is_an_error() {
    let text = r#"{"hosts":{"web1":{"keys":["k"],"secrets":["s.age"]}},"operators":["o"]}"#;
    let read: Described = serde_json::from_str(text).unwrap();
    assert_eq!(read, described(&[("web1", &["k"], &["s.age"])], &["o"]));
    let wrong = text.replace("secrets", "secret");
    assert!(serde_json::from_str::<Described>(&wrong).is_err());
}
