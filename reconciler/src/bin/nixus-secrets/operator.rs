//! The operators' commands for secrets: nothing of a plaintext is printed but by `show`.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use nixus::cli::exit_code::{CommandError, Exit, Failed, WrongInput};
use nixus::cli::secrets::{Keys, SecretsCommand};
use nixus::cli::tables;
use nixus::eprintln;
use nixus::println;
use nixus::secrets::ciphertext::Plaintext;
use nixus::secrets::operator::{Repository, identities, name_in, open_in};
use nixus::secrets::scratch::{self, Scratch};
use nixus::secrets::{LONGEST, memory};
use tokio::signal::unix::{SignalKind, signal};

/// Does what was asked.
pub async fn run(command: &SecretsCommand) -> Result<Exit, CommandError> {
    memory::shield();
    let here = Path::new(".");
    let folder = clone_at(here)?;
    let evaluated = || Repository::evaluate(&folder, here);
    match command {
        SecretsCommand::Check { output, identity } => {
            return check(&evaluated().await?, output.json, identity);
        }
        SecretsCommand::Set { file } => {
            let repository = evaluated().await?;
            let file = repository.name(file)?;
            repository.is_used(&file)?;
            let plaintext = standard_input()?;
            let new = !repository.has(&file);
            repository.write(&file, &plaintext)?;
            said(&file, new);
        }
        // The fleet may be large, and takes no part in it.
        SecretsCommand::Show { file, keys } => show(&folder, file, keys)?,
        SecretsCommand::Edit { file, keys } => {
            let repository = evaluated().await?;
            let file = repository.name(file)?;
            repository.is_used(&file)?;
            let new = !repository.has(&file);
            let before = match new {
                true => Plaintext::default(),
                false => repository.open(&file, &identities(&keys.identity)?)?,
            };
            let after = edit(&editor(), &file, &before).await?;
            if after == before && !new {
                println!("{file} is unchanged.");
                return Ok(Exit::Done);
            }
            repository.write(&file, &after)?;
            said(&file, new);
        }
        SecretsCommand::Rekey { files, all, keys } => {
            let repository = evaluated().await?;
            let files: Vec<String> = files
                .iter()
                .map(|file| repository.name(file))
                .collect::<Result<_, _>>()?;
            rekey(&repository, &files, *all, &keys.identity)?;
        }
    }
    Ok(Exit::Done)
}

fn show(folder: &Path, file: &Path, keys: &Keys) -> Result<(), CommandError> {
    let file = name_in(folder, file)?;
    let plaintext = open_in(folder, &file, &identities(&keys.identity)?)?;
    let mut out = std::io::stdout();
    out.write_all(&plaintext)
        .and_then(|()| out.flush())
        .map_err(|error| Failed::because("cannot write to standard output", error).into())
}

fn said(file: &str, new: bool) {
    let verb = if new { "Made" } else { "Changed" };
    println!("{verb} {file}. Hosts open it once it is committed and pushed.");
    if new {
        println!("Nix sees it after `git add {file}`.");
    }
}

fn check(repository: &Repository, json: bool, keys: &[PathBuf]) -> Result<Exit, CommandError> {
    let states = match keys.is_empty() {
        true => repository.states(),
        false => repository.states_opened(&identities(keys)?),
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&states)?);
    } else if states.is_empty() {
        println!("No host has secrets: name them in `services.nixus.secrets.files`.");
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
) -> Result<(), CommandError> {
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
    // Who is new is the working tree's word: it is shown before anything is encrypted to them.
    for state in &wanted {
        println!("{}: {}", state.file, state.words());
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

/// The folder of the clone that a folder is in.
fn clone_at(here: &Path) -> Result<PathBuf, WrongInput> {
    git2::Repository::discover(here)
        .ok()
        // Without the slash at its end.
        .and_then(|repository| Some(repository.workdir()?.components().collect()))
        .ok_or_else(|| WrongInput("this folder is not a clone of the deploy repository".to_owned()))
}

fn standard_input() -> Result<Plaintext, CommandError> {
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
        .map_err(|error| WrongInput(format!("cannot read standard input: {error}")))?;
    if plaintext.len() > LONGEST {
        return Err(WrongInput(format!("a secret has at most {LONGEST} bytes")).into());
    }
    // Most likely it is what a program that failed has left.
    if plaintext.is_empty() {
        return Err(WrongInput("standard input is empty: that is not a secret".to_owned()).into());
    }
    Ok(plaintext)
}

/// The editor and its arguments (environ(7)).
fn editor() -> String {
    let named = ["VISUAL", "EDITOR"].map(|name| std::env::var(name).unwrap_or_default());
    let named = named.into_iter().find(|editor| !editor.trim().is_empty());
    named.unwrap_or_else(|| "vi".to_owned())
}

/// Has a person change a text in their editor, in a file that is never on a disk.
async fn edit(editor: &str, file: &str, before: &[u8]) -> Result<Plaintext, CommandError> {
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let name = Path::new(file).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    // Editors choose colours by the ending.
    let name = name.strip_suffix(".age").unwrap_or(&name).to_owned();
    let scratch = Scratch::new(&scratch::folders(), &name, before)?;
    // Whoever is ended in the middle still wipes the file. An interrupt is meant for the editor.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failed::because("cannot wait for signals", error))?;
    let mut end = signal(SignalKind::terminate())
        .map_err(|error| Failed::because("cannot wait for signals", error))?;
    let mut hang_up = signal(SignalKind::hangup())
        .map_err(|error| Failed::because("cannot wait for signals", error))?;
    let mut child = tokio::process::Command::new(program)
        .args(words)
        .arg(scratch.path())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            WrongInput(format!(
                "cannot start the editor {program:?} (EDITOR): {error}"
            ))
        })?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break Some(status.map_err(|error| Failed::because("lost contact with the editor", error))?),
            _ = interrupt.recv() => {}
            _ = end.recv() => break None,
            _ = hang_up.recv() => break None,
        }
    };
    let Some(status) = status else {
        // It is gone before its file is wiped, or it could write once more.
        child
            .kill()
            .await
            .map_err(|error| Failed::because("cannot end the editor", error))?;
        return Err(Failed::new(format!("ended; {file} is unchanged")).into());
    };
    if !status.success() {
        return Err(Failed::new(format!(
            "{program} ended with {status}; {file} is unchanged"
        ))
        .into());
    }
    Ok(scratch.read()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(editor: &str) -> Result<Plaintext, CommandError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(edit(editor, "secrets/db.age", b"old\n"))
    }

    #[test]
    fn wrong_input_ends_with_its_exit_code() {
        let nowhere = tempfile::tempdir().unwrap();
        let bare = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(bare.path()).unwrap();
        let table: [(CommandError, Exit); 4] = [
            (
                clone_at(nowhere.path()).unwrap_err().into(),
                Exit::WrongInput,
            ),
            (clone_at(bare.path()).unwrap_err().into(), Exit::WrongInput),
            (edited("/no/such/editor").unwrap_err(), Exit::WrongInput),
            (edited("false").unwrap_err(), Exit::Failed),
        ];
        for (error, exit) in table {
            assert_eq!(error.exit(), exit, "{error}");
        }
    }

    #[test]
    fn an_editor_changes_the_text() {
        assert_eq!(**edited("true").unwrap(), *b"old\n");
        assert_eq!(**edited("sed -i s/old/new/").unwrap(), *b"new\n");
    }
}
