//! Evaluations that want more memory than there is.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::story::{PATIENCE, Story, deployments, status};
use lab::test;
use serde_json::Value;

/// A system whose evaluation takes about half a gigabyte.
const HUNGRY: &str = r#"environment.etc."hungry".text = toString (
  builtins.length (
    builtins.filter (text: text != "") (
      builtins.genList (n: toString n + "abcdefghijklmnopqrstuvwxyz") 3000000
    )
  )
);"#;

/// How the passes of a host are run.
fn passes_run_with(host: &Host, settings: &str) -> Result<()> {
    let path = "/run/systemd/system/nixus-reconcile.service.d/memory.conf";
    host.write(path, &format!("[Service]\n{settings}\n"))?;
    host.must(["systemctl", "daemon-reload"]).map(drop)
}

/// The reason why a host tries a commit again later, and until when it waits.
fn waits(host: &Host) -> Result<Option<(String, Value)>> {
    let seen = status(host)?;
    let why = seen.pointer("/backoff/reason").and_then(Value::as_str);
    Ok(why
        .map(str::to_owned)
        .zip(seen.pointer("/backoff/until").cloned()))
}

/// Tries a commit anew; it must fail in these words, and be blamed for nothing.
fn fails(story: &Story, words: &str) -> Result<()> {
    let web1 = story.host("web1")?;
    let before = waits(web1)?;
    if before.is_some() {
        web1.must(["nixus", "retry"])?;
    }
    let mut why = String::new();
    web1.wait_until(&format!("fails as in {words:?}"), PATIENCE, |host| {
        let now = waits(host)?;
        let is_new = now.is_some() && now != before;
        why = now.map_or(String::new(), |(why, _)| why);
        Ok(is_new)
    })?;
    ensure!(why.contains(words), "{why}");
    story.waits_for("web1", "backing-off")?;
    story.blames_no_commit("web1")?;
    ensure!(deployments(web1)?.is_empty(), "something was activated");
    Ok(())
}

#[test]
fn an_evaluation_that_runs_out_of_memory_is_tried_again() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    // Nix's own collector finds no more memory, and Nix ends by itself.
    passes_run_with(web1, "Environment=GC_MAXIMUM_HEAP_SIZE=200000000")?;
    let commit = story.lab().deploy("web1", HUNGRY, "be hungry")?;
    fails(&story, "error: out of memory")?;
    // The kernel refuses Nix more address space.
    passes_run_with(web1, "LimitAS=460M")?;
    fails(&story, "error: out of memory")?;
    // The kernel kills what takes too much.
    passes_run_with(web1, "")?;
    let limit = web1.limit_memory(300 << 20)?;
    fails(&story, "it was killed, perhaps for want of memory")?;
    limit.lift().context("cannot lift the limit")?;
    story.kept_at_last("web1", &commit)?;
    Ok(())
}
