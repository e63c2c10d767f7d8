//! The operators' commands for secrets: nothing of a plaintext is printed but by `show`.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anstream::{eprintln, println};
use anyhow::{Context, bail};
use nixus::cli::SecretsCommand;
use nixus::exit_code::{Exit, WrongInput};
use nixus::secrets::ciphertext::Plaintext;
use nixus::secrets::operator::{Repository, identities};
use nixus::secrets::scratch::{self, Scratch};
use nixus::secrets::{LONGEST, memory};
use nixus::tables;
use tokio::signal::unix::{SignalKind, signal};

/// Does what was asked.
pub async fn run(command: &SecretsCommand) -> anyhow::Result<Exit> {
    memory::shield();
    let repository = Repository::evaluate(&folder()?).await?;
    match command {
        SecretsCommand::Check(output) => return check(&repository, output.json),
        SecretsCommand::Set { file } => {
            let file = repository.name(file)?;
            repository.is_used(&file)?;
            let plaintext = standard_input()?;
            let new = !repository.has(&file);
            repository.write(&file, &plaintext)?;
            said(&file, new);
        }
        SecretsCommand::Show { file, keys } => {
            let file = repository.name(file)?;
            let plaintext = repository.open(&file, &identities(&keys.identity)?)?;
            let mut out = std::io::stdout();
            out.write_all(&plaintext)
                .and_then(|()| out.flush())
                .context("cannot write to standard output")?;
        }
        SecretsCommand::Edit { file, keys } => {
            let file = repository.name(file)?;
            repository.is_used(&file)?;
            let new = !repository.has(&file);
            let before = match new {
                true => Plaintext::default(),
                false => repository.open(&file, &identities(&keys.identity)?)?,
            };
            let after = edit(&file, &before).await?;
            if after == before && !new {
                println!("{file} is unchanged.");
                return Ok(Exit::Done);
            }
            repository.write(&file, &after)?;
            said(&file, new);
        }
        SecretsCommand::Rekey { files, all, keys } => {
            let files: Vec<String> = files
                .iter()
                .map(|file| repository.name(file))
                .collect::<Result<_, _>>()?;
            rekey(&repository, &files, *all, &keys.identity)?;
        }
    }
    Ok(Exit::Done)
}

fn said(file: &str, new: bool) {
    let verb = if new { "Made" } else { "Changed" };
    println!("{verb} {file}. Hosts open it once it is committed and pushed.");
    if new {
        println!("Nix sees it after `git add {file}`.");
    }
}

fn check(repository: &Repository, json: bool) -> anyhow::Result<Exit> {
    let states = repository.states();
    if json {
        println!("{}", serde_json::to_string_pretty(&states)?);
    } else {
        println!("{}", tables::secrets(&states));
    }
    match states.iter().all(|state| state.is_well()) {
        true => Ok(Exit::Done),
        false => Ok(Exit::Failed),
    }
}

fn rekey(
    repository: &Repository,
    files: &[String],
    all: bool,
    keys: &[PathBuf],
) -> anyhow::Result<()> {
    let mut states = repository.states();
    if !files.is_empty() {
        for file in files {
            repository.is_used(file)?;
        }
        states.retain(|state| files.contains(&state.file));
    }
    let wanted: Vec<_> = states
        .iter()
        .filter(|state| state.there && (all || !state.is_well()))
        .collect();
    if wanted.is_empty() {
        println!(
            "Nothing to do: every file is encrypted to those who need it, and to nobody else."
        );
        return Ok(());
    }
    let identities = identities(keys)?;
    for state in wanted {
        let plaintext = repository.open(&state.file, &identities)?;
        repository.write(&state.file, &plaintext)?;
        println!("Encrypted {} anew to {}.", state.file, state.who.join(", "));
    }
    eprintln!(
        "Whoever could open a file before may have kept what was in it: change what they must not know."
    );
    Ok(())
}

/// The clone's own folder; the flake is there.
fn folder() -> anyhow::Result<PathBuf> {
    let no_clone = || WrongInput("this folder is no clone of the deploy repository".to_owned());
    let repository = git2::Repository::discover(".").with_context(no_clone)?;
    let folder = repository.workdir().map(Path::to_owned);
    folder.with_context(no_clone)
}

fn standard_input() -> anyhow::Result<Plaintext> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        eprintln!("Type the secret; it is shown. An end of file (Ctrl-D) ends it.");
    }
    // Grown once: what a vector leaves behind when it grows is not wiped.
    let mut plaintext = Plaintext::new(Vec::with_capacity(LONGEST + 1));
    input
        .by_ref()
        .take(LONGEST as u64 + 1)
        .read_to_end(&mut plaintext)
        .context("cannot read standard input")?;
    if plaintext.len() > LONGEST {
        bail!(WrongInput(format!("a secret has at most {LONGEST} bytes")));
    }
    Ok(plaintext)
}

/// Has a person change a text in their editor, in a file that is never on a disk.
async fn edit(file: &str, before: &[u8]) -> anyhow::Result<Plaintext> {
    let named = ["VISUAL", "EDITOR"].map(|name| std::env::var(name).unwrap_or_default());
    let named = named.into_iter().find(|editor| !editor.trim().is_empty());
    let editor = named.unwrap_or_else(|| "vi".to_owned());
    let mut words = editor.split_whitespace();
    let program = words.next().context("there is no editor")?;
    let name = Path::new(file).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    // Editors choose colours by the ending.
    let name = name.strip_suffix(".age").unwrap_or(&name).to_owned();
    let scratch = Scratch::new(&scratch::folders(), &name, before)?;
    // Whoever is ended in the middle still wipes the file. An interrupt is meant for the editor.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut end = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot wait for signals")?;
    let mut child = tokio::process::Command::new(program)
        .args(words)
        .arg(scratch.path())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| WrongInput(format!("cannot start the editor {program:?} (EDITOR)")))?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.context("lost contact with the editor")?,
            _ = interrupt.recv() => {}
            _ = end.recv() => bail!("ended; {file} is unchanged"),
            _ = hang_up.recv() => bail!("ended; {file} is unchanged"),
        }
    };
    if !status.success() {
        bail!("{program} ended with {status}; {file} is unchanged");
    }
    Ok(scratch.read()?)
}
