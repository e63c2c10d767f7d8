//! A lab: a git server, an operator and some hosts, in a world of their own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::binaries;
use crate::fleet::{self, Member};
use crate::git_server;
use crate::host::Host;
use crate::keys::{self, Key};
use crate::kind::Kind;
use crate::meter::{self, Wait};
use crate::namespace::Namespace;
use crate::network;
use crate::nixos;
use crate::operator::{self, Operator};
use crate::qemu::kernel::BOOT_FILES;
use crate::seed::{self, Base, Seed};
use crate::setup;

/// What another process needs to reach into a running lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Doors {
    /// All hosts, the git server among them.
    pub hosts: BTreeMap<String, Host>,
    /// The operator.
    pub operator: Operator,
}

/// A running lab. All of it is gone when this is dropped or the process ends.
#[derive(Debug)]
pub struct Lab {
    members: BTreeMap<String, Member>,
    doors: Doors,
    // What its hosts' disks are made of.
    seeds: [Seed; 2],
    first_commit: String,
    // Last, since everything else lives in it.
    namespace: Namespace,
}

/// What a lab is made of, before it is.
#[derive(Debug, Clone)]
pub struct Builder {
    names: Vec<String>,
    common: String,
    off: bool,
    shipped: bool,
    kind: Kind,
    layers: Vec<PathBuf>,
    machines: Option<PathBuf>,
}

impl Builder {
    /// The hosts are of this kind; the git server is Debian in any case.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds lines of Nix to the module that all hosts share (`lab.nix` in the deploy repository).
    #[must_use]
    pub fn common(mut self, nix: &str) -> Self {
        self.common.push_str(nix);
        self
    }

    /// Hosts take no commit by themselves: the timer of the passes is masked.
    #[must_use]
    pub fn without_passes(self) -> Self {
        self.common("  systemd.timers.nixus-reconcile.enable = false;\n")
    }

    /// Leaves the hosts off; only the git server runs.
    #[must_use]
    pub fn off(mut self) -> Self {
        self.off = true;
        self
    }

    /// The hosts have Nixus as it is shipped: for figures. Takes a compilation.
    #[must_use]
    pub fn shipped(mut self) -> Self {
        self.shipped = true;
        self
    }

    /// Puts one more folder below the disk of every host.
    #[must_use]
    pub fn layer(mut self, layer: &Path) -> Self {
        self.layers.push(layer.to_owned());
        self
    }

    /// The hosts are NixOS machines that boot from disks of their own, with this kernel and this boot loader,
    /// each a layer: see [`crate::qemu::machine::Machine::installed`].
    #[must_use]
    pub fn machines(mut self, kernel: &Path, loader: &Path) -> Self {
        self.kind = Kind::Nixos;
        self.machines = Some(loader.to_owned());
        let files = format!("  lab.bootFiles = \"{BOOT_FILES}\";\n");
        self.off().layer(kernel).common(&files)
    }

    /// Makes the lab, and boots what is to run.
    ///
    /// # Errors
    /// One sentence about what is missing on this machine, or which host does not boot.
    pub fn start(self) -> Result<Lab> {
        let _waiting = meter::wait(Wait::Boot);
        let lab = Lab::prepare(&self)?;
        let hosts = lab.doors.hosts.values();
        let on: Vec<&Host> = hosts
            .filter(|host| !self.off || host.name == "git")
            .collect();
        for host in &on {
            host.power_on()?;
        }
        for host in &on {
            host.wait_booted()?;
        }
        Ok(lab)
    }
}

impl Lab {
    /// Makes a lab with these hosts, all booted, as the deploy repository's first commit says.
    ///
    /// # Errors
    /// Those of [`Builder::start`].
    pub fn start(names: &[&str]) -> Result<Self> {
        Self::of(names).start()
    }

    /// A lab with these hosts and a git server, to be made.
    pub fn of(names: &[&str]) -> Builder {
        Builder {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            common: String::new(),
            off: false,
            shipped: false,
            kind: Kind::current(),
            layers: Vec::new(),
            machines: None,
        }
    }

    fn prepare(plan: &Builder) -> Result<Self> {
        let machine = setup::prepare()?;
        let binaries = if plan.shipped {
            binaries::build_shipped(&machine)?
        } else {
            binaries::build(&machine)?
        };
        let mut members = Vec::new();
        for (number, name) in (11..).zip(&plan.names) {
            if name == "git" || members.iter().any(|m: &Member| m.name == *name) {
                bail!("there is a host {name} already");
            }
            members.push(Member::new(&machine, name, number)?);
        }
        let operator_key = keys::key(&machine, "operator")?;
        let server = Member::new(&machine, "git", 2)?;
        let deploy = fleet::deploy_files(&members, &plan.common, &operator_key, &server.host_key)?;
        let nixos = match plan.kind {
            Kind::StandIn => None,
            Kind::Nixos => {
                let mut nixos = nixos::prepare(&machine)?;
                nixos.builder.splice(..0, plan.layers.iter().cloned());
                Some(nixos)
            }
        };
        let stand_in = Base::StandIn(&machine.root);
        let base = nixos.as_ref().map_or(stand_in, Base::Nixos);
        let names: Vec<&str> = plan.names.iter().map(String::as_str).collect();
        let fleet = seed::seed(&machine, &binaries, base, &deploy, &names)?;
        let git = fleet::git_server_files(&operator_key);
        // CI evaluates and builds the hosts' systems on it.
        let with_fleet = |layers: &[PathBuf]| [std::slice::from_ref(&fleet.layer), layers].concat();
        let builder = nixos.as_ref().map(|nixos| with_fleet(&nixos.builder));
        let base = builder.as_deref().map_or(stand_in, Base::Server);
        let git = seed::seed(&machine, &binaries, base, &git, &["git"])?;

        let namespace = Namespace::create()?;
        let access = namespace.access().clone();
        network::make(&access)?;
        let mut hosts = BTreeMap::new();
        let mut known = String::new();
        for member in members.iter().chain([&server]) {
            let host = Host {
                name: member.name.clone(),
                address: member.address(),
                access: access.clone(),
            };
            let is_server = member.name == "git";
            let seed = if is_server { &git } else { &fleet };
            let below = match &nixos {
                None => vec![machine.root.clone()],
                Some(nixos) if is_server => with_fleet(&nixos.server),
                Some(nixos) if plan.machines.is_some() => nixos.machine.clone(),
                Some(nixos) => nixos.host.clone(),
            };
            let loader = plan.machines.iter().filter(|_| !is_server);
            let above = [&seed.layer].into_iter().chain(&plan.layers).chain(loader);
            let layers: Vec<&Path> = above.chain(&below).map(PathBuf::as_path).collect();
            host.make_disk(&layers)?;
            furnish(seed, member, &host)?;
            if is_server || plan.machines.is_none() {
                install_boot_loader(seed, member, &host)?;
            }
            known.push_str(&operator::known_host(&host.address, &member.host_key));
            hosts.insert(member.name.clone(), host);
        }
        let git_host = hosts.get("git").context("there is no git server")?.clone();
        git_server::furnish(&git_host, &members, &operator_key)?;
        let followers = members
            .iter()
            .filter_map(|member| hosts.get(&member.name).cloned())
            .collect();
        let operator = Operator {
            access,
            fleet: followers,
            key: operator_key.path,
            server: git_host,
            nixus: binaries.nixus.clone(),
            read: Arc::default(),
        };
        let mut files = deploy;
        files.insert("flake.lock".to_owned(), fleet.content.lock.clone());
        let first_commit = operator.begin(&known, &files)?;
        Ok(Self {
            members: members
                .into_iter()
                .map(|member| (member.name.clone(), member))
                .collect(),
            doors: Doors { hosts, operator },
            seeds: [fleet, git],
            first_commit,
            namespace,
        })
    }

    /// A host by its name; `git` is the git server.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.doors.host(name)
    }

    /// The operator.
    pub fn operator(&self) -> &Operator {
        &self.doors.operator
    }

    /// What another process needs to reach into this lab.
    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    /// The hosts of the fleet, by name.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// The deploy repository's first commit, which every host runs at the start.
    pub fn first_commit(&self) -> &str {
        &self.first_commit
    }

    /// The toplevel that a host runs at the start.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn first_toplevel(&self, host: &str) -> Result<&str> {
        let path = self
            .seeds
            .iter()
            .find_map(|seed| seed.content.toplevels.get(host));
        path.map(String::as_str)
            .with_context(|| format!("there is no host {host}"))
    }

    /// A host's key for the git server.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn deploy_key(&self, host: &str) -> Result<&Key> {
        let member = self
            .members
            .get(host)
            .with_context(|| format!("there is no host {host}"))?;
        Ok(&member.deploy_key)
    }

    /// The file that describes a host in the deploy repository, with more lines of Nix in it: path
    /// and text, to be given to [`Operator::deploy`].
    ///
    /// # Errors
    /// When there is no such host.
    pub fn describe(&self, host: &str, more: &str) -> Result<(String, String)> {
        let member = self
            .members
            .get(host)
            .with_context(|| format!("there is no host {host}"))?;
        Ok((
            format!("hosts/{host}.nix"),
            fleet::host_file(member.number, more),
        ))
    }

    /// Changes one host's description, commits and pushes; gives the commit's id.
    ///
    /// # Errors
    /// When there is no such host, or the push fails.
    pub fn deploy(&self, host: &str, more: &str, message: &str) -> Result<String> {
        self.operator()
            .deploy(&[self.describe(host, more)?].into(), message)
    }
}

impl Lab {
    /// Adds what was used since the last call to what the test that runs on this thread costs.
    pub(crate) fn count(&mut self) {
        self.namespace.count();
        for host in self.doors.hosts.values() {
            let waits = host.disk().join(fleet::WAITS.trim_start_matches('/'));
            // A host that never ran has none.
            meter::add_waits(&fs::read_to_string(&waits).unwrap_or_default());
            let _ = fs::write(&waits, "");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.count();
    }
}

impl Doors {
    /// The lab's PID 1, as the machine sees it; the lab lives as long as it.
    pub fn first_process(&self) -> u32 {
        self.operator.access.pid
    }

    /// A host by its name.
    ///
    /// # Errors
    /// When there is none of that name, with the names that there are.
    pub fn host(&self, name: &str) -> Result<&Host> {
        let names: Vec<&str> = self.hosts.keys().map(String::as_str).collect();
        self.hosts
            .get(name)
            .with_context(|| format!("there is no host {name}; the lab has {}", names.join(", ")))
    }
}

/// Puts on a new host's disk what an installation leaves there: the first generation as profile and
/// boot default, and the host's own keys, which are not part of a generation.
fn furnish(seed: &Seed, member: &Member, host: &Host) -> Result<()> {
    let disk = host.disk();
    let toplevel = toplevel(seed, member)?;
    let link = |target: &str, name: &str| {
        let path = disk.join(name);
        symlink(target, &path).with_context(|| format!("cannot link {}", path.display()))
    };
    link(toplevel, "nix/var/nix/profiles/system-1-link")?;
    link("system-1-link", "nix/var/nix/profiles/system")?;
    link("/run/current-system", "nix/var/nix/gcroots/current-system")?;
    link("/run/booted-system", "nix/var/nix/gcroots/booted-system")?;
    let write = |name: &str, text: &str, mode: u32| -> Result<()> {
        let path = disk.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    write("etc/NIXOS", "", 0o644)?;
    // Any 32 digits; the address makes it the host's own.
    write(
        "etc/machine-id",
        &format!("{:032x}\n", 0x6c61_6200 + u64::from(member.number)),
        0o444,
    )?;
    let secret = |from: &Path| fleet::read(from);
    write(
        "var/lib/lab-keys/deploy_key",
        &secret(&member.deploy_key.path)?,
        0o600,
    )?;
    write(
        "var/lib/lab-keys/ssh_host_ed25519_key",
        &secret(&member.host_key.path)?,
        0o600,
    )
}

/// The same for the boot loader. A machine does this by itself.
fn install_boot_loader(seed: &Seed, member: &Member, host: &Host) -> Result<()> {
    let toplevel = toplevel(seed, member)?;
    let install = format!("{toplevel}/bin/install-bootloader");
    let root = format!("{}/root", host.folder());
    let words = ["chroot", &root, &install, toplevel];
    host.access.must(&words, None).map(drop)
}

fn toplevel<'a>(seed: &'a Seed, member: &Member) -> Result<&'a str> {
    let found = seed.content.toplevels.get(&member.name);
    found
        .map(String::as_str)
        .with_context(|| format!("no system was made for {}", member.name))
}
