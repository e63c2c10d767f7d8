use super::*;

const GOOD: &str = r#"
host = "web1.example"

[repository]
url = "ssh://git@git.example/deploy.git"
known_hosts = "/etc/nixus/known_hosts"
ssh_key = "/etc/nixus/deploy_key"

[reports]
url = "ssh://git@git.example/reports.git"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("config.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_filled_in() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.branch, "main");
    assert_eq!(
        config.closure.source,
        ClosureSource::Expression(Expression::Flake {
            directory: None,
            attribute: "nixosConfigurations.\"web1.example\".config.system.build.toplevel".into()
        })
    );
    let reports = config.reports.unwrap();
    assert_eq!(reports.ssh_key, config.repository.ssh_key);
    assert_eq!(reports.known_hosts, config.repository.known_hosts);
}

#[test]
fn a_host_that_follows_manifests_evaluates_only_as_a_fallback() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE ci";
    let check = |more: &str, otherwise: &Otherwise, evaluates: bool| {
        let closure = format!(
            "[closure]\nfrom = \"manifest\"\nmanifest_keys = [\"{key}\"]\n{more}\n[reports]"
        );
        let config = parse(&GOOD.replace("[reports]", &closure)).unwrap();
        let following = config.closure.following().unwrap();
        assert_eq!(following.keys, [key.parse().unwrap()]);
        assert_eq!(following.system_name, "web1");
        assert_eq!(following.wait, Duration::from_secs(30 * 60));
        assert_eq!(following.otherwise, *otherwise);
        assert_eq!(config.closure.expression().is_some(), evaluates);
        assert_eq!(config.shown().settings["closure.from"], "manifest");
    };
    check("", &Otherwise::Wait, false);
    check("older = true", &Otherwise::Older, false);
    let file = Expression::File {
        directory: None,
        file: "x.nix".into(),
        attribute: "web1".into(),
    };
    check(
        "fallback = \"build\"\nfile = \"x.nix\"\nattribute = \"web1\"",
        &Otherwise::Build(file),
        true,
    );
}

#[test]
fn a_directory_is_that_of_the_flake_or_of_the_file() {
    let check = |closure: &str, file: &str| {
        let text = GOOD.replace("[reports]", &format!("[closure]\n{closure}\n[reports]"));
        let config = parse(&text).unwrap();
        assert_eq!(
            config.closure.expression().unwrap().file(),
            file,
            "{closure}"
        );
    };
    check("", "flake.nix");
    check("directory = \"nix\"", "nix/flake.nix");
    check("directory = \"nix/hosts//\"", "nix/hosts/flake.nix");
    check("from = \"file\"\ndirectory = \"nix\"", "nix/default.nix");
    check(
        "from = \"file\"\ndirectory = \"nix\"\nfile = \"a/b.nix\"",
        "nix/a/b.nix",
    );
    check(
        "from = \"manifest\"\nfallback = \"build\"\ndirectory = \"nix\"",
        "nix/flake.nix",
    );
    for outside in ["", ".", "..", "nix/../..", "/nix", "./nix", "nix\\n"] {
        let closure = format!("[closure]\ndirectory = \"{outside}\"\n[reports]");
        assert!(
            parse(&GOOD.replace("[reports]", &closure)).is_err(),
            "{outside:?}"
        );
    }
}

#[test]
fn each_mistake_is_told_with_file_line_and_key() {
    let table = [
        // (line of GOOD, what stands there instead, the message)
        (
            "host = \"web1.example\"",
            "host = \"a/b\"",
            "config.toml:2: host: \"a/b\" is not a host name",
        ),
        (
            "host = \"web1.example\"",
            "",
            "config.toml:1: the file: missing field `host`",
        ),
        (
            "host = \"web1.example\"",
            "host = 5",
            "config.toml:2: host: invalid type: integer `5`, expected a string",
        ),
        (
            "ssh_key = \"/etc/nixus/deploy_key\"",
            "ssh_kee = \"/etc/nixus/deploy_key\"",
            "config.toml:7: repository.ssh_kee: unknown field `ssh_kee`, expected one of `url`, `ssh_key`, `known_hosts`, `token_file`, `extra_ca_file`, `pinned_ca_file`, `ca_file`, `timeout`, `branch`, `mirror_after`, `mirrors`",
        ),
        (
            "ssh_key = \"/etc/nixus/deploy_key\"",
            "ssh_key = \"deploy_key\"",
            "config.toml:7: repository.ssh_key: \"deploy_key\" is not an absolute path",
        ),
        (
            "ssh_key = \"/etc/nixus/deploy_key\"",
            "timeout = \"5\"",
            "config.toml:7: repository.timeout: \"5\" is not a time between 1s and 7 days, such as \"90s\" or \"15m\"",
        ),
        (
            "ssh_key = \"/etc/nixus/deploy_key\"",
            "branch = \"a..b\"",
            "config.toml:7: repository.branch: \"a..b\" is not a branch name",
        ),
        (
            "known_hosts = \"/etc/nixus/known_hosts\"",
            "",
            "config.toml:5: repository.url: needs known_hosts as well: host keys are never trusted on first use",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"https://git.example/deploy.git\"",
            "config.toml:7: repository.ssh_key: is only used with ssh://, but the URL is \"https://git.example/deploy.git\"",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"--upload-pack=x\"",
            "config.toml:5: repository.url: \"--upload-pack=x\" is not a repository URL: expected ssh://, https:// or file://",
        ),
        (
            "[reports]",
            "[closure]\nfile = \"x.nix\"\n[reports]",
            "config.toml:10: closure.file: is only used with from = \"file\"",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"file\"\nfile = \"../x.nix\"\n[reports]",
            "config.toml:11: closure.file: is not a path inside the repository",
        ),
        (
            "[reports]",
            "[closure]\ndirectory = \"/nix\"\n[reports]",
            "config.toml:10: closure.directory: is not a path inside the repository",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\ndirectory = \"nix\"\n[reports]",
            "config.toml:11: closure.directory: is only used with a manifest where fallback = \"build\"",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"ssh://git@git.example/deploy.git?dir=nix\"",
            "config.toml:5: repository.url: has a flake's parameter \"dir\" in it, which git does not know: set closure.directory instead",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"ssh://git@git.example/deploy.git?shallow=1&ref=main\"",
            "config.toml:5: repository.url: has a flake's parameter \"shallow\" in it, which git does not know: leave it out",
        ),
        (
            "[reports]",
            "[hooks]\nbefore = [\"check\"]\n[reports]",
            "config.toml:10: hooks.before: must begin with the absolute path of a program",
        ),
        (
            "[reports]",
            "[hooks]\nafter = [[\"/bin/a\"], []]\n[reports]",
            "config.toml:10: hooks.after: must begin with the absolute path of a program",
        ),
        (
            "[reports]",
            "[hooks]\nafter = \"/bin/a\"\n[reports]",
            "config.toml:10: hooks.after: a program with its arguments, or a list of them",
        ),
        (
            "[reports]",
            "[closure]\nlfs = true\n[reports]",
            "config.toml:10: closure.lfs: files in Git LFS are not fetched: \"refuse\", or \"ignore\" to take the pointers for the files",
        ),
        (
            "[reports]",
            "[closure]\nlfs = \"fetch\"\n[reports]",
            "config.toml:10: closure.lfs: unknown variant `fetch`, expected `refuse` or `ignore`",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"tarball\"\n[reports]",
            "config.toml:10: closure.from: unknown variant `tarball`, expected one of `flake`, `file`, `manifest`",
        ),
        (
            "[reports]",
            "[closure]\nwait = \"5m\"\n[reports]",
            "config.toml:10: closure.wait: is only used with from = \"manifest\"",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\nattribute = \"x\"\n[reports]",
            "config.toml:11: closure.attribute: is only used with a manifest where fallback = \"build\"",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\nsubmodules = true\n[reports]",
            "config.toml:10: closure.from: does not go with submodules = true: nothing is evaluated here",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\nfallback = \"wait\"\n[reports]",
            "config.toml:11: closure.fallback: unknown variant `wait`, expected `build`",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\nfallback = \"build\"\nolder = true\n[reports]",
            "config.toml:12: closure.older: is not used together with fallback: name one of them",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\nmanifest_keys = []\n[reports]",
            "config.toml:11: closure.manifest_keys: is empty: name CI's public key, or leave it out to believe whoever may push",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\nmanifest_keys = [\"ssh-ed25519 x\"]\n[reports]",
            "config.toml:11: closure.manifest_keys: \"ssh-ed25519 x\" is not a public key such as \"ssh-ed25519 AAAA… name\", without options",
        ),
        (
            "[reports]",
            "[closure]\nfrom = \"manifest\"\nsystem_name = \"a/b\"\n[reports]",
            "config.toml:11: closure.system_name: \"a/b\" is not a name of a system",
        ),
        (
            "[reports]",
            "[closure]\nmemory_limit = \"2GB\"\n[reports]",
            "config.toml:10: closure.memory_limit: \"2GB\" is not a limit such as \"2GiB\" (at least 64MiB) or \"50%\"",
        ),
        (
            "[reports]",
            "[closure]\ncpu_weight = 0\n[reports]",
            "config.toml:10: closure.cpu_weight: 0 is not between 1 and 10000",
        ),
        (
            "[reports]",
            "[closure]\nrecheck = \"now\"\n[reports]",
            "config.toml:10: closure.recheck: \"now\" is not a time between 1s and 7 days, such as \"90s\" or \"15m\"",
        ),
        (
            "[reports]",
            "[health]\nsoak = \"10m\"\n[reports]",
            "config.toml:10: health.soak: must be shorter than switch.trial_timeout, or nothing is ever confirmed",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"https://me:s3cret@git.example/deploy.git\"",
            "config.toml:5: repository.url: has a password in it, which everyone on the host could see: put it into a file and name that as token_file",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"https://ghp_s3cret@git.example/deploy.git\"",
            "config.toml:5: repository.url: has a user's name or a token in it, which everyone on the host could see: put it into a file and name that as token_file",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"https://evil.test?@git.example/deploy.git\"",
            "config.toml:5: repository.url: \"https://evil.test?@git.example/deploy.git\" is not a repository URL: expected ssh://, https:// or file:// (it has no / after the name of its server)",
        ),
        (
            "url = \"ssh://git@git.example/deploy.git\"",
            "url = \"https://git.example/deploy.git?private_token=x\"",
            "config.toml:5: repository.url: \"https://git.example/deploy.git?private_token=x\" is not a repository URL: expected ssh://, https:// or file://",
        ),
        (
            "[reports]",
            "[[checks]]\nkind = \"http\"\nurl = \"http://u:hunter2@localhost/\"\n[reports]",
            "config.toml:11: checks.url: has a password in it, which everyone on the host could see",
        ),
        (
            "[reports]",
            "[[repository.mirrors]]\nurl = \"ssh://b/x\"\ntoken_file = \"/x\"\n[reports]",
            "config.toml:11: repository.mirrors.token_file: is only used with https://, but the URL is \"ssh://b/x\"",
        ),
        (
            "[reports]",
            "[passes]\ninterval = \"3650d\"\n[reports]",
            "config.toml:10: passes.interval: \"3650d\" is not a time of at most 7 days, such as \"1min\" (systemd.time(7))",
        ),
        (
            "[reports]",
            "[[repository.mirrors]]\nurl = \"https://b/x\"\nextra_ca_file = \"/a\"\npinned_ca_file = \"/b\"\n[reports]",
            "config.toml:12: repository.mirrors.pinned_ca_file: is not used together with extra_ca_file: name one of them",
        ),
        (
            "[reports]",
            "[[repository.mirrors]]\nurl = \"https://b/x\"\nca_file = \"/a\"\npinned_ca_file = \"/b\"\n[reports]",
            "config.toml:11: repository.mirrors.ca_file: is not used together with pinned_ca_file: name one of them",
        ),
        (
            "[reports]",
            "[report]",
            "config.toml:9: [report]: unknown field `report`, expected one of `host`, `repository`, `closure`, `switch`, `passes`, `hooks`, `health`, `reports`, `statuses`, `ssh`, `operators`, `peers`, `checks`",
        ),
    ];
    for (line, instead, message) in table {
        assert_eq!(parse(&GOOD.replace(line, instead)), Err(message.to_owned()));
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/no/such/config.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration /no/such/config.toml"
    );
}

#[test]
fn the_settings_in_effect_are_shown_with_their_defaults() {
    let shown = parse(GOOD).unwrap().shown();
    assert_eq!(shown.settings["host"], "web1.example");
    assert_eq!(shown.settings["repository.branch"], "main");
    assert_eq!(shown.settings["switch.trial_timeout"], "300s");
    assert_eq!(shown.settings["passes.interval"], "60000ms");
    assert_eq!(
        shown.settings["reports.known_hosts"],
        "/etc/nixus/known_hosts"
    );
}

#[test]
fn mirrors_take_over_what_is_safe_to_take_over() {
    let config = parse(
        r#"
host = "web1"
[repository]
url = "https://git.example/deploy.git"
token_file = "/etc/nixus/token"
pinned_ca_file = "/etc/nixus/ca.pem"
timeout = "5s"
[[repository.mirrors]]
url = "https://git.example/copy.git"
[[repository.mirrors]]
url = "https://elsewhere.example/deploy.git"
timeout = "9s"
[[repository.mirrors]]
url = "ssh://git@third.example/deploy.git"
known_hosts = "/etc/nixus/known_hosts"
"#,
    )
    .unwrap();
    let [same, elsewhere, third] = config.mirrors.as_slice() else {
        unreachable!("three mirrors were written");
    };
    assert_eq!(same.token_file, config.repository.token_file);
    // A token is never shown to another server.
    assert_eq!(elsewhere.token_file, None);
    assert_eq!(elsewhere.authorities, config.repository.authorities);
    assert_eq!(elsewhere.timeout, Duration::from_secs(9));
    assert_eq!(third.token_file, None);
    assert_eq!(third.authorities, Authorities::System);
    assert_eq!(third.timeout, Duration::from_secs(5));
    let urls: Vec<_> = config.remotes().into_iter().map(|one| one.url).collect();
    assert_eq!(urls.len(), 4);
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBT6MQqUxSWOzRU0MScLyq7oAFDuWq3S3zbWqb1cCFSC";

/// A good configuration with more at its end.
fn with(more: &str) -> Result<Config, String> {
    parse(&format!("{GOOD}{}", more.replace("KEY", KEY)))
}

#[test]
fn each_mistake_about_health_is_told_with_file_line_and_key() {
    let table = [
        (
            "[[peers]]\nname = \"db1\"\naddresses = [\"10.0.0.2\"]\nhost_keys = []\n",
            "config.toml:14: peers.host_keys: db1 needs a host key: nothing is trusted on first use",
        ),
        (
            "[[peers]]\nname = \"db1\"\naddresses = [\"10.0.0.2\"]\n",
            "config.toml:11: [peers]: missing field `host_keys`",
        ),
        (
            "[[peers]]\nname = \"db1\"\naddresses = []\nhost_keys = [\"KEY\"]\n",
            "config.toml:13: peers.addresses: db1 needs an address",
        ),
        (
            "[[peers]]\nname = \"db1\"\naddresses = [\"10.0.0.2 -p 1\"]\nhost_keys = [\"KEY\"]\n",
            "config.toml:13: peers.addresses: \"10.0.0.2 -p 1\" is neither an IP address nor a host name",
        ),
        (
            "[[peers]]\nname = \"../x\"\naddresses = [\"10.0.0.2\"]\nhost_keys = [\"KEY\"]\n",
            "config.toml:12: peers.name: \"../x\" is not a host name",
        ),
        (
            "[[operators]]\nkeys = [\n  \"KEY\",\n  \"alice\",\n]\n",
            "config.toml:14: operators.keys: \"alice\" is not a public key such as \"ssh-ed25519 AAAA… name\", without options",
        ),
        (
            "[[operators]]\nkeys = [\"KEY\"]\nfrom = [\"not here\"]\n",
            "config.toml:13: operators.from: \"not here\" is not an address, network or pattern of them",
        ),
        (
            "[[operators]]\nkeys = [\"ssh-rsa-cert-v01@openssh.com AAAA\"]\n",
            "config.toml:12: operators.keys: \"ssh-rsa-cert-v01@openssh.com AAAA\" is a certificate, which ends by itself, and a host is not to be judged by that: name the plain key",
        ),
        (
            "[[operators]]\nuser = \"-o\"\nkeys = [\"KEY\"]\n",
            "config.toml:12: operators.user: \"-o\" is not the name of an account",
        ),
        (
            "[[checks]]\nkind = \"ping\"\n",
            "config.toml:12: checks.kind: unknown variant `ping`, expected one of `repository`, `ssh`, `peer`, `tcp`, `http`, `command`, `units`",
        ),
        (
            "[[checks]]\nkind = \"tcp\"\n",
            "config.toml:12: checks.kind: a check of kind \"tcp\" needs address",
        ),
        (
            "[[checks]]\nkind = \"tcp\"\naddress = \"127.0.0.1\"\n",
            "config.toml:13: checks.address: \"127.0.0.1\" is not an address with a port, such as \"127.0.0.1:8080\"",
        ),
        (
            "[[checks]]\nkind = \"units\"\nstatus = 200\n",
            "config.toml:13: checks.status: is only for checks of kind \"http\"",
        ),
        (
            "[[checks]]\nkind = \"http\"\nurl = \"ftp://x\"\n",
            "config.toml:13: checks.url: \"ftp://x\" is not an http:// or https:// URL",
        ),
        (
            "[[checks]]\nkind = \"command\"\ncommand = [\"true\"]\n",
            "config.toml:13: checks.command: must begin with the absolute path of a program",
        ),
        (
            "[[checks]]\nkind = \"repository\"\nneed = \"wanted\"\n",
            "config.toml:13: checks.need: the repository is always required: a generation that cannot take the next commit is never kept",
        ),
        (
            "[[checks]]\nkind = \"peer\"\n",
            "config.toml:12: checks.kind: needs [[peers]]: there is nobody to ask",
        ),
        (
            "[[checks]]\nkind = \"ssh\"\n[[checks]]\nkind = \"ssh\"\n",
            "config.toml:14: checks.kind: there is a check of kind \"ssh\" already",
        ),
        (
            "[[checks]]\nkind = \"tcp\"\nname = \"peer\"\naddress = \"a:1\"\n",
            "config.toml:13: checks.name: \"peer\" is not a name for a check of kind \"tcp\"",
        ),
        (
            "[ssh]\nport = 0\n",
            "config.toml:12: ssh.port: 0 is not a port",
        ),
    ];
    for (more, message) in table {
        assert_eq!(with(more).unwrap_err(), message, "{more}");
    }
}

#[test]
fn every_host_has_the_checks_that_need_no_configuration() {
    let names = |config: &Config| -> Vec<String> {
        let checks = config.health.checks.iter();
        checks.map(|check| check.name.clone()).collect()
    };
    let config = parse(GOOD).unwrap();
    assert_eq!(names(&config), ["repository", "ssh", "units"]);
    assert!(config.health.checks.iter().all(|check| check.required));
    let peers = "[[peers]]\nname = \"db1\"\naddresses = [\"10.0.0.2\"]\nhost_keys = [\"KEY\"]\n";
    let config = with(peers).unwrap();
    assert_eq!(names(&config), ["repository", "ssh", "units", "peer"]);
    assert_eq!(config.health.peers[0].user, health::PROBE_USER);
    let more = format!(
        "{peers}[[checks]]\nkind = \"ssh\"\nneed = \"wanted\"\n[[checks]]\nkind = \"tcp\"\nname = \"shop\"\naddress = \"[::1]:80\"\n[[checks]]\nkind = \"peer\"\nquorum = 2\nports = [80]\n"
    );
    let config = with(&more).unwrap();
    assert_eq!(
        names(&config),
        ["ssh", "shop", "peer", "repository", "units"]
    );
    assert!(!config.health.checks[0].required);
    let shown = config.shown();
    assert_eq!(shown.settings["checks.shop.address"], "[::1]:80");
    assert_eq!(shown.settings["checks.peer.quorum"], "2");
}

const FORGE: &str = r#"
host = "web1"
[repository]
url = "ssh://git@gitlab.example:2222/group/deploy.git"
known_hosts = "/etc/nixus/known_hosts"
[statuses]
token_file = "/run/keys/forge"
"#;

#[test]
fn a_forge_is_found_from_the_repository_or_set() {
    let statuses = parse(FORGE).unwrap().statuses.unwrap();
    assert_eq!(statuses.repository.kind, crate::config::forge::Kind::GitLab);
    assert_eq!(statuses.repository.api, "https://gitlab.example/api/v4");
    assert_eq!(statuses.repository.path, "group/deploy");
    assert_eq!((statuses.sign, statuses.policy.hosts), (false, 1));
    assert_eq!(statuses.reach.timeout, Duration::from_secs(10));
    let set = "token_file = \"/run/keys/forge\"\nforge = \"gitea\"\napi = \"https://git.example:3000/api/v1/\"\nrepository = \"fleet/deploy\"";
    let text = FORGE.replace("token_file = \"/run/keys/forge\"", set);
    let config = parse(&text).unwrap();
    let shown = config.shown().settings;
    for (key, value) in [
        ("statuses.forge", "gitea"),
        ("statuses.api", "https://git.example:3000/api/v1"),
        ("statuses.repository", "fleet/deploy"),
        ("statuses.token_file", "/run/keys/forge"),
        ("statuses.timeout", "10s"),
    ] {
        assert_eq!(shown[key], value);
    }
}

#[test]
fn each_mistake_about_statuses_is_told_with_file_line_and_key() {
    let table = [
        (
            "",
            "config.toml:6: [statuses]: needs token_file or credential: a forge takes statuses from nobody else",
        ),
        (
            "token_file = \"/x\"\ncredential = \"forge\"",
            "config.toml:8: statuses.credential: is not used together with token_file: name one of them",
        ),
        (
            "credential = \"../x\"",
            "config.toml:7: statuses.credential: \"../x\" is not the name of a credential",
        ),
        (
            "token_file = \"token\"",
            "config.toml:7: statuses.token_file: \"token\" is not an absolute path",
        ),
        (
            "token_file = \"/x\"\nforge = \"sourcehut\"",
            "config.toml:8: statuses.forge: unknown variant `sourcehut`, expected one of `github`, `gitlab`, `gitea`, `forgejo`, `bitbucket`",
        ),
        (
            "token_file = \"/x\"\napi = \"http://git.example/api/v1\"",
            "config.toml:8: statuses.api: \"http://git.example/api/v1\" is not an https:// URL: a token is sent to it",
        ),
        (
            "token_file = \"/x\"\napi = \"https://me:s3cret@git.example/api/v1\"",
            "config.toml:8: statuses.api: has a password in it, which everyone on the host could see",
        ),
        (
            "token_file = \"/x\"\nrepository = \"deploy\"",
            "config.toml:8: statuses.repository: \"deploy\" is not owner and name, such as \"fleet/deploy\"",
        ),
        (
            "token_file = \"/x\"\nproxy = \"http://me:s3cret@proxy:3128\"",
            "config.toml:8: statuses.proxy: has a password in it, which everyone on the host could see",
        ),
        (
            "token_file = \"/x\"\nproxy = \"nonsense://\"",
            "config.toml:8: statuses.proxy: \"nonsense://\" is not a proxy such as \"http://proxy.example:3128\"",
        ),
        (
            "token_file = \"/x\"\nlink = \"logs.example\"",
            "config.toml:8: statuses.link: \"logs.example\" is not a http:// or https:// URL",
        ),
        (
            "token_file = \"/x\"\nhosts = 0",
            "config.toml:8: statuses.hosts: 0 is not between 1 and 1000000",
        ),
        (
            "token_file = \"/x\"\ntimeout = \"5m\"",
            "config.toml:8: statuses.timeout: must be at most 1m, as the forge is asked again anyway",
        ),
    ];
    for (instead, message) in table {
        let text = FORGE.replace("token_file = \"/run/keys/forge\"", instead);
        assert_eq!(parse(&text).map(|_| ()), Err(message.to_owned()));
    }
    let unknown = FORGE.replace("gitlab.example:2222", "git.example");
    assert_eq!(
        parse(&unknown).map(|_| ()),
        Err("config.toml:6: [statuses]: needs forge, which the repository's URL does not show: one of github, gitlab, gitea, forgejo, bitbucket".to_owned())
    );
}
