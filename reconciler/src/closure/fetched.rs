//! A toplevel that CI has built: fetched by this host's own Nix, which takes it only with a signature
//! that the running generation trusts. Nothing is evaluated, and nothing is built.

use std::path::Path;
use std::time::Duration;

use nixus_switcher::protocol::Toplevel;
use serde_json::Value;

use super::{ClosureError, run, trifle};
use crate::closure::build_scope::BuildScope;
use crate::closure::nix_failure::{self, explain};
use crate::closure::nix_log::{NixLog, Progress};
use crate::config::Closure;
use crate::host::disk_space;
use crate::host::process::{Invocation, ProcessError, in_words};
use crate::manifest::Entry;

/// How long one question to the store or to a cache may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A bit of the exit code of `nix store verify`: a path has too few signatures
/// (nix's `src/nix/store-verify.md`).
const UNTRUSTED: i32 = 2;

/// A cache did not send what it has (nix's `src/libstore/filetransfer.cc`).
const UNREACHED: [&str; 2] = ["unable to download", "transfer failed"];

pub(super) async fn realise(
    closure: &Closure,
    entry: &Entry,
    repair: bool,
    scope: &BuildScope,
    show: &mut (dyn FnMut(Progress) + Send),
) -> Result<Toplevel, ClosureError> {
    let toplevel = entry.toplevel();
    let failed = |log: &NixLog, source: ProcessError| ClosureError::Fetch {
        toplevel: toplevel.clone(),
        cache: entry.cache().map(str::to_owned),
        source: source.told_by(|_| told(log)),
    };
    if repair {
        let (log, result) = run(mend_store(closure), closure, scope, show).await;
        result.map_err(|source| failed(&log, source))?;
    }
    let (log, result) = run(fetch(closure, toplevel.path()), closure, scope, show).await;
    result.map_err(|source| failed(&log, source))?;
    trusted(toplevel).await?;
    Ok(toplevel.clone())
}

/// A store path that is not a derivation is only ever substituted; to be sure, no builder may run.
fn fetch(closure: &Closure, path: &Path) -> Invocation {
    nix(closure.build_timeout)
        .args(["build", "--no-link", "--log-format", "internal-json"])
        .args(["--max-jobs", "0", "--builders", ""])
        // Else a cache that does not answer is the end, whatever the next one has.
        .arg("--fallback")
        .arg("--")
        .arg(path)
}

/// What is damaged is fetched anew, whichever path of the closure it is.
fn mend_store(closure: &Closure) -> Invocation {
    Invocation::new("nix-store", closure.build_timeout)
        .args(["--verify", "--check-contents", "--repair"])
        .args(["--log-format", "internal-json"])
}

fn nix(limit: Duration) -> Invocation {
    Invocation::new("nix", limit)
        .args(["--extra-experimental-features", "nix-command"])
        // CI may have pushed or signed it since it was last asked for; Nix would believe its own memory
        // for an hour that it is not there, and for a month that it is not signed.
        .args(["--option", "narinfo-cache-negative-ttl", "0"])
        .args(["--option", "narinfo-cache-positive-ttl", "0"])
}

/// Nix' error, and the warnings that say what is wrong with what a cache has.
fn told(log: &NixLog) -> String {
    let mut lines = vec![explain(log, nix_failure::read_kind).told];
    let ignored = |line: &&str| line.starts_with("ignoring substitute");
    lines.extend(log.warnings().filter(ignored).map(str::to_owned));
    disk_space::named(lines.join("\n"))
}

/// What is in the store already may be there by anybody's hand: the toplevel must have a trusted
/// signature, here or in a cache. Its references are a part of what is signed.
async fn trusted(toplevel: &Toplevel) -> Result<(), ClosureError> {
    if is_by_content(toplevel).await? {
        return Err(ClosureError::ByContent {
            toplevel: toplevel.clone(),
        });
    }
    let verify = |cache: Option<&str>| {
        let cache = cache.into_iter().flat_map(|cache| ["--substituter", cache]);
        signed(toplevel.path(), cache)
    };
    let unsigned = || ClosureError::Unsigned {
        toplevel: toplevel.clone(),
    };
    match verify(None).output().await {
        Ok(_) => return Ok(()),
        Err(error) if is_untrusted(&error) => {}
        Err(source) => {
            return Err(ClosureError::Signatures {
                toplevel: toplevel.clone(),
                source,
            });
        }
    }
    // Nix asks them one after the other and ends at the first that does not answer.
    for cache in caches(toplevel).await? {
        match verify(Some(&cache)).output().await {
            Ok(_) => return Ok(()),
            Err(error) if is_untrusted(&error) => {}
            Err(error) => tracing::warn!("{cache}: {}", in_words(&error)),
        }
    }
    Err(unsigned())
}

/// That a cache of the running generation has the toplevel, with a signature that it trusts: it could
/// fetch the next one as well.
pub(super) async fn vouched_for(toplevel: &Toplevel) -> Result<(), ClosureError> {
    let mut said = Vec::new();
    let mut silent = false;
    for cache in caches(toplevel).await? {
        match signed(toplevel.path(), ["--store", &cache]).output().await {
            Ok(_) => return Ok(()),
            Err(error) => {
                silent |= !is_untrusted(&error);
                said.push(format!("{cache}: {}", in_words(&error)));
            }
        }
    }
    match (silent, said.is_empty()) {
        (true, _) => Err(ClosureError::NoCache {
            toplevel: toplevel.clone(),
            said,
        }),
        (false, true) => Err(ClosureError::NoSubstituters {
            toplevel: toplevel.clone(),
        }),
        (false, false) => Err(ClosureError::Unsigned {
            toplevel: toplevel.clone(),
        }),
    }
}

/// That the running generation's Nix fetches: something small that this host has not. A cache may have a
/// toplevel, and this host's settings may still keep Nix from asking it, or from unpacking what it sends.
/// Where CI did not push it, nothing can be proved by it.
pub(super) async fn fetches_anew(
    closure: &Closure,
    toplevel: &Toplevel,
    small: &Path,
) -> Result<(), ClosureError> {
    let mut is_there = false;
    for cache in caches(toplevel).await? {
        is_there |= signed(small, ["--store", &cache]).output().await.is_ok();
    }
    if !is_there {
        tracing::debug!("no cache has {}", small.display());
        return Ok(());
    }
    // An earlier trial of the same commit may have left it; nobody refers to it.
    let delete = Invocation::new("nix-store", ANSWER).arg("--delete");
    let _ = delete.arg(small).output().await;
    let scope = BuildScope::resolve();
    let (log, result) = run(fetch(closure, small), closure, &scope, &mut |_| {}).await;
    let Err(source) = result else {
        return Ok(());
    };
    let said = told(&log);
    let passes = trifle::is_passing(&said) || UNREACHED.iter().any(|sign| said.contains(sign));
    match source {
        ProcessError::Failed { .. } | ProcessError::Start { .. } if !passes => {
            Err(ClosureError::NotFetching {
                small: small.to_owned(),
                source: source.told_by(|_| said),
            })
        }
        _ => Err(ClosureError::NoCache {
            toplevel: toplevel.clone(),
            said: vec![said],
        }),
    }
}

fn signed<'a>(path: &Path, more: impl IntoIterator<Item = &'a str>) -> Invocation {
    nix(ANSWER)
        .args(["store", "verify", "--no-contents", "--sigs-needed", "1"])
        .args(more)
        .arg("--")
        .arg(path)
}

fn is_untrusted(error: &ProcessError) -> bool {
    let code = match error {
        ProcessError::Failed { status, .. } => status.code(),
        _ => None,
    };
    code == Some(UNTRUSTED)
}

/// The caches that the running generation has, in its order.
async fn caches(toplevel: &Toplevel) -> Result<Vec<String>, ClosureError> {
    let shown = ask(
        toplevel,
        nix(ANSWER).args(["config", "show", "substituters"]),
    )
    .await?;
    let shown = String::from_utf8_lossy(&shown);
    Ok(shown.split_whitespace().map(str::to_owned).collect())
}

/// Whether its path follows from its content (`ca` of `nix path-info --json`): then anybody who may
/// add files to the store could have made it, and Nix asks for no signature.
async fn is_by_content(toplevel: &Toplevel) -> Result<bool, ClosureError> {
    let info = nix(ANSWER).args(["path-info", "--json", "--"]);
    let said = ask(toplevel, info.arg(toplevel.path())).await?;
    Ok(has_content_address(&said))
}

pub(crate) fn has_content_address(said: &[u8]) -> bool {
    // A list before Nix 2.19, an object by path since.
    let paths: Vec<Value> = match serde_json::from_slice(said) {
        Ok(Value::Array(paths)) => paths,
        Ok(Value::Object(paths)) => paths.into_iter().map(|(_, info)| info).collect(),
        _ => return true,
    };
    let signed_only = |info: &Value| info.get("ca").is_none_or(Value::is_null);
    paths.is_empty() || !paths.iter().all(signed_only)
}

async fn ask(toplevel: &Toplevel, question: Invocation) -> Result<Vec<u8>, ClosureError> {
    let answer = question.output().await;
    answer.map_err(|source| ClosureError::Signatures {
        toplevel: toplevel.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_not_to_be_addressed_by_content_needs_no_more() {
        let table = [
            (r#"{"/nix/store/a": {"ca": null, "ultimate": true}}"#, false),
            (r#"{"/nix/store/a": {"narSize": 5}}"#, false),
            (r#"[{"path": "/nix/store/a", "narSize": 5}]"#, false),
            (r#"{"/nix/store/a": {"ca": "fixed:r:sha256:1"}}"#, true),
            (r#"{"/nix/store/a": {"ca": {"method": "nar"}}}"#, true),
            (r#"[{"path": "/nix/store/a", "ca": "text:sha256:1"}]"#, true),
            (r#"{"/nix/store/a": null}"#, false),
            ("{}", true),
            ("[]", true),
            ("", true),
        ];
        for (said, expected) in table {
            assert_eq!(has_content_address(said.as_bytes()), expected, "{said}");
        }
    }
}
