//! `nixus man` and `nixus completions`: made of the command lines of all programs.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;
use nixus_switcher::cli::Arguments as Switching;

use super::exit_code::{CommandError, Exit, Failed};
use crate::secrets::cli::Arguments as Opening;

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus completions bash > /etc/bash_completion.d/nixus
  nixus completions fish > ~/.config/fish/completions/nixus.fish
  nixus completions bash --switcher > /etc/bash_completion.d/nixus-switcher")]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
    /// Those of `nixus-switcher`.
    #[arg(long)]
    pub switcher: bool,
}

impl Completions {
    /// Prints the completions; `own` is the command line of `nixus`.
    ///
    /// # Errors
    /// None.
    pub fn run(&self, own: &clap::Command) -> Result<Exit, CommandError> {
        let (mut command, name) = match self.switcher {
            true => (Switching::command(), "nixus-switcher"),
            false => (own.clone(), "nixus"),
        };
        clap_complete::generate(self.shell, &mut command, name, &mut io::stdout());
        Ok(Exit::Done)
    }
}

/// Print the manual page, or write one page for each command into a directory, those of
/// `nixus-switcher` and `nixus-secrets` too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus man | man -l -
  nixus man /usr/local/share/man/man1")]
pub struct Man {
    /// The directory.
    pub directory: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the pages; `own` is the command line of `nixus`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn run(&self, own: &clap::Command) -> Result<Exit, CommandError> {
        manual(own, self.directory.as_deref())?;
        Ok(Exit::Done)
    }
}

/// Prints the page of `nixus`, or writes the pages of all programs and commands into a folder.
fn manual(own: &clap::Command, directory: Option<&Path>) -> Result<(), CommandError> {
    match directory {
        Some(directory) => std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(own.clone(), directory))
            .and_then(|()| clap_mangen::generate_to(Switching::command(), directory))
            .and_then(|()| pages_of_the_system(Opening::command(), directory))
            .map_err(|error| {
                let what = format!("cannot write manual pages to {}", directory.display());
                Failed::because(what, error).into()
            }),
        None => Page::new(own.clone())
            .render(&mut io::stdout())
            .map_err(|error| Failed::because("cannot print the manual page", error).into()),
    }
}

/// What only a system runs has its pages in section 8 (man-pages(7)): those of `nixus secrets` are called
/// nixus-secrets too.
fn pages_of_the_system(mut command: clap::Command, directory: &Path) -> io::Result<()> {
    command = command.disable_help_subcommand(true);
    command.build();
    for page in std::iter::once(&command).chain(command.get_subcommands()) {
        Page::new(page.clone())
            .section("8")
            .generate_to(directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let own = crate::cli::Cli::command();
        manual(&own, Some(folder.path())).unwrap();
        for (page, words) in [
            ("nixus.1", "nixus\\-secrets(1)"),
            ("nixus-secrets.1", "nixus\\-secrets\\-edit(1)"),
            ("nixus-secrets-check.1", "who can open what"),
            ("nixus-secrets.8", "nixus\\-secrets\\-activate(8)"),
            ("nixus-secrets-check.8", "whether an activation could"),
            ("nixus-switcher-revert.1", "nixus\\-switcher revert"),
        ] {
            let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
            assert!(text.contains(words), "{page} lacks {words}: {text}");
        }
    }
}
