//! Disks that are full to the last byte, wherever a deployment writes.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::story::{PATIENCE, Story};
use lab::test;

use crate::passes::phase;

/// A folder of a host that is on a disk of its own.
struct Disk<'a> {
    host: &'a Host,
    folder: &'static str,
}

impl<'a> Disk<'a> {
    /// Moves a folder to a disk of its own, with 40 MiB left.
    fn under(host: &'a Host, folder: &'static str) -> Result<Self> {
        let copy = "/var/lib/copy";
        host.must(["rm", "-rf", copy])?;
        host.must(["cp", "-a", folder, copy])?;
        let size = host.must(["du", "-sm", copy])?;
        let size: u32 = size.split_whitespace().next().unwrap_or("").parse()?;
        let options = format!("mode=755,size={}m", size + 40);
        host.must(["mount", "-t", "tmpfs", "-o", &options, "tmpfs", folder])?;
        host.must(["cp", "-a", &format!("{copy}/."), folder])?;
        Ok(Self { host, folder })
    }

    fn ballast(&self) -> String {
        format!("{}/ballast", self.folder)
    }

    fn fill(&self) -> Result<()> {
        let to = format!("of={}", self.ballast());
        let said = self.host.exec(["dd", "if=/dev/zero", &to, "bs=4k"])?;
        ensure!(said.stderr.contains("No space left"), "{said:?}");
        Ok(())
    }

    fn relieve(&self) -> Result<()> {
        self.host.must(["rm", &self.ballast()]).map(drop)
    }
}

/// Sees that passes end because of a full disk, in words that name the file or folder.
fn complains(story: &Story, words: &str) -> Result<()> {
    let wanted = format!("says that there is no space left, and {words}");
    let web1 = story.host("web1")?;
    web1.wait_until(&wanted, PATIENCE, |host| {
        let said = lab::story::shown(host, &["nixus", "status"])?;
        Ok(said.lines().any(|line| {
            line.starts_with("waiting")
                && (line.contains("No space left on device") || line.contains("bytes left"))
                && line.contains(words)
        }))
    })
}

#[test(long)]
fn a_full_disk_stops_a_deployment_and_nothing_else() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    for (folder, words) in [
        ("/nix/store", "/nix/store"),
        ("/nix/var", "/nix/var"),
        ("/run/nixus", "/run/nixus"),
        // The ledger finds room all the same: what the copy before the last took.
        ("/var/lib/nixus", "full: /var/lib/nixus"),
        (
            "/var/lib/nixus/repository.git",
            "/var/lib/nixus/repository.git",
        ),
        ("/var/lib/nixus/reports.git", "/var/lib/nixus/reports.git"),
        ("/var/lib/nixus/switcher", "/var/lib/nixus/switcher"),
    ] {
        check(&story, web1, folder, words).with_context(|| format!("{folder} was full"))?;
    }
    Ok(())
}

fn check(story: &Story, web1: &Host, folder: &'static str, words: &str) -> Result<()> {
    let before = web1.current_system()?;
    let disk = Disk::under(web1, folder)?;
    disk.fill()?;
    let greeting = format!(r#"environment.etc."greeting".text = "{folder}";"#);
    let commit = story.lab().deploy("web1", &greeting, "greet")?;
    complains(story, words)?;
    // The watchdog of a step that could not be noted is left alone: it may have been noted.
    ensure!(web1.current_system()? == before && web1.boot_default()? == before);
    story.blames_no_commit("web1")?;
    disk.relieve()?;
    story.kept_at_last("web1", &commit)?;
    for report in story.lab().operator().reports("web1")? {
        ensure!(!report.text.contains("Rolled back"), "{}", report.text);
    }
    Ok(())
}

#[test]
fn a_disk_that_fills_up_during_the_trial_takes_the_host_back() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.stop_passes()?;
    let disk = Disk::under(web1, "/var/lib/nixus")?;
    let slow = r#"services.nixus.settings.health.soak = lib.mkForce "6s";"#;
    let commit = story.lab().deploy("web1", slow, "take long to prove")?;
    web1.start_passes()?;
    phase(web1, "on-trial")?;
    disk.fill()?;
    // What cannot be made durable is not kept; the rollback needs no disk.
    web1.wait_until("is back", PATIENCE, |host| {
        Ok(host.current_system()? == before)
    })?;
    ensure!(web1.boot_default()? == before, "the candidate would boot");
    disk.relieve()?;
    story.kept_at_last("web1", &commit)?;
    story.blames_no_commit("web1")
}
