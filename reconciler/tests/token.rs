//! The token for HTTPS, as git itself asks the real executable for it.

use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn git_is_given_the_token_of_the_file_without_its_newline() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let mut git = Command::new("git")
        .args(["-c", "credential.helper=", "credential", "fill"])
        .env("GIT_ASKPASS", env!("CARGO_BIN_EXE_nixus"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("NIXUS_CALLED_AS_ASKPASS", "1")
        .env("NIXUS_TOKEN_FILE", &file)
        .env("NIXUS_TOKEN_SERVER", "https://git.example")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = git.stdin.take().unwrap();
    input
        .write_all(b"protocol=https\nhost=git.example\n\n")
        .unwrap();
    drop(input);
    let output = git.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("username=x-access-token\n"), "{said}");
    assert!(said.contains("password=s3cret\n"), "{said}");
}
