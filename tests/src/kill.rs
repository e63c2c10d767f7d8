//! The processes of a host that are killed: those of units, by the units' names.

use anyhow::Result;

use crate::host::Host;

impl Host {
    /// The units whose names match a pattern and that have begun and not ended; a unit that counts as active although its
    /// program has ended is none.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn active_units(&self, pattern: &str) -> Result<Vec<String>> {
        let listed = self.must([
            "systemctl",
            "list-units",
            "--plain",
            "--no-legend",
            "--state=active,activating,deactivating,reloading",
            pattern,
        ])?;
        Ok(listed
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.get(3) != Some(&"exited"))
            .filter_map(|words| Some((*words.first()?).to_owned()))
            .collect())
    }

    /// `kill -9` of all processes of the active units that match a pattern; gives how many units had one.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn kill_units(&self, pattern: &str) -> Result<usize> {
        let mut killed = 0;
        for unit in &self.active_units(pattern)? {
            // One that has ended meanwhile, or has no process any more, cannot be killed.
            let said = self.exec(["systemctl", "kill", "--signal=KILL", "--", unit])?;
            killed += usize::from(said.ok());
        }
        Ok(killed)
    }
}
