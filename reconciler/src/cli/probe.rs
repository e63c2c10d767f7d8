//! `nixus probe`: a peer is answered, first by the forced command of its login, then by a unit that may do more.

use std::io::Write as _;
use std::path::Path;

use clap::Args;

use super::arguments::Host;
use super::exit_code::{CommandError, Exit, Failed, HasExit};
use crate::health::probe::relay::RelayError;
use crate::health::probe::{answer, relay};
use crate::host::process::in_words;

/// Answer one peer, as the forced command of the account that peers log in to.
#[derive(Debug, Args)]
#[command(
    after_help = "In authorized_keys of that account, for each of the peer's host keys:
  command=\"nixus probe db1\",restrict ssh-ed25519 AAAA...

The request is one line of JSON on standard input, and so is the answer:
  echo '{\"version\":1,\"ask\":{\"what\":\"hello\"}}' | nixus probe db1"
)]
pub struct Probe {
    /// Name of the peer, as configured on this host.
    pub caller: String,
}

impl Probe {
    /// Passes the request on and writes the answer.
    ///
    /// # Errors
    /// The request cannot be read or passed on.
    pub async fn run(&self) -> Result<Exit, CommandError> {
        let answer = relay::relay(&self.caller, Path::new(relay::SOCKET)).await?;
        write_answer(&answer)?;
        Ok(Exit::Done)
    }
}

impl HasExit for RelayError {}

/// Take a request that `nixus probe` passes on (run by systemd).
#[derive(Debug, Args)]
pub struct AnswerProbe {}

impl AnswerProbe {
    /// Answers the request.
    ///
    /// # Errors
    /// The answer cannot be written.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        match answer::answer(host.config(), &host.paths, &host.switcher).await {
            Ok(line) => write_answer(&line)?,
            // A refusal is an answer, and not a failure of this unit.
            Err(error) => {
                tracing::warn!("refused: {}", in_words(&error));
                write_answer(in_words(&error).as_bytes())?;
            }
        }
        Ok(Exit::Done)
    }
}

/// The one who asked may be gone.
fn write_answer(line: &[u8]) -> Result<(), CommandError> {
    let mut out = std::io::stdout();
    out.write_all(line)
        .and_then(|()| out.flush())
        .map_err(|error| Failed::because("cannot write the answer", error).into())
}
