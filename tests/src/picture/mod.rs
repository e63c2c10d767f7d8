//! What a lab is at the beginning of a test, and the rollback to it.
//!
//! State that each deployment changes is kept as a copy: Nixus' own, profiles and roots, the boot
//! loader's files, the repositories and the operator's clone. The first system is switched to again.
//! Of everything else it is compared that it is as it was: files outside the store, mounts, units,
//! addresses, routes and packet filters. What a test has added is removed; a lab in which something
//! else changed is not used again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command;
use crate::host::Host;
use crate::laboratory::Lab;
use crate::namespace::RUN;
use crate::setup;

mod files;
mod machine;

use files::Files;
use machine::Machine;

/// What is copied back on every host, below its root.
const SAVED: [&str; 5] = [
    "boot",
    "nix/var/nix/gcroots",
    "nix/var/nix/profiles",
    "srv/git",
    "var/lib/nixus",
];
/// The units that act by themselves.
const PASSES: [&str; 3] = [
    "nixus-reconcile.timer",
    "nixus-reconcile.service",
    "nixus-report.service",
];
const COPY: Duration = Duration::from_secs(60);

/// What a lab was.
#[derive(Debug)]
pub struct Picture {
    hosts: BTreeMap<String, HostPicture>,
}

#[derive(Debug)]
struct HostPicture {
    /// The toplevel that runs.
    system: String,
    /// The one that was booted.
    booted: String,
    /// Whether passes begin by themselves.
    passes: bool,
    files: Files,
    machine: Machine,
}

impl Picture {
    /// Takes it. No pass is under way afterwards, until [`Picture::go_on`].
    ///
    /// # Errors
    /// When a host is off, or something cannot be copied.
    pub fn of(lab: &Lab) -> Result<Self> {
        let mut hosts = BTreeMap::new();
        let on = lab.doors().hosts.iter().filter(|(_, host)| host.powered());
        for (name, host) in on {
            let passes = host
                .exec(["systemctl", "is-active", "--quiet", PASSES[0]])?
                .ok();
            if passes {
                stop_passes(host)?;
            }
            let saved = saved(host);
            for path in SAVED {
                if host.disk().join(path).exists() {
                    copy(&host.disk().join(path), &saved.join(path))?;
                }
            }
            let noted = host.root()?.join("run/nixus");
            if noted.exists() {
                copy(&noted, &saved.join("run-nixus"))?;
            }
            hosts.insert(
                name.clone(),
                HostPicture {
                    system: host.current_system()?,
                    booted: host.booted_system()?,
                    passes,
                    files: Files::of(host)?,
                    machine: Machine::at_rest(host)?,
                },
            );
        }
        let operator = lab.operator().place();
        copy(&operator, &operator.with_file_name("operator.saved"))?;
        Ok(Self { hosts })
    }

    /// Lets passes begin again.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn go_on(&self, lab: &Lab) -> Result<()> {
        for (name, picture) in &self.hosts {
            if picture.passes {
                lab.host(name)?.must(["systemctl", "start", PASSES[0]])?;
            }
        }
        Ok(())
    }

    /// Brings a lab back to it.
    ///
    /// # Errors
    /// What is not as it was, and cannot be made so.
    pub fn restore(&self, lab: &Lab) -> Result<()> {
        for (name, picture) in &self.hosts {
            let host = lab.host(name)?;
            picture.restore(host).with_context(|| name.clone())?;
        }
        let operator = lab.operator().place();
        put_back(&operator.with_file_name("operator.saved"), &operator)?;
        lab.operator().forget_reports();
        Ok(())
    }
}

impl HostPicture {
    fn restore(&self, host: &Host) -> Result<()> {
        if !host.powered() {
            host.start()?;
        }
        if self.passes {
            stop_passes(host)?;
        }
        if host.booted_system()? != self.booted {
            Self::put_back(host)?;
            host.reboot()?;
            stop_passes(host)?;
        }
        if host.current_system()? != self.system {
            let switch = format!("{}/bin/switch-to-configuration", self.system);
            host.must(["env", "NIXOS_NO_CHECK=1", &switch, "test"])?;
            // It has started what its targets want.
            stop_passes(host)?;
        }
        Self::put_back(host)?;
        let saved = saved(host);
        if saved.join("run-nixus").exists() {
            put_back(&saved.join("run-nixus"), &host.root()?.join("run/nixus"))?;
        }
        self.files.restore(host)?;
        self.machine.restore(host)
    }

    /// Copies back what is kept as a copy.
    fn put_back(host: &Host) -> Result<()> {
        let saved = saved(host);
        for path in SAVED {
            let now = host.disk().join(path);
            match saved.join(path).exists() {
                true => put_back(&saved.join(path), &now)?,
                false => setup::remove_tree(&now)?,
            }
        }
        Ok(())
    }
}

/// Where the copies are, on the lab's own disk.
fn saved(host: &Host) -> PathBuf {
    host.access.path(format!("{RUN}/saved/{}", host.name))
}

fn stop_passes(host: &Host) -> Result<()> {
    host.must(["systemctl", "stop"].iter().chain(&PASSES))
        .map(drop)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--no-target-directory", "--"])
        .args([from, to]);
    command::must(&mut copy, None, COPY).map(drop)
}

/// Makes a folder what its copy is. It stays the same folder, which programs may have open.
fn put_back(saved: &Path, folder: &Path) -> Result<()> {
    let context = || format!("cannot list {}", folder.display());
    for found in fs::read_dir(folder).with_context(context)? {
        files::remove(&found.with_context(context)?.path())?;
    }
    copy(saved, folder)
}
