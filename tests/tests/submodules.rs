//! Deploy repositories with submodules.

use anyhow::{Context as _, Result, ensure};
use lab::fleet;
use lab::git_server::give_to_git;
use lab::story::Story;
use lab::test;

/// A repository with one file on the git server, where hosts may read submodules.
fn make_submodule(story: &Story) -> Result<()> {
    let server = story.host("git")?;
    let git = |arguments: &[&str]| {
        let always = ["git", "-c", "user.name=o", "-c", "user.email=o@lab"];
        server.must([&always[..], arguments].concat())
    };
    git(&["init", "--quiet", "--initial-branch=main", "/root/menu"])?;
    server.write(
        "/root/menu/menu.nix",
        "{ environment.etc.\"menu\".text = \"soup\"; }\n",
    )?;
    git(&["-C", "/root/menu", "add", "menu.nix"])?;
    git(&["-C", "/root/menu", "commit", "--quiet", "--message", "menu"])?;
    let bare = "/srv/git/submodules/menu.git";
    git(&["clone", "--quiet", "--bare", "/root/menu", bare])?;
    give_to_git(&server.disk().join("srv/git/submodules"))
}

#[test]
fn submodules_come_with_the_deploy_key_and_by_relative_urls() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let operator = story.lab().operator();
    make_submodule(&story)?;
    let with = "services.nixus.settings.closure.submodules = true;";
    let first = story.lab().deploy("web1", with, "follow submodules")?;
    story.kept("web1", &first)?;

    let url = fleet::url("/srv/git/submodules/menu.git");
    let added = operator.git(&["submodule", "--quiet", "add", &url, "menu"])?;
    ensure!(added.ok(), "{}", added.stderr);
    let modules = operator.clone_path().join(".gitmodules");
    let text = std::fs::read_to_string(&modules).context("no .gitmodules")?;
    std::fs::write(&modules, text.replace(&url, "../submodules/menu.git"))
        .context("cannot make the URL relative")?;
    let describe = format!("{with}\n imports = [ ../menu/menu.nix ];");
    let commit = story.lab().deploy("web1", &describe, "take the menu")?;
    let report = story.kept("web1", &commit)?;
    let web1 = story.host("web1")?;
    ensure!(web1.read("/etc/menu")? == "soup");

    // A submodule that is nowhere is the commit's own fault.
    std::fs::write(&modules, "").context("cannot write .gitmodules")?;
    let wrong = story
        .lab()
        .deploy("web1", &describe, "lose the menu's URL")?;
    let before = report.toplevel.context("no toplevel")?.to_string();
    story.went_back("web1", &wrong, &before, "the submodule menu has no URL")?;

    std::fs::write(&modules, text).context("cannot write .gitmodules")?;
    let mended = story.lab().deploy("web1", &describe, "mend the URL")?;
    story.kept("web1", &mended)?;
    Ok(())
}
