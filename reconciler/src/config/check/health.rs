//! From health as written to the one that is needed.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::Place;
use crate::address::{Address, Scheme};
use crate::config::ConfigError;
use crate::config::health::{Check, Health, Kind, Operator, OwnSsh, PROBE_USER, Peer, Quorum};
use crate::config::written::{self, CheckKind};
use crate::host::public_key::PublicKey;

/// Where sshd has the key by which it is known by default.
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
/// How long a peer must have been silent for nobody to wait for it, in seconds.
const PEERS_LOST_AFTER: u64 = 24 * 60 * 60;
/// The most entries of a list that travels to a peer.
const MOST: usize = 64;

/// The shortest pause between two looks.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

impl Place<'_> {
    /// Everything that is about health.
    pub(super) fn health(&self, raw: &written::File) -> Result<Health, ConfigError> {
        let peers = self.peers(&raw.peers)?;
        Ok(Health {
            soak: self.soak(raw)?,
            peers_lost_after: self
                .duration(raw.health.peers_lost_after.as_ref(), PEERS_LOST_AFTER)?,
            ssh: self.own_ssh(&raw.ssh)?,
            operators: self.operators(&raw.operators)?,
            checks: self.checks(&raw.checks, !peers.is_empty())?,
            peers,
        })
    }

    fn own_ssh(&self, raw: &written::Ssh) -> Result<OwnSsh, ConfigError> {
        Ok(OwnSsh {
            addresses: self.addresses(&raw.addresses)?,
            port: self.port(raw.port.as_ref(), 22)?,
            host_key: match &raw.host_key {
                None => HOST_KEY.into(),
                Some(path) => self.absolute(path)?,
            },
            host_keys: self.host_keys(&raw.host_keys)?,
        })
    }

    fn operators(&self, raw: &[written::Operators]) -> Result<Vec<Operator>, ConfigError> {
        let mut operators: Vec<Operator> = Vec::new();
        for entry in raw {
            let user = self.user(entry.user.as_ref(), "root")?;
            let from = self.from(&entry.from)?;
            for text in &entry.keys {
                let key: PublicKey = text
                    .get_ref()
                    .parse()
                    .map_err(|problem: String| self.wrong(text.span().start, problem))?;
                let known = operators
                    .iter_mut()
                    .find(|one| one.user == user && one.key.is(key.key()));
                match known {
                    // What is said of a key in two places holds together.
                    Some(known) => known.from.extend(from.iter().cloned()),
                    None => operators.push(Operator {
                        user: user.clone(),
                        key,
                        from: from.clone(),
                    }),
                }
                if operators.len() > MOST {
                    let problem = format!("there are more than {MOST} operators' keys");
                    return Err(self.wrong(text.span().start, problem));
                }
            }
        }
        Ok(operators)
    }

    /// Addresses, networks and patterns of them, as in a key's own `from=` (sshd(8)).
    fn from(&self, raw: &[Spanned<String>]) -> Result<Vec<String>, ConfigError> {
        raw.iter()
            .map(|given| {
                let text = given.get_ref();
                let plain = (1..=253).contains(&text.len())
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_.:/*?!-".contains(&byte));
                if plain {
                    return Ok(text.clone());
                }
                let problem = format!("{text:?} is not an address, network or pattern of them");
                Err(self.wrong(given.span().start, problem))
            })
            .collect()
    }

    fn peers(&self, raw: &[written::Peer]) -> Result<Vec<Peer>, ConfigError> {
        let mut peers: Vec<Peer> = Vec::new();
        for entry in raw {
            let name = self.host(&entry.name)?;
            let at = |span: Range<usize>, problem: String| Err(self.wrong(span.start, problem));
            if peers.iter().any(|peer| peer.name == name) {
                return at(entry.name.span(), format!("there is a peer {name} already"));
            }
            let host_keys = self.host_keys(entry.host_keys.get_ref())?;
            if host_keys.is_empty() {
                let problem = format!("{name} needs a host key: nothing is trusted on first use");
                return at(entry.host_keys.span(), problem);
            }
            let addresses = self.addresses(entry.addresses.get_ref())?;
            if addresses.is_empty() {
                return at(entry.addresses.span(), format!("{name} needs an address"));
            }
            peers.push(Peer {
                name,
                addresses,
                port: self.port(entry.port.as_ref(), 22)?,
                host_keys,
                user: self.user(entry.user.as_ref(), PROBE_USER)?,
            });
        }
        Ok(peers)
    }

    fn host_keys(&self, raw: &[Spanned<String>]) -> Result<Vec<PublicKey>, ConfigError> {
        raw.iter()
            .map(|text| {
                PublicKey::of_host(text.get_ref())
                    .map_err(|problem| self.wrong(text.span().start, problem))
            })
            .collect()
    }

    fn addresses(&self, raw: &[Spanned<String>]) -> Result<Vec<String>, ConfigError> {
        raw.iter()
            .map(|given| {
                let text = given.get_ref();
                if is_address(text) {
                    return Ok(text.clone());
                }
                let problem = format!("{text:?} is neither an IP address nor a host name");
                Err(self.wrong(given.span().start, problem))
            })
            .collect()
    }

    fn port(&self, given: Option<&Spanned<i64>>, default: u16) -> Result<u16, ConfigError> {
        let Some(given) = given else {
            return Ok(default);
        };
        port_in(*given.get_ref()).ok_or_else(|| {
            let problem = format!("{} is not a port", given.get_ref());
            self.wrong(given.span().start, problem)
        })
    }

    fn user(&self, given: Option<&Spanned<String>>, default: &str) -> Result<String, ConfigError> {
        let Some(given) = given else {
            return Ok(default.to_owned());
        };
        let name = given.get_ref();
        let valid = (1..=32).contains(&name.len())
            && !name.starts_with('-')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if valid {
            return Ok(name.clone());
        }
        let problem = format!("{name:?} is not the name of an account");
        Err(self.wrong(given.span().start, problem))
    }

    /// The checks that are written, and those that every host has unless they are.
    fn checks(&self, raw: &[written::Check], peers: bool) -> Result<Vec<Check>, ConfigError> {
        let mut checks: Vec<Check> = Vec::new();
        for entry in raw {
            let check = self.check(entry)?;
            let once = matches!(
                check.kind,
                Kind::Repository | Kind::Ssh | Kind::Peer { .. } | Kind::Units { .. }
            );
            let start = entry.kind.span().start;
            if once && checks.iter().any(|one| one.kind.of() == check.kind.of()) {
                let problem = format!("there is a check of kind {:?} already", check.kind.word());
                return Err(self.wrong(start, problem));
            }
            if checks.iter().any(|one| one.name == check.name) {
                let problem = format!("there is a check {:?} already: give it a name", check.name);
                return Err(self.wrong(start, problem));
            }
            if matches!(check.kind, Kind::Peer { .. }) && !peers {
                return Err(self.wrong(start, "needs [[peers]]: there is nobody to ask"));
            }
            checks.push(check);
        }
        let quorum = Quorum::Any;
        let ports = Vec::new();
        let ignore = Vec::new();
        let mut defaults = vec![Kind::Repository, Kind::Ssh, Kind::Units { ignore }];
        if peers {
            defaults.push(Kind::Peer { quorum, ports });
        }
        for kind in defaults {
            if !checks.iter().any(|one| one.kind.of() == kind.of()) {
                checks.push(Check::usual(kind));
            }
        }
        Ok(checks)
    }

    fn check(&self, raw: &written::Check) -> Result<Check, ConfigError> {
        let of = *raw.kind.get_ref();
        self.keys_fit(raw, of)?;
        let needs = |key: &str| {
            let problem = format!("a check of kind {:?} needs {key}", of.word());
            self.wrong(raw.kind.span().start, problem)
        };
        let kind = match of {
            CheckKind::Repository => Kind::Repository,
            CheckKind::Ssh => Kind::Ssh,
            CheckKind::Peer => Kind::Peer {
                quorum: self.quorum(raw.quorum.as_ref())?,
                ports: self.ports(raw.ports.as_ref())?,
            },
            CheckKind::Tcp => {
                let address = raw.address.as_ref().ok_or_else(|| needs("address"))?;
                let (host, port) = self.host_and_port(address)?;
                Kind::Tcp { host, port }
            }
            CheckKind::Http => {
                let url = raw.url.as_ref().ok_or_else(|| needs("url"))?;
                Kind::Http {
                    url: self.web_address(url)?,
                    status: self.status(raw.status.as_ref())?,
                    body: raw.body.as_ref().map(|body| body.get_ref().clone()),
                }
            }
            CheckKind::Command => {
                let command = raw.command.as_ref().ok_or_else(|| needs("command"))?;
                if !command
                    .get_ref()
                    .first()
                    .is_some_and(|one| one.starts_with('/'))
                {
                    let problem = "must begin with the absolute path of a program";
                    return Err(self.wrong(command.span().start, problem));
                }
                Kind::Command {
                    command: command.get_ref().clone(),
                }
            }
            CheckKind::Units => Kind::Units {
                ignore: raw
                    .ignore
                    .as_ref()
                    .map_or(Vec::new(), |all| all.get_ref().clone()),
            },
        };
        let required = match &raw.need {
            Some(need) if *need.get_ref() == written::Need::Wanted => {
                if of == CheckKind::Repository {
                    let problem = "the repository is always required: a generation that cannot \
                                   take the next commit is never kept";
                    return Err(self.wrong(need.span().start, problem));
                }
                false
            }
            _ => true,
        };
        let (timeout, interval) = Kind::pace(of);
        Ok(Check {
            name: match &raw.name {
                None => kind.word().to_owned(),
                Some(name) => self.check_name(name, of)?,
            },
            kind,
            required,
            timeout: self.duration(raw.timeout.as_ref(), timeout)?,
            interval: match &raw.interval {
                None => interval,
                Some(given) => self.time(given, LEAST_PAUSE)?,
            },
        })
    }

    /// The names of the kinds are for those, so that a result is never taken for another's.
    fn check_name(&self, name: &Spanned<String>, of: CheckKind) -> Result<String, ConfigError> {
        let text = name.get_ref();
        let plain = (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        let own = [
            "repository",
            "ssh",
            "peer",
            "units",
            "timer",
            "place",
            "activation",
            "reach",
            "soak",
            "unwitnessed",
            "repaired",
        ];
        let once = matches!(
            of,
            CheckKind::Repository | CheckKind::Ssh | CheckKind::Peer | CheckKind::Units
        );
        let fits = if once {
            text == of.word()
        } else {
            !own.contains(&text.as_str())
        };
        if plain && fits {
            return Ok(text.clone());
        }
        let problem = if once {
            format!(
                "there is one check of kind {0:?}, and it is called {0:?}",
                of.word()
            )
        } else {
            format!("{text:?} is not a name for a check of kind {:?}", of.word())
        };
        Err(self.wrong(name.span().start, problem))
    }

    /// A key that its kind does not know is a mistake, and not for nothing.
    fn keys_fit(&self, raw: &written::Check, of: CheckKind) -> Result<(), ConfigError> {
        let start = |span: Range<usize>| span.start;
        let given = [
            (
                CheckKind::Peer,
                raw.quorum.as_ref().map(|one| start(one.span())),
            ),
            (
                CheckKind::Peer,
                raw.ports.as_ref().map(|one| start(one.span())),
            ),
            (
                CheckKind::Tcp,
                raw.address.as_ref().map(|one| start(one.span())),
            ),
            (
                CheckKind::Http,
                raw.url.as_ref().map(|one| start(one.span())),
            ),
            (
                CheckKind::Http,
                raw.status.as_ref().map(|one| start(one.span())),
            ),
            (
                CheckKind::Http,
                raw.body.as_ref().map(|one| start(one.span())),
            ),
            (
                CheckKind::Command,
                raw.command.as_ref().map(|one| start(one.span())),
            ),
            (
                CheckKind::Units,
                raw.ignore.as_ref().map(|one| start(one.span())),
            ),
        ];
        for (kind, found) in given {
            if let (Some(start), true) = (found, kind != of) {
                let problem = format!("is only for checks of kind {:?}", kind.word());
                return Err(self.wrong(start, problem));
            }
        }
        Ok(())
    }

    fn quorum(&self, given: Option<&Spanned<written::Quorum>>) -> Result<Quorum, ConfigError> {
        let Some(given) = given else {
            return Ok(Quorum::Any);
        };
        match given.get_ref() {
            written::Quorum::Word(word) if word == "any" => Ok(Quorum::Any),
            written::Quorum::Word(word) if word == "all" => Ok(Quorum::All),
            written::Quorum::Number(number) if (1..=1000).contains(number) => {
                Ok(Quorum::Number(u32::try_from(*number).unwrap_or(1)))
            }
            _ => {
                let problem = "is neither \"any\", \"all\" nor a number of peers";
                Err(self.wrong(given.span().start, problem))
            }
        }
    }

    fn ports(&self, given: Option<&Spanned<Vec<i64>>>) -> Result<Vec<u16>, ConfigError> {
        let Some(given) = given else {
            return Ok(Vec::new());
        };
        let ports: Option<Vec<u16>> = given.get_ref().iter().map(|port| port_in(*port)).collect();
        ports.filter(|ports| ports.len() <= MOST).ok_or_else(|| {
            let problem = format!("is not a list of at most {MOST} ports");
            self.wrong(given.span().start, problem)
        })
    }

    fn host_and_port(&self, given: &Spanned<String>) -> Result<(String, u16), ConfigError> {
        let text = given.get_ref();
        text.rsplit_once(':')
            .and_then(|(host, port)| {
                let host = host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'))
                    .map_or_else(|| (!host.contains(':')).then_some(host), Some)?;
                let port = port_in(port.parse().ok()?)?;
                is_address(host).then(|| (host.to_owned(), port))
            })
            .ok_or_else(|| {
                let problem =
                    format!("{text:?} is not an address with a port, such as \"127.0.0.1:8080\"");
                self.wrong(given.span().start, problem)
            })
    }

    fn web_address(&self, given: &Spanned<String>) -> Result<String, ConfigError> {
        match Address::parse(given.get_ref()) {
            Ok(address) if matches!(address.scheme(), Scheme::Http | Scheme::Https) => {
                Ok(given.get_ref().clone())
            }
            other => {
                let expected = "is not an http:// or https:// URL";
                Err(self.not_an_address(given, other.err(), expected))
            }
        }
    }

    fn status(&self, given: Option<&Spanned<i64>>) -> Result<u16, ConfigError> {
        let Some(given) = given else {
            return Ok(200);
        };
        u16::try_from(*given.get_ref())
            .ok()
            .filter(|status| (100..=599).contains(status))
            .ok_or_else(|| {
                let problem = format!("{} is not an HTTP status", given.get_ref());
                self.wrong(given.span().start, problem)
            })
    }
}

fn port_in(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
        || (1..=253).contains(&text.len())
            && !text.starts_with(['-', '.'])
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
