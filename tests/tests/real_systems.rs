//! What is in NixOS systems besides Nixus: accounts, time zones, a database and a web server.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::Host;
use lab::story::Story;
use lab::test;

use crate::failures::takes_the_next_commit;
use crate::switching::pid;

const SOON: Duration = Duration::from_secs(30);

#[test(only_nixos)]
fn accounts_are_added_and_removed() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let exists = |name: &str| -> Result<bool> { Ok(web1.exec(["id", name])?.ok()) };
    for (name, other) in [("alice", "bob"), ("bob", "alice")] {
        let account = format!("users.users.{name} = {{ isNormalUser = true; }};");
        let commit = story
            .lab()
            .deploy("web1", &account, "change who works here")?;
        story.kept("web1", &commit)?;
        ensure!(
            exists(name)? && !exists(other)?,
            "{name} is not the only one"
        );
    }
    // Whoever leaves keeps the home.
    web1.must(["test", "-d", "/home/alice"])?;
    takes_the_next_commit(&story)
}

#[test(only_nixos)]
fn time_zone_and_locale_change() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    for (zone, name, locale) in [
        ("Asia/Tokyo", "JST", "C.UTF-8"),
        ("UTC", "UTC", "en_US.UTF-8"),
    ] {
        let nix = format!("time.timeZone = \"{zone}\"; i18n.defaultLocale = \"{locale}\";");
        let commit = story.lab().deploy("web1", &nix, "move to another place")?;
        story.kept("web1", &commit)?;
        ensure!(web1.must(["date", "+%Z"])?.trim() == name);
        ensure!(
            web1.read("/etc/locale.conf")?
                .contains(&format!("LANG={locale}"))
        );
    }
    takes_the_next_commit(&story)
}

/// A web server with a page and another setting, and a database with one.
fn content(page: &str, more: &str, work: &str) -> String {
    format!(
        r#"
        services.nginx = {{
          enable = true;
          enableReload = true;
          config = ''
            events {{ }}
            http {{
              {more}
              # Debian's are in /var/lib/nginx.
              client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
              uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
              server {{ listen 80; location / {{ return 200 '{page}'; }} }}
            }}
          '';
        }};
        # The hosts have no other locale.
        i18n.defaultLocale = "C.UTF-8";
        services.postgresql = {{
          enable = true;
          settings.work_mem = "{work}";
        }};
        "#
    )
}

fn page(host: &Host) -> Result<String> {
    Ok(host.exec(["curl", "--silent", "http://localhost/"])?.stdout)
}

fn sql(host: &Host, sql: &str) -> Result<String> {
    let psql = ["runuser", "-u", "postgres", "--", "psql", "-Atc", sql];
    Ok(host.must(psql)?.trim().to_owned())
}

#[test(only_nixos)]
fn a_database_and_a_web_server_are_reloaded_restarted_and_put_back() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story
        .lab()
        .deploy("web1", &content("one", "", "4MB"), "open")?;
    story.kept("web1", &commit)?;
    ensure!(page(web1)? == "one");
    sql(web1, "create table shop as select 42 as stock")?;
    let before = (pid(web1, "nginx")?, pid(web1, "postgresql")?);

    // Only nginx has another configuration, and reloads it.
    let commit = story
        .lab()
        .deploy("web1", &content("two", "", "4MB"), "repaint")?;
    story.kept("web1", &commit)?;
    let kept = web1.current_system()?;
    web1.wait_until("shows the new page", SOON, |host| Ok(page(host)? == "two"))?;
    ensure!(
        before == (pid(web1, "nginx")?, pid(web1, "postgresql")?),
        "it was restarted"
    );

    // The database takes its setting only when restarted, nginx does not start, and both are put back.
    let broken = content("three", "nonsense;", "8MB");
    let commit = story
        .lab()
        .deploy("web1", &broken, "break the web server")?;
    story.went_back("web1", &commit, &kept, "nginx")?;
    ensure!(page(web1)? == "two" && sql(web1, "show work_mem")? == "4MB");
    ensure!(sql(web1, "select stock from shop")? == "42");
    takes_the_next_commit(&story)
}
