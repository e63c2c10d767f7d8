//! `lab walk`: one host through its states, with what `nixus status`, `log` and `fleet` print in each.
//! `reconciler/docs/states.md` shows what it printed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::story::{Story, deployments, status};
use lab::{Host, Lab, Output, fleet};

/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(240);
/// A build that can be looked at.
const SLOW_BUILD: &str =
    r#"environment.systemPackages = [ (pkgs.runCommand "slow" { } "sleep 8; mkdir $out") ];"#;
/// A trial that can be looked at.
const SLOW_TRIAL: &str = r#"environment.etc."menu".text = "one"; services.nixus.settings.health.soak = lib.mkForce "8s";"#;
/// The same, for a trial that is not looked at.
const SHORT_TRIAL: &str = r#"environment.etc."menu".text = "short";"#;
const LONG_MENU: &str = r#"environment.etc."menu".text = "long";"#;
/// The same for a trial that something is done to.
const SLOWER_TRIAL: &str = r#"environment.etc."menu".text = "two"; services.nixus.settings.health.soak = lib.mkForce "20s";"#;

/// An activation that fails, after it took away what the rollback does not know how to set.
const TAKES_AN_ADDRESS: &str = r#"
  systemd.services.shop = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = { Type = "oneshot"; ExecStart = "/bin/false"; };
  };
  system.activationScripts.takes =
    "if [ \"$NIXOS_ACTION\" = test ]; then ip address del 10.78.0.11/24 dev host0 || true; fi";
"#;

/// One more address, which something on the disk takes away at each boot.
const DECLARES_AN_ADDRESS: &str = r#"
  systemd.network.networks."10-lab".address = lib.mkAfter [ "10.78.0.11/24" ];
  systemd.services.spoils = {
    wantedBy = [ "multi-user.target" ];
    after = [ "systemd-networkd.service" ];
    restartIfChanged = false;
    unitConfig.ConditionPathExists = "/var/lib/broken";
    serviceConfig.Type = "oneshot";
    script = ''
      PATH=$PATH:/usr/local/bin:/usr/local/sbin
      until ip address del 10.78.0.11/24 dev host0; do sleep 0.1; done
    '';
  };
"#;

struct Walk {
    story: Story,
}

/// Takes a host through its states, or only through those of one part.
pub fn walk(only: Option<&str>) -> Result<ExitCode> {
    let walk = Walk {
        story: Story::over(Lab::start(&["web1"])?),
    };
    walk.say("A host that follows no repository yet.");
    walk.host()?
        .wait_until("waits", PATIENCE, |host| Ok(waits(host, "not-adopted")))?;
    walk.status(&["waiting", "next"])?;
    walk.show(&["nixus", "adopt"])?;
    let first = walk.lab().first_commit().to_owned();
    walk.story.kept("web1", &first)?;
    walk.status(&[])?;
    type Part = fn(&Walk) -> Result<()>;
    let parts: [(&str, Part); 10] = [
        ("good", Walk::good),
        ("bad", Walk::bad),
        ("held", Walk::held),
        ("rollback", Walk::rollback),
        ("unfit", Walk::unfit),
        ("stuck", Walk::stuck),
        ("outage", Walk::outage),
        ("repository", Walk::repository),
        ("rescue", Walk::rescue),
        ("damage", Walk::damage),
    ];
    for (name, part) in parts {
        if only.is_none_or(|only| only == name) {
            part(&walk)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Walk {
    fn lab(&self) -> &Lab {
        self.story.lab()
    }

    fn host(&self) -> Result<&Host> {
        self.story.host("web1")
    }

    fn say(&self, text: &str) {
        println!("\n# {text}");
    }

    /// Prints a command and what it prints.
    fn show(&self, command: &[&str]) -> Result<Output> {
        println!("$ {}", command.join(" "));
        let output = self.host()?.exec(command.iter().copied())?;
        print!("{}{}", output.stdout, output.stderr);
        Ok(output)
    }

    /// Prints the status, or only these of its lines.
    fn status(&self, lines: &[&str]) -> Result<()> {
        if lines.is_empty() {
            self.show(&["nixus", "status"])?;
            return Ok(());
        }
        println!("$ nixus status | grep -E '^({})'", lines.join("|"));
        let output = lab::story::shown(self.host()?, &["nixus", "status"])?;
        for line in output
            .lines()
            .filter(|line| lines.iter().any(|name| line.starts_with(name)))
        {
            println!("{line}");
        }
        Ok(())
    }

    fn fleet(&self) -> Result<()> {
        self.show(&["nixus", "fleet"]).map(drop)
    }

    fn push(&self, more: &str, subject: &str) -> Result<String> {
        let commit = self.lab().deploy("web1", more, subject)?;
        println!("$ git push    # {} \"{subject}\"", &commit[..7]);
        Ok(commit)
    }

    /// Waits until passes end for this reason, and shows it.
    fn waits_for(&self, reason: &str) -> Result<()> {
        let wanted = format!("waits: {reason}");
        self.host()?
            .wait_until(&wanted, PATIENCE, |host| Ok(waits(host, reason)))?;
        self.status(&["open", "waiting", "next"])
    }

    /// The same, for this commit.
    fn waits_with(&self, reason: &str, commit: &str) -> Result<()> {
        let wanted = format!("waits with {commit}: {reason}");
        self.host()?.wait_until(&wanted, PATIENCE, |host| {
            let last = status(host)?;
            let last = last.pointer("/last_pass/waits_for");
            let is =
                |key: &str, value: &str| last.and_then(|last| last.get(key)) == Some(&value.into());
            Ok(is("reason", reason) && is("commit", commit))
        })?;
        self.status(&["open", "waiting", "next"])
    }

    fn on_trial(&self) -> Result<()> {
        self.host()?.wait_until("is on trial", PATIENCE, |host| {
            Ok(status(host)?.pointer("/open/phase") == Some(&"on-trial".into()))
        })
    }

    fn good(&self) -> Result<()> {
        self.say("A good commit: it is built,");
        let commit = self.push(SLOW_BUILD, "package our tool")?;
        self.host()?.wait_until("builds", PATIENCE, |_| {
            let reports = self.lab().operator().reports("web1")?;
            Ok(reports.iter().any(|report| report.commit.id == commit))
        })?;
        self.fleet()?;
        self.story.kept("web1", &commit)?;
        self.say("another one is on trial,");
        let commit = self.push(SLOW_TRIAL, "print a menu")?;
        self.on_trial()?;
        self.status(&["running", "commit", "boot", "open", "waiting", "next"])?;
        self.story.kept("web1", &commit)?;
        self.say("and kept.");
        self.status(&[])?;
        self.show(&["nixus", "log", "-n", "3"])?;
        self.fleet()
    }

    fn bad(&self) -> Result<()> {
        self.say("A commit whose activation fails.");
        let commit = self.push(r#"lab.break.activation = "exit1";"#, "break the activation")?;
        self.waits_with("quarantined", &commit)?;
        self.status(&["last failure", "quarantined"])?;
        self.show(&["nixus", "log", "--verbose", "-n", "1"])?;
        self.fleet()?;
        self.say("A commit that does not build.");
        let commit = self.push(r#"networking.hostNaem = "web1";"#, "name the host")?;
        self.waits_with("quarantined", &commit)?;
        self.show(&["nixus", "retry"])?;
        self.say("A commit whose system cannot take over without a reboot.");
        let commit = self.push(r#"lab.initInterfaceVersion = "3";"#, "a new init")?;
        self.waits_with("reboot-needed", &commit)?;
        self.status(&["needs reboot"])
    }

    fn held(&self) -> Result<()> {
        self.say("An operator holds the host still.");
        self.show(&["nixus", "suspend", "--for", "2h", "moving disks"])?;
        let commit = self.push(SLOW_TRIAL, "print the menu again")?;
        self.waits_for("suspended")?;
        self.fleet()?;
        self.show(&["nixus", "resume"])?;
        self.story.kept("web1", &commit)?;
        Ok(())
    }

    fn rollback(&self) -> Result<()> {
        self.say("An operator does not like what runs, and goes back.");
        let commit = self.push(SHORT_TRIAL, "print a short menu")?;
        self.story.kept("web1", &commit)?;
        self.show(&["nixus", "rollback", "the menu is too short"])?;
        self.waits_with("quarantined", &commit)?;
        self.fleet()?;
        self.show(&["nixus", "rollback", "--to", "99"])?;
        Ok(())
    }

    fn unfit(&self) -> Result<()> {
        self.say(
            "The door for operators is shut before anything is changed: a commit may open it.",
        );
        let host = self.host()?;
        host.stop_sshd()?;
        let commit = self.push(LONG_MENU, "print a long menu")?;
        self.story.kept("web1", &commit)?;
        self.fleet()
    }

    fn stuck(&self) -> Result<()> {
        self.say(
            "A rollback that does not restore all: an address is gone, and no boot brings it back.",
        );
        let host = self.host()?;
        let by_hand = ["ip", "address", "replace", "10.78.0.11/24", "dev", "host0"];
        let kept = self.push(DECLARES_AN_ADDRESS, "one more address")?;
        self.waits_with("up-to-date", &kept)?;
        host.write("/var/lib/broken", "")?;
        let both = format!("{DECLARES_AN_ADDRESS}{TAKES_AN_ADDRESS}");
        let commit = self.push(&both, "take an address away")?;
        host.wait_until("is stuck", PATIENCE, |host| Ok(waits(host, "stuck")))?;
        self.status(&["open", "waiting", "next", "stuck", "boot"])?;
        self.show(&["nixus-switcher", "status"])?;
        self.fleet()?;
        self.say("It ends by itself once that is put right.");
        host.must(["rm", "/var/lib/broken"])?;
        host.must(by_hand)?;
        self.waits_with("quarantined", &commit)?;
        self.show(&["nixus", "log", "-n", "3"])?;
        Ok(())
    }

    fn outage(&self) -> Result<()> {
        self.say("The git server is down.");
        let server = self.story.host("git")?;
        server.power_cut()?;
        self.waits_for("backing-off")?;
        server.start()?;
        self.say("It goes down in the middle of a trial, three times.");
        for round in 0..3 {
            if round == 0 {
                self.push(SLOWER_TRIAL, "a longer menu")?;
            }
            self.on_trial()?;
            let host = self.host()?;
            let ended = deployments(host)?.len();
            server.power_cut()?;
            // The system before has tried it too by then, and has not got through either.
            host.wait_until("goes back and waits", PATIENCE, |host| {
                Ok(deployments(host)?.len() > ended && waits(host, "backing-off"))
            })?;
            server.start()?;
        }
        self.waits_for("inconclusive")?;
        self.show(&["nixus", "log", "--verbose", "-n", "1"])?;
        Ok(())
    }

    fn repository(&self) -> Result<()> {
        self.say("Somebody rewrites the branch, and then deletes it.");
        let operator = self.lab().operator();
        let head = operator
            .git(&["rev-parse", "HEAD"])?
            .stdout
            .trim()
            .to_owned();
        operator.git(&["commit", "--quiet", "--amend", "--message", "another past"])?;
        operator.force_push()?;
        self.waits_for("history-rewritten")?;
        self.fleet()?;
        // git refuses to delete a bare repository's branch over the network; its administrator can.
        self.story.host("git")?.must([
            "git",
            "--git-dir",
            fleet::DEPLOY,
            "update-ref",
            "-d",
            "refs/heads/main",
        ])?;
        self.waits_for("no-branch")?;
        operator.git(&["reset", "--quiet", "--hard", &head])?;
        operator.force_push()?;
        Ok(())
    }

    fn rescue(&self) -> Result<()> {
        self.say("Somebody picks an older generation in the boot menu.");
        let host = self.host()?;
        let commit = self.push(SLOW_TRIAL, "print a menu once more")?;
        self.story.kept("web1", &commit)?;
        let menu = "/boot/loader/loader.conf";
        let default = host.read(menu)?;
        host.write(menu, "default nixos-generation-1.conf\n")?;
        host.reboot()?;
        host.write(menu, &default)?;
        self.waits_for("booted-other")?;
        self.status(&["running", "boot"])?;
        host.reboot()
    }

    fn damage(&self) -> Result<()> {
        self.say("A disk damages the host's state.");
        let host = self.host()?;
        for copy in ["", ".previous"] {
            let ledger = format!("/var/lib/nixus/ledger.json{copy}");
            host.write(&ledger, "{\"version\": 1, \"anch")?;
        }
        self.waits_for("state-damaged")?;
        self.status(&["damaged", "set aside"])?;
        self.show(&["nixus", "adopt", "--again"])
            .context("cannot adopt again")?;
        Ok(())
    }
}

/// Whether the last pass ended for this reason.
fn waits(host: &Host, reason: &str) -> bool {
    status(host)
        .is_ok_and(|status| status.pointer("/last_pass/waits_for/reason") == Some(&reason.into()))
}
