//! NixOS on a machine that really boots, by the loaders that nixpkgs' own programs install: a generation that
//! is confirmed in place, its first boot, and the rollback from one that fails only when it is booted.
//!
//! The machine is emulated. It evaluates nothing: CI builds its systems, and it fetches them.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::caches::{self, Caches};
use lab::ci::Ci;
use lab::qemu::disk::Survival;
use lab::qemu::machine::{Machine, Start};
use lab::qemu::{come_first, kernel, loader};
use lab::test;
use lab::{Lab, setup};
use nixus::decide::report::{Report, State};
use serde_json::Value;

use lab::descriptions::FAILS_AT_BOOT;

const NAME: &str = "web1";
/// How long the machine may take for one step, the whole time of a trial and the rollback from it included; it
/// is slow, and may share this one with others.
const PATIENCE: Duration = Duration::from_secs(1500);
const POLL: Duration = Duration::from_secs(1);
/// Time for what is emulated.
const SLOW: &str = r#"
  imports = [
    (
      { lib, ... }:
      {
        services.nixus.interval = lib.mkForce "20s";
        services.nixus.settings.switch.activation_timeout = lib.mkForce "10m";
        services.nixus.settings.switch.trial_timeout = lib.mkForce "5m";
      }
    )
  ];
"#;
const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;

/// What puts the boot-proven system into the menu.
const PROVEN_PROFILE: &str = "/nix/var/nix/profiles/system-profiles/boot_proven";

/// How the system that is the loader's default came to run.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It was deployed in place.
    InPlace,
    /// It was booted.
    Booted,
}

/// A machine that follows its deploy repository.
struct Play {
    machine: Machine,
    ci: Ci,
    caches: Caches,
    lab: Lab,
    begun: Instant,
}

impl Play {
    /// Installs NixOS with this boot loader, boots it for the first time, and adopts it.
    fn begin(loader: &str) -> Result<Self> {
        come_first();
        let begun = Instant::now();
        let prepared = setup::prepare()?;
        let (kernel, newer) = (kernel::layer(&prepared)?, loader::layer(&prepared)?);
        let lab = Lab::of(&[NAME])
            .machines(&kernel, &newer)
            .common(&caches::follow_manifests(&[caches::HTTP])?)
            .common(SLOW)
            .common(loader)
            .start()?;
        let (ci, caches) = (Ci::on(&lab)?, Caches::on(&lab)?);
        caches.serve()?;
        ci.publish(lab.first_commit(), &caches)?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/machines");
        std::fs::create_dir_all(&folder).context("cannot make a folder for consoles")?;
        let name = thread::current().name().unwrap_or(NAME).replace("::", "-");
        let console = folder.join(name).with_extension("console");
        let first = lab.first_toplevel(NAME)?;
        let mut machine =
            Machine::installed(lab.host(NAME)?, lab.operator(), &kernel, first, &console)?;
        eprintln!("{NAME}: installed after {} s", begun.elapsed().as_secs());
        machine.start(&Start::default())?;
        let play = Self {
            machine,
            ci,
            caches,
            lab,
            begun,
        };
        play.is_up("the first boot")?;
        play.machine.must(&["nixus", "adopt"])?;
        play.reports(play.lab.first_commit(), State::Success, "")?;
        Ok(play)
    }

    fn says(&self, what: &str) {
        eprintln!("{NAME}: {what} after {} s", self.begun.elapsed().as_secs());
    }

    /// Waits until a boot is over, and sees that nothing of it failed.
    fn is_up(&self, what: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let state = self.machine.exec(&["systemctl", "is-system-running"])?;
            match state.stdout.trim() {
                "running" => break,
                "degraded" => {
                    let failed = self.machine.must(&["systemctl", "--failed", "--plain"])?;
                    bail!("after {what}: {failed}");
                }
                state => ensure!(begun.elapsed() < PATIENCE, "after {what} it is {state}"),
            }
            thread::sleep(POLL);
        }
        self.says(&format!("{what} is over"));
        Ok(())
    }

    /// Waits until the host says this of a commit.
    fn reports(&self, commit: &str, state: State, words: &str) -> Result<Report> {
        let begun = Instant::now();
        loop {
            let reports = self.lab.operator().reports(NAME)?;
            let of_it = |report: &&Report| report.commit.id == commit;
            let wanted = |report: &&Report| report.state == state && report.text.contains(words);
            if let Some(report) = reports.iter().filter(of_it).find(wanted) {
                self.says(&format!("{:?} of {commit}", report.text));
                return Ok(report.clone());
            }
            let last = reports.iter().rfind(of_it).map(|report| &report.text);
            ensure!(
                begun.elapsed() < PATIENCE,
                "it does not say {words:?} of {commit}, but {last:?}\n{}\n{}",
                self.machine.portrait(),
                self.machine
                    .must(&["journalctl", "--no-pager", "--lines=100"])?
            );
            thread::sleep(POLL);
        }
    }

    /// Deploys a system and sees that it is kept: it runs, it is the profile, and a boot would start it.
    fn deploys(&self, more: &str, message: &str) -> Result<(String, String)> {
        let commit = self.lab.deploy(NAME, more, message)?;
        self.ci.publish(&commit, &self.caches)?;
        self.says(&format!("{commit} is built"));
        let begin = [
            "systemctl",
            "start",
            "--no-block",
            "nixus-reconcile.service",
        ];
        self.machine.must(&begin)?;
        let toplevel = self.ci.toplevel(NAME)?;
        self.reports(&commit, State::Success, "")?;
        self.rests(&toplevel)?;
        Ok((commit, toplevel))
    }

    fn readlink(&self, link: &str) -> Result<String> {
        let found = self.machine.must(&["readlink", "-f", link])?;
        Ok(found.trim().to_owned())
    }

    /// Sees that a system runs, is the profile, and is what a boot would start.
    fn rests(&self, toplevel: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let status = self.machine.must(&["nixus-switcher", "status", "--json"])?;
            let status: Value = serde_json::from_str(&status).context("no JSON of the switcher")?;
            if status.pointer("/open") == Some(&Value::Null) {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "still open: {status}");
            thread::sleep(POLL);
        }
        for link in ["/run/current-system", "/nix/var/nix/profiles/system"] {
            let found = self.readlink(link)?;
            ensure!(found == toplevel, "{link} is {found} instead of {toplevel}");
        }
        let default = self.boot_default()?;
        ensure!(
            default == toplevel,
            "it would boot {default} instead of {toplevel}"
        );
        Ok(())
    }

    /// What the loader would start, as systemd's own program or GRUB's configuration says.
    fn boot_default(&self) -> Result<String> {
        let grub = self.machine.exec(&["cat", "/boot/grub/grub.cfg"])?;
        let options = if grub.ok() {
            ensure!(
                grub.stdout.contains("set default=0\n"),
                "another entry than the first is GRUB's default"
            );
            let first = grub.stdout.split("menuentry ").nth(1);
            first.context("GRUB has no entry")?.to_owned()
        } else {
            let listed = self.machine.must(&["bootctl", "list", "--json=short"])?;
            let entries: Vec<Value> =
                serde_json::from_str(&listed).context("no JSON of bootctl")?;
            let default = entries
                .iter()
                .find(|entry| entry["isDefault"] == Value::Bool(true));
            let options = default.and_then(|entry| entry["options"].as_str());
            options
                .with_context(|| format!("no default: {listed}"))?
                .to_owned()
        };
        options
            .split_whitespace()
            .find_map(|word| word.strip_prefix("init=")?.strip_suffix("/init"))
            .map(str::to_owned)
            .with_context(|| format!("the default names no system: {options}"))
    }

    /// The names of systemd-boot's entries.
    fn entries(&self) -> Result<Vec<String>> {
        let listed = self.machine.must(&["ls", "/boot/loader/entries"])?;
        Ok(listed.split_whitespace().map(str::to_owned).collect())
    }

    /// How systemd-boot counts the boots of its default entry, in the name of its file; empty where it does not.
    fn counters_of_default(&self) -> Result<String> {
        let conf = self.machine.must(&["cat", "/boot/loader/loader.conf"])?;
        let id = conf
            .lines()
            .find_map(|line| line.strip_prefix("preferred ")?.strip_suffix(".conf"))
            .with_context(|| format!("no preferred entry: {conf}"))?;
        let entries = self.entries()?;
        let counters = entries
            .iter()
            .find_map(|name| name.strip_prefix(id)?.strip_suffix(".conf"));
        counters
            .map(str::to_owned)
            .with_context(|| format!("no file of {id}: {entries:?}"))
    }

    /// Waits until the machine goes down, and starts it again.
    fn comes_again(&mut self, what: &str) -> Result<()> {
        self.machine.is_off(Survival::None, PATIENCE)?;
        self.says(&format!("{what}: off"));
        self.machine.start(&Start::default())?;
        self.says(&format!("{what}: on"));
        Ok(())
    }

    fn reboots(&mut self, what: &str) -> Result<()> {
        self.machine.must(&["systemctl", "reboot", "--no-block"])?;
        self.comes_again(what)
    }

    fn boot_proven(&self) -> Result<String> {
        self.readlink("/nix/var/nix/gcroots/nixus/boot-proven")
    }
}

/// The whole story with one boot loader. `looks` looks at the loader's entries at each step.
fn boot_trial(loader: &str, looks: impl Fn(&Play, Step) -> Result<()>) -> Result<()> {
    let mut play = Play::begin(loader)?;
    looks(&play, Step::Booted)?;
    let first = play.readlink("/run/booted-system")?;

    let (commit, second) = play.deploys(GREETING, "greet")?;
    looks(&play, Step::InPlace)?;
    ensure!(play.boot_proven()? == first, "it was not booted yet");
    play.reboots("the boot of the second generation")?;
    play.reports(&commit, State::Success, "boot-proven")?;
    ensure!(play.readlink("/run/booted-system")? == second);
    ensure!(play.boot_proven()? == second);
    play.is_up("the boot of the second generation")?;
    play.rests(&second)?;
    looks(&play, Step::Booted)?;

    let (commit, third) = play.deploys(FAILS_AT_BOOT, "open a shop")?;
    looks(&play, Step::InPlace)?;
    ensure!(third != second);
    play.reboots("the boot of the third generation")?;
    play.comes_again("the rollback")?;
    let report = play.reports(&commit, State::Failure, "Failed at its first boot")?;
    ensure!(report.text.contains("failed units: shop.service"));
    ensure!(play.readlink("/run/booted-system")? == second);
    ensure!(play.boot_proven()? == second);
    play.is_up("the rollback")?;
    play.rests(&second)?;
    looks(&play, Step::Booted)
}

#[test(only_nixos, machine, weight = 2, long)]
fn a_boot_trial_and_the_way_back_from_one_by_systemd_boot() -> Result<()> {
    let loader = "  boot.loader.systemd-boot.enable = true;\n";
    boot_trial(loader, |play, _| {
        let counted: Vec<String> = play.entries()?;
        ensure!(
            !counted.iter().any(|name| name.contains('+')),
            "{counted:?}"
        );
        Ok(())
    })
}

/// A new entry has three tries, of which a boot takes one; one that comes up is never counted again.
#[test(only_nixos, machine, weight = 2, long)]
fn a_boot_trial_and_the_way_back_from_one_by_systemd_boot_that_counts_boots() -> Result<()> {
    let loader = "  boot.loader.systemd-boot = { enable = true; bootCounting.enable = true; };\n";
    boot_trial(loader, |play, when| {
        let counters = play.counters_of_default()?;
        play.says(&format!("{when:?}: {counters:?} of {:?}", play.entries()?));
        let expected = match when {
            Step::InPlace => "+3",
            Step::Booted => "",
        };
        ensure!(counters == expected, "{when:?}: {counters:?}");
        Ok(())
    })
}

#[test(only_nixos, machine, weight = 2, long)]
fn a_boot_trial_and_the_way_back_from_one_by_grub() -> Result<()> {
    let loader = "  boot.loader.grub = { device = \"nodev\"; efiSupport = true; efiInstallAsRemovable = true; };\n";
    boot_trial(loader, |play, _| {
        let menu = play.machine.must(&["cat", "/boot/grub/grub.cfg"])?;
        let proven = play.machine.exec(&["test", "-e", PROVEN_PROFILE])?.ok();
        ensure!(
            menu.contains("Profile 'boot_proven'") == proven,
            "the boot-proven system is not in the menu: {menu}"
        );
        Ok(())
    })
}
