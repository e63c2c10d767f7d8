//! The network of a lab: one bridge, with the operator on it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::host::Host;
use crate::namespace::Access;

/// How long a host that is switched on may take to have a cable.
const CABLE: Duration = Duration::from_secs(10);

/// Makes the bridge and gives the operator its addresses.
///
/// # Errors
/// When `ip` refuses.
pub fn make(access: &Access) -> Result<()> {
    let script = "link set lo up\n\
        link add br0 type bridge\n\
        addr add 10.77.0.1/24 dev br0\n\
        addr add fd77::1/64 dev br0 nodad\n\
        link set br0 up\n";
    access.must(&["ip", "-batch", "-"], Some(script))?;
    Ok(())
}

impl Host {
    /// The lab's end of the host's cable.
    pub(crate) fn link(&self) -> String {
        format!("vb-{}", self.name)
    }

    /// Pulls the network plug.
    ///
    /// # Errors
    /// When the host is off.
    pub fn unplug(&self) -> Result<()> {
        self.access
            .must(&["ip", "link", "set", &self.link(), "down"], None)?;
        Ok(())
    }

    /// Switches the power on with the network plug pulled.
    ///
    /// # Errors
    /// When it is on already, or its cable does not come up to be pulled.
    pub fn power_on_unplugged(&self) -> Result<()> {
        self.power_on()?;
        let begun = Instant::now();
        // Whoever starts the host sets the cable up itself, and would do so after it was pulled.
        let is_up = || -> Result<bool> {
            let mut show = self.access.command("ip");
            show.args(["link", "show", "dev", &self.link()]);
            let shown = command::run(&mut show, None, CABLE)?;
            Ok(shown.stdout.contains("master br0") && shown.stdout.contains(",UP"))
        };
        while !is_up()? {
            if begun.elapsed() > CABLE {
                bail!("{} has no cable", self.name);
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.unplug()
    }

    /// Puts the network plug in again.
    ///
    /// # Errors
    /// When the host is off.
    pub fn plug(&self) -> Result<()> {
        self.access
            .must(&["ip", "link", "set", &self.link(), "up"], None)?;
        Ok(())
    }

    /// Slows down what reaches the host: `delay` as in `200ms`, `rate` as in `1mbit`. Lasts until
    /// the host reboots.
    ///
    /// # Errors
    /// When the host is off, or the machine's kernel has no netem.
    pub fn slow(&self, delay: &str, rate: &str) -> Result<()> {
        let link = self.link();
        let arguments = [
            "tc", "qdisc", "replace", "dev", &link, "root", "netem", "delay", delay, "rate", rate,
        ];
        match self.access.must(&arguments, None) {
            Ok(_) => Ok(()),
            Err(error) if format!("{error:#}").contains("qdisc kind is unknown") => {
                bail!("the machine's kernel has no netem: a host cannot be slowed down here")
            }
            Err(error) => Err(error).context("cannot slow the host down"),
        }
    }

    /// Limits the rate of what reaches the host, as in `1mbit`; needs no netem. Lasts until the
    /// host reboots.
    ///
    /// # Errors
    /// When the host is off, or the machine's kernel has no tbf.
    pub fn throttle(&self, rate: &str) -> Result<()> {
        let link = self.link();
        let arguments = [
            "tc", "qdisc", "replace", "dev", &link, "root", "tbf", "rate", rate, "burst", "16k",
            "latency", "400ms",
        ];
        self.access
            .must(&arguments, None)
            .context("cannot limit the rate")?;
        Ok(())
    }
}
