//! The rules of `[hooks]`.

use std::path::Path;

use toml::Spanned;

use super::super::hooks::{Command, Hooks};
use super::super::{ConfigError, written};
use super::Place;

/// How long each may run by default, in seconds.
const TIMEOUT: u64 = 5 * 60;

/// How many there may be of either kind.
const MOST: usize = 16;

impl Place<'_> {
    pub(super) fn hooks(&self, raw: &written::Hooks) -> Result<Hooks, ConfigError> {
        Ok(Hooks {
            before: self.commands(raw.before.as_ref())?,
            after: self.commands(raw.after.as_ref())?,
            timeout: self.duration(raw.timeout.as_ref(), TIMEOUT)?,
        })
    }

    fn commands(
        &self,
        given: Option<&Spanned<written::Commands>>,
    ) -> Result<Vec<Command>, ConfigError> {
        let Some(given) = given else {
            return Ok(Vec::new());
        };
        let commands = match given.get_ref() {
            written::Commands::One(words) if words.is_empty() => Vec::new(),
            written::Commands::One(words) => vec![words.clone()],
            written::Commands::Several(commands) => commands.clone(),
        };
        let wrong = |problem: String| Err(self.wrong(given.span().start, problem));
        if commands.len() > MOST {
            return wrong(format!("names more than {MOST} programs"));
        }
        for command in &commands {
            let absolute = |program: &String| Path::new(program).is_absolute();
            if !command.first().is_some_and(absolute) {
                return wrong("must begin with the absolute path of a program".to_owned());
            }
            if command.iter().any(|word| word.contains('\0')) {
                return wrong("has a zero byte in it".to_owned());
            }
        }
        Ok(commands)
    }
}
