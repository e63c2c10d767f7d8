//! What an operator does with the switcher: `confirm`, `revert` and `recover`. Each works without
//! the reconciler, its configuration, D-Bus and, where it can be done at all, without the journal.

use std::fmt;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

use crate::decide::phase::PhaseName;
use crate::error_chain::chain;
use crate::machine::nixos::NixOs;
use crate::machine::operator;
use crate::machine::system::SystemError;
use crate::machine::trial_door::{self, Message, Wish};
use crate::output::say;
use crate::protocol::{Cause, DeploymentId, newest_version};
use crate::run::boot_trial;
use crate::run::lost_journal::{self, LostError};
use crate::run::takeover::{self, Taken, TakeoverError};
use crate::state::journal::{self, WAY_ON};
use crate::state::layout::Layout;
use crate::state::status;

/// What a command came to; the JSON of `--json` has these fields. Fields may be added; `version`
/// counts up when one changes its meaning or goes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of this message.
    pub version: u32,
    /// In a word, which is also the exit code.
    pub result: Ended,
    /// In a sentence.
    pub message: String,
    /// The deployment that it was about.
    pub deployment: Option<DeploymentId>,
    /// Where that deployment is now; `idle` once it has ended.
    pub phase: Option<PhaseName>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It is done, or has begun where the message says so.
    Done,
    /// It was tried and failed.
    Failed,
    /// There was nothing to do it to, or it was asked for in a way that cannot be.
    WrongInput,
    /// Somebody else is at work.
    Busy,
}

/// The exit codes in words, for `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  done (run: the system is kept; recover: also where there was nothing to settle)
  1  failed, or went back
  2  wrong input, or nothing to do; nothing was changed
  3  busy: somebody else is at work, try again later";

impl Ended {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::WrongInput => 2,
            Self::Busy => 3,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Answer {
    /// An answer about no deployment.
    pub fn new(result: Ended, message: impl Into<String>) -> Self {
        Self {
            version: newest_version(),
            result,
            message: message.into(),
            deployment: None,
            phase: None,
        }
    }

    /// The same, about the deployment that is, or was, open.
    fn about(self, open: Option<DeploymentId>, phase: Option<PhaseName>) -> Self {
        Self {
            deployment: open,
            phase,
            ..self
        }
    }
}

/// Makes the machine, once it is needed: it may not be usable.
type Host<'a> = &'a dyn Fn() -> Result<NixOs, SystemError>;

/// Keeps the system that is on trial.
pub fn confirm(layout: &Layout) -> Answer {
    let open = status::open(layout).ok().flatten();
    match tell(layout, Wish::Confirm) {
        Told::Taken => Answer::new(
            Ended::Done,
            "confirmed; nixus-switcher status shows when it is permanent",
        )
        .about(
            open.map(|open| open.deployment),
            Some(PhaseName::Committing),
        ),
        Told::Nobody => match open {
            Some(open) => Answer::new(
                Ended::WrongInput,
                format!(
                    "deployment {} is {}: only a system on trial can be confirmed",
                    open.deployment, open.phase
                ),
            )
            .about(Some(open.deployment), Some(open.phase)),
            None => Answer::new(
                Ended::WrongInput,
                "no system is on trial, nothing to confirm",
            ),
        },
        Told::Failed(how) => Answer::new(Ended::Failed, how),
    }
}

/// Goes back to the old system, whoever works on the deployment.
pub fn revert(layout: &Layout, host: Host<'_>) -> Answer {
    if matches!(tell(layout, Wish::Revert), Told::Taken) {
        let open = status::open(layout).ok().flatten();
        return Answer::new(
            Ended::Done,
            "going back; nixus-switcher status shows when it is done",
        )
        .about(open.map(|open| open.deployment), Some(PhaseName::Reverting));
    }
    let open = match status::open(layout) {
        Ok(Some(open)) => open,
        Ok(None) => {
            return Answer::new(
                Ended::WrongInput,
                "no deployment is open, nothing to revert",
            );
        }
        Err(_) if lost_journal::was_open(layout) => return replace(layout, host),
        Err(error) => {
            return Answer::new(
                Ended::WrongInput,
                format!(
                    "{}; no deployment is in progress (no GC root found): nothing to revert; {WAY_ON}",
                    chain(&error)
                ),
            );
        }
    };
    let taken = host()
        .map_err(TakeoverError::System)
        .and_then(|mut host| takeover::revert(layout, &mut host));
    settled(taken, Some(open.deployment))
}

/// Settles what a crash left, where nobody works on it. A journal that cannot be used is left as it
/// is, unless the operator wants it set aside.
pub fn recover(layout: &Layout, host: Host<'_>, set_aside: bool) -> Answer {
    match (status::open(layout), set_aside) {
        (Err(_), true) => replace(layout, host),
        (Err(error), false) => Answer::new(
            Ended::WrongInput,
            format!("{}; what runs is left alone; {WAY_ON}", chain(&error)),
        ),
        (Ok(_), true) => Answer::new(
            Ended::WrongInput,
            "the journal can be read, it is not set aside",
        ),
        (Ok(open), false) => {
            let taken = host()
                .map_err(TakeoverError::System)
                .and_then(|mut host| boot_trial::recover(layout, &mut host));
            match taken {
                // A switcher at work needs nobody, and the boot does not wait for it.
                Ok(Taken::Busy) => {
                    Answer::new(Ended::Done, "a switcher is at work, nothing to recover")
                }
                Ok(Taken::Nothing) => {
                    Answer::new(Ended::Done, "no deployment is open, nothing to recover")
                }
                taken => {
                    let answer = settled(taken, open.map(|open| open.deployment));
                    match answer.phase {
                        // It is said, and an operator is needed; trying again would not help.
                        Some(PhaseName::Stuck) => Answer {
                            result: Ended::Done,
                            ..answer
                        },
                        _ => answer,
                    }
                }
            }
        }
    }
}

fn settled(taken: Result<Taken, TakeoverError>, open: Option<DeploymentId>) -> Answer {
    match taken {
        Ok(Taken::Settled(PhaseName::Idle)) => {
            Answer::new(Ended::Done, "settled; nixus-switcher status shows how")
                .about(open, Some(PhaseName::Idle))
        }
        Ok(Taken::Settled(phase @ (PhaseName::Booted | PhaseName::CameBack))) => {
            let message =
                "settled as far as can be now; once the units are up, this boot is judged";
            Answer::new(Ended::Done, message).about(open, Some(phase))
        }
        Ok(Taken::Settled(phase)) => {
            Answer::new(Ended::Failed, format!("the deployment is {phase}"))
                .about(open, Some(phase))
        }
        Ok(Taken::Nothing) => Answer::new(
            Ended::WrongInput,
            "no deployment is open any more, nothing to do",
        ),
        Ok(Taken::Busy) => Answer::new(Ended::Busy, "a switcher is at work").about(open, None),
        Err(error @ TakeoverError::Held(_)) => {
            Answer::new(Ended::Busy, chain(&error)).about(open, None)
        }
        Err(error) => Answer::new(Ended::Failed, chain(&error)).about(open, None),
    }
}

fn replace(layout: &Layout, host: Host<'_>) -> Answer {
    let replaced = host()
        .map_err(LostError::System)
        .and_then(|mut host| lost_journal::replace(layout, &mut host, Cause::Operator));
    let replaced = match replaced {
        Ok(replaced) => replaced,
        Err(error @ LostError::Held) => return Answer::new(Ended::Busy, chain(&error)),
        Err(error) => return Answer::new(Ended::Failed, chain(&error)),
    };
    let aside: Vec<_> = replaced
        .aside
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let aside = format!("the journal is set aside as {}", aside.join(" and "));
    match replaced.back {
        None => Answer::new(
            Ended::Done,
            format!("{aside}; no deployment was open, and what runs is left as it is"),
        ),
        Some(PhaseName::Idle) => Answer::new(
            Ended::Done,
            format!("{aside}; went back to the system from before the deployment"),
        )
        .about(None, Some(PhaseName::Idle)),
        Some(phase) => Answer::new(Ended::Failed, format!("{aside}; the deployment is {phase}"))
            .about(None, Some(phase)),
    }
}

enum Told {
    Taken,
    Nobody,
    Failed(String),
}

fn tell(layout: &Layout, wish: Wish) -> Told {
    let message = Message::Operator {
        operator: wish,
        by: Some(operator::name()),
    };
    match trial_door::tell(&layout.socket(), &message) {
        Ok(reply) if reply.accepted => Told::Taken,
        Ok(reply) => Told::Failed(format!(
            "the switcher refused it: {}",
            reply.reason.unwrap_or_default()
        )),
        Err(error) if is_nobody(error.kind()) => Told::Nobody,
        Err(error) => Told::Failed(format!("cannot speak to the switcher: {error}")),
    }
}

/// No socket, or one that nobody listens at any more.
fn is_nobody(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// A watchdog whose journal cannot be read goes back as well: its deployment was open when it was
/// armed, and its GC roots show whether it still is.
///
/// # Errors
/// The journal cannot be set aside, or going back fails.
pub fn expire_without_journal(layout: &Layout, host: &mut NixOs) -> Result<(), LostError> {
    if lost_journal::was_open(layout) {
        lost_journal::replace(layout, host, Cause::SwitcherDied)?;
    } else {
        say(format_args!(
            "no deployment is in progress (no GC root found); {}",
            journal::WAY_ON
        ));
    }
    Ok(())
}
