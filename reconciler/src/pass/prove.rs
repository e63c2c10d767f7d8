//! On trial: a pass of the new generation finds its own deployment open, looks at all that it would need
//! for the next commit, and hands what it found to the verification. It decides nothing.

use std::time::Duration;

use nixus_switcher::Open;
use nixus_switcher::PhaseName;
use nixus_switcher::protocol::DeploymentId;

use super::{Pass, PassError};
use crate::config::Config;
use crate::decide::verdict::Finding;
use crate::health::own_pass::{self, Answer, Handed, Place, Question};
use crate::health::{Scene, build, repository};
use crate::host::files::Paths;
use crate::host::process::in_words;

/// How often a pass looks whether the trial that it speaks for is over.
const LOOK: Duration = Duration::from_millis(500);

/// Whether a pass of what runs has something to prove in this phase.
pub(super) fn is_on_trial(phase: PhaseName) -> bool {
    matches!(phase, PhaseName::OnTrial | PhaseName::BootTrial)
}

impl Pass<'_> {
    /// Looks at everything, for as long as the trial lasts.
    pub(super) async fn prove(&self, deployment: &DeploymentId) -> Result<(), PassError> {
        let open = self.switcher.open().map_err(PassError::Switcher)?;
        let Some(open) = open.filter(|open| open.deployment == *deployment) else {
            return Ok(());
        };
        let mut handed = Handed::begin(&open, Place::here(), own_pass::handed(self.paths));
        self.hand_over(&handed);
        let scene = Scene {
            config: self.config,
            paths: self.paths,
            open: Some(&open),
            by_unit: false,
        };
        let look = async {
            let (mut found, built) = tokio::join!(
                repository::dry_pass(&scene, &open),
                build::check(&scene, &open)
            );
            found.extend(built);
            found
        };
        // What is no more on trial needs no proof, and whatever runs then has passes of its own.
        let found = tokio::select! {
            found = look => found,
            () = self.trial_is_over(&open) => return Ok(()),
        };
        for one in &found {
            tracing::info!("{}: {:?}: {}", one.check, one.outcome, one.reason);
        }
        handed.found = Some(found.iter().map(Finding::as_it_was).collect());
        self.hand_over(&handed);
        Ok(())
    }

    fn hand_over(&self, handed: &Handed) {
        if let Err(error) = own_pass::hand_over(self.paths, handed) {
            tracing::warn!("cannot hand over what this pass found: {error}");
        }
    }

    async fn trial_is_over(&self, open: &Open) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.switcher.open().ok().flatten();
            let goes_on =
                now.is_some_and(|now| now.deployment == open.deployment && now.phase == open.phase);
            if !goes_on {
                return;
            }
        }
    }
}

/// Answers an operator who wants to know what a pass could do, and not what a shell can.
pub(super) async fn answer(config: &Config, paths: &Paths, question: Question) {
    let scene = Scene {
        config,
        paths,
        open: None,
        by_unit: false,
    };
    let found = repository::look(&scene).await;
    let answer = Answer {
        id: question.id,
        place: Place::here(),
        found: found.iter().map(Finding::as_it_was).collect(),
    };
    if let Err(error) = own_pass::answer(paths, &answer) {
        tracing::warn!("cannot leave an answer: {}", in_words(&error));
    }
}
