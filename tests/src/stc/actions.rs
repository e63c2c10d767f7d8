//! The actions of switch-to-configuration, in the order of nixpkgs' stc.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::plan::{Active, Plan};
use super::systemctl;
use super::unit_file::UnitFile;

const RUN: &str = "/run/nixos";
const LIVE_UNITS: &str = "/etc/systemd/system";
/// nixpkgs' systemd.nix has it.
const REACTIVATION: &str = "sysinit-reactivation.target";

/// The check failed, the boot loader was not installed, or anything unforeseen.
pub const FAILED: u8 = 1;
/// `activate` failed; the units were handled nevertheless.
pub const ACTIVATION_FAILED: u8 = 2;
/// A unit failed.
pub const UNITS_FAILED: u8 = 4;
/// EAGAIN: another switch-to-configuration holds the lock.
pub const BUSY: u8 = 11;
/// The new system needs another init: reboot.
pub const REBOOT: u8 = 100;

/// What to do, the first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Only the checks.
    Check,
    /// Only say what would be done.
    DryActivate,
    /// Activate, without the boot loader.
    Test,
    /// Make it the boot default, without activating it.
    Boot,
    /// Both, the boot loader first.
    Switch,
}

impl Action {
    /// The action of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "check" => Some(Self::Check),
            "dry-activate" => Some(Self::DryActivate),
            "test" => Some(Self::Test),
            "boot" => Some(Self::Boot),
            "switch" => Some(Self::Switch),
            _ => None,
        }
    }
}

/// Carries out one action for a toplevel and gives the exit code.
///
/// # Errors
/// Anything that nixpkgs' stc reports with exit code 1.
pub fn run(action: Action, name: &str, toplevel: &Path) -> Result<u8> {
    fs::create_dir_all(RUN).with_context(|| format!("cannot make {RUN}"))?;
    let lock_path = format!("{RUN}/switch-to-configuration.lock");
    let lock = File::create(&lock_path).with_context(|| format!("cannot open {lock_path}"))?;
    if lock.try_lock().is_err() {
        eprintln!("Could not acquire lock");
        return Ok(BUSY);
    }
    if env::var_os("NIXOS_NO_CHECK").is_none_or(|value| value != "1") {
        check(toplevel, name)?;
    }
    if action == Action::Check {
        return Ok(0);
    }
    if matches!(action, Action::Boot | Action::Switch) {
        install_bootloader(toplevel)?;
    }
    if env::var_os("NIXOS_NO_SYNC").is_none_or(|value| value != "1")
        && action != Action::DryActivate
    {
        sync()?;
    }
    if action == Action::Boot {
        return Ok(0);
    }
    let interface = |system: &Path| {
        fs::read_to_string(system.join("init-interface-version")).unwrap_or_default()
    };
    if interface(Path::new("/run/current-system")) != interface(toplevel) {
        eprintln!("This configuration needs another init; reboot to switch to it");
        return Ok(REBOOT);
    }
    if action == Action::DryActivate {
        print_plan(&make_plan(toplevel)?, "would ");
        return Ok(0);
    }
    activate(name, toplevel)
}

fn check(toplevel: &Path, action: &str) -> Result<()> {
    let activate = toplevel.join("activate");
    let mode = fs::metadata(&activate)
        .with_context(|| format!("cannot find {}", activate.display()))?
        .permissions()
        .mode();
    if mode & 0o111 == 0 {
        bail!("{} is not executable", activate.display());
    }
    if let Some(program) = env::var_os("PRE_SWITCH_CHECK").filter(|program| !program.is_empty()) {
        let status = Command::new(&program)
            .arg(toplevel)
            .arg(action)
            .status()
            .context("cannot run the pre-switch check")?;
        if !status.success() {
            bail!("the pre-switch check ended with {status}");
        }
    }
    Ok(())
}

fn install_bootloader(toplevel: &Path) -> Result<()> {
    let program = env::var_os("INSTALL_BOOTLOADER").context("INSTALL_BOOTLOADER is not set")?;
    let status = Command::new(program)
        .arg(toplevel)
        .status()
        .context("cannot run the boot loader installation")?;
    if !status.success() {
        bail!("the boot loader installation ended with {status}");
    }
    Ok(())
}

fn sync() -> Result<()> {
    let status = Command::new("sync")
        .args(["--file-system", "/nix/store", "/boot"])
        .status()
        .context("cannot run sync")?;
    if !status.success() {
        bail!("sync ended with {status}");
    }
    Ok(())
}

/// The unit file that a unit is made from: an instance's template.
fn base_name(unit: &str) -> String {
    match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((template, _)), Some((_, suffix))) => format!("{template}@.{suffix}"),
        _ => unit.to_owned(),
    }
}

fn make_plan(toplevel: &Path) -> Result<Plan> {
    let live = Path::new(LIVE_UNITS);
    let candidate = toplevel.join("etc/systemd/system");
    let load = |directory: &Path, unit: &str| -> Result<Option<UnitFile>> {
        let own = UnitFile::load(directory, unit).with_context(|| format!("cannot read {unit}"))?;
        match own {
            Some(file) => Ok(Some(file)),
            None => UnitFile::load(directory, &base_name(unit))
                .with_context(|| format!("cannot read the template of {unit}")),
        }
    };
    let units = systemctl::units()?;
    let mut plan = Plan::default();
    for (name, state) in &units {
        if state != "active" && state != "activating" {
            continue;
        }
        // Targets of systemd itself are in neither directory and are started again too: they want
        // what a generation adds to them.
        let old = match load(live, name)? {
            Some(old) => old,
            None if name.ends_with(".target") && wants_units(&candidate, name) => {
                UnitFile::default()
            }
            None => continue,
        };
        let mut new = load(&candidate, name)?;
        if new.is_none() && name.ends_with(".target") && wants_units(&candidate, name) {
            new = Some(UnitFile::default());
        }
        let socket = name
            .strip_suffix(".service")
            .map(|base| format!("{base}.socket"));
        let sockets = socket
            .filter(|socket| units.get(socket).is_some_and(|state| state == "active"))
            .filter(|socket| candidate.join(socket).exists())
            .into_iter()
            .collect();
        plan.consider(&Active {
            name: name.clone(),
            old,
            new,
            sockets,
        });
    }
    Ok(plan)
}

fn wants_units(directory: &Path, target: &str) -> bool {
    ["wants", "requires"]
        .iter()
        .any(|how| directory.join(format!("{target}.{how}")).is_dir())
}

fn list_path(list: &str) -> PathBuf {
    Path::new(RUN).join(format!("{list}-list"))
}

/// What an interrupted run still had to do.
fn resume(list: &str, into: &mut BTreeSet<String>) -> Result<()> {
    let path = list_path(list);
    match fs::read_to_string(&path) {
        Ok(text) => into.extend(text.lines().filter(|l| !l.is_empty()).map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    Ok(())
}

fn record(list: &str, units: &BTreeSet<String>) -> Result<()> {
    let path = list_path(list);
    let text: String = units.iter().map(|unit| format!("{unit}\n")).collect();
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What the activation script asked for, as nixpkgs' stc takes it: a unit that ran is restarted or
/// reloaded as if its file had changed, never stopped and started; one that did not is started.
fn take_wishes(plan: &mut Plan, toplevel: &Path, before: &BTreeMap<String, String>) -> Result<()> {
    let ran = |unit: &String| {
        let state = before.get(unit).map(String::as_str);
        matches!(state, Some("active" | "activating"))
    };
    let mut restart = BTreeSet::new();
    resume("activation-restart", &mut restart)?;
    for unit in restart {
        let directory = toplevel.join("etc/systemd/system");
        let file =
            UnitFile::load(&directory, &unit).with_context(|| format!("cannot read {unit}"))?;
        plan.wish(unit.clone(), &file.unwrap_or_default(), ran(&unit));
    }
    let mut reload = BTreeSet::new();
    resume("activation-reload", &mut reload)?;
    for unit in reload {
        if ran(&unit) && !plan.restart.contains(&unit) && !plan.stop.contains(&unit) {
            plan.reload.insert(unit);
        }
    }
    record("start", &plan.start)?;
    record("restart", &plan.restart)?;
    record("reload", &plan.reload)?;
    forget("activation-restart")?;
    forget("activation-reload")
}

fn forget(list: &str) -> Result<()> {
    let path = list_path(list);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn print_plan(plan: &Plan, prefix: &str) {
    for (verb, units) in [
        ("stop", &plan.stop),
        ("NOT restart", &plan.skip),
        ("reload", &plan.reload),
        ("restart", &plan.restart),
        ("start", &plan.start),
    ] {
        if !units.is_empty() {
            let names: Vec<&str> = units.iter().map(String::as_str).collect();
            eprintln!("{prefix}{verb} the following units: {}", names.join(", "));
        }
    }
}

fn activate(action: &str, toplevel: &Path) -> Result<u8> {
    let mut plan = make_plan(toplevel)?;
    resume("start", &mut plan.start)?;
    resume("restart", &mut plan.restart)?;
    resume("reload", &mut plan.reload)?;
    // Recorded before anything is stopped, so that whoever comes after a kill starts it again.
    record("start", &plan.start)?;
    record("restart", &plan.restart)?;
    record("reload", &plan.reload)?;
    print_plan(&plan, "");
    let before = systemctl::units()?;
    let mut code = 0;
    if !systemctl::units_verb("stop", &plan.stop)? {
        code = UNITS_FAILED;
    }
    eprintln!("activating the configuration...");
    let status = Command::new(toplevel.join("activate"))
        .env("NIXOS_ACTION", action)
        .current_dir("/")
        .status()
        .context("cannot run activate")?;
    if !status.success() {
        eprintln!("activate ended with {status}");
        code = ACTIVATION_FAILED;
    }
    take_wishes(&mut plan, toplevel, &before)?;
    systemctl::verb("reset-failed")?;
    systemctl::verb("daemon-reload")?;
    // What each switch does anew before it restarts anything else.
    if toplevel
        .join("etc/systemd/system")
        .join(REACTIVATION)
        .exists()
        && !systemctl::units_verb("restart", &BTreeSet::from([REACTIVATION.to_owned()]))?
    {
        code = UNITS_FAILED;
    }
    let states = systemctl::units()?;
    let running = |unit: &String| {
        states
            .get(unit)
            .is_some_and(|s| s == "active" || s == "activating")
    };
    // What was stopped meanwhile is started, not reloaded.
    let (reload, gone): (BTreeSet<String>, BTreeSet<String>) =
        plan.reload.iter().cloned().partition(running);
    plan.start.extend(gone);
    let mut jobs = systemctl::units_verb("reload", &reload)?;
    forget("reload")?;
    jobs &= systemctl::units_verb("restart", &plan.restart)?;
    forget("restart")?;
    // A unit that another one brought up meanwhile is not in the way: starting it does nothing.
    jobs &= systemctl::units_verb("start", &plan.start)?;
    forget("start")?;
    let failed: Vec<String> = systemctl::units()?
        .into_iter()
        .filter(|(_, state)| state == "failed")
        .map(|(unit, _)| unit)
        .collect();
    if !failed.is_empty() {
        eprintln!("warning: the following units failed: {}", failed.join(", "));
    }
    if !jobs || !failed.is_empty() {
        code = UNITS_FAILED;
    }
    Ok(code)
}
