//! The git server lets a host do what it must, and nothing else.

use std::time::Duration;

use lab::pool::{self, Leased};
use lab::test;
use lab::{Lab, Output, fleet};

const LIMIT: Duration = Duration::from_secs(60);

/// A lab with only a git server, and an attacker who has web1's key and a clone of the deploy
/// repository.
struct Attack {
    lab: Leased,
}

impl Attack {
    fn new() -> Self {
        let lab = pool::lease(Lab::of(&["web1", "db1"]).off(), Ok).expect("the lab starts");
        let attack = Self { lab };
        std::fs::create_dir_all(attack.lab.operator().clone_path().with_file_name("attack"))
            .expect("a folder can be made");
        for arguments in [
            &["init", "--quiet"][..],
            &["fetch", "--quiet", &fleet::url(fleet::DEPLOY), "main"],
            &["checkout", "--quiet", "-b", "work", "FETCH_HEAD"],
        ] {
            let output = attack.git(arguments);
            assert!(output.ok(), "{arguments:?}: {output:?}");
        }
        attack
    }

    fn git(&self, arguments: &[&str]) -> Output {
        let key = &self.lab.deploy_key("web1").expect("web1 is there").path;
        let mut command = self.lab.operator().git_in(
            &format!("{}/operator/attack", lab::namespace::RUN),
            key,
            arguments,
        );
        lab::command::run(&mut command, None, LIMIT).expect("git can be run")
    }

    fn push(&self, repository: &str, refspec: &str) -> Output {
        self.git(&["push", "--force", &fleet::url(repository), refspec])
    }

    /// Tries a command line with web1's key; the server must refuse it.
    fn refused(&self, line: &str) {
        let key = &self.lab.deploy_key("web1").expect("web1 is there").path;
        let to = format!("git@{}", fleet::GIT_SERVER);
        let output = self
            .lab
            .operator()
            .ssh_raw(key, &to, line)
            .expect("ssh can be run");
        assert!(!output.ok(), "{line:?}: {output:?}");
        assert!(
            output.stderr.contains("and nothing else"),
            "{line:?}: {output:?}"
        );
    }
}

#[test]
fn a_host_reads_the_deploy_repository_and_cannot_write_it() {
    let attack = Attack::new();
    for refspec in [
        "HEAD:refs/heads/main",
        "HEAD:refs/heads/other",
        ":refs/heads/main",
    ] {
        let output = attack.push(fleet::DEPLOY, refspec);
        assert!(!output.ok(), "{refspec}: {output:?}");
    }
    let head = attack.git(&["ls-remote", &fleet::url(fleet::DEPLOY), "refs/heads/*"]);
    assert_eq!(
        head.stdout,
        format!("{}\trefs/heads/main\n", attack.lab.first_commit())
    );
}

#[test]
fn a_host_adds_to_its_own_reports_only() {
    let attack = Attack::new();
    let own = "refs/heads/hosts/web1";
    let commit = |message: &str| {
        let made = attack.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        assert!(made.ok(), "{made:?}");
    };
    commit("first");
    let first = attack.push(fleet::REPORTS, &format!("HEAD:{own}"));
    assert!(first.ok(), "{first:?}");
    commit("second");
    let second = attack.push(fleet::REPORTS, &format!("HEAD:{own}"));
    assert!(second.ok(), "{second:?}");
    for (refspec, reason) in [
        ("HEAD:refs/heads/hosts/db1", "refs/heads/hosts/web1 only"),
        ("HEAD:refs/heads/main", "refs/heads/hosts/web1 only"),
        ("HEAD:refs/heads/hosts/web1x", "refs/heads/hosts/web1 only"),
        ("HEAD:refs/tags/hosts/web1", "refs/heads/hosts/web1 only"),
        ("HEAD~1:refs/heads/hosts/web1", "may only add"),
        (":refs/heads/hosts/web1", "may not delete"),
        ("HEAD^{tree}:refs/heads/hosts/web1", ""),
    ] {
        let output = attack.push(fleet::REPORTS, refspec);
        assert!(
            !output.ok() && output.stderr.contains(reason),
            "{refspec}: {output:?}"
        );
    }
    let refs = attack.git(&["ls-remote", &fleet::url(fleet::REPORTS)]);
    assert_eq!(refs.stdout.lines().count(), 1, "{refs:?}");
}

#[test]
fn a_host_gets_no_shell_and_no_other_path() {
    let attack = Attack::new();
    for line in [
        "",
        "sh",
        "cat /etc/passwd",
        "git-upload-pack '/srv/git/other.git'",
        "git-upload-pack '/srv/git/deploy.git/'",
        "git-upload-pack '/srv/git/../git/deploy.git'",
        "git-upload-pack /srv/git/deploy.git",
        "git-upload-pack '/srv/git/deploy.git'; id",
        "git-upload-pack '/srv/git/deploy.git' && id",
        "git-upload-pack '/srv/git/deploy.git'\nid",
        "git-upload-pack --exec=id '/srv/git/deploy.git'",
        "git-receive-pack '/srv/git/deploy.git'",
        "git receive-pack '/srv/git/deploy.git'",
        "git-upload-archive '/srv/git/deploy.git'",
        "git-receive-pack '/srv/git/reports.git' '$(id)'",
        "git-receive-pack '*'",
    ] {
        attack.refused(line);
    }
}

#[test]
fn a_report_without_end_is_refused() {
    let attack = Attack::new();
    let folder = attack.lab.operator().clone_path().with_file_name("attack");
    // Not to be compressed away: a fixed linear congruential generator.
    let mut state: u64 = 1;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(2 << 20)
    .collect();
    std::fs::write(folder.join("noise"), noise).expect("a file can be written");
    assert!(attack.git(&["add", "noise"]).ok());
    assert!(
        attack
            .git(&["commit", "--quiet", "--message", "noise"])
            .ok()
    );
    let output = attack.push(fleet::REPORTS, "HEAD:refs/heads/hosts/web1");
    assert!(!output.ok(), "{output:?}");
}

#[test]
fn an_operator_may_do_everything() {
    let lab = Lab::of(&["web1"]).off().start().expect("the lab starts");
    let operator = lab.operator();
    let first = operator
        .deploy(&[("a".to_owned(), "a".to_owned())].into(), "add a")
        .expect("pushed");
    operator
        .git(&["reset", "--hard", "--quiet", "HEAD~1"])
        .expect("git runs");
    let second = operator
        .commit(&[("b".to_owned(), "b".to_owned())].into(), "add b")
        .expect("made");
    assert_ne!(first, second);
    operator
        .push()
        .expect_err("a rewritten history is not a plain push");
    operator.force_push().expect("an operator may rewrite");
    let output = operator.git(&[
        "push",
        "--quiet",
        &fleet::url(fleet::REPORTS),
        "HEAD:refs/heads/hosts/web1",
    ]);
    assert!(output.expect("git runs").ok());
    assert!(operator.reports("db1").expect("readable").is_empty());
}
