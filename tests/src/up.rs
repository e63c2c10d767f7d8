//! `lab up`, `lab exec`, `lab down`: a fleet that stays until its prompt is left.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::story::{PATIENCE, Story};
use lab::{Doors, Kind, Lab};
use serde::{Deserialize, Serialize};

/// Where running labs leave what other processes need to find them.
const STATE: &str = "/run/nixus-lab";
/// Names the state file of the lab that a command is about.
const VARIABLE: &str = "NIXUS_LAB";

#[derive(Serialize, Deserialize)]
struct State {
    /// The process of `lab up`.
    pid: u32,
    doors: Doors,
}

/// Boots a fleet and gives a prompt; the fleet ends with it.
pub fn up(count: u8, kind: Kind) -> Result<ExitCode> {
    let names: Vec<String> = (1..=count).map(|number| format!("web{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let start = Instant::now();
    let story = Story::adopt(Lab::of(&names).kind(kind).start()?, PATIENCE)?;
    let lab = story.lab();
    eprintln!(
        "up after {:.1} s, following the deploy repository on git: {}",
        start.elapsed().as_secs_f32(),
        names.join(", ")
    );
    let file = StateFile::write(lab)?;
    let clone = lab.operator().clone_path();
    eprintln!(
        "  lab exec web1 -- nixus status     run a command on a host
  lab exec web1                     a shell on a host
  lab push                          commit and push the operator's clone of the deploy repository
  lab power-cut web1, lab start web1, lab unplug web1, lab plug web1, lab console web1
  $DEPLOY                           the clone, {}
  exit                              ends the lab (so does `lab down` in another terminal)",
        clone.display()
    );
    let shell = env::var_os("SHELL").unwrap_or_else(|| OsString::from("/bin/sh"));
    let own = env::current_exe().context("cannot determine where the lab's program is")?;
    let mut path = own
        .parent()
        .map(|p| p.as_os_str().to_owned())
        .unwrap_or_default();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut prompt = Command::new(&shell)
        .env("PATH", path)
        .env(VARIABLE, &file.0)
        .env("DEPLOY", &clone)
        .env("PS1", "lab> ")
        .spawn()
        .with_context(|| format!("cannot start {}", Path::new(&shell).display()))?;
    loop {
        if prompt
            .try_wait()
            .context("cannot wait for the prompt")?
            .is_some()
        {
            break;
        }
        // `lab down` takes the file away.
        if !file.0.exists() {
            prompt.kill().context("cannot end the prompt")?;
            prompt.wait().context("cannot end the prompt")?;
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    drop(story);
    eprintln!("the lab has ended");
    Ok(ExitCode::SUCCESS)
}

/// The state file, removed with the lab.
struct StateFile(PathBuf);

impl StateFile {
    fn write(lab: &Lab) -> Result<Self> {
        fs::create_dir_all(STATE).with_context(|| format!("cannot make {STATE}"))?;
        let path = Path::new(STATE).join(format!("{}.json", process::id()));
        let state = State {
            pid: process::id(),
            doors: lab.doors().clone(),
        };
        let text = serde_json::to_string(&state).context("cannot describe the lab")?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// The running lab: the one whose prompt this is, else the only one.
fn running() -> Result<(PathBuf, State)> {
    let mut found = Vec::new();
    if let Some(path) = env::var_os(VARIABLE) {
        found.push(PathBuf::from(path));
    } else if let Ok(entries) = fs::read_dir(STATE) {
        found.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let mut alive = Vec::new();
    for path in found {
        // What a killed lab left, perhaps one of another version, is in nobody's way.
        let pid = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            continue;
        }
        let text = lab::fleet::read(&path)?;
        let state: State = serde_json::from_str(&text)
            .with_context(|| format!("cannot understand {}", path.display()))?;
        alive.push((path, state));
    }
    if alive.len() > 1 {
        bail!("several labs are running: say which by {VARIABLE}=<a file in {STATE}>");
    }
    alive
        .pop()
        .context("no lab is running; start one with: lab up")
}

/// Runs a command on a host, with this process's own input and output.
pub fn exec(host: &str, arguments: &[String]) -> Result<ExitCode> {
    let (_, state) = running()?;
    let shell = ["bash".to_owned(), "--login".to_owned()];
    let arguments = if arguments.is_empty() {
        &shell[..]
    } else {
        arguments
    };
    let mut command = state.doors.host(host)?.command(arguments)?;
    let code = lab::command::attend(&mut command)?;
    let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Commits and pushes what was changed in the operator's clone.
pub fn push(message: &str) -> Result<ExitCode> {
    let (_, state) = running()?;
    let commit = state
        .doors
        .operator
        .deploy(&lab::fleet::Files::new(), message)?;
    println!("pushed {commit}");
    Ok(ExitCode::SUCCESS)
}

/// Does something to a host from outside.
pub fn act(name: &str, action: impl FnOnce(&lab::Host) -> Result<()>) -> Result<ExitCode> {
    let (_, state) = running()?;
    action(state.doors.host(name)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends the running lab, and waits for it.
pub fn down() -> Result<ExitCode> {
    let (path, state) = running()?;
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    let start = Instant::now();
    while Path::new(&format!("/proc/{}", state.doors.first_process())).exists() {
        if start.elapsed() > Duration::from_secs(20) {
            bail!("the lab of process {} does not end", state.pid);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(ExitCode::SUCCESS)
}
