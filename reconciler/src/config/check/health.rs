//! From health as written to the one that is needed.

use std::ops::Range;

use toml::Spanned;

use super::Notes;
use crate::config::ConfigError;
use crate::config::declare::{Kind as _, Shown};
use crate::config::health::{Check, CheckKind, Health, Kind, Need, Operator, OwnSsh, Peer, Quorum};
use crate::config::place::Place;
use crate::config::tables::{CheckTable, CheckWritten, HealthTable, OperatorsWritten, PeerWritten};
use crate::config::value::{
    self, AddressAndPort, List, MOST, OperatorKey, Origin, Pause, Ports, Program, Text,
};

/// The tables of which there may be several.
#[derive(Clone, Copy)]
pub(super) struct Lists<'a> {
    pub operators: &'a [OperatorsWritten],
    pub peers: &'a [PeerWritten],
    pub checks: &'a [CheckWritten],
}

impl Place<'_> {
    /// Everything that is about health.
    pub(super) fn health(
        &self,
        table: HealthTable,
        (ssh, shown): (OwnSsh, Shown),
        lists: Lists<'_>,
        notes: &mut Notes,
    ) -> Result<Health, ConfigError> {
        notes.add("ssh.", shown);
        let operators = self.operators(lists.operators)?;
        for (number, operator) in operators.iter().enumerate() {
            let key = |key: &str| format!("operators.{number}.{key}");
            notes.show(&key("user"), operator.user.clone());
            notes.show(&key("keys"), OperatorKey::shown(&operator.key));
            if !operator.from.is_empty() {
                notes.show(&key("from"), List::<Origin>::shown(&operator.from));
            }
        }
        let peers = self.peers(lists.peers, notes)?;
        let checks = self.checks(lists.checks, !peers.is_empty())?;
        checks.iter().for_each(|check| notes.check(check));
        Ok(Health {
            soak: table.soak,
            peers_lost_after: table.peers_lost_after,
            ssh,
            operators,
            checks,
            peers,
        })
    }

    fn operators(&self, raw: &[OperatorsWritten]) -> Result<Vec<Operator>, ConfigError> {
        let mut operators: Vec<Operator> = Vec::new();
        for entry in raw {
            let (table, _) = entry.read(self)?;
            for (key, text) in table.keys.into_iter().zip(entry.keys.get_ref()) {
                let known = operators
                    .iter_mut()
                    .find(|one| one.user == table.user && one.key.is(key.key()));
                match known {
                    // What is said of a key in two places holds together.
                    Some(known) => known.from.extend(table.from.iter().cloned()),
                    None => operators.push(Operator {
                        user: table.user.clone(),
                        key,
                        from: table.from.clone(),
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

    fn peers(&self, raw: &[PeerWritten], notes: &mut Notes) -> Result<Vec<Peer>, ConfigError> {
        let mut peers: Vec<Peer> = Vec::new();
        for entry in raw {
            let (peer, mut shown) = entry.read(self)?;
            let name = &peer.name;
            let at = |span: Range<usize>, problem: String| Err(self.wrong(span.start, problem));
            if peers.iter().any(|peer| peer.name == *name) {
                return at(entry.name.span(), format!("there is a peer {name} already"));
            }
            if peer.host_keys.is_empty() {
                let problem = format!("{name} needs a host key: nothing is trusted on first use");
                return at(entry.host_keys.span(), problem);
            }
            if peer.addresses.is_empty() {
                return at(entry.addresses.span(), format!("{name} needs an address"));
            }
            // It stands in the names of the others.
            shown.retain(|(key, _)| *key != "name");
            notes.add(&format!("peers.{name}."), shown);
            peers.push(peer);
        }
        Ok(peers)
    }

    /// The checks that are written, and those that every host has unless they are.
    fn checks(&self, raw: &[CheckWritten], peers: bool) -> Result<Vec<Check>, ConfigError> {
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

    fn check(&self, raw: &CheckWritten) -> Result<Check, ConfigError> {
        let (table, _) = raw.read(self)?;
        let of = table.kind;
        self.keys_fit(raw, of)?;
        let kind = self.kind(raw, table.clone())?;
        let required = table.need == Need::Required;
        if let Some(need) = &raw.need
            && !required
            && of == CheckKind::Repository
        {
            let problem = "the repository is always required: a generation that cannot \
                           take the next commit is never kept";
            return Err(self.wrong(need.span().start, problem));
        }
        let (timeout, interval) = Kind::pace(of);
        Ok(Check {
            name: match &raw.name {
                None => kind.word().to_owned(),
                Some(name) => self.check_name(name, of)?,
            },
            kind,
            required,
            timeout: table.timeout.unwrap_or(timeout),
            interval: table.interval.unwrap_or(interval),
        })
    }

    fn kind(&self, raw: &CheckWritten, table: CheckTable) -> Result<Kind, ConfigError> {
        let needs = |key: &str| {
            let problem = format!("a check of kind {:?} needs {key}", table.kind.word());
            self.wrong(raw.kind.span().start, problem)
        };
        Ok(match table.kind {
            CheckKind::Repository => Kind::Repository,
            CheckKind::Ssh => Kind::Ssh,
            CheckKind::Peer => Kind::Peer {
                quorum: table.quorum,
                ports: table.ports,
            },
            CheckKind::Tcp => {
                let (host, port) = table.address.ok_or_else(|| needs("address"))?;
                Kind::Tcp { host, port }
            }
            CheckKind::Http => Kind::Http {
                url: table.url.ok_or_else(|| needs("url"))?,
                status: table.status,
                body: table.body,
            },
            CheckKind::Command => Kind::Command {
                command: table.command.ok_or_else(|| needs("command"))?,
            },
            CheckKind::Units => Kind::Units {
                ignore: table.ignore,
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
    fn keys_fit(&self, raw: &CheckWritten, of: CheckKind) -> Result<(), ConfigError> {
        fn start<T>(given: &Option<Spanned<T>>) -> Option<usize> {
            given.as_ref().map(|one| one.span().start)
        }
        let given = [
            (CheckKind::Peer, start(&raw.quorum)),
            (CheckKind::Peer, start(&raw.ports)),
            (CheckKind::Tcp, start(&raw.address)),
            (CheckKind::Http, start(&raw.url)),
            (CheckKind::Http, start(&raw.status)),
            (CheckKind::Http, start(&raw.body)),
            (CheckKind::Command, start(&raw.command)),
            (CheckKind::Units, start(&raw.ignore)),
        ];
        for (kind, found) in given {
            if let (Some(start), true) = (found, kind != of) {
                let problem = format!("is only for checks of kind {:?}", kind.word());
                return Err(self.wrong(start, problem));
            }
        }
        Ok(())
    }
}

impl Notes {
    /// One check, with the keys that its kind has.
    fn check(&mut self, check: &Check) {
        let mut show = |key: &str, value: String| {
            self.show(&format!("checks.{}.{key}", check.name), value);
        };
        let need = if check.required { "required" } else { "wanted" };
        show("kind", check.kind.word().to_owned());
        show("need", need.to_owned());
        show("timeout", value::Time::shown(&check.timeout));
        show("interval", Pause::shown(&check.interval));
        match &check.kind {
            Kind::Repository | Kind::Ssh => {}
            Kind::Peer { quorum, ports } => {
                show("quorum", value::Quorum::shown(quorum));
                show("ports", Ports::shown(ports));
            }
            Kind::Tcp { host, port } => {
                show("address", AddressAndPort::shown(&(host.clone(), *port)));
            }
            Kind::Http { url, status, body } => {
                show("url", url.clone());
                show("status", status.to_string());
                if let Some(body) = body {
                    show("body", body.clone());
                }
            }
            Kind::Command { command } => show("command", Program::shown(command)),
            Kind::Units { ignore } => show("ignore", List::<Text>::shown(ignore)),
        }
    }
}
