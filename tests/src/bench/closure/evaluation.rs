//! Which processes evaluate Nix.

use crate::bench::trace::{Image, Process};

/// How many processes became a Nix that evaluates.
pub fn evaluations(traced: &[Process]) -> f64 {
    let evaluates = |process: &&Process| {
        // What a process was before it became any program was its parent.
        process.images.iter().skip(1).any(is_evaluation)
    };
    traced.iter().filter(evaluates).count() as f64
}

fn is_evaluation(image: &Image) -> bool {
    if image.is("nix-build") || image.is("nix-instantiate") {
        return true;
    }
    let has = |found: &dyn Fn(&str) -> bool| image.command.iter().skip(1).any(|word| found(word));
    // A path of the store is built, copied or looked at without a word of Nix being read.
    let is_command = |word: &str| ["build", "eval", "derivation", "path-info"].contains(&word);
    let is_expression = |word: &str| {
        ["eval", "--expr", "--file", "-f"].contains(&word)
            || (word.contains('#') && !word.starts_with("/nix/store/"))
    };
    image.is("nix") && has(&is_command) && has(&is_expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_nix_that_evaluates_is_an_evaluation() {
        let image = |line: &str| Image {
            command: line.split(' ').map(str::to_owned).collect(),
            cpu: 0.0,
        };
        let check = |lines: &[&str], expected: f64| {
            let process = Process {
                images: lines.iter().copied().map(image).collect(),
                peak: 0,
                threads: 0,
                begun: 0.0,
                ended: 0.0,
            };
            assert_eq!(evaluations(&[process]), expected, "{lines:?}");
        };
        let build = "/usr/bin/nix build --no-link -- git+file:///r?rev=1#web1";
        check(&["nixus reconcile", "systemd-run --scope", build], 1.0);
        check(&["nixus reconcile", "nix-build --attr web1"], 1.0);
        check(&["nixus manifest create", "nix eval --json .#hosts"], 1.0);
        check(
            &["nixus manifest create", "nix eval --json --file x.nix"],
            1.0,
        );
        // It has its parent's words until it is git.
        check(&[build, "git fetch"], 0.0);
        check(&[build], 0.0);
        check(
            &["nixus reconcile", "nix build --no-link /nix/store/1-nixos"],
            0.0,
        );
        check(
            &["nixus reconcile", "nix store verify /nix/store/1-nixos"],
            0.0,
        );
        check(&["nixus reconcile", "git rev-parse build#eval"], 0.0);
    }
}
