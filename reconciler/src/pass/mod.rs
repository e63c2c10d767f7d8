//! One pass: observe, plan, execute, record, until there is something to wait for.
//!
//! Level-triggered: each round looks anew, and whatever a pass leaves unfinished when it is killed,
//! the next one finds and continues.

use jiff::Timestamp;
use nixus_switcher::PhaseName;
use nixus_switcher::machine::system::Pin;
use nixus_switcher::protocol::{Before, DeploymentId, Toplevel};
use thiserror::Error;

use crate::activation::hooks::HookError;
use crate::activation::{ActivationError, Candidate, Switcher};
use crate::closure::{BuiltClosure, ClosureError};
use crate::config::Config;
use crate::decide::baseline::Baseline;
use crate::decide::commit_id::CommitId;
use crate::decide::ledger::release::Retry;
use crate::decide::ledger::{Jitter, Kept, Ledger};
use crate::decide::plan::{
    Action, Ancestry, Entry, Head, Observation, OpenDeployment, Reason, plan,
};
use crate::decide::report::{Report, Reporter};
use crate::health::last_pass::LastPass;
use crate::health::own_pass;
use crate::host::files::{Paths, write_atomically};
use crate::host::process::in_words;
use crate::manifest::{self, ManifestError};
use crate::pass::ledger_file::LedgerFileError;
use crate::pass::ledger_file::previous::{self, Shown};
use crate::pass::lock::{PassLock, PassLockError};
use crate::pass::summary::Summary;
use crate::report::repository::sound::Sound;
use crate::report::repository::{ReportsError, ReportsRepository};
use crate::secrets::candidate::CandidateError;
use crate::source::ssh::shared;
use crate::source::{Source, SourceError};
use crate::trust::{self, VerifiedCommit};

mod baseline;
mod build;
mod decision;
mod entry;
mod heartbeat;
mod hooks;
pub mod ledger_file;
pub mod lock;
mod mend;
mod mirrors;
mod overdue;
mod prove;
mod send;
mod settle;
pub mod summary;
pub mod suspension;
mod waiting;

use send::Sending;

/// More rounds than any pass needs; a plan that never waits is a bug, not a reason to spin.
const MAX_ROUNDS: u32 = 100;

/// After so many failures in a row it is said that a head cannot be fetched.
const FETCH_LASTS: u32 = 2;

/// Why a pass ended early. The next pass tries again.
#[derive(Debug, Error)]
pub enum PassError {
    /// Another pass runs, or the lock could not be taken.
    #[error(transparent)]
    Lock(#[from] PassLockError),
    /// The ledger could not be read or written.
    #[error("the ledger is not usable")]
    Ledger(#[source] LedgerFileError),
    /// The switcher could not be asked.
    #[error("the switcher is not usable")]
    Switcher(#[source] ActivationError),
    /// Reports could not be kept on this host.
    #[error("reports cannot be kept")]
    Reports(#[source] ReportsError),
    /// It did not end within its limit, or passes are kept out for longer than that.
    #[error("{0}")]
    Overdue(Reason),
    /// The plan never came to a wait.
    #[error("the plan did not come to an end: this is a bug in Nixus")]
    Endless,
}

/// What failed in a step and may work later.
#[derive(Debug, Error)]
enum StepError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Closure(#[from] ClosureError),
    #[error(transparent)]
    Activation(#[from] ActivationError),
    #[error(transparent)]
    Secrets(#[from] CandidateError),
    #[error(transparent)]
    Hooks(#[from] HookError),
}

/// Why a step was not done: with one of two severities.
#[derive(Debug)]
enum StopError {
    /// The pass ends.
    End(PassError),
    /// The pass backs off, and a later one tries again.
    BackOff(StepError),
}

impl From<PassError> for StopError {
    fn from(error: PassError) -> Self {
        Self::End(error)
    }
}

impl<E: Into<StepError>> From<E> for StopError {
    fn from(error: E) -> Self {
        Self::BackOff(error.into())
    }
}

/// A pass under way: what it knows so far.
pub struct Pass<'a> {
    config: &'a Config,
    paths: &'a Paths,
    switcher: &'a Switcher,
    source: Source,
    ledger: Ledger,
    head: Head,
    ancestry: Ancestry,
    verified: Option<VerifiedCommit>,
    entry: Entry,
    own_entry: Option<manifest::Entry>,
    built: Option<BuiltClosure>,
    baseline: Baseline,
    before: Option<Before>,
    recovery_tried: bool,
    boot_tried: bool,
    peers_seen: bool,
    hooks_ran: bool,
    had_trouble: bool,
    sending: Sending,
    local_copy_looked_at: bool,
}

/// Runs one pass and gives what it ended up waiting for; nothing where it only answered an operator.
///
/// # Errors
/// Another pass runs, the ledger or the switcher cannot be used, reports cannot be kept, or the pass
/// did not end in time.
pub async fn reconcile(
    config: &Config,
    paths: &Paths,
    switcher: &Switcher,
) -> Result<Option<Reason>, PassError> {
    let _lock = match PassLock::take(paths) {
        Err(PassLockError::Busy { holders }) => {
            return Err(overdue::kept_out(config, paths, switcher, holders).await);
        }
        taken => taken?,
    };
    if let Err(error) = shared::begin(&paths.connections()) {
        tracing::warn!("connections cannot be shared: {}", in_words(&error));
    }
    let ended = pass(config, paths, switcher).await;
    shared::end().await;
    ended
}

async fn pass(
    config: &Config,
    paths: &Paths,
    switcher: &Switcher,
) -> Result<Option<Reason>, PassError> {
    let begun = Timestamp::now();
    overdue::end_at_last(config.passes.timeout);
    if let Some(question) = own_pass::asked(paths) {
        prove::answer(config, paths, question).await;
        return Ok(None);
    }
    let mut ledger = ledger_file::of_host(paths).map_err(PassError::Ledger)?;
    if ledger.damage.is_some() {
        ledger = recovered(paths, switcher, ledger)?;
    }
    let mirrors_count = ledger.mirrors_count(Timestamp::now(), config.mirror_after);
    let mut pass = Pass {
        config,
        paths,
        switcher,
        source: Source::of(config, paths).believing(mirrors_count, ledger.refused.clone()),
        ledger,
        head: Head::Unknown,
        ancestry: Ancestry::NotFetched,
        verified: None,
        entry: entry::at_first(config),
        own_entry: None,
        built: None,
        baseline: Baseline::Unknown,
        before: None,
        recovery_tried: false,
        boot_tried: false,
        peers_seen: false,
        hooks_ran: false,
        had_trouble: heartbeat::had_trouble(paths),
        sending: Sending::default(),
        local_copy_looked_at: false,
    };
    pass.mend_reports().await;
    let limit = config.passes.timeout;
    let result = match tokio::time::timeout(limit, pass.run()).await {
        Ok(result) => result,
        Err(_) => {
            pass.is_overdue(crate::health::overdue::of_own(begun, limit))
                .await
        }
    };
    if let Ok(reason) = &result {
        pass.is_not_overdue(reason)?;
    }
    if let Err(PassError::Reports(_)) = &result {
        Sound::new(paths.reports_sound()).forget();
    }
    if let Err(error) = &result
        && !matches!(error, PassError::Overdue(_))
    {
        // Where the ledger cannot be written, this boot at least knows why nothing goes on. The
        // timer brings the next try.
        pass.note(&Reason::BackingOff {
            until: Timestamp::now(),
            why: in_words(error),
        });
    }
    pass.send_what_waits().await;
    result.map(Some)
}

/// What can be had of a ledger that is damaged or lost: the copy that it replaced, where nothing shows that the
/// host had come further; or else what failed here, until an operator adopts the host again.
fn recovered(paths: &Paths, switcher: &Switcher, mut damaged: Ledger) -> Result<Ledger, PassError> {
    let path = paths.ledger();
    ledger_file::set_aside_damaged(&path, &mut damaged, false).map_err(PassError::Ledger)?;
    let history = switcher.ended_after(0).map_err(PassError::Switcher)?;
    if damaged.damage.as_ref().is_some_and(|damage| damage.newer) {
        return Ok(damaged);
    }
    let built = switcher.built();
    let shown = Shown {
        history: &history,
        built: built.as_ref(),
    };
    match previous::restored(&path, shown) {
        Ok(ledger) => {
            tracing::warn!(
                "{} is restored from the copy that it replaced",
                path.display()
            );
            ledger_file::save(&path, &ledger, switcher.format()).map_err(PassError::Ledger)?;
            Ok(ledger)
        }
        Err(why) => {
            if let Some(damage) = damaged.damage.as_mut() {
                damage.problem = format!("{}, and {why}", damage.problem);
            }
            damaged.rebuild(&history);
            Ok(damaged)
        }
    }
}

impl Pass<'_> {
    async fn run(&mut self) -> Result<Reason, PassError> {
        self.report_hooks()?;
        for _ in 0..MAX_ROUNDS {
            let action = self.plan()?;
            if let Action::Wait(reason) = action {
                decision::waits(&reason);
                self.report_wait(&reason).await?;
                self.finish_what_was_said(&reason)?;
                self.beat(&reason)?;
                self.note(&reason);
                return Ok(reason);
            }
            tracing::debug!("{action:?}");
            if let Action::Prove(deployment) = action {
                self.prove(&deployment).await?;
                let reason = Reason::DeploymentOpen { deployment };
                decision::waits(&reason);
                self.note(&reason);
                return Ok(reason);
            }
            if let Err(stopped) = self.execute(action).await {
                let error = match stopped {
                    StopError::End(error) => return Err(error),
                    StopError::BackOff(error) => error,
                };
                // A connection that does not answer any more is not asked again.
                shared::end().await;
                if error.may_be_local_damage() && self.mends_local_copy().await {
                    continue;
                }
                self.back_off(&error)?;
                self.report_not_fetched(&error)?;
            }
        }
        Err(PassError::Endless)
    }

    fn plan(&self) -> Result<Action, PassError> {
        let (open, journal_damage) = match self.switcher.open() {
            Ok(open) => (open, None),
            Err(ActivationError::Journal(error)) => (None, Some(in_words(&error))),
            Err(error) => return Err(PassError::Switcher(error)),
        };
        let running = self.switcher.running().map_err(PassError::Switcher)?;
        let open = open.map(|open| OpenDeployment {
            abandoned: !self.recovery_tried
                && (open.phase == PhaseName::Stuck || self.switcher.has_abandoned(&open)),
            stuck: open.phase == PhaseName::Stuck,
            unproved: prove::is_on_trial(open.phase) && open.candidate == running,
            deployment: open.deployment,
        });
        let unseen = self
            .switcher
            .ended_after(self.ledger.outcomes_seen)
            .map_err(PassError::Switcher)?;
        let suspension = suspension::read(self.paths);
        let boot_default = self.switcher.boot_default();
        let next_boot = self.switcher.next_boot_other_than(&boot_default, &running);
        let pinned = boot_default
            .pinned_to_other_than(&running)
            .map(Pin::to_string);
        Ok(plan(&Observation {
            now: Timestamp::now(),
            ledger: &self.ledger,
            running: &running,
            next_boot: next_boot.as_ref(),
            drift: self.config.switch.drift,
            pinned: pinned.as_deref(),
            booted_other: self.switcher.booted_other(&boot_default),
            suspension: suspension.as_ref(),
            journal_damage: journal_damage.as_deref(),
            open: open.as_ref(),
            outcomes_unseen: !unseen.is_empty(),
            head: &self.head,
            ancestry: self.ancestry,
            entry: &self.entry,
            without_entry: entry::without(self.config),
            built: self.built.as_ref().map(BuiltClosure::toplevel),
            boot_unproven: !self.boot_tried && self.switcher.boot_unproven(),
            baseline: &self.baseline,
            peers_due: self.peers_are_due(),
        }))
    }

    /// Does what was planned.
    async fn execute(&mut self, action: Action) -> Result<(), StopError> {
        match action {
            Action::Absorb => self.absorb().await?,
            Action::ProveBoot => self.prove_boot().await?,
            Action::Recover(deployment) => self.recover(&deployment).await?,
            Action::Witness => self.witness().await?,
            Action::LookAtBaseline => self.look_at_baseline().await?,
            Action::SeePeers => self.see_peers().await?,
            Action::Hold(head) => self.hold(head)?,
            Action::List => {
                let listed = self.source.list().await;
                self.hear_the_first(listed.as_ref().ok())?;
                let waits_with = self.waits_with();
                match (listed, waits_with) {
                    (Ok(head), _) => self.head_is(head),
                    // It is waited already, and that is made no longer by looking.
                    (Err(error), Some(head)) => {
                        tracing::debug!("{}", in_words(&error));
                        self.head_is(Head::At(head));
                    }
                    (Err(error), None) => return Err(error.into()),
                }
            }
            Action::Fetch(_) => self.fetch().await?,
            Action::Accept(head) => self.accept(head)?,
            // What is missing in a damaged local copy looks like another history.
            Action::Refuse(_) if self.mends_local_copy().await => {}
            // The others may have a better one.
            Action::Refuse(_) if self.source.pass_over() => {
                self.head_is(Head::Unknown);
                self.ancestry = Ancestry::NotFetched;
            }
            Action::Refuse(head) => self.refuse(head)?,
            Action::LookUp(head) => self.look_up(&head).await?,
            Action::LookForOlder(head) => self.look_for_older(&head).await?,
            Action::Build(commit) => self.build(&commit).await?,
            Action::Keep(head, toplevel) => self.keep(&head, toplevel)?,
            Action::Activate(head, _) => self.activate(&head).await?,
            // The caller takes these.
            Action::Prove(_) | Action::Wait(_) => {}
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<(), StepError> {
        let head = self.source.fetch().await?;
        let kept = self.ledger.kept.as_ref();
        let kept = kept.and_then(|kept| CommitId::try_from(kept.commit.id.clone()).ok());
        let keep: Vec<_> = [&self.ledger.accepted, &self.ledger.anchor, &kept]
            .into_iter()
            .flatten()
            .collect();
        self.source.tidy(&keep).await;
        if let Some(accepted) = self.ledger.accepted.clone() {
            self.ancestry = self.ancestry_of(&head, &accepted)?;
        }
        // The branch may have moved on since it was listed.
        self.head_is(Head::At(head));
        Ok(())
    }

    fn accept(&mut self, head: CommitId) -> Result<(), StopError> {
        self.verified(&head)?;
        let accepted = self.ledger.accepted.as_ref().unwrap_or(&head);
        let retries = self.source.retries(&head, accepted)?;
        for toplevel in retries {
            let released = self.ledger.release(&Retry::Toplevel(toplevel.clone()));
            if !released.quarantined.is_empty() {
                tracing::info!(commit = head.as_str(), "a commit asks to retry {toplevel}");
            }
        }
        match self.source.is_of_the_first() {
            true => self.ledger.accept(head),
            false => self.ledger.accept_from_mirror(head),
        }
        self.save()?;
        Ok(())
    }

    fn refuse(&mut self, head: CommitId) -> Result<(), StopError> {
        let Some(accepted) = self.ledger.accepted.clone() else {
            return Ok(());
        };
        let commit = self.source.commit(&head)?;
        self.report(|reporter| reporter.refused(&commit, &accepted))?;
        if self.source.has_mirrors() && self.source.is_of_the_first() {
            // Else it would hide for ever what the others have.
            self.ledger.first_is_silent(Timestamp::now());
        }
        self.ledger.refused = Some(head);
        self.save()?;
        Ok(())
    }

    /// The head as a verified commit; what was verified in this pass is kept.
    fn verified(&mut self, head: &CommitId) -> Result<VerifiedCommit, StepError> {
        if let Some(verified) = self.verified.as_ref().filter(|one| one.id() == head) {
            return Ok(verified.clone());
        }
        let accepted = self.ledger.accepted.as_ref().unwrap_or(head);
        let verified =
            trust::verify(&self.source, head, accepted)?.ok_or_else(|| SourceError::Answer {
                url: self.config.repository.url.clone(),
                problem: format!("{head} was a descendant of {accepted} and is no more"),
            })?;
        self.verified = Some(verified.clone());
        Ok(verified)
    }

    fn keep(&mut self, head: &CommitId, toplevel: Toplevel) -> Result<(), StopError> {
        let commit = self.verified(head)?.commit().clone();
        let generation = self.switcher.generation_of(&toplevel);
        self.report(|reporter| reporter.unchanged(&commit, &toplevel, generation))?;
        self.ledger.keep(Kept {
            commit,
            toplevel,
            generation,
            since: Timestamp::now(),
        });
        self.save()?;
        Ok(())
    }

    async fn activate(&mut self, head: &CommitId) -> Result<(), StopError> {
        let Some(built) = self.built.clone() else {
            return Ok(());
        };
        if self.hooks_before(&built).await? {
            return Ok(());
        }
        self.ledger.deployments += 1;
        self.save()?;
        let id = format!("{}-{}", self.ledger.deployments, head.short());
        let Ok(deployment) = id.parse::<DeploymentId>() else {
            return Ok(());
        };
        if let Some(drifted) = self.drifted(built.toplevel()) {
            self.report(|reporter| reporter.waits(built.commit().commit(), &drifted))?;
        }
        let due = self.config.switch.activation_timeout + self.config.switch.trial_timeout;
        self.report(|reporter| {
            reporter.activating(
                built.commit().commit(),
                built.toplevel(),
                &deployment,
                due.as_secs(),
            )
        })?;
        self.switcher
            .activate(
                Candidate::Built(&built),
                deployment,
                &self.config.switch,
                self.before.take(),
                self.paths,
            )
            .await?;
        Ok(())
    }

    /// The head that is waited with at present, after a failure.
    fn waits_with(&self) -> Option<CommitId> {
        let backoff = self.ledger.backoff.as_ref();
        let backoff = backoff.filter(|backoff| Timestamp::now() < backoff.until)?;
        backoff.head.clone()
    }

    /// Says of a head that it cannot be fetched, again and again. Whoever looks from elsewhere sees that this host
    /// does not follow.
    fn report_not_fetched(&mut self, error: &StepError) -> Result<(), PassError> {
        let lasts = self
            .ledger
            .backoff
            .as_ref()
            .is_some_and(|backoff| backoff.failures >= FETCH_LASTS);
        let (true, StepError::Source(source), Head::At(head), Ancestry::NotFetched) =
            (lasts, error, self.head.clone(), self.ancestry)
        else {
            return Ok(());
        };
        let why = in_words(source);
        self.report(|reporter| reporter.not_fetched_yet(&head, &why))
    }

    /// That what is to be activated runs already, and is to be the default again.
    fn drifted(&self, toplevel: &Toplevel) -> Option<Reason> {
        let kept = self.ledger.kept.as_ref()?;
        let commit = CommitId::try_from(kept.commit.id.clone()).ok()?;
        let runs = self.switcher.running().ok()? == *toplevel && kept.toplevel == *toplevel;
        let boot_default = self.switcher.boot_default();
        let next_boot = self
            .switcher
            .next_boot_other_than(&boot_default, toplevel)?;
        runs.then_some(Reason::Drifted { commit, next_boot })
    }

    fn back_off(&mut self, error: &StepError) -> Result<(), PassError> {
        let reason = in_words(error);
        tracing::warn!("{reason}");
        let now = Timestamp::now();
        self.ledger.back_off(now, &reason, jitter());
        if let Head::At(head) = &self.head {
            self.ledger.back_off_from(Some(head.clone()));
        }
        // Then there is something new to be had.
        let turn = self.ledger.mirrors_count_from(self.config.mirror_after);
        if let (Some(turn), Some(backoff)) = (turn, &mut self.ledger.backoff)
            && self.source.has_mirrors()
            && (now..backoff.until).contains(&turn)
        {
            backoff.until = turn;
        }
        self.save()
    }

    fn save(&self) -> Result<(), PassError> {
        ledger_file::save(&self.paths.ledger(), &self.ledger, self.switcher.format())
            .map_err(PassError::Ledger)
    }

    fn note(&self, reason: &Reason) {
        let last = LastPass {
            time: Timestamp::now(),
            waits_for: reason.clone(),
        };
        let noted = serde_json::to_vec(&last)
            .map_err(std::io::Error::from)
            .and_then(|text| write_atomically(&self.paths.last_pass(), &text));
        let kept = self.ledger.kept.as_ref();
        let summary = Summary::new(
            &self.config.host,
            kept.map(|kept| kept.commit.id.clone()),
            kept.and_then(|kept| kept.generation),
            reason,
        );
        if let Err(error) = summary.write(self.paths) {
            tracing::warn!("cannot leave a summary for everybody: {error}");
        }
        if let Err(error) = noted {
            tracing::warn!("cannot note how this pass ended: {error}");
            // Better none than an old one: it would be taken for what is so.
            let _ = std::fs::remove_file(self.paths.last_pass());
        }
    }

    /// Keeps a report durably and begins to send it; nothing waits for the network.
    fn report(&mut self, make: impl FnOnce(Reporter<'_>) -> Report) -> Result<(), PassError> {
        self.report_if(|reporter| Some(make(reporter)))
    }

    fn reporter(&self) -> Reporter<'_> {
        Reporter {
            host: &self.config.host,
            now: Timestamp::now(),
        }
    }

    /// The same, where there is something to say.
    fn report_if(
        &mut self,
        make: impl FnOnce(Reporter<'_>) -> Option<Report>,
    ) -> Result<(), PassError> {
        let made = make(self.reporter());
        let Some(report) = made else {
            return Ok(());
        };
        if let Some(left) = self.left_before(&report)? {
            self.keep_report(left)?;
        }
        self.keep_report(report)
    }

    fn keep_report(&mut self, report: Report) -> Result<(), PassError> {
        let report = self.with_pulse(Report {
            noticed: self.noticed(),
            ..report
        });
        decision::says(&report);
        ReportsRepository::new(self.paths.reports())
            .keep(&report)
            .map_err(PassError::Reports)?;
        self.begin_to_send();
        Ok(())
    }
}

/// Chance, for waits.
fn jitter() -> Jitter {
    Jitter::of(fastrand::u8(..))
}
