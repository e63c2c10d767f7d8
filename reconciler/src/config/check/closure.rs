//! The rules of `[closure]`.

use std::path::{Component, Path};

use russh::keys::Algorithm;
use toml::Spanned;

use super::super::{
    Closure, ClosureSource, ConfigError, Expression, Following, Limits, Otherwise, written,
};
use super::Place;
use crate::host::public_key::PublicKey;

const TWO_HOURS: u64 = 2 * 60 * 60;

/// A builder may fail by chance once.
const RETRIES: u32 = 1;
const MOST_RETRIES: u32 = 10;

/// How long CI may take by default, in seconds.
const WAIT: u64 = 30 * 60;

impl Place<'_> {
    pub(super) fn closure(
        &self,
        host: &str,
        raw: &written::Closure,
    ) -> Result<Closure, ConfigError> {
        Ok(Closure {
            source: self.closure_source(host, raw)?,
            submodules: raw.submodules.unwrap_or(false),
            lfs: raw.lfs.unwrap_or_default(),
            build_timeout: self.duration(raw.build_timeout.as_ref(), TWO_HOURS)?,
            limits: self.limits(raw)?,
            recheck: self.duration(raw.recheck.as_ref(), 30)?,
            retries: self.retries(raw)?,
        })
    }

    fn closure_source(
        &self,
        host: &str,
        raw: &written::Closure,
    ) -> Result<ClosureSource, ConfigError> {
        match raw.from.as_ref().map(|from| *from.get_ref()) {
            Some(written::ClosureSource::Manifest) => {
                self.following(host, raw).map(ClosureSource::Manifest)
            }
            from => {
                let unused = [
                    raw.manifest_keys.as_ref().map(Spanned::span),
                    raw.system_name.as_ref().map(Spanned::span),
                    raw.wait.as_ref().map(Spanned::span),
                    raw.fallback.as_ref().map(Spanned::span),
                    raw.older.as_ref().map(Spanned::span),
                ];
                if let Some(span) = unused.into_iter().flatten().next() {
                    return Err(self.wrong(span.start, "is only used with from = \"manifest\""));
                }
                match (from, &raw.file) {
                    (Some(written::ClosureSource::File), None) => {
                        let expression = Expression::File {
                            directory: self.directory(raw)?,
                            file: "default.nix".to_owned(),
                            attribute: self.attribute(host, raw)?,
                        };
                        Ok(ClosureSource::Expression(expression))
                    }
                    (None | Some(written::ClosureSource::Flake), Some(file)) => {
                        Err(self.wrong(file.span().start, "is only used with from = \"file\""))
                    }
                    _ => self.expression(host, raw).map(ClosureSource::Expression),
                }
            }
        }
    }

    /// A file where one is named, else the flake.
    fn expression(&self, host: &str, raw: &written::Closure) -> Result<Expression, ConfigError> {
        let attribute = self.attribute(host, raw)?;
        let directory = self.directory(raw)?;
        let Some(file) = &raw.file else {
            return Ok(Expression::Flake {
                directory,
                attribute,
            });
        };
        Ok(Expression::File {
            directory,
            file: self.inside(file)?,
            attribute,
        })
    }

    fn directory(&self, raw: &written::Closure) -> Result<Option<String>, ConfigError> {
        raw.directory
            .as_ref()
            .map(|directory| self.inside(directory))
            .transpose()
    }

    /// A path below the root of the repository, without what does not belong to it, such as a slash at its end.
    fn inside(&self, given: &Spanned<String>) -> Result<String, ConfigError> {
        let names: Option<Vec<_>> = Path::new(given.get_ref())
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        let control = given.get_ref().chars().any(char::is_control);
        names
            .filter(|names| !names.is_empty() && !control)
            .map(|names| names.join("/"))
            .ok_or_else(|| self.wrong(given.span().start, "is not a path inside the repository"))
    }

    fn attribute(&self, host: &str, raw: &written::Closure) -> Result<String, ConfigError> {
        match &raw.attribute {
            Some(given) if given.get_ref().is_empty() || given.get_ref().starts_with('-') => {
                Err(self.wrong(given.span().start, "is not an attribute path"))
            }
            Some(given) => Ok(given.get_ref().clone()),
            // A host name with dots is one name in the attribute path.
            None => Ok(format!(
                "nixosConfigurations.\"{host}\".config.system.build.toplevel"
            )),
        }
    }

    fn following(&self, host: &str, raw: &written::Closure) -> Result<Following, ConfigError> {
        let otherwise = match (&raw.fallback, &raw.older) {
            (Some(_), Some(older)) if *older.get_ref() => Err(self.wrong(
                older.span().start,
                "is not used together with fallback: name one of them",
            )),
            (Some(_), _) => self.expression(host, raw).map(Otherwise::Build),
            (None, Some(older)) if *older.get_ref() => Ok(Otherwise::Older),
            (None, _) => Ok(Otherwise::Wait),
        }?;
        if !matches!(otherwise, Otherwise::Build(_)) {
            let unused = [
                raw.attribute.as_ref().map(Spanned::span),
                raw.file.as_ref().map(Spanned::span),
                raw.directory.as_ref().map(Spanned::span),
            ];
            if let Some(span) = unused.into_iter().flatten().next() {
                let problem = "is only used with a manifest where fallback = \"build\"";
                return Err(self.wrong(span.start, problem));
            }
        }
        let submodules = raw.submodules == Some(true);
        if submodules && !matches!(otherwise, Otherwise::Build(_)) {
            let from = raw.from.as_ref().map_or(0, |from| from.span().start);
            return Err(self.wrong(
                from,
                "does not go with submodules = true: nothing is evaluated here",
            ));
        }
        Ok(Following {
            keys: self.manifest_keys(raw)?,
            system_name: self.system_name(host, raw)?,
            wait: self.duration(raw.wait.as_ref(), WAIT)?,
            otherwise,
        })
    }

    fn manifest_keys(&self, raw: &written::Closure) -> Result<Vec<PublicKey>, ConfigError> {
        let Some(given) = &raw.manifest_keys else {
            return Ok(Vec::new());
        };
        if given.get_ref().is_empty() {
            let problem =
                "is empty: name CI's public key, or leave it out to believe whoever may push";
            return Err(self.wrong(given.span().start, problem));
        }
        let key = |text: &Spanned<String>| {
            let wrong = |problem| self.wrong(text.span().start, problem);
            let key: PublicKey = text.get_ref().parse().map_err(wrong)?;
            match key.key().algorithm() {
                Algorithm::Ed25519 => Ok(key),
                other => Err(wrong(format!(
                    "{other} keys do not sign manifests: name an ed25519 key"
                ))),
            }
        };
        given.get_ref().iter().map(key).collect()
    }

    fn system_name(&self, host: &str, raw: &written::Closure) -> Result<String, ConfigError> {
        let Some(given) = &raw.system_name else {
            return Ok(host.split('.').next().unwrap_or(host).to_owned());
        };
        let name = given.get_ref();
        // What a store path's name may have (libstore's path.cc).
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            let problem = format!("{name:?} is not a name of a system");
            return Err(self.wrong(given.span().start, problem));
        }
        Ok(name.clone())
    }

    fn retries(&self, raw: &written::Closure) -> Result<u32, ConfigError> {
        let Some(given) = &raw.retries else {
            return Ok(RETRIES);
        };
        u32::try_from(*given.get_ref())
            .ok()
            .filter(|retries| *retries <= MOST_RETRIES)
            .ok_or_else(|| {
                let problem = format!("{} is not between 0 and {MOST_RETRIES}", given.get_ref());
                self.wrong(given.span().start, problem)
            })
    }

    fn limits(&self, raw: &written::Closure) -> Result<Limits, ConfigError> {
        let mut limits = Limits::default();
        if let Some(given) = &raw.memory_limit {
            limits.memory = given.get_ref().parse().map_err(|()| {
                let problem = format!(
                    "{:?} is not a limit such as \"2GiB\" (at least 64MiB) or \"50%\"",
                    given.get_ref()
                );
                self.wrong(given.span().start, problem)
            })?;
        }
        if let Some(given) = &raw.cpu_weight {
            limits.cpu_weight = u16::try_from(*given.get_ref())
                .ok()
                .filter(|weight| (1..=10_000).contains(weight))
                .ok_or_else(|| {
                    let problem = format!("{} is not between 1 and 10000", given.get_ref());
                    self.wrong(given.span().start, problem)
                })?;
        }
        Ok(limits)
    }
}
