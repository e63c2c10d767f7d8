//! Manual pages of all programs, made of their command lines.

use std::io;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;
use nixus::cli::Cli;
use nixus::secrets::cli::Arguments as Opening;
use nixus_switcher::cli::Arguments as Switching;

/// Prints the page of `nixus`, or writes the pages of all programs and commands into a folder.
pub fn manual(directory: Option<&Path>) -> anyhow::Result<()> {
    match directory {
        Some(directory) => std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
            .and_then(|()| clap_mangen::generate_to(Switching::command(), directory))
            .and_then(|()| pages_of_the_system(Opening::command(), directory))
            .with_context(|| format!("cannot write manual pages to {}", directory.display())),
        None => Man::new(Cli::command())
            .render(&mut io::stdout())
            .context("cannot print the manual page"),
    }
}

/// What only a system runs has its pages in section 8 (man-pages(7)): those of `nixus secrets` are called
/// nixus-secrets too.
fn pages_of_the_system(mut command: clap::Command, directory: &Path) -> io::Result<()> {
    command = command.disable_help_subcommand(true);
    command.build();
    for page in std::iter::once(&command).chain(command.get_subcommands()) {
        Man::new(page.clone()).section("8").generate_to(directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        manual(Some(folder.path())).unwrap();
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
