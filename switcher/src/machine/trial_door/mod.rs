//! The door at which evidence comes in while a system is on trial.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};

use crate::machine::arrival;
use crate::machine::system::TrialEnd;
use crate::printable::is_printable;
use crate::protocol::{
    Cause, CheckOutcome, CheckResult, Evidence, EvidenceReply, OPERATOR, newest_version,
};
use crate::state::format;
use crate::state::journal::Deployment;

/// The longest message.
pub const LIMIT: u64 = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

/// What comes in at the door, as one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// From an operator.
    Operator {
        /// What the operator wants.
        operator: Wish,
        /// Who it is; releases before this did not say.
        #[serde(default)]
        by: Option<String>,
    },
    /// From `nixus verify`.
    Evidence(Evidence),
}

/// What an operator may ask for during a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// Keep the candidate.
    Confirm,
    /// Go back.
    Revert,
}

/// What a message leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The answer.
    pub reply: EvidenceReply,
    /// The end of the trial, where the message ends it.
    pub end: Option<TrialEnd>,
    /// Evidence that is inconclusive; it explains a trial that ends without better.
    pub unknown: Option<Evidence>,
}

/// Judges one message. Evidence counts only for this deployment, this boot and this candidate.
pub fn judge(deployment: &Deployment, message: Message) -> Judged {
    let candidate = &deployment.request.candidate;
    let evidence = match message {
        Message::Operator {
            operator: Wish::Revert,
            ..
        } => {
            return taken(Some(TrialEnd::NotVerified(
                Cause::Operator,
                deployment.evidence.clone(),
            )));
        }
        Message::Operator {
            operator: Wish::Confirm,
            by,
        } => {
            return taken(Some(TrialEnd::Verified(by_operator(
                deployment,
                by.as_deref(),
            ))));
        }
        Message::Evidence(evidence) => evidence,
    };
    let reason = if !format::is_readable(evidence.version) {
        Some(format!("version {} is not known", evidence.version))
    } else if evidence.deployment != deployment.request.deployment {
        Some(format!(
            "{} is on trial",
            deployment.request.deployment.as_str()
        ))
    } else if evidence.boot != deployment.boot {
        Some("it is from another boot".to_owned())
    } else if &evidence.toplevel != candidate {
        Some(format!("{candidate} is on trial"))
    } else {
        None
    };
    if let Some(reason) = reason {
        return Judged {
            reply: EvidenceReply {
                version: newest_version(),
                accepted: false,
                reason: Some(reason),
            },
            end: None,
            unknown: None,
        };
    }
    match evidence.verdict {
        CheckOutcome::Pass => taken(Some(TrialEnd::Verified(evidence))),
        CheckOutcome::Fail => {
            let checks = those(&evidence, CheckOutcome::Fail);
            taken(Some(TrialEnd::NotVerified(
                Cause::VerificationFailed { checks },
                Some(evidence),
            )))
        }
        CheckOutcome::Unknown => Judged {
            unknown: Some(evidence),
            ..taken(None)
        },
    }
}

/// The end of a trial that brought no verdict: by its deadline, or because verify ended (`ended`
/// says how).
pub fn without_verdict(unknown: Option<Evidence>, ended: Option<&str>, limit: u64) -> TrialEnd {
    let cause = match (&unknown, ended) {
        (Some(evidence), _) => Cause::VerificationInconclusive {
            checks: those(evidence, CheckOutcome::Unknown),
        },
        (None, Some(how)) => Cause::VerificationInconclusive {
            checks: vec![CheckResult::new(
                "verify",
                CheckOutcome::Unknown,
                format!("nixus-verify.service ended without a verdict: {how}"),
            )],
        },
        (None, None) => Cause::NotConfirmed { seconds: limit },
    };
    TrialEnd::NotVerified(cause, unknown)
}

/// The end of a trial whose `nixus-verify.service` came to its own end, twice, and said nothing at the door:
/// the real one always has something to say, so what runs in its place is none.
pub fn said_nothing(how: &str) -> TrialEnd {
    let check = CheckResult::new(
        "verify",
        CheckOutcome::Fail,
        format!("nixus-verify.service sends no evidence: {how}"),
    );
    let checks = vec![check];
    TrialEnd::NotVerified(Cause::VerificationFailed { checks }, None)
}

/// The end of a trial whose `nixus-verify.service` systemd could not run as its file says: neither
/// would it run this generation's passes. `what` is the part of the file that it could not follow.
pub fn never_ran(what: &str) -> TrialEnd {
    let check = CheckResult::new(
        "verify",
        CheckOutcome::Fail,
        format!("systemd cannot run nixus-verify.service as its file says ({what})"),
    );
    let checks = vec![check];
    TrialEnd::NotVerified(Cause::VerificationFailed { checks }, None)
}

/// Whether `nixus-verify.service` ended the trial by its own evidence, and so ends itself; it goes on after
/// an operator's word, a deadline, or evidence that is inconclusive.
pub fn is_its_own_word(end: &TrialEnd) -> bool {
    match end {
        TrialEnd::Verified(evidence) => evidence.checks.iter().all(|check| check.check != OPERATOR),
        TrialEnd::NotVerified(Cause::VerificationFailed { .. }, evidence) => evidence.is_some(),
        TrialEnd::NotVerified(..) => false,
    }
}

fn taken(end: Option<TrialEnd>) -> Judged {
    Judged {
        reply: EvidenceReply {
            version: newest_version(),
            accepted: true,
            reason: None,
        },
        end,
        unknown: None,
    }
}

fn those(evidence: &Evidence, outcome: CheckOutcome) -> Vec<CheckResult> {
    evidence
        .checks
        .iter()
        .filter(|check| check.outcome == outcome && check.disregarded.is_none())
        .cloned()
        .collect()
}

/// The evidence that an operator's word is, with a name that is fit for a report.
fn by_operator(deployment: &Deployment, by: Option<&str>) -> Evidence {
    let by = by.unwrap_or("an operator");
    let by: String = by.chars().filter(|c| is_printable(*c)).take(80).collect();
    Evidence {
        version: newest_version(),
        deployment: deployment.request.deployment.clone(),
        boot: deployment.boot.clone(),
        toplevel: deployment.request.candidate.clone(),
        verdict: CheckOutcome::Pass,
        checks: vec![CheckResult::new(
            OPERATOR,
            CheckOutcome::Pass,
            format!("confirmed by {by}"),
        )],
    }
}

/// The socket; it is there as long as this is.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: std::path::PathBuf,
}

impl Door {
    /// Opens the door to root only.
    ///
    /// # Errors
    /// The socket cannot be made in its folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Waits for a visitor, for `limit` at most.
    pub fn wait(&self, limit: Duration) {
        arrival::wait(&self.listener, limit);
    }

    /// Takes one message, if somebody is there. A visitor who says nothing sensible is sent away.
    pub fn answer(&self, judge: impl Fn(Message) -> Judged) -> Option<Judged> {
        let (stream, _) = self.listener.accept().ok()?;
        serve(stream, judge).ok()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Whoever finds a leftover socket is refused by the kernel.
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(stream: UnixStream, judge: impl Fn(Message) -> Judged) -> io::Result<Judged> {
    let peer = getsockopt(&stream, PeerCredentials)?;
    if peer.uid() != nix::unistd::geteuid().as_raw() {
        return Err(ErrorKind::PermissionDenied.into());
    }
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let judged = match read_line(&stream) {
        Ok(message) => judge(message),
        Err(error) => Judged {
            reply: EvidenceReply {
                version: newest_version(),
                accepted: false,
                reason: Some(error.to_string()),
            },
            end: None,
            unknown: None,
        },
    };
    // What was decided stands, whether the visitor waits for the answer or not.
    let _ = write_line(&stream, &judged.reply);
    Ok(judged)
}

fn read_line<T: for<'a> Deserialize<'a>>(stream: &UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LIMIT + 1)).read_until(b'\n', &mut line)?;
    if line.len() as u64 > LIMIT {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Says one thing at the door and gives the answer. `nixus verify` and operators use it.
///
/// # Errors
/// Nobody listens there, or the answer does not come in time or is not valid.
pub fn tell(path: &Path, message: &Message) -> io::Result<EvidenceReply> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE * 2))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write_line(&stream, message)?;
    read_line(&stream)
}

#[cfg(test)]
mod tests;
