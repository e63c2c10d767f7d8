//! What `lab` writes into the documents: transcripts and figures between two markers, and a picture of a terminal.
//!
//! A command that is recorded runs as a child of this program on a terminal of its own, so that everything it prints
//! is recorded as an operator sees it: the output of the programs that it starts, too. A document names the command
//! whose output it shows:
//!
//! ```text
//! <!-- begin: lab bench poll -->
//! ...
//! <!-- end: lab bench poll -->
//! ```

use std::env;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::pty::{Winsize, openpty};

mod picture;
mod terminal;

/// How many characters a line of the terminal has.
const COLUMNS: u16 = 112;
/// Where the documents are, below the repository's root.
const DOCUMENTS: &str = "reconciler/docs";

/// A command of this program whose output becomes a part of the documents.
#[derive(Debug)]
pub struct Recording<'a> {
    /// The command, as the markers name it, such as `lab bench poll`.
    pub name: &'a str,
    /// Whether the document with these markers gets the output.
    pub markdown: bool,
    /// Where a picture of the output goes.
    pub picture: Option<&'a Path>,
    /// The scenes that the picture has, by the beginnings of their headings.
    pub scenes: &'a [&'a str],
}

impl Recording<'_> {
    /// Runs the command, and writes what it printed.
    ///
    /// # Errors
    /// The command cannot be started, no document has its markers, or a file cannot be read or written. Where the
    /// command fails, nothing is written and its exit code is returned.
    pub fn make(&self) -> Result<ExitCode> {
        // Found first: the command may take an hour.
        let document = match self.markdown {
            true => Some(document_with(&root().join(DOCUMENTS), self.name)?),
            false => None,
        };
        let began = began();
        let arguments: Vec<OsString> = without_recording(env::args_os().skip(1));
        let (code, text) = run(&arguments)?;
        if code != 0 {
            eprintln!("lab: nothing was written, as the command ended with exit code {code}");
            return Ok(ExitCode::from(code));
        }
        if let Some(path) = document {
            let shown = block(&began, &command_line(&arguments), &terminal::plain(&text));
            let old = read(&path)?;
            write(&path, &replace(&old, self.name, &shown)?)?;
        }
        if let Some(path) = self.picture {
            write(path, &picture::of(self.name, &text, self.scenes))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The repository's root.
fn root() -> PathBuf {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.parent().unwrap_or(lab).to_owned()
}

/// Runs this program with these arguments; gives its exit code and what it printed, colours included.
fn run(arguments: &[OsString]) -> Result<(u8, String)> {
    let program = env::current_exe().context("cannot locate the running executable")?;
    let size = Winsize {
        ws_row: 50,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).context("cannot open a terminal")?;
    let mut command = Command::new(&program);
    command.args(arguments).stdout(Stdio::from(terminal.slave));
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // The terminal ends once nobody has its other side open.
    drop(command);
    let text = copied(File::from(terminal.master)).context("cannot read what the command prints");
    let status = child.wait().context("cannot wait for the command")?;
    let code = status
        .code()
        .map_or(1, |code| u8::try_from(code).unwrap_or(1));
    Ok((code, text?))
}

/// Everything that is printed on this terminal, which is shown meanwhile.
fn copied(terminal: File) -> io::Result<String> {
    let mut text = String::new();
    let mut lines = BufReader::new(terminal);
    let mut out = io::stdout();
    let colours = out.is_terminal();
    loop {
        let mut line = Vec::new();
        match lines.read_until(b'\n', &mut line) {
            Ok(_) => {}
            // So Linux says that nobody has the other side open any more (pty(7)).
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => {}
            Err(error) => return Err(error),
        }
        if line.is_empty() {
            return Ok(text);
        }
        let line = String::from_utf8_lossy(&line);
        text += &line;
        let shown = match colours {
            true => line.into_owned(),
            false => terminal::plain(&line),
        };
        out.write_all(shown.as_bytes())?;
        out.flush()?;
    }
}

/// These arguments without those that ask for a recording.
fn without_recording(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut value = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        if value {
            value = false;
        } else if text == "--svg" {
            value = true;
        } else if text != "--markdown" && !text.starts_with("--svg=") {
            kept.push(argument);
        }
    }
    kept
}

/// The command as somebody types it in the repository: files that are elsewhere by their names alone.
fn command_line(arguments: &[OsString]) -> String {
    let mut line = "cargo run --release -p lab --".to_owned();
    for argument in arguments {
        let path = Path::new(argument);
        let shown = match path.file_name() {
            Some(name) if path.is_absolute() => name.to_string_lossy(),
            _ => argument.to_string_lossy(),
        };
        line.push(' ');
        line += &shown;
    }
    line
}

/// When and on what the recording began: figures depend on it.
fn began() -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let date = Timestamp::now().strftime("%Y-%m-%d");
    format!(
        "Recorded on {date} (UTC), on {processors} processors with a load average of {load} at the start:"
    )
}

/// What comes between the markers.
fn block(began: &str, command: &str, text: &str) -> String {
    let longest = text
        .lines()
        .map(|line| line.chars().take_while(|c| *c == '`').count())
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    let output = lines.join("\n");
    format!("{began}\n\n{fence}console\n$ {command}\n{output}\n{fence}\n")
}

fn markers(name: &str) -> [String; 2] {
    ["begin", "end"].map(|which| format!("<!-- {which}: {name} -->\n"))
}

/// The one document with the markers of this command.
fn document_with(folder: &Path, name: &str) -> Result<PathBuf> {
    let [begin, _] = markers(name);
    let mut found = Vec::new();
    let context = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_some_and(|extension| extension == "md")
            && read(&path)?.contains(&begin)
        {
            found.push(path);
        }
    }
    ensure!(
        found.len() < 2,
        "more than one document has {}",
        begin.trim_end()
    );
    found
        .pop()
        .with_context(|| format!("no document has {}", begin.trim_end()))
}

/// The document with another block between the markers of this command.
fn replace(document: &str, name: &str, block: &str) -> Result<String> {
    let [begin, end] = markers(name);
    let (before, rest) = document
        .split_once(&begin)
        .with_context(|| format!("{} is missing", begin.trim_end()))?;
    let (old, after) = rest
        .split_once(&end)
        .with_context(|| format!("{} is missing", end.trim_end()))?;
    ensure!(
        !old.contains("<!-- begin: ") && !after.contains(&begin),
        "the markers of {name} are not in order"
    );
    Ok(format!("{before}{begin}{block}{end}{after}"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("lab: wrote {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "before\n<!-- begin: lab walk -->\nold\n<!-- end: lab walk -->\nafter\n";

    #[test]
    fn a_block_takes_the_place_of_what_is_between_its_markers_and_of_nothing_else() {
        let new = "before\n<!-- begin: lab walk -->\nnew\n<!-- end: lab walk -->\nafter\n";
        assert_eq!(replace(DOCUMENT, "lab walk", "new\n").unwrap(), new);
        assert_eq!(replace(new, "lab walk", "old\n").unwrap(), DOCUMENT);
    }

    #[test]
    fn markers_that_are_missing_or_out_of_order_change_nothing() {
        let twice = format!("{DOCUMENT}{DOCUMENT}");
        let nested = DOCUMENT.replace("old", "<!-- begin: lab demo -->");
        for (document, name) in [
            (DOCUMENT, "lab demo"),
            ("<!-- begin: lab walk -->\n", "lab walk"),
            (
                "<!-- end: lab walk -->\n<!-- begin: lab walk -->\n",
                "lab walk",
            ),
            (twice.as_str(), "lab walk"),
            (nested.as_str(), "lab walk"),
        ] {
            assert!(replace(document, name, "new\n").is_err(), "{document}");
        }
    }

    #[test]
    fn each_command_that_is_recorded_has_its_markers_in_one_document() {
        for name in [
            "lab demo",
            "lab walk",
            "lab crash",
            "lab storm",
            "lab fuzz",
            "lab bench poll",
            "lab bench switch",
            "lab bench verdict",
            "lab bench closure",
            "lab bench reports",
            "lab bench secrets",
        ] {
            let path = document_with(&root().join(DOCUMENTS), name).unwrap();
            replace(&read(&path).unwrap(), name, "").unwrap();
        }
        assert!(document_with(&root().join(DOCUMENTS), "lab up").is_err());
    }

    #[test]
    fn the_command_that_is_shown_records_nothing_and_has_no_path_of_this_machine() {
        let given = [
            "storm",
            "--markdown",
            "--svg",
            "a.svg",
            "--svg=b.svg",
            "--summary",
            "/tmp/storm.jsonl",
        ];
        let kept = without_recording(given.iter().map(OsString::from));
        assert_eq!(kept, ["storm", "--summary", "/tmp/storm.jsonl"]);
        assert_eq!(
            command_line(&kept),
            "cargo run --release -p lab -- storm --summary storm.jsonl"
        );
    }

    #[test]
    fn what_is_printed_on_a_terminal_is_recorded_to_its_end() {
        let terminal = openpty(None, None).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", "test -t 1 && echo one && printf two"])
            .stdout(Stdio::from(terminal.slave));
        let mut child = command.spawn().unwrap();
        drop(command);
        let text = copied(File::from(terminal.master)).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(terminal::plain(&text), "one\ntwo");
    }

    #[test]
    fn a_block_has_a_fence_that_its_text_does_not_close_and_no_blanks_at_the_ends_of_lines() {
        assert_eq!(
            block("Recorded:", "lab", "one  \ntwo\n\n"),
            "Recorded:\n\n```console\n$ lab\none\ntwo\n```\n"
        );
        assert!(block("Recorded:", "lab", "```\n").contains("\n````console\n"));
    }
}
