//! The git server's HTTPS door: lighttpd with git's own `git-http-backend` behind it, a certificate
//! authority of its own, and one token.

use anyhow::Result;

use crate::fleet;
use crate::host::Host;

/// The URL of the deploy repository over HTTPS.
pub const URL: &str = "https://10.77.0.2:8443/git/deploy.git";

/// Where certificates and keys are.
pub const FOLDER: &str = "/etc/https";
/// As git-http-backend(1) and lighttpd's documentation of mod_openssl and mod_authn_file say.
const CONFIG: &str = r#"server.port = 8443
server.document-root = "/srv/git"
server.modules = ( "mod_openssl", "mod_auth", "mod_authn_file", "mod_alias", "mod_setenv", "mod_cgi" )
ssl.engine = "enable"
ssl.pemfile = "/etc/https/server.pem"
ssl.privkey = "/etc/https/server.key"
auth.backend = "plain"
auth.backend.plain.userfile = "/etc/https/users"
alias.url = ( "/git" => "/usr/lib/git-core/git-http-backend" )
$HTTP["url"] =~ "^/git(/|$)" {
  auth.require = ( "" => ( "method" => "basic", "realm" => "git", "require" => "valid-user" ) )
  cgi.assign = ( "" => "" )
  setenv.set-environment = ( "GIT_PROJECT_ROOT" => "/srv/git", "GIT_HTTP_EXPORT_ALL" => "1" )
}
"#;

/// Serves the deploy repository until the server is off, to whoever has this token beside any user
/// name that git gives. Gives the certificate of the authority that vouches for it.
///
/// # Errors
/// When a certificate cannot be made, or the server does not start.
pub fn start(server: &Host, token: &str) -> Result<String> {
    server.write(&format!("{FOLDER}/lighttpd.conf"), CONFIG)?;
    server.write(
        &format!("{FOLDER}/users"),
        &format!("x-access-token:{token}\n"),
    )?;
    let authority = certificate(server)?;
    server.must([
        "systemd-run",
        "--quiet",
        "--unit=https",
        "--uid=git",
        "--service-type=exec",
        "lighttpd",
        "-D",
        "-f",
        &format!("{FOLDER}/lighttpd.conf"),
    ])?;
    Ok(authority)
}

/// Makes an authority and a certificate of the server's address in [`FOLDER`], as `server.pem` and
/// `server.key` for the account git; gives the authority's certificate.
///
/// # Errors
/// When one cannot be made.
pub fn certificate(server: &Host) -> Result<String> {
    server.must(["mkdir", "-p", FOLDER])?;
    let authority = certify_itself(server, "ca")?;
    let alternative = format!("subjectAltName=IP:{}\n", fleet::GIT_SERVER);
    server.write(&format!("{FOLDER}/names"), &alternative)?;
    openssl(
        server,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=git \
         -keyout server.key -out server.csr",
    )?;
    openssl(
        server,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
         -extfile names -out server.pem",
    )?;
    server.must(["chown", "-R", "git", FOLDER])?;
    Ok(authority)
}

/// Makes another authority on the server, which vouches for nothing; gives its certificate.
///
/// # Errors
/// When it cannot be made.
pub fn stranger(server: &Host) -> Result<String> {
    certify_itself(server, "stranger")
}

fn certify_itself(server: &Host, name: &str) -> Result<String> {
    openssl(
        server,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ),
    )?;
    server.read(&format!("{FOLDER}/{name}.pem"))
}

fn openssl(server: &Host, arguments: &str) -> Result<()> {
    let words = ["env", "-C", FOLDER, "openssl"];
    let words = words.into_iter().chain(arguments.split_whitespace());
    server.must(words).map(drop)
}
