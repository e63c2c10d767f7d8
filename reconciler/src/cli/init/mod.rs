//! `nixus init`: asks for what was not said, and writes a deploy repository.

use std::env;
use std::io::{self, BufRead, IsTerminal, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use self::files::{Answers, InitError, init};
use super::exit_code::{CommandError, Exit, Failed, HasExit, WrongInput};
use crate::host::files::read_bounded;
use crate::println;

pub mod files;

/// The longest line that is taken for an answer, in bytes.
const LONGEST: u64 = 16 * 1024;

/// Write a deploy repository to start with; nothing is overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus init deploy
  nixus init deploy --repository ssh://git@git.example/srv/git/deploy.git \\
--server-key \"ssh-ed25519 AAAA...\" --operator-key ~/.ssh/id_ed25519.pub

On a terminal, what is not given is asked for.")]
pub struct Init {
    /// The folder, which is made if need be.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// The deploy repository's URL, as hosts will reach it.
    #[arg(long, value_name = "URL")]
    pub repository: Option<String>,
    /// The git server's host key, as in its /etc/ssh/ssh_host_ed25519_key.pub.
    #[arg(long, value_name = "KEY")]
    pub server_key: Option<String>,
    /// The public key of an operator, or the file that has it.
    #[arg(long, value_name = "KEY|FILE")]
    pub operator_key: Option<String>,
    /// The flake of Nixus.
    #[arg(long, value_name = "FLAKE")]
    pub nixus: Option<String>,
}

impl Init {
    /// Writes the deploy repository.
    ///
    /// # Errors
    /// A file is there already, an answer is not what it should be, or a file cannot be written.
    pub fn run(&self) -> Result<Exit, CommandError> {
        make(self)?;
        Ok(Exit::Done)
    }
}

impl HasExit for InitError {
    fn exit(&self) -> Exit {
        match self.is_wrong_input() {
            true => Exit::WrongInput,
            false => Exit::Failed,
        }
    }
}

fn make(asked: &Init) -> Result<(), CommandError> {
    let mut answers = Answers {
        repository: asked.repository.clone(),
        server_key: asked.server_key.clone(),
        operator_key: asked.operator_key.as_deref().map(key).transpose()?,
        nixus: asked.nixus.clone(),
    };
    if io::stdin().is_terminal() {
        ask_for(&mut answers)?;
    }
    let left = init(&asked.folder, &answers)?;
    println!("A deploy repository is in {}.", asked.folder.display());
    for (file, placeholder) in &left {
        println!("Still to be replaced in {file}: {placeholder}");
    }
    println!("Next: README.md there leads to two running hosts.");
    Ok(())
}

fn ask_for(answers: &mut Answers) -> Result<(), CommandError> {
    println!("An empty answer leaves an example in its place.");
    if answers.repository.is_none() {
        answers.repository = ask("The deploy repository, as hosts reach it (ssh://, https://)")?;
    }
    if answers.server_key.is_none() {
        answers.server_key = ask("The git server's host key (ssh-ed25519 …)")?;
    }
    if answers.operator_key.is_none() {
        let usual = usual_key();
        let question = match &usual {
            Some(path) => format!("Your public key, or its file [{}]", path.display()),
            None => "Your public key, or its file".to_owned(),
        };
        let said = ask(&question)?.or(usual.map(|path| path.display().to_string()));
        answers.operator_key = said.as_deref().map(key).transpose()?;
    }
    Ok(())
}

fn ask(question: &str) -> Result<Option<String>, CommandError> {
    let mut out = io::stdout();
    write!(out, "{question}: ")
        .and_then(|()| out.flush())
        .map_err(|error| Failed::because("cannot ask", error))?;
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(LONGEST)
        .read_line(&mut line)
        .map_err(|error| Failed::because("cannot read the answer", error))?;
    let answer = line.trim();
    Ok((!answer.is_empty()).then(|| answer.to_owned()))
}

/// A key as it is, or the one that a file has.
fn key(given: &str) -> Result<String, CommandError> {
    if !given.starts_with(['/', '.', '~']) {
        return Ok(given.to_owned());
    }
    let path = match given.strip_prefix("~/") {
        Some(rest) => home().join(rest),
        None => PathBuf::from(given),
    };
    let text = read_bounded(&path, LONGEST).map_err(|error| {
        let path = path.display();
        WrongInput(format!("cannot read the key {path}: {error}"))
    })?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

fn home() -> PathBuf {
    env::var_os("HOME").map_or_else(|| "/root".into(), PathBuf::from)
}

fn usual_key() -> Option<PathBuf> {
    let path = home().join(Path::new(".ssh/id_ed25519.pub"));
    path.is_file().then_some(path)
}
