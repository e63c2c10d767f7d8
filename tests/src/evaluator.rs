//! Nix and nixpkgs' library for tests that evaluate modules: no store is needed, and no host.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{self, Output};
use crate::nix_root::NixRoot;
use crate::nixos;
use crate::setup;

/// Where this repository is, for Nix.
const REPOSITORY: &str = "/nixus";
/// The stand-in's library.
const STAND_IN: &str = "/nixus/tests/nix/nixpkgs/lib.nix";
const LIMIT: Duration = Duration::from_secs(300);

/// How many evaluations with all of nixpkgs run at a time; each takes one to two gigabytes.
const AT_A_TIME: usize = 2;

/// What is wrong with each of these, in any order.
pub fn wrong_with<T: Sync>(all: &[T], judge: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || -> Vec<String> {
        let mut wrong = Vec::new();
        while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(judge(one));
        }
        wrong
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        let ended = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| vec!["an evaluation panicked".to_owned()])
        });
        ended.flatten().collect()
    })
}

/// Which library modules are evaluated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// nixpkgs' own.
    Nixpkgs,
    /// The lab's.
    StandIn,
}

/// Evaluates expressions, in a Debian with Nix that ends with it.
#[derive(Debug)]
pub struct Evaluator {
    root: NixRoot,
    missing: Option<String>,
}

impl Evaluator {
    /// Makes one. That nixpkgs' library is not to be had is not an error: see [`Evaluator::missing`].
    ///
    /// # Errors
    /// When the lab cannot run on this machine.
    pub fn new() -> Result<Self> {
        let machine = setup::prepare()?;
        let root = NixRoot::new(&machine)?;
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        root.bind(&repository, REPOSITORY)?;
        let missing = match nixos::library(&machine) {
            Ok(folder) => {
                root.bind(&folder, "/nixpkgs")?;
                None
            }
            Err(error) => Some(format!("{error:#}")),
        };
        Ok(Self { root, missing })
    }

    /// Why there is no library of nixpkgs.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Evaluates an attribute of the tables (`tests/nix/cases/run.nix`); what follows it is Nix.
    ///
    /// # Errors
    /// When Nix cannot be run; an evaluation that fails is an output like any other.
    pub fn evaluate(&self, library: Library, attribute: &str) -> Result<Output> {
        let lib = match library {
            Library::Nixpkgs => "/nixpkgs/lib",
            Library::StandIn => STAND_IN,
        };
        let expression = format!(
            "(import {REPOSITORY}/tests/nix/cases/run.nix {{ lib = import {lib}; }}).{attribute}"
        );
        let arguments = [
            "nix-instantiate",
            "--eval",
            "--strict",
            "--json",
            "--store",
            "dummy://",
            "--expr",
            &expression,
        ];
        command::run(&mut self.root.command(&arguments), None, LIMIT)
    }

    /// Evaluates an attribute of a file in `tests/nix` with all of nixpkgs; gives its value and how many
    /// functions were called for it, which is the same on each machine.
    ///
    /// # Errors
    /// When it does not evaluate, with what Nix said.
    pub fn of_nixpkgs<T: serde::de::DeserializeOwned>(
        &self,
        file: &str,
        attribute: &str,
    ) -> Result<(T, u64)> {
        let said = self.with_nixpkgs(file, attribute)?;
        anyhow::ensure!(said.ok(), "{attribute}: {}", said.stderr);
        let value = serde_json::from_str(&said.stdout)
            .with_context(|| format!("{attribute}: no such answer"))?;
        // After warnings, if there are any.
        let statistics = said.stderr.find("{\n").map_or("", |at| &said.stderr[at..]);
        let statistics: serde_json::Value = serde_json::from_str(statistics)
            .with_context(|| format!("{attribute}: no statistics"))?;
        let calls = statistics.pointer("/nrFunctionCalls");
        let calls = calls.and_then(serde_json::Value::as_u64);
        Ok((value, calls.context("no number of calls")?))
    }

    /// As [`Evaluator::of_nixpkgs`], for what may fail.
    ///
    /// # Errors
    /// When Nix cannot be run.
    pub fn with_nixpkgs(&self, file: &str, attribute: &str) -> Result<Output> {
        let expression =
            format!("(import {REPOSITORY}/tests/nix/{file} {{ tree = /nixpkgs; }}).{attribute}");
        let arguments = ["nix-instantiate", "--eval", "--strict", "--json", "--expr"];
        let mut nix = self
            .root
            .command(&[&arguments[..], &[&expression]].concat());
        // Without collections a third less of the processor.
        nix.env("GC_INITIAL_HEAP_SIZE", "1500M")
            .env("NIX_SHOW_STATS", "1");
        command::run(&mut nix, None, LIMIT)
    }

    /// As [`Evaluator::evaluate`], for what must evaluate.
    ///
    /// # Errors
    /// When it does not, with what Nix said.
    pub fn must<T: serde::de::DeserializeOwned>(
        &self,
        library: Library,
        attribute: &str,
    ) -> Result<T> {
        let said = self.evaluate(library, attribute)?;
        anyhow::ensure!(said.ok(), "{attribute}: {}", said.stderr);
        serde_json::from_str(&said.stdout).with_context(|| format!("{attribute}: no such answer"))
    }
}
