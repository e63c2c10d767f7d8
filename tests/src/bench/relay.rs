//! Stands between a program and whoever talks to it, and counts what the program sends.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, Result};

/// Runs a program between this process's own input and output, and adds to a file a line with the
/// number of bytes that the program sent.
pub fn relay(to: &Path, command: &[String]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("there is no program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let input = child.stdin.take().context("the program has no input")?;
    let output = child.stdout.take().context("the program has no output")?;
    // Not waited for: a client may keep its end open until it sees the program's end.
    thread::spawn(move || pass(io::stdin(), input));
    let sent = pass(output, io::stdout());
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {program}"))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(to)
        .and_then(|mut file| file.write_all(format!("{sent}\n").as_bytes()))
        .with_context(|| format!("cannot write {}", to.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// The numbers that relays have written to a file, in their order; none where there is no file.
pub fn counted(file: &Path) -> Result<Vec<f64>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    text.lines()
        .map(|line| {
            line.parse()
                .with_context(|| format!("{}: {line:?} is not a number", file.display()))
        })
        .collect()
}

/// Passes everything on at once; gives how many bytes came. The other end may go away.
fn pass(mut from: impl Read, mut to: impl Write) -> u64 {
    let mut count = 0;
    let mut chunk = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        count += length as u64;
        if to
            .write_all(&chunk[..length])
            .and_then(|()| to.flush())
            .is_err()
        {
            break;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_passed_on_and_counted() {
        for length in [0, 1, 8192, 100_000] {
            let bytes = vec![7; length];
            let mut passed = Vec::new();
            assert_eq!(pass(bytes.as_slice(), &mut passed), length as u64);
            assert_eq!(passed, bytes);
        }
    }
}
