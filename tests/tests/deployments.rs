//! What ends well: the commit arrives, and then there is nothing to do.

use anyhow::{Result, ensure};
use lab::Lab;
use lab::story::{Story, deployments, status};
use lab::test;
use nixus::decide::report::State;

const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;
const GOODBYE: &str = r#"environment.etc."greeting".text = "goodbye";"#;

#[test(nixos)]
fn first_deployment() -> Result<()> {
    let story = Story::over(Lab::start(&["web1"])?);
    let web1 = story.host("web1")?;
    // The branch has moved on since this host was installed: adopting activates nothing.
    let installed = web1.current_system()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    web1.stop_passes()?;
    let said = web1.must(["nixus", "adopt"])?;
    ensure!(said.contains("Nothing was activated"), "{said}");
    ensure!(web1.current_system()? == installed);
    web1.start_passes()?;

    let report = story.kept("web1", &commit)?;
    ensure!(
        report
            .text
            .starts_with("Successfully activated new system! (generation 2, ")
    );
    ensure!(report.generation == Some(2));
    ensure!(web1.read("/etc/greeting")? == "hello");
    story.tries_no_more("web1")
}

#[test(nixos)]
fn update() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    for (number, (text, greeting)) in (2..).zip([(GREETING, "hello"), (GOODBYE, "goodbye")]) {
        let commit = story.lab().deploy("web1", text, greeting)?;
        let report = story.kept("web1", &commit)?;
        ensure!(report.generation == Some(number), "{report:?}");
        ensure!(web1.read("/etc/greeting")? == greeting);
    }
    let states: Vec<State> = story
        .lab()
        .operator()
        .reports("web1")?
        .iter()
        .map(|report| report.state)
        .collect();
    let (building, activating, success) = (State::Building, State::Activating, State::Success);
    ensure!(
        states.ends_with(&[building, activating, success, building, activating, success]),
        "{states:?}"
    );
    // What was confirmed is what the next boot starts, without any of our code.
    let running = web1.current_system()?;
    web1.reboot()?;
    ensure!(web1.booted_system()? == running);
    story.waits_for("web1", "up-to-date")
}

#[test(nixos)]
fn nothing_to_do() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let picture = || -> Result<String> {
        web1.must([
            "find",
            "/var/lib/nixus",
            "-type",
            "f",
            "-printf",
            "%p %T@ %s\n",
        ])
    };
    let before = picture()?;
    story.tries_no_more("web1")?;
    ensure!(
        before == picture()?,
        "a pass with nothing to do wrote files"
    );
    ensure!(
        !web1.exec(["pgrep", "-x", "nixus"])?.ok()
            || web1
                .exec(["systemctl", "is-active", "nixus-reconcile.service"])?
                .ok(),
        "a process stayed behind"
    );
    Ok(())
}

#[test]
fn the_commit_leaves_this_hosts_toplevel_unchanged() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = (web1.current_system()?, deployments(web1)?);
    let files = [("README.md".to_owned(), "A fleet.\n".to_owned())].into();
    let commit = story
        .lab()
        .operator()
        .deploy(&files, "describe the fleet")?;
    let report = story.kept("web1", &commit)?;
    ensure!(
        report.text.contains("nothing to activate"),
        "{}",
        report.text
    );
    ensure!(before == (web1.current_system()?, deployments(web1)?));
    Ok(())
}

#[test]
fn a_toplevel_from_a_file_instead_of_a_flake() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let file = "{ }: { web1 = (builtins.getFlake (toString ./.)).nixosConfigurations.web1.config.system.build.toplevel; }\n";
    let settings = r#"
      services.nixus.settings.closure = {
        from = lib.mkForce "file";
        file = "default.nix";
        attribute = "web1";
      };
      nix.settings.pure-eval = false;
    "#;
    let mut files: lab::fleet::Files = [story.lab().describe("web1", settings)?].into();
    files.insert("default.nix".to_owned(), file.to_owned());
    let commit = story.lab().operator().deploy(&files, "build from a file")?;
    story.kept("web1", &commit)?;
    let next = story
        .lab()
        .deploy("web1", &format!("{settings}\n{GREETING}"), "greet")?;
    story.kept("web1", &next)?;
    ensure!(story.host("web1")?.read("/etc/greeting")? == "hello");
    Ok(())
}

#[test]
fn a_flake_is_moved_to_a_folder_and_one_that_is_not_where_it_should_be_is_an_error_at_once()
-> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let operator = story.lab().operator();
    let clone = operator.clone_path();
    let git = |arguments: &[&str]| {
        let said = operator.git(arguments)?;
        ensure!(said.ok(), "git {arguments:?}: {}", said.stderr);
        anyhow::Ok(())
    };
    // Deploys a description of web1 in a folder.
    let deploy = |folder: &str, more: &str, message: &str| {
        let (path, text) = story.lab().describe("web1", more)?;
        let files: lab::fleet::Files = [(format!("{folder}{path}"), text)].into();
        operator.deploy(&files, message)
    };
    let everything = [
        "flake.nix",
        "flake.lock",
        "fleet.nix",
        "lab.nix",
        "common.nix",
        "users.nix",
        "hosts",
    ];
    let inside = r#"services.nixus.settings.closure.directory = "nix";"#;

    // What runs looks for the flake at the root, and what is to run looks in the folder: a link serves both.
    std::fs::create_dir(clone.join("nix"))?;
    git(&[&["mv"][..], &everything, &["nix"]].concat())?;
    std::os::unix::fs::symlink("nix/flake.nix", clone.join("flake.nix"))?;
    std::fs::copy(clone.join("nix/flake.lock"), clone.join("flake.lock"))?;
    let commit = deploy("nix/", inside, "move the flake to a folder")?;
    story.kept("web1", &commit)?;
    git(&["rm", "--quiet", "flake.nix", "flake.lock"])?;
    let commit = deploy("nix/", &format!("{inside}\n{GREETING}"), "greet")?;
    let report = story.kept("web1", &commit)?;
    ensure!(web1.read("/etc/greeting")? == "hello");
    let shown = web1.must(["nixus", "check-config"])?;
    let directory = ["closure.directory", "nix"];
    ensure!(
        shown
            .lines()
            .any(|line| line.split_whitespace().eq(directory)),
        "{shown}"
    );

    git(&["mv", "nix", "other"])?;
    let commit = deploy("other/", inside, "move the flake again")?;
    let words = "nix/flake.nix is not in it, other/flake.nix is: set closure.directory = \"other\" to follow that";
    let before = report.toplevel.map(|toplevel| toplevel.to_string());
    let refused = story.went_back(
        "web1",
        &commit,
        before.as_deref().unwrap_or_default(),
        words,
    )?;
    ensure!(refused.state == State::Error, "{refused:?}");
    git(&["mv", "other", "nix"])?;
    let commit = deploy("nix/", inside, "move it back")?;
    story.kept("web1", &commit)?;
    Ok(())
}

#[test]
fn a_pass_that_is_killed_is_continued_by_the_next() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    for _ in 0..5 {
        // Wherever it is: at the list, the fetch, the build or the hand-over.
        web1.exec(["systemctl", "kill", "-s", "KILL", "nixus-reconcile.service"])?;
        web1.exec(["systemctl", "reset-failed", "nixus-reconcile.service"])?;
        lab::meter::sleep(std::time::Duration::from_millis(150));
    }
    story.kept("web1", &commit)?;
    ensure!(status(web1)?.pointer("/kept/commit/id").is_some());
    Ok(())
}

#[test]
fn a_host_gets_another_name_and_keeps_its_place_in_the_repository() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    // Under another name it would look for a description that nobody has written.
    let elsewhere = r#"services.nixus.settings.host = lib.mkForce "shop1";"#;
    let commit = story
        .lab()
        .deploy("web1", elsewhere, "rename web1 to Nixus")?;
    story.went_back("web1", &commit, &before, "shop1")?;
    let renamed = r#"networking.hostName = lib.mkForce "shop1";"#;
    let commit = story.lab().deploy("web1", renamed, "rename web1")?;
    story.kept("web1", &commit)?;
    ensure!(web1.read("/etc/hostname")?.trim() == "shop1");
    let next = story
        .lab()
        .deploy("web1", &format!("{renamed} {GREETING}"), "greet")?;
    story.kept("web1", &next)?;
    Ok(())
}
