//! The power of a host: on, off at once, off and on in order.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::host::Host;
use crate::meter::{self, Wait};
use crate::namespace::remove_groups;

/// How long a boot may take.
const BOOT: Duration = Duration::from_secs(90);
/// How long the kernel may take to remove a cable.
const LINK: Duration = Duration::from_secs(10);
/// Moves itself into the host's control group, and starts the host again when it reboots: with
/// --keep-unit, systemd-nspawn leaves that to its caller by exit code 133. A PID 1 that was frozen is
/// a new one then.
const POWER: &str = r#"group=$1; shift
while echo 0 > "$group/cgroup.procs"; do
  frozen=$group/payload/init.scope/cgroup.freeze
  if [ -e "$frozen" ]; then echo 0 > "$frozen"; fi
  "$@"
  [ $? = 133 ] || exit
done"#;

/// Whether hosts can have network interfaces that a program makes.
pub fn tunnels() -> bool {
    Path::new("/dev/net/tun").exists()
}

impl Host {
    /// Switches the power on; does not wait for the boot.
    ///
    /// # Errors
    /// When it is on already.
    pub fn power_on(&self) -> Result<()> {
        let group = self.access.group(&self.name);
        if self.powered() {
            bail!("{} is running already", self.name);
        }
        meter::add_boot();
        remove_groups(&group).with_context(|| format!("cannot clear {}", group.display()))?;
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        let console = self.access.path(self.folder()).join("console");
        let console = fs::File::options()
            .create(true)
            .append(true)
            .open(&console)
            .with_context(|| format!("cannot open {}", console.display()))?;
        let inside = format!("/sys/fs/cgroup/{}/{}", self.access.group, self.name);
        let mut command = self.access.command("sh");
        command
            .args([
                "-c",
                POWER,
                "power",
                &inside,
                "systemd-nspawn",
                "--quiet",
                "--keep-unit",
            ])
            .args([
                "--register=no",
                "--network-veth",
                "--network-bridge=br0",
                "--resolv-conf=off",
            ])
            .args(["--timezone=off", "--link-journal=no", "--console=pipe"])
            // Memory is locked on a machine of its own; nspawn's filter refuses it unless told (seccomp-util.c,
            // @memlock).
            .arg("--capability=CAP_IPC_LOCK")
            // WireGuard without the kernel's needs it (the stand-in's lab.nix).
            .args(tunnels().then_some("--bind=/dev/net/tun"))
            .arg(format!("--machine={}", self.name))
            .arg(format!("--directory={}/root", self.folder()))
            .arg("/lab-boot")
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("cannot share the console")?)
            .stderr(console);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        // Reaped when the host is off; nobody needs the exit code.
        thread::spawn(move || child.wait());
        let start = Instant::now();
        while !self.powered() && start.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Switches the power on and waits until systemd has started everything.
    ///
    /// # Errors
    /// When it does not boot, with the end of its console.
    pub fn start(&self) -> Result<()> {
        self.power_on()?;
        self.wait_booted()
    }

    /// Waits until systemd has started everything.
    ///
    /// # Errors
    /// When it does not boot, with the end of its console.
    pub fn wait_booted(&self) -> Result<()> {
        let _waiting = meter::wait(Wait::Boot);
        self.wait_until("has booted", BOOT, |host| {
            if !host.powered() {
                bail!("it went off: {}", host.console().unwrap_or_default().trim());
            }
            Ok(host.settled())
        })
    }

    /// Whether systemd has started everything; waits for it as soon as systemd can be asked.
    pub fn settled(&self) -> bool {
        // Asked over this socket; where it is not there yet, nobody answers.
        let answers = self
            .inside()
            .is_ok_and(|inside| inside.exists("/run/systemd/private"));
        answers
            && self
                .exec(["systemctl", "is-system-running", "--wait"])
                .is_ok_and(|output| matches!(output.stdout.trim(), "running" | "degraded"))
    }

    /// Whether any process of the host exists.
    pub fn powered(&self) -> bool {
        fs::read_to_string(self.access.group(&self.name).join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// Freezes PID 1, so that systemd answers nobody, or lets it go on. Everybody else runs.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let path = self
            .access
            .group(&self.name)
            .join("payload/init.scope/cgroup.freeze");
        fs::write(&path, if frozen { "1" } else { "0" })
            .with_context(|| format!("cannot freeze {}", self.name))
    }

    /// Ends every process at once; `/run` is lost, the disk stays.
    ///
    /// # Errors
    /// When the host is off already, or its processes do not end within 10 s.
    pub fn power_cut(&self) -> Result<()> {
        let group = self.access.group(&self.name);
        if !self.powered() {
            bail!("{} is off already", self.name);
        }
        fs::write(group.join("cgroup.kill"), "1")
            .with_context(|| format!("cannot cut the power of {}", self.name))?;
        let start = Instant::now();
        while self.powered() {
            if start.elapsed() > Duration::from_secs(10) {
                bail!("processes of {} outlive a power cut", self.name);
            }
            thread::sleep(Duration::from_millis(1));
        }
        remove_groups(&group).with_context(|| format!("cannot clear {}", group.display()))?;
        // The kernel takes the network of dead processes away later, and until then a host that is
        // switched on again finds its cable's name taken. It may be gone already.
        let mut delete = self.access.command("ip");
        delete.args(["link", "delete", &self.link()]);
        command::run(&mut delete, None, LINK).map(drop)
    }

    /// An orderly reboot; returns when the host is up again.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn reboot(&self) -> Result<()> {
        let _waiting = meter::wait(Wait::Boot);
        meter::add_boot();
        let before = self.boot_id()?;
        // Now and then PID 1 is gone before it has answered; the boot id tells.
        self.exec(["systemctl", "reboot"])?;
        self.wait_until("has rebooted", BOOT, |host| {
            Ok(host.boot_id().is_ok_and(|now| now != before) && host.settled())
        })
    }
}
