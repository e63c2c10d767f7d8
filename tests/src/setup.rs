//! What a machine needs before a lab can run on it: Debian packages and the hosts' base root.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{cache, command};

/// The Debian package for each program that the lab runs.
const PROGRAMS: [(&str, &str); 8] = [
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("git", "git"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("sync", "coreutils"),
];

/// The packages of the hosts' Debian.
pub(crate) const INCLUDE: &str = "systemd,systemd-sysv,udev,dbus,openssh-server,iproute2,nix-bin,nix-setup-systemd,git,ca-certificates,kmod,nftables,procps,age,lighttpd,lighttpd-mod-openssl,nginx-light,bind9,bind9-dnsutils,wireguard-go,wireguard-tools";
const SUITE: &str = "trixie";
/// What they look for is not in a host: partitions, sleep, a TPM, files of SysV, consoles, options of a
/// kernel. They run at each boot and each reload otherwise.
const NEEDLESS_GENERATORS: [&str; 10] = [
    "debug",
    "getty",
    "gpt-auto",
    "hibernate-resume",
    "rc-local",
    "run",
    "ssh",
    "system-update",
    "sysv",
    "tpm2",
];
/// What they would do is done, or concerns devices and people at a console. A generation brings what it
/// needs.
const NEEDLESS_UNITS: [&str; 9] = [
    "multi-user.target.wants/getty.target",
    "multi-user.target.wants/systemd-ask-password-wall.path",
    "multi-user.target.wants/systemd-logind.service",
    "sysinit.target.wants/ldconfig.service",
    "sysinit.target.wants/systemd-ask-password-console.path",
    "sysinit.target.wants/systemd-hwdb-update.service",
    "sysinit.target.wants/systemd-journal-catalog-update.service",
    "sysinit.target.wants/systemd-sysusers.service",
    "sysinit.target.wants/systemd-update-done.service",
];
/// The lab's boot loader and kernel, a script.
pub(crate) const BOOT: &str = include_str!("lab-boot.sh");
/// Where programs of an administrator are, also for those whose own `PATH` lacks them.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A machine on which labs can run.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The lab's own cache folder.
    pub cache: PathBuf,
    /// The read-only root file system below every host.
    pub root: PathBuf,
}

/// Checks the machine and prepares what is missing; takes about 40 s once, then nothing.
///
/// # Errors
/// One sentence about what is missing, when this is not Debian, or not root.
pub fn prepare() -> Result<Machine> {
    static DONE: OnceLock<Machine> = OnceLock::new();
    if let Some(machine) = DONE.get() {
        return Ok(machine.clone());
    }
    check_machine()?;
    let home = env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .unwrap_or("/root".into());
    let cache = Path::new(&home).join(".cache/nixus-lab");
    // Both characters separate options of an overlay mount.
    if cache.to_string_lossy().contains([':', ',']) {
        bail!(
            "the lab cannot keep its cache in {}: the path has a colon or a comma",
            cache.display()
        );
    }
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let _lock = lock(&cache.join("setup.lock"))?;
    install(&PROGRAMS)?;
    raise_limits();
    let root = cache.join(format!("root-{:016x}", recipe()));
    if !root.exists() {
        build_root(&root)?;
    }
    // For as long as this process lives.
    static USED: OnceLock<File> = OnceLock::new();
    let used = cache::hold(&root)?;
    USED.get_or_init(|| used);
    Ok(DONE.get_or_init(|| Machine { cache, root }).clone())
}

/// Takes a lock that the kernel gives back when this process ends.
///
/// # Errors
/// When the file cannot be opened or locked.
pub fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn check_machine() -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let debian = release.lines().any(|line| line == "ID=debian");
    if !debian || !Path::new("/usr/bin/apt-get").exists() {
        bail!("the lab runs on Debian 12 only: it makes its hosts from Debian's packages");
    }
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        bail!(
            "the lab needs root: it makes containers and network namespaces (nothing outside them is changed)"
        );
    }
    for (program, advice) in [
        ("cargo", "install it from https://rustup.rs"),
        ("cc", "install it with: apt-get install gcc libc6-dev"),
    ] {
        let named = if program == "cargo" {
            env::var_os("CARGO")
        } else {
            None
        };
        if named.is_none() && find(program).is_none() {
            bail!("the lab builds Nixus and found no {program}: {advice}");
        }
    }
    Ok(())
}

fn find(program: &str) -> Option<PathBuf> {
    let own = env::var("PATH").unwrap_or_default();
    own.split(':')
        .chain(PATH.split(':'))
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

/// Installs the Debian package of each program that is not there. A program with a slash in its name
/// is any file.
///
/// # Errors
/// When a package cannot be had.
pub fn install(programs: &[(&str, &'static str)]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("lab: installing the Debian packages {}", missing.join(" "));
    let limit = Duration::from_secs(600);
    let mut update = apt_get();
    command::must(update.arg("update"), None, limit)?;
    let mut install = apt_get();
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&missing);
    command::must(&mut install, None, limit)?;
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", PATH);
    command
}

/// Each systemd takes several inotify instances, and the usual 128 are for all hosts together.
fn raise_limits() {
    let path = "/proc/sys/fs/inotify/max_user_instances";
    let now = fs::read_to_string(path)
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    if now.is_some_and(|now| now < 1024) && fs::write(path, "1024").is_err() {
        eprintln!("lab: cannot raise {path}; many hosts at once may fail to boot");
    }
}

fn recipe() -> u64 {
    let mut hasher = DefaultHasher::new();
    (INCLUDE, SUITE, NEEDLESS_GENERATORS, NEEDLESS_UNITS, BOOT, 3).hash(&mut hasher);
    hasher.finish()
}

/// Debian's packages, these in addition to the hosts' own, as a folder beside `root`, which it is to become.
///
/// # Errors
/// When they cannot be had.
pub fn debian(root: &Path, more: &str) -> Result<PathBuf> {
    let new = root.with_extension("new");
    remove_tree(&new)?;
    let include = format!("{INCLUDE}{more}");
    mmdebstrap("minbase", &include, SUITE, None, &new)?;
    remove_tree(&new.join("var/lib/apt/lists"))?;
    remove_tree(&new.join("var/cache/apt"))?;
    Ok(new)
}

/// Unpacks packages of a Debian and what they need: none of their scripts runs.
///
/// # Errors
/// When they cannot be had.
pub fn unpack(include: &str, suite: &str, mirror: Option<&str>, to: &Path) -> Result<()> {
    mmdebstrap("extract", include, suite, mirror, to)
}

fn mmdebstrap(
    variant: &str,
    include: &str,
    suite: &str,
    mirror: Option<&str>,
    to: &Path,
) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command
        .arg("--quiet")
        .arg(format!("--variant={variant}"))
        .arg(format!("--include={include}"))
        .arg(suite)
        .arg(to)
        .args(mirror)
        .env("PATH", PATH);
    command::must(&mut command, None, Duration::from_secs(1200)).map(drop)
}

fn build_root(root: &Path) -> Result<()> {
    eprintln!("lab: making the hosts' Debian ({SUITE}), once, about 40 s");
    let new = debian(root, "")?;
    make_bare(&new)?;
    fs::rename(&new, root).with_context(|| format!("cannot make {}", root.display()))
}

/// Takes away from a Debian what a generation brings, or no host of the lab needs.
///
/// # Errors
/// When a file is not as Debian has it.
pub fn make_bare(new: &Path) -> Result<()> {
    // A generation brings all units that are to run; Debian's own choice would come back else.
    let units = new.join("etc/systemd/system");
    remove_tree(&units)?;
    for name in NEEDLESS_GENERATORS {
        let path = new.join(format!(
            "usr/lib/systemd/system-generators/systemd-{name}-generator"
        ));
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    for name in NEEDLESS_UNITS {
        let path = new.join("usr/lib/systemd/system").join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    // Each login, such as that of a peer, would begin a session of logind and a systemd of the user's own.
    let session = new.join("etc/pam.d/common-session");
    let text = fs::read_to_string(&session).context("cannot read the new root's PAM sessions")?;
    let lines = text.lines().filter(|line| !line.contains("pam_systemd.so"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    fs::write(&session, text).context("cannot write the new root's PAM sessions")?;
    let write = |name: &str, text: &str, mode: u32| {
        let path = new.join(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    write("lab-boot", BOOT, 0o755)?;
    write("etc/machine-id", "", 0o444)?;
    for found in fs::read_dir(new.join("etc/ssh")).context("cannot list etc/ssh of the new root")? {
        let found = found.context("cannot list etc/ssh of the new root")?;
        if found.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(found.path()).context("cannot remove a host key of the new root")?;
        }
    }
    Ok(())
}

/// Removes a folder with all that is in it, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
