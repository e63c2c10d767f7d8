//! Binary caches on the git server, as fleets have them: a folder, HTTP, SSH, and a mirror of the
//! HTTP cache on another host that keeps what went through it.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64ct::{Base64, Encoding as _};

use crate::command;
use crate::fleet::GIT_SERVER;
use crate::host::Host;
use crate::keys;
use crate::laboratory::Lab;
use crate::setup;
use crate::signing_key::SigningKey;

/// The folder with what was pushed to the cache, on the git server.
pub const FOLDER: &str = "/srv/cache";
/// The cache over HTTP.
pub const HTTP: &str = "http://10.77.0.2:8080";
/// A cache where nobody listens.
pub const DEAD: &str = "http://10.77.0.2:8099";
/// Where a host has its copy of the folder.
const MOUNTED: &str = "/mnt/cache";
const PULL_THROUGH_PORT: u16 = 8081;
const SERVE: &str = "cache-http";
/// Copying a cache takes as long as the disk does.
const COPY: Duration = Duration::from_secs(120);

/// As lighttpd's documentation says. Caches are made of files that nobody lists.
const LIGHTTPD: &str = r#"server.port = 8080
server.document-root = "/srv/cache"
server.modules = ( )
mimetype.assign = ( "" => "application/octet-stream" )
"#;

/// As nginx' documentation of ngx_http_proxy_module says. What a cache has not is asked for anew.
const NGINX: &str = r#"daemon off;
user root;
worker_processes 1;
pid /run/pull-through.pid;
error_log stderr;
events { }
http {
  access_log off;
  proxy_cache_path /var/cache/pull-through keys_zone=cache:1m inactive=1d use_temp_path=off;
  server {
    listen 8081;
    location / {
      proxy_pass http://10.77.0.2:8080;
      proxy_connect_timeout 2s;
      proxy_cache cache;
      proxy_cache_valid 200 1d;
      proxy_cache_use_stale error timeout;
    }
  }
}
"#;

/// Lines of Nix for [`crate::laboratory::Builder::common`]: hosts take their systems from CI's
/// manifests, and from these caches.
///
/// # Errors
/// When there is no key to be trusted.
pub fn follow_manifests(substituters: &[&str]) -> Result<String> {
    Ok(format!(
        "  nix.settings.substituters = lib.mkForce [ {} ];
  nix.settings.trusted-public-keys = [ \"{}\" ];
  services.nixus.settings.closure.from = \"manifest\";\n",
        quoted(substituters),
        SigningKey::trusted()?.public
    ))
}

/// A line of Nix for one host that takes its systems from these caches only.
pub fn only(substituters: &[&str]) -> String {
    format!(
        "nix.settings.substituters = lib.mkOverride 40 [ {} ];",
        quoted(substituters)
    )
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(" ")
}

/// The caches of a lab, all with the same content.
#[derive(Debug, Clone)]
pub struct Caches {
    server: Host,
}

impl Caches {
    /// The lab's caches; nothing is in them, and nothing is served.
    ///
    /// # Errors
    /// When the git server is off.
    pub fn on(lab: &Lab) -> Result<Self> {
        let server = lab.host("git")?.clone();
        server.must(["mkdir", "-p", FOLDER])?;
        Ok(Self { server })
    }

    /// Puts the closures of paths of the git server's store into the folder, signed with a key or
    /// not at all. What is there already stays as it is.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn fill<S: AsRef<str>>(&self, paths: &[S], key: Option<&SigningKey>) -> Result<()> {
        // Without compression what goes wrong on the way is a matter of bytes that one can count.
        let mut store = format!("file://{FOLDER}?compression=none");
        if let Some(key) = key {
            store.push_str(&format!("&secret-key={}", self.secret_file(key)?));
        }
        let paths = paths.iter().map(AsRef::as_ref);
        let copy = ["nix", "copy", "--to", &store];
        self.server.must(copy.into_iter().chain(paths))?;
        Ok(())
    }

    /// Adds a signature to what is in the folder already.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn sign(&self, path: &str, key: &SigningKey) -> Result<()> {
        self.sign_in(&format!("file://{FOLDER}"), path, key)
    }

    /// Adds a signature to what is in the git server's own store, for hosts that ask for it by SSH.
    ///
    /// # Errors
    /// When Nix refuses.
    pub fn sign_own_store(&self, path: &str, key: &SigningKey) -> Result<()> {
        self.sign_in("local", path, key)
    }

    fn sign_in(&self, store: &str, path: &str, key: &SigningKey) -> Result<()> {
        let file = self.secret_file(key)?;
        let sign = ["nix", "store", "sign", "--recursive", "--store", store];
        self.server
            .must(sign.into_iter().chain(["--key-file", &file, path]))?;
        Ok(())
    }

    fn secret_file(&self, key: &SigningKey) -> Result<String> {
        let name = key.public.replace(['/', '+', '=', ':'], "_");
        let file = format!("/root/signing-keys/{name}");
        self.server.write(&file, &key.secret)?;
        self.server.must(["chmod", "600", &file])?;
        Ok(file)
    }

    /// The folder's file with a path's content.
    fn archive(&self, path: &str) -> Result<String> {
        let described = self.server.read(&description(path)?)?;
        let url = described
            .lines()
            .find_map(|line| line.strip_prefix("URL: "));
        let url = url.with_context(|| format!("the cache has no {path}: {described}"))?;
        Ok(format!("{FOLDER}/{url}"))
    }

    /// Damages what the folder has of a path: its last byte is missing.
    ///
    /// # Errors
    /// When the path is not there.
    pub fn damage(&self, path: &str) -> Result<()> {
        let archive = self.archive(path)?;
        self.server.must(["truncate", "--size=-1", &archive])?;
        Ok(())
    }

    /// Takes a path out of the folder; what it refers to stays.
    ///
    /// # Errors
    /// When the path is not there.
    pub fn remove(&self, path: &str) -> Result<()> {
        let archive = self.archive(path)?;
        self.server.must(["rm", &archive, &description(path)?])?;
        Ok(())
    }

    /// Serves the folder at [`HTTP`] until the server is off or [`Caches::stop`] is called.
    ///
    /// # Errors
    /// When lighttpd does not start.
    pub fn serve(&self) -> Result<()> {
        self.server.write("/etc/cache/lighttpd.conf", LIGHTTPD)?;
        serve(
            &self.server,
            SERVE,
            "lighttpd -D -f /etc/cache/lighttpd.conf",
        )
    }

    /// Ends the HTTP cache at once, in the middle of whatever it sends.
    ///
    /// # Errors
    /// When it is not served.
    pub fn stop(&self) -> Result<()> {
        self.server
            .must(["systemctl", "stop", &format!("{SERVE}.service")])?;
        Ok(())
    }

    /// How many bytes the HTTP cache has in its hands that its clients have not taken yet.
    ///
    /// # Errors
    /// When the server is off.
    pub fn under_way(&self) -> Result<u64> {
        let sockets = self.server.must([
            "ss",
            "-H",
            "-t",
            "-n",
            "state",
            "established",
            "sport",
            "=",
            ":8080",
        ])?;
        let sent = sockets.lines().filter_map(|line| {
            let queue = line.split_whitespace().nth(1)?;
            queue.parse::<u64>().ok()
        });
        Ok(sent.sum())
    }

    /// Copies the folder to a host's own disk, as a mounted share would be there; gives its URL.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn mount_on(&self, host: &Host) -> Result<String> {
        host.must(["rm", "-rf", "--", MOUNTED])?;
        host.must(["mkdir", "-p", "/mnt"])?;
        let inside = |host: &Host, path: &str| host.disk().join(path.trim_start_matches('/'));
        let mut copy = Command::new("cp");
        copy.arg("--archive")
            .arg(inside(&self.server, FOLDER))
            .arg(inside(host, MOUNTED));
        command::must(&mut copy, None, COPY)?;
        Ok(format!("file://{MOUNTED}"))
    }

    /// Lets a member of the fleet read the git server's store by SSH with the key that it has for
    /// commits, and nothing else; gives the store's URL.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn open_by_ssh(&self, lab: &Lab, member: &str) -> Result<String> {
        let key = lab.deploy_key(member)?;
        let file = "/root/.ssh/authorized_keys";
        let before = self.server.exec(["cat", file])?.stdout;
        let line = format!(
            "command=\"nix-daemon --stdio\",restrict {} {member}\n",
            key.public
        );
        self.server.write(file, &(before + &line))?;
        self.server.must(["chmod", "700", "/root/.ssh"])?;
        self.server.must(["chmod", "600", file])?;
        let host_key = keys::key(&setup::prepare()?, "host-git")?;
        // The padding would end the parameter.
        let host_key = Base64::encode_string(host_key.public.as_bytes()).replace('=', "%3D");
        Ok(format!(
            "ssh-ng://root@{GIT_SERVER}?ssh-key=/etc/nixus/deploy_key&base64-ssh-public-host-key={host_key}"
        ))
    }
}

/// Lets a host answer for the HTTP cache, and keep what it passed on; gives the URL for others.
///
/// # Errors
/// When nginx does not start.
pub fn pull_through(host: &Host) -> Result<String> {
    host.write("/etc/cache/nginx.conf", NGINX)?;
    host.must(["mkdir", "-p", "/var/cache/pull-through", "/var/lib/nginx"])?;
    serve(host, "pull-through", "nginx -c /etc/cache/nginx.conf")?;
    Ok(format!("http://{}:{PULL_THROUGH_PORT}", host.address))
}

fn serve(host: &Host, unit: &str, line: &str) -> Result<()> {
    let run = [
        "systemd-run",
        "--quiet",
        "--collect",
        "--service-type=exec",
        // Neither server is to finish what it began.
        "--property=KillSignal=SIGKILL",
    ];
    let unit = format!("--unit={unit}");
    let words = line.split_whitespace();
    host.must(run.into_iter().chain([unit.as_str()]).chain(words))?;
    Ok(())
}

/// The file in which a cache describes a store path.
fn description(path: &str) -> Result<String> {
    let name = path.strip_prefix("/nix/store/").unwrap_or(path);
    let hash = name.split('-').next().unwrap_or_default();
    ensure!(hash.len() == 32, "{path} is not a store path");
    Ok(format!("{FOLDER}/{hash}.narinfo"))
}
