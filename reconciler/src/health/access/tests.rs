use super::*;
use crate::host::public_key::PublicKey;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn root() -> Account {
    Account {
        user: "root".into(),
        groups: vec!["root".into(), "wheel".into()],
        home: Some("/".into()),
    }
}

const PLAIN: &str = "permitrootlogin prohibit-password\nforcecommand none\nchrootdirectory none\n\
    pubkeyauthentication yes\nmaxsessions 10\npermittty yes\nauthenticationmethods any\n\
    authorizedkeyscommand none\ntrustedusercakeys none\n\
    authorizedkeysfile %h/.ssh/authorized_keys .ssh/more /etc/ssh/authorized_keys.d/%u\n";

#[test]
fn what_keeps_an_operator_out_or_from_a_shell_is_named() {
    let check = |more: &str, expected: &[&str]| {
        // Of a setting that stands twice, sshd prints one.
        let name = more.split(' ').next().unwrap();
        let plain = PLAIN
            .lines()
            .filter(|line| !line.starts_with(&format!("{name} ")));
        let text: Vec<&str> = plain.chain(more.lines()).collect();
        let settings = Settings::parse(&text.join("\n"));
        let found = settings.obstacles(&root(), "10.77.0.1");
        assert_eq!(found, expected, "{more}");
    };
    check("", &[]);
    check("permitrootlogin yes", &[]);
    check("permitrootlogin no", &["sshd has PermitRootLogin no"]);
    check(
        "permitrootlogin forced-commands-only",
        &["sshd has PermitRootLogin forced-commands-only"],
    );
    check(
        "forcecommand /bin/false",
        &["sshd has ForceCommand /bin/false"],
    );
    check("chrootdirectory /srv", &["sshd has ChrootDirectory /srv"]);
    check(
        "pubkeyauthentication no",
        &["sshd has PubkeyAuthentication no"],
    );
    check("maxsessions 0", &["sshd has MaxSessions 0"]);
    check("authenticationmethods publickey", &[]);
    check("authenticationmethods publickey,password publickey", &[]);
    check(
        "authenticationmethods publickey,password",
        &["sshd has AuthenticationMethods publickey,password"],
    );
    check("denyusers bob", &[]);
    check("denyusers bob\ndenyusers ro*", &["sshd has DenyUsers ro*"]);
    check(
        "denyusers *@10.77.0.0/24",
        &["sshd has DenyUsers *@10.77.0.0/24"],
    );
    check("denyusers *@10.78.0.0/24", &[]);
    check("allowusers alice root", &[]);
    check("allowusers alice", &["it is not in sshd's AllowUsers"]);
    check(
        "allowusers root@10.78.*",
        &["it is not in sshd's AllowUsers"],
    );
    check("allowgroups wheel", &[]);
    check("allowgroups users", &["it is not in sshd's AllowGroups"]);
    check("denygroups wheel", &["sshd has DenyGroups wheel"]);
}

#[test]
fn files_of_keys_are_found_where_sshd_looks_for_them() {
    let settings = Settings::parse(PLAIN);
    let account = Account {
        user: "alice".into(),
        home: Some("/home/alice".into()),
        ..Account::default()
    };
    assert_eq!(
        settings.key_files(&account),
        [
            "/home/alice/.ssh/authorized_keys",
            "/home/alice/.ssh/more",
            "/etc/ssh/authorized_keys.d/alice"
        ]
    );
    assert!(!settings.knows_keys_elsewhere());
    let by_command = Settings::parse("authorizedkeyscommand /bin/keys");
    assert!(by_command.knows_keys_elsewhere());
}

#[test]
fn a_keys_own_line_says_what_its_owner_gets() {
    let key: PublicKey = KEY.parse().unwrap();
    let check = |text: &str, expected: Option<&[&str]>| {
        let found = lines::options(text, &key, "10.77.0.1");
        let found = found.map(|options| lines::obstacles(&options));
        let expected = expected.map(<[&str]>::to_vec);
        assert_eq!(
            found.as_deref(),
            expected
                .as_ref()
                .map(|all| {
                    let all: Vec<String> = all.iter().map(|&one| one.to_owned()).collect();
                    all
                })
                .as_deref(),
            "{text}"
        );
    };
    check("", None);
    check("# nobody", None);
    check(&format!("#{KEY}"), None);
    check(&format!("{KEY}X"), None);
    check(KEY, Some(&[]));
    check(&format!("{KEY} operator"), Some(&[]));
    check(
        &format!("command=\"/bin/false\",restrict {KEY}"),
        Some(&["has command=\"/bin/false\"", "gets no terminal"]),
    );
    check(
        &format!("command=\"echo \\\"a, b\\\"\" {KEY}"),
        Some(&["has command=\"echo \"a, b\"\""]),
    );
    check(&format!("restrict,pty {KEY}"), Some(&[]));
    // Another line lets in from here.
    let elsewhere = format!("from=\"192.0.2.0/24\" {KEY}");
    check(&elsewhere, Some(&["has from=\"192.0.2.0/24\""]));
    check(&format!("{elsewhere}\n{KEY}"), Some(&[]));
    check(&format!("{KEY}\ncommand=\"/bin/false\" {KEY}"), Some(&[]));
}

#[test]
fn only_what_is_worse_than_before_fails_and_is_named() {
    let access = |from: &[&str], obstacles: &[(&str, Option<&str>)]| Access {
        from: from.iter().map(|&one| one.into()).collect(),
        obstacles: obstacles
            .iter()
            .map(|(what, at)| Obstacle {
                what: (*what).into(),
                at: at.map(Into::into),
            })
            .collect(),
    };
    let check = |before: &Access, now: &Access, expected: &[&str]| {
        let found = worse(before, now);
        let said: Vec<&str> = found.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, words) in said.iter().zip(expected) {
            assert!(said.ends_with(words), "{said}");
        }
    };
    let (a, b) = (Some("10.0.0.1"), Some("10.0.0.2"));
    let both = ["10.0.0.1", "10.0.0.2"];
    let plain = access(&both, &[]);
    let forced = access(&both, &[("root: forced", a), ("root: forced", b)]);
    check(&plain, &plain, &[]);
    check(&forced, &forced, &[]);
    check(&forced, &plain, &[]);
    check(&plain, &forced, &["root: forced, from 10.0.0.1, 10.0.0.2"]);
    let one = access(&both, &[("root: forced", a)]);
    check(&one, &forced, &["root: forced, from 10.0.0.2"]);
    // Nobody has looked from there before.
    let less = access(&["10.0.0.1"], &[("root: forced", a)]);
    check(&less, &forced, &[]);
    let none = access(&["10.0.0.1"], &[]);
    let there = access(&both, &[("root: forced", b)]);
    check(&none, &there, &["root: forced, from 10.0.0.2"]);
    let expired = access(&both, &[("root: PAM", None)]);
    check(&plain, &expired, &["root: PAM"]);
    check(&expired, &expired, &[]);
}
