//! Deploy repositories with submodules, and with files that are somewhere else.

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

#[test]
fn files_in_git_lfs_are_refused_with_what_to_do_or_taken_as_pointers() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let pointer = "version https://git-lfs.github.com/spec/v1\n\
                   oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let logo = r#"environment.etc."logo".text = builtins.readFile ../files/logo.bin;"#;
    let files = |more: &str, logo: &str| -> Result<fleet::Files> {
        Ok([
            story.lab().describe("web1", more)?,
            (
                ".gitattributes".to_owned(),
                "*.bin filter=lfs diff=lfs merge=lfs -text\n".to_owned(),
            ),
            ("files/logo.bin".to_owned(), logo.to_owned()),
        ]
        .into())
    };
    let operator = story.lab().operator();
    let commit = operator.deploy(&files(logo, pointer)?, "show the logo")?;
    let words = "has files in Git LFS, of which Nix would get the pointers alone (files/logo.bin): commit them without LFS";
    let report = story.went_back("web1", &commit, &before, words)?;
    ensure!(
        report.state == nixus::decide::report::State::Error,
        "{report:?}"
    );
    // As it is asked to.
    let commit = operator.deploy(&files(logo, "a picture")?, "commit it as it is")?;
    story.kept("web1", &commit)?;
    ensure!(web1.read("/etc/logo")? == "a picture");

    let ignore = r#"services.nixus.settings.closure.lfs = "ignore";"#;
    let commit = operator.deploy(&files(ignore, "a picture")?, "take pointers from now on")?;
    story.kept("web1", &commit)?;
    let commit = operator.deploy(
        &files(&format!("{ignore}\n{logo}"), pointer)?,
        "show the pointer",
    )?;
    story.kept("web1", &commit)?;
    ensure!(web1.read("/etc/logo")?.trim_end() == pointer.trim_end());
    Ok(())
}
