//! The machine: its power, its console, and SSH.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::disk::{Counts, Disk, Survival};
use super::image::{self, Boot};
use super::kernel::BOOT_FILES;
use super::nbd::Served;
use crate::command::{self, Output};
use crate::host::Host;
use crate::operator::{Operator, quote};

const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const PATH: &str =
    "PATH=/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long one command may take; the machine is slow.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a boot may take until somebody can log in: 50 s, and more where others use the processors.
const BOOT: Duration = Duration::from_secs(400);
const POLL: Duration = Duration::from_millis(20);
/// `cmpxchg16b` is left out, and there is one processor: with QEMU 7.2, the guest's kernel crashes now
/// and then in that instruction, and where it patches code that the other processor runs.
const ALWAYS: &[&str] = &[
    "-no-user-config",
    "-nodefaults",
    "-display",
    "none",
    "-machine",
    "q35",
    "-accel",
    "tcg,thread=single,tb-size=512",
    "-smp",
    "1",
    "-cpu",
    "max,-cx16",
    "-m",
    "1024",
    // Each reset ends QEMU: the firmware gets slower with each reset in one process.
    "-no-reboot",
    "-device",
    "i6300esb",
    "-action",
    "watchdog=reset",
];

/// A machine whose files are those of a host that is never started as a container.
#[derive(Debug)]
pub struct Machine {
    host: Host,
    operator: Operator,
    console: PathBuf,
    power: Option<Power>,
    starts: u32,
    /// What was done with its disk, over all starts.
    counts: Vec<Counts>,
}

/// What there is only while the power is on.
#[derive(Debug)]
struct Power {
    qemu: Child,
    disk: Served,
}

/// What a machine is started with, beside its disk.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The fault point at which the switcher is to stop in this boot.
    pub fault: Option<String>,
    /// What the machine's clock shows, as QEMU's `-rtc base=` takes it; the right time else.
    pub clock: Option<String>,
    /// A kernel and an initrd in the place of a boot loader, and their command line.
    pub kernel: Option<(PathBuf, String)>,
}

impl Machine {
    /// Makes the machine of a host that is off; its console is kept in the file `console`.
    ///
    /// # Errors
    /// When its disk cannot be made.
    pub fn new(host: &Host, operator: &Operator, layer: &Path, console: &Path) -> Result<Self> {
        Self::with(host, operator, Boot::Written(layer), console)
    }

    /// The same of a host that is NixOS: `toplevel`'s own installer writes the boot loader, on the machine
    /// itself, which is started once for that.
    ///
    /// # Errors
    /// When the disk cannot be made, or the boot loader is not installed.
    pub fn installed(
        host: &Host,
        operator: &Operator,
        layer: &Path,
        toplevel: &str,
        console: &Path,
    ) -> Result<Self> {
        let mut machine = Self::with(host, operator, Boot::Empty, console)?;
        let line = format!("console=ttyS0 panic=5 no_timer_check quiet lab.installs={toplevel}");
        let files = layer.join(BOOT_FILES.trim_start_matches('/'));
        machine.power_on(&Start {
            kernel: Some((files, line)),
            ..Start::default()
        })?;
        machine.sees("lab: the boot loader is installed", 0, BOOT)?;
        machine.is_off(Survival::None, LIMIT)?;
        Ok(machine)
    }

    fn with(host: &Host, operator: &Operator, first: Boot<'_>, console: &Path) -> Result<Self> {
        let machine = Self {
            host: host.clone(),
            operator: operator.clone(),
            console: console.to_owned(),
            power: None,
            starts: 0,
            counts: Vec::new(),
        };
        image::make(host, first, &machine.inside("disk"))?;
        let variables = host.access.path(machine.inside("variables"));
        fs::copy(VARIABLES, &variables).context("cannot make the firmware's variables")?;
        fs::write(console, "").with_context(|| format!("cannot write {}", console.display()))?;
        let link = machine.host.link();
        for arguments in [
            &["ip", "tuntap", "add", "dev", &link, "mode", "tap"][..],
            &["ip", "link", "set", &link, "master", "br0", "up"],
        ] {
            host.access.must(arguments, None)?;
        }
        Ok(machine)
    }

    fn inside(&self, name: &str) -> String {
        format!("{}/{name}", self.host.folder())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// Where its console is kept.
    pub fn console_path(&self) -> &Path {
        &self.console
    }

    /// Switches the power on; does not wait for the boot.
    ///
    /// # Errors
    /// When it is on already, or QEMU cannot be started.
    pub fn power_on(&mut self, start: &Start) -> Result<()> {
        if self.power.is_some() {
            bail!("{} is on already", self.host.name);
        }
        self.starts += 1;
        let path = self.host.access.path(self.inside("disk"));
        let disk = Disk::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let socket = self.inside("disk.socket");
        let served = Served::start(disk, &self.host.access.path(&socket))?;
        let mut command = self.host.access.command("qemu-system-x86_64");
        command
            .args(ALWAYS)
            .arg("-pidfile")
            .arg(self.inside("pid"))
            .args([
                "-drive",
                &format!("if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}"),
            ])
            .args([
                "-drive",
                &format!(
                    "if=pflash,unit=1,format=raw,file={}",
                    self.inside("variables")
                ),
            ])
            .args([
                "-chardev",
                &format!("file,id=console,append=on,path={}", self.console.display()),
            ])
            .args(["-serial", "chardev:console"])
            .args([
                "-drive",
                &format!(
                    "if=none,id=disk,format=raw,cache=writeback,file=nbd+unix:///?socket={socket}"
                ),
            ])
            // Not NVMe: QEMU 7.2 drops its FUA, and what was synced would be lost.
            .args(["-device", "virtio-blk-pci,drive=disk"])
            .args([
                "-netdev",
                &format!(
                    "tap,id=net,ifname={},script=no,downscript=no",
                    self.host.link()
                ),
            ])
            .args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        if let Some(fault) = &start.fault {
            command.args(["-smbios", &format!("type=1,serial={fault}")]);
        }
        if let Some(clock) = &start.clock {
            command.args(["-rtc", &format!("base={clock}")]);
        }
        if let Some((files, line)) = &start.kernel {
            command.arg("-kernel").arg(files.join("kernel"));
            command.arg("-initrd").arg(files.join("initrd"));
            command.args(["-append", line]);
        }
        let errors = self.host.access.path(self.inside("qemu.errors"));
        let errors = fs::File::create(&errors)
            .with_context(|| format!("cannot write {}", errors.display()))?;
        let qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .context("cannot start QEMU")?;
        self.power = Some(Power { qemu, disk: served });
        Ok(())
    }

    /// Switches the power on and waits until the operator can log in.
    ///
    /// # Errors
    /// When nobody can in time, with the end of the console.
    pub fn start(&mut self, start: &Start) -> Result<()> {
        self.power_on(start)?;
        let begun = Instant::now();
        loop {
            if self.exec(&["true"]).is_ok_and(|output| output.ok()) {
                return Ok(());
            }
            if !self.powered() || begun.elapsed() > BOOT {
                bail!(
                    "nobody can log in to {} {} s after its start\n{}",
                    self.host.name,
                    begun.elapsed().as_secs(),
                    self.portrait()
                );
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether it is on.
    pub fn powered(&mut self) -> bool {
        self.power
            .as_mut()
            .is_some_and(|power| matches!(power.qemu.try_wait(), Ok(None)))
    }

    /// Cuts the power while the machine writes to its disk; what was not flushed is lost, as
    /// `survival` says.
    ///
    /// # Errors
    /// When it is off already, or QEMU does not end.
    pub fn power_cut_in_writes(&mut self, survival: Survival) -> Result<Counts> {
        // Past the page cache, so that the disk has it, and never flushed.
        self.must(&[
            "systemd-run",
            "--quiet",
            "--no-block",
            "dd",
            "if=/dev/zero",
            "of=/var/unflushed",
            "bs=4k",
            "count=20000",
            "oflag=direct",
        ])?;
        let begun = Instant::now();
        while let Some(power) = &self.power
            && power.disk.unflushed() == 0
        {
            if begun.elapsed() > LIMIT {
                bail!("{} writes nothing", self.host.name);
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.power_cut(survival)
    }

    /// Cuts the power at once; what was not flushed is lost, as `survival` says.
    ///
    /// # Errors
    /// When it is off already, or QEMU does not end.
    pub fn power_cut(&mut self, survival: Survival) -> Result<Counts> {
        if !self.powered() {
            bail!("{} is off already", self.host.name);
        }
        // The process that was started is nsenter; QEMU knows its own number.
        let pid = fs::read_to_string(self.host.access.path(self.inside("pid")))
            .context("cannot determine QEMU's process")?;
        self.host
            .access
            .must(&["kill", "-KILL", pid.trim()], None)?;
        self.is_off(survival, Duration::from_secs(20))
    }

    /// Waits until the machine has reset itself, or switched itself off. It loses what a power cut
    /// would: its memory is gone, and the disk's cache with it.
    ///
    /// # Errors
    /// When it is still on after `limit`.
    pub fn is_off(&mut self, survival: Survival, limit: Duration) -> Result<Counts> {
        let begun = Instant::now();
        while self.powered() {
            if begun.elapsed() > limit {
                bail!("{} is still on after {} s", self.host.name, limit.as_secs());
            }
            thread::sleep(POLL);
        }
        let power = self.power.take().context("it is off already")?;
        let counts = power.disk.cut(survival)?;
        self.counts.push(counts);
        Ok(counts)
    }

    /// What was done with its disk, in each start that has ended.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// Runs a command on the machine as root, over SSH. The connection is kept for the next ones:
    /// a new one takes the machine a second or more.
    ///
    /// # Errors
    /// When ssh cannot be started.
    pub fn exec(&self, arguments: &[&str]) -> Result<Output> {
        self.exec_with(arguments, None)
    }

    fn exec_with(&self, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        // One that led to a machine without power would be waited for.
        let master = format!("ControlPath={}-{}", self.inside("ssh"), self.starts);
        let mut command = self.operator.command("ssh");
        command
            .args(self.operator.ssh_options(self.operator.key()))
            .args([
                "-o",
                "ControlMaster=auto",
                "-o",
                "ControlPersist=600",
                "-o",
                &master,
            ])
            .args(["-o", "ServerAliveInterval=10"])
            .arg(format!("root@{}", self.host.address))
            .args(["--", "/usr/bin/env", PATH])
            .args(arguments.iter().map(|word| quote(word)));
        command::run(&mut command, input.map(str::as_bytes), LIMIT)
    }

    /// Runs a command that must succeed; gives its standard output.
    ///
    /// # Errors
    /// Those of [`Machine::exec`], and an exit code other than 0.
    pub fn must(&self, arguments: &[&str]) -> Result<String> {
        let output = self.exec(arguments)?;
        if !output.ok() {
            bail!(
                "{}: {} failed: {}{}",
                self.host.name,
                arguments.join(" "),
                output.stderr.trim(),
                output.stdout.trim()
            );
        }
        Ok(output.stdout)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let output = self.exec_with(&["tee", path], Some(text))?;
        if !output.ok() {
            bail!(
                "{}: cannot write {path}: {}",
                self.host.name,
                output.stderr.trim()
            );
        }
        Ok(())
    }

    /// Where the console ends now: what comes later begins here.
    pub fn console_end(&self) -> usize {
        self.console().len()
    }

    fn console(&self) -> Vec<u8> {
        fs::read(&self.console).unwrap_or_default()
    }

    /// Waits until the console shows some words, from `begin` on.
    ///
    /// # Errors
    /// After `limit`, or when the machine goes off.
    pub fn sees(&mut self, words: &str, begin: usize, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            let on = self.powered();
            let console = self.console();
            let text = String::from_utf8_lossy(console.get(begin..).unwrap_or_default());
            if text.contains(words) {
                return Ok(());
            }
            if !on || begun.elapsed() > limit {
                bail!(
                    "{} did not show {words:?} on its console within {} s{}\n{}",
                    self.host.name,
                    begun.elapsed().as_secs(),
                    if on { "" } else { ", and is off" },
                    self.portrait()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// What one wants to know of a machine that does not do what it should.
    pub fn portrait(&self) -> String {
        let errors = fs::read_to_string(self.host.access.path(self.inside("qemu.errors")));
        let console = self.console();
        let text = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(15)..)
            .unwrap_or_default();
        format!(
            "--- QEMU: {}\n--- the end of {}\n{}",
            errors.unwrap_or_default().trim(),
            self.console.display(),
            tail.join("\n")
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // QEMU is in the lab's namespace and would end with it at the latest.
        if self.powered()
            && let Err(error) = self.power_cut(Survival::None)
        {
            eprintln!("lab: cannot switch {} off: {error:#}", self.host.name);
        }
    }
}
