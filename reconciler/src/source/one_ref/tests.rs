use super::*;

#[test]
fn only_plain_addresses_are_taken() {
    let check = |url: &str, expected: Option<(&str, Option<&str>, &str)>| {
        let expected = expected.map(|(host, port, path)| Address { host, port, path });
        assert_eq!(Address::of(url), expected, "{url}");
    };
    let path = "/srv/git/x.git";
    check("ssh://git@a.b/srv/git/x.git", Some(("git@a.b", None, path)));
    check("ssh://a:22/srv/git/x.git", Some(("a", Some("22"), path)));
    for other in [
        "https://git@a.b/x",
        "ssh://git@a.b",
        "ssh://-oProxyCommand=x/y",
        "ssh://-o@a/y",
        "ssh://a@-o/y",
        "ssh://a@b@c/y",
        "ssh://@a/y",
        "ssh://a:/y",
        "ssh://a:x/y",
        "ssh://a:99999/y",
        "ssh://a:b@c/y",
        "ssh://[fd77::2]/y",
        "ssh://a/~git/y",
        "ssh://a/x%20y",
        "ssh://a/x'y",
        "ssh://a/x;y",
        "ssh://a/x y",
        "ssh://a/x\ny",
    ] {
        check(other, None);
    }
}
