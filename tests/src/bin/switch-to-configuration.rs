//! `bin/switch-to-configuration` of the lab's systems; see [`lab::stc`].

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lab::stc::actions::{self, Action};
use lab::stc::bootloader;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [command, toplevel] if command == "install-bootloader" => bootloader::install(
            Path::new("/boot"),
            Path::new("/nix/var/nix/profiles"),
            Path::new(toplevel),
        )
        .map(|()| 0),
        [name] => match (Action::from_name(name), env::var_os("TOPLEVEL")) {
            (Some(action), Some(toplevel)) => actions::run(action, name, &PathBuf::from(toplevel)),
            _ => return usage(),
        },
        _ => return usage(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(actions::FAILED)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: switch-to-configuration [check|dry-activate|test|boot|switch]");
    ExitCode::from(actions::FAILED)
}
