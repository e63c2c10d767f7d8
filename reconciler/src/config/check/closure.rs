//! The rules of `[closure]`.

use toml::Spanned;

use super::super::closure::{Fallback, From};
use super::super::tables::{ClosureTable, ClosureWritten};
use super::super::{Closure, ClosureSource, ConfigError, Expression, Following, Limits, Otherwise};
use super::Notes;
use crate::config::declare::Kind as _;
use crate::config::place::Place;
use crate::config::value::{List, ManifestKey};

impl Place<'_> {
    pub(super) fn closure(
        &self,
        host: &str,
        written: Option<ClosureWritten>,
        notes: &mut Notes,
    ) -> Result<Closure, ConfigError> {
        let raw = self.or_empty(written)?;
        let (table, shown) = raw.read(self)?;
        notes.add("closure.", shown);
        let closure = Closure {
            source: self.closure_source(host, &raw, &table)?,
            submodules: table.submodules,
            lfs: table.lfs,
            build_timeout: table.build_timeout,
            limits: Limits {
                memory: table.memory_limit,
                cpu_weight: table.cpu_weight,
            },
            recheck: table.recheck,
            retries: table.retries,
        };
        notes.closure(&closure);
        Ok(closure)
    }

    fn closure_source(
        &self,
        host: &str,
        raw: &ClosureWritten,
        table: &ClosureTable,
    ) -> Result<ClosureSource, ConfigError> {
        if table.from == From::Manifest {
            return self
                .following(host, raw, table)
                .map(ClosureSource::Manifest);
        }
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
        if let (From::Flake, Some(file)) = (table.from, &raw.file) {
            return Err(self.wrong(file.span().start, "is only used with from = \"file\""));
        }
        let file = table.from == From::File;
        Ok(ClosureSource::Expression(expression(host, table, file)))
    }

    fn following(
        &self,
        host: &str,
        raw: &ClosureWritten,
        table: &ClosureTable,
    ) -> Result<Following, ConfigError> {
        let otherwise = match (table.fallback, &raw.older) {
            (Some(Fallback::Build), Some(older)) if table.older => {
                return Err(self.wrong(
                    older.span().start,
                    "is not used together with fallback: name one of them",
                ));
            }
            (Some(Fallback::Build), _) => {
                Otherwise::Build(expression(host, table, raw.file.is_some()))
            }
            (None, _) if table.older => Otherwise::Older,
            (None, _) => Otherwise::Wait,
        };
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
            if table.submodules {
                let from = raw.from.as_ref().map_or(0, |from| from.span().start);
                let problem = "does not go with submodules = true: nothing is evaluated here";
                return Err(self.wrong(from, problem));
            }
        }
        if let Some(given) = &raw.manifest_keys
            && given.get_ref().is_empty()
        {
            let problem =
                "is empty: name CI's public key, or leave it out to believe whoever may push";
            return Err(self.wrong(given.span().start, problem));
        }
        let first = host.split('.').next().unwrap_or(host);
        let name = table.system_name.clone();
        Ok(Following {
            keys: table.manifest_keys.clone().unwrap_or_default(),
            system_name: name.unwrap_or_else(|| first.to_owned()),
            wait: table.wait,
            otherwise,
        })
    }
}

/// What is evaluated: a file, or the flake.
fn expression(host: &str, table: &ClosureTable, file: bool) -> Expression {
    let directory = table.directory.clone();
    // A host name with dots is one name in the attribute path.
    let usual = || format!("nixosConfigurations.\"{host}\".config.system.build.toplevel");
    let attribute = table.attribute.clone().unwrap_or_else(usual);
    match file {
        true => Expression::File {
            directory,
            file: table.file.clone(),
            attribute,
        },
        false => Expression::Flake {
            directory,
            attribute,
        },
    }
}

impl Notes {
    /// What is in effect only together with other keys.
    fn closure(&mut self, closure: &Closure) {
        if let Some(following) = closure.following() {
            let keys = List::<ManifestKey>::shown(&following.keys);
            self.show("closure.manifest_keys", keys);
            self.show("closure.system_name", following.system_name.clone());
            self.time("closure.wait", following.wait);
            if let Otherwise::Build(_) = following.otherwise {
                self.show("closure.fallback", "build");
            }
            let older = following.otherwise == Otherwise::Older;
            self.show("closure.older", older.to_string());
        }
        let Some(expression) = closure.expression() else {
            return;
        };
        let (Expression::Flake { attribute, .. } | Expression::File { attribute, .. }) = expression;
        self.show("closure.attribute", attribute.clone());
        if let Expression::File { file, .. } = expression {
            self.show("closure.file", file.clone());
        }
        if let Some(directory) = expression.directory() {
            self.show("closure.directory", directory);
        }
    }
}
