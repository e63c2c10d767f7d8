use proptest::prelude::*;

use super::*;

fn server_of(text: &str) -> Option<String> {
    Address::parse(text)
        .ok()
        .map(|one| one.server().to_string())
}

#[test]
fn a_url_has_one_server_or_is_refused() {
    let table = [
        ("https://git.test/x.git", Some("https://git.test")),
        ("https://GIT.test:443/x.git", Some("https://git.test")),
        ("https://git.test:8443/x.git", Some("https://git.test:8443")),
        ("https://git.test", Some("https://git.test")),
        ("https://git.test/x?a=b@evil.test", Some("https://git.test")),
        ("https://git.test/@evil.test/x", Some("https://git.test")),
        ("http://[::1]:80/x", Some("http://[::1]")),
        (
            "https://[2001:db8::1]:8443/x",
            Some("https://[2001:db8::1]:8443"),
        ),
        ("ssh://git@git.test/x", Some("ssh://git.test")),
        ("ssh://git@git.test:22/x", Some("ssh://git.test")),
        (
            "ssh://git@Git.test:2222/~git/x",
            Some("ssh://git.test:2222"),
        ),
        ("ssh://[fd77::2]:2222/x", Some("ssh://[fd77::2]:2222")),
        ("git@git.test:x.git", Some("ssh://git.test")),
        ("git.test:/srv/x.git", Some("ssh://git.test")),
        ("git@[fd77::2]:x.git", Some("ssh://[fd77::2]")),
        ("file:///srv/git/x.git", Some("file://")),
        ("/srv/git/a:b.git", Some("file://")),
        ("../x.git", Some("file://")),
        // Where git's, curl's and a library's reading could differ, there is no reading.
        ("https://evil.test?@git.test/x.git", None),
        ("https://evil.test#@git.test/x.git", None),
        ("https://evil.test\\@git.test/x.git", None),
        ("https://evil.test:443?@git.test/x.git", None),
        ("https://evil.test\t@git.test/x", None),
        ("https://evil.test%2f@git.test/x", None),
        ("https://evil.test@git.test@x/y", None),
        ("https://git.test\\evil.test/x", None),
        ("https://git.test%2eevil.test/x", None),
        ("https://git\u{3002}test/x", None),
        ("https://g\u{456}t.test/x", None),
        ("https://0x7f.1/x", None),
        ("https://2130706433/x", None),
        ("https:///git.test/x", None),
        ("https:git.test/x", Some("ssh://https")),
        ("https://git.test:/x", None),
        ("https://git.test:+443/x", None),
        ("https://git.test:0/x", None),
        ("https://git.test:99999/x", None),
        ("https://git.test:443:8443/x", None),
        ("https://[::1/x", None),
        ("https://[::1%25eth0]/x", None),
        ("HTTPS://git.test/x", None),
        ("ftp://git.test/x", None),
        ("ssh://-oProxyCommand=x/y", None),
        ("ssh://-o@git.test/y", None),
        ("ssh://git@-o/y", None),
        ("ssh://a@b@c/y", None),
        ("ssh://@git.test/y", None),
        ("ssh:///x", None),
        ("-oProxyCommand=x:y", None),
        ("git@git.test:", None),
        ("ext::sh -c x", None),
        ("ext::sh", None),
        ("file://elsewhere/x", None),
        ("file://", None),
        ("--upload-pack=touch", None),
        ("", None),
    ];
    for (text, server) in table {
        assert_eq!(server_of(text).as_deref(), server, "{text}");
    }
}

#[test]
fn credentials_are_refused_wherever_they_stand_and_not_repeated() {
    for text in [
        "https://me:s3cret@git.test/x",
        "https://s3cret@git.test/x",
        "https://s3cret:x-oauth-basic@git.test/x",
        "https://:s3cret@git.test/x",
        "https://s3cret:@git.test/x",
        "https://me:s3@cret@git.test/x",
        "https://me:s3/cret@git.test/x",
        "https://me:s3?cret@git.test/x",
        "http://me:s3cret@git.test:8080/x",
        "ssh://git:s3cret@git.test/x",
        "git+https://s3cret@git.test/x",
        "socks5://me:s3cret@proxy.test:1080",
    ] {
        let error = Address::parse(text).unwrap_err();
        assert!(
            matches!(error, AddressError::Credentials(_)),
            "{text}: {error}"
        );
        for word in ["s3", "cret", "x-oauth"] {
            assert!(!error.to_string().contains(word), "{error}");
            assert!(
                !without_credentials(text).contains(word),
                "{}",
                without_credentials(text)
            );
        }
    }
    assert_eq!(
        Address::parse("ssh://git@git.test/x").unwrap().user(),
        Some("git")
    );
}

#[test]
fn credentials_are_left_out_of_what_others_say() {
    let check = |text: &str, expected: &str| assert_eq!(without_credentials(text), expected);
    check(
        "fatal: unable to access 'https://me:s3cret@git.example/x.git/': refused",
        "fatal: unable to access 'https://***@git.example/x.git/': refused",
    );
    check(
        "Password for 'https://ghp_token@git.example': ",
        "Password for 'https://***@git.example': ",
    );
    check(
        "https://a:p@ss@b https://:x@c",
        "https://***@b https://***@c",
    );
    check("ssh://git:pw@a/x", "ssh://git:***@a/x");
    let harmless = "ssh://git@git.example:22/x.git git+ssh://git@a at 10:30 a@b file:///x:y@z https://[::1]:80/@x https://a.b:80/x@y";
    check(harmless, harmless);
}

proptest! {
    /// Whatever is put into a URL, its server is the one that a second reader sees, or there is none.
    #[test]
    fn no_text_leads_two_readers_to_two_servers(
        text in "(https|http)://[a-c.:@?#/\\\\%\\[\\]0-9 \t\u{ff0f}\u{3002}-]{0,12}(git\\.test)?[a-c.:@?#/\\\\%0-9-]{0,8}"
    ) {
        if let Some(server) = server_of(&text) {
            // curl ends the authority at the first of these (RFC 3986, section 3.2).
            let rest = text.split_once("://").unwrap().1;
            let authority = rest.split(['/', '?', '#']).next().unwrap();
            prop_assert!(!authority.contains('@'));
            let port = if text.starts_with("https") { ":443" } else { ":80" };
            let plain = authority.to_ascii_lowercase();
            let plain = plain.strip_suffix(port).unwrap_or(&plain).to_owned();
            prop_assert_eq!(server.split_once("://").unwrap().1, plain);
        }
    }

    /// No input makes it panic, and what is left out is left out once and for all.
    #[test]
    fn leaving_credentials_out_is_done_at_once(text in ".{0,80}", tail in "[a-z]{1,5}://[a-z:@/?'\\[\\] ]{0,30}") {
        let text = format!("{text}{tail}");
        let told = without_credentials(&text);
        prop_assert_eq!(without_credentials(&told), told.clone());
        let _ = Address::parse(&text);
    }
}
