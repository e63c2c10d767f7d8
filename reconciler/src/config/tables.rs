//! Every key of the configuration file: what it is for, which values it takes, and its default.
//!
//! The NixOS options have their descriptions and defaults from here (`nix/keys.json`), and so has the reference in
//! `docs/configuration.md`; a test compares, and writes both where it is asked to.

use std::path::PathBuf;

use nixus_switcher::protocol::FailedUnits;
use toml::Spanned;

use super::declare::{If, Key, Must, Opt, Own, table};
use super::value::{
    Account, Address, AddressAndPort, Api, Attribute, Branch, CheckKind, Commands, Credential,
    File, Flag, HostKey, HostName, Inside, Link, List, ManifestKey, Memory, Need, Number,
    OperatorKey, Origin, OwnerAndName, Pause, Port, Ports, Program, Proxy, Quorum, RepositoryUrl,
    Span, Status, SystemName, Text, Time, Web, Word,
};
use super::{Drift, Lfs};
use crate::config::closure::{Fallback, From};
use crate::config::forge::Kind;

/// Declares a table that says how a git repository is reached, with more keys after these.
macro_rules! remote_table {
    (
        $(#[$meta:meta])* $name:ident, $written:ident { $($more:tt)* }
        $(+ { $($tables:tt)* })?
    ) => {
        table! {
            $(#[$meta])* $name, $written {
                /// The URL of the repository: ssh://, https:// or file://. Credentials in it are refused.
                url: Must<RepositoryUrl>,
                /// The private key for ssh://, a file on the host.
                ssh_key: Own<File>,
                /// The host keys that are accepted for ssh://, as ssh knows them; nothing is trusted on first use.
                known_hosts: Own<File>,
                /// The file on the host with the token for https://. It is read when needed, and shown to this server alone.
                token_file: Own<File>,
                /// Certificate authorities that are accepted for https:// in addition to the system's.
                extra_ca_file: Own<File>,
                /// The certificate authorities that are accepted for https:// instead of the system's.
                pinned_ca_file: Own<File>,
                /// The former name of `pinned_ca_file` in this table.
                ca_file: Own<File>,
                /// The longest that one network operation may take; a fetch may take 60 times as long while it progresses.
                timeout: Own<Time> = "60s",
                $($more)*
            }
            $(+ { $($tables)* })?
        }

        impl $written {
            /// How the repository is reached, as it is written.
            pub fn remote(&self) -> RemoteKeys<'_> {
                RemoteKeys {
                    url: &self.url,
                    ssh_key: &self.ssh_key,
                    known_hosts: &self.known_hosts,
                    token_file: &self.token_file,
                    extra_ca_file: &self.extra_ca_file,
                    pinned_ca_file: &self.pinned_ca_file,
                    ca_file: &self.ca_file,
                    timeout: &self.timeout,
                }
            }
        }
    };
}

/// How a git repository is reached, as it is written in one of the tables that say so.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "each is documented where it is declared")]
pub struct RemoteKeys<'a> {
    pub url: &'a Spanned<String>,
    pub ssh_key: &'a Option<Spanned<PathBuf>>,
    pub known_hosts: &'a Option<Spanned<PathBuf>>,
    pub token_file: &'a Option<Spanned<PathBuf>>,
    pub extra_ca_file: &'a Option<Spanned<PathBuf>>,
    pub pinned_ca_file: &'a Option<Spanned<PathBuf>>,
    pub ca_file: &'a Option<Spanned<PathBuf>>,
    pub timeout: &'a Option<Spanned<String>>,
}

table! {
    /// The file itself.
    Root, RootWritten {
        /// The host's name in the deploy repository and in reports; mkFleet sets it to the name in `nodes`.
        host: Must<HostName>,
    }
    + {
        repository: RepositoryWritten,
        closure: Option<ClosureWritten>,
        switch: Option<SwitchWritten>,
        passes: Option<PassesWritten>,
        hooks: Option<HooksWritten>,
        health: Option<HealthWritten>,
        reports: Option<ReportsWritten>,
        statuses: Option<Spanned<StatusesWritten>>,
        ssh: Option<SshWritten>,
        #[serde(default)]
        operators: Vec<OperatorsWritten>,
        #[serde(default)]
        peers: Vec<PeerWritten>,
        #[serde(default)]
        checks: Vec<CheckWritten>,
    }
}

remote_table! {
    /// `[repository]`: the deploy repository.
    Repository, RepositoryWritten {
        /// The branch that says what is to run.
        branch: Branch = "main",
        /// How long the URL itself must not have answered for a mirror to be believed in what it alone has.
        mirror_after: Time = "1h",
    }
    + {
        #[serde(default)]
        mirrors: Vec<MirrorWritten>,
    }
}

remote_table! {
    /// `[[repository.mirrors]]`: another URL of the same repository.
    Mirror, MirrorWritten {}
}

remote_table! {
    /// `[reports]`: the repository for reports.
    Reports, ReportsWritten {
        /// After how long a host that has nothing to report says that it is there, give or take an eighth.
        heartbeat: Time = "24h",
    }
}

table! {
    /// `[closure]`: how a commit's system is made.
    ClosureTable, ClosureWritten {
        /// How the system is made from a commit: from the flake, from a Nix file, or as CI's manifest says.
        from: Word<From> = "flake",
        /// The attribute that has the system.
        attribute: Own<Attribute> = "`nixosConfigurations.\"<host>\".config.system.build.toplevel`",
        /// The Nix file, below `directory`, for `from = "file"`.
        file: If<Inside> = "default.nix",
        /// The folder of the flake, or of the Nix file, below the repository's root.
        directory: Own<Inside> = "the root itself",
        /// Whether git submodules are fetched.
        submodules: Flag = "false",
        /// What is done about a commit with files in Git LFS, of which Nix gets the pointers alone: it is refused, or the pointers are taken for the files.
        lfs: Word<Lfs> = "refuse",
        /// The longest that evaluation and build may take.
        build_timeout: Time = "2h",
        /// The memory that evaluation and build may take together.
        memory_limit: Memory = "75%",
        /// The share of the processor that a build gets when others want it (100 is usual).
        cpu_weight: Number<1, 10000> = "20",
        /// How often the branch is looked at again during a build.
        recheck: Time = "30s",
        /// How often a commit is tried again, later, whose builder failed.
        retries: Number<0, 10> = "1",
        /// The keys (ed25519) of which one must have signed a manifest.
        manifest_keys: Own<List<ManifestKey>> = "whoever may push is believed",
        /// The name of this host's system in its store path.
        system_name: Own<SystemName> = "the host's name up to the first dot",
        /// How long CI may take for a manifest.
        wait: If<Time> = "30m",
        /// What is done without a manifest after that time: `build` here.
        fallback: Own<Word<Fallback>>,
        /// Whether the newest commit that has a manifest is taken, where the head has none.
        older: If<Flag> = "false",
    }
}

table! {
    /// `[switch]`: the deadlines and rules of a switch.
    Switch, SwitchWritten {
        /// The longest that an activation may take.
        activation_timeout: Time = "15m",
        /// The longest that a generation may be on trial.
        trial_timeout: Time = "5m",
        /// The longest that it may take to make it permanent.
        commit_timeout: Time = "5m",
        /// The longest that a first boot waits for a carrier before it is judged.
        carrier_timeout: Time = "10m",
        /// What is done about units that failed and ran before.
        failed_units: Word<FailedUnits> = "revert",
        /// What is done about a system profile or boot default that somebody changed by hand: what was kept is deployed again, or it is only reported, or no commit is taken until it is put right.
        drift: Word<Drift> = "correct",
    }
}

table! {
    /// `[passes]`: when passes begin.
    PassesTable, PassesWritten {
        /// The time between two passes ({manpage}`systemd.time(7)`), at most 7 days. The timer has it too, and a generation is kept only if they agree.
        interval: Span = "1min",
        /// The time from the boot to the first pass ({manpage}`systemd.time(7)`), at most 7 days.
        boot_delay: Span = "30s",
        /// The longest that a pass may take; one that takes longer is ended, which is an error.
        timeout: Own<Time> = "four times `closure.build_timeout`, and one hour",
    }
}

table! {
    /// `[hooks]`: what a host runs around its deployments, the running generation's own programs.
    Hooks, HooksWritten {
        /// The program that is run before a commit is activated, by its absolute path, and its arguments; or a list of such lists. Where it fails, the commit is held back, and tried again later.
        before: Commands = "",
        /// The same, after a commit was kept and after a rollback. Nothing waits for it, and a failure is reported and changes nothing.
        after: Commands = "",
        /// The longest that each program may run.
        timeout: Time = "5m",
    }
}

table! {
    /// `[health]`: when a generation is healthy.
    HealthTable, HealthWritten {
        /// The least time that all checks must go on passing.
        soak: Time = "10s",
        /// How long a peer must have been silent for no commit to wait for it.
        peers_lost_after: Time = "24h",
    }
}

table! {
    /// `[ssh]`: this host's own sshd.
    OwnSsh, SshWritten {
        /// Where this host's own sshd must answer. Where none is named: at one of the host's addresses.
        addresses: List<Address> = "",
        /// The port of its sshd.
        port: Port = "22",
        /// The private key by which this host is known to its peers.
        host_key: File = "/etc/ssh/ssh_host_ed25519_key",
        /// The host keys that it may show. Where none is named: the public half of that key.
        host_keys: List<HostKey> = "",
    }
}

table! {
    /// `[[operators]]`: who must be able to get in.
    Operators, OperatorsWritten {
        /// The account.
        user: If<Account> = "root",
        /// The keys that must let their owner in.
        keys: Must<List<OperatorKey>>,
        /// Where their owner comes from: addresses, networks or patterns of them, for which sshd's settings are looked at.
        from: If<List<Origin>> = "",
    }
}

table! {
    /// `[[peers]]`: a host that looks whether this one can be reached, and that is looked at in return.
    Peer, PeerWritten {
        /// The peer's name.
        name: Must<HostName>,
        /// Where its sshd is, in the order in which they are tried.
        addresses: Must<List<Address>>,
        /// Its sshd's port.
        port: Port = "22",
        /// The host keys that it may show.
        host_keys: Must<List<HostKey>>,
        /// The account that answers peers there.
        user: Account = "nixus-probe",
    }
}

table! {
    /// `[[checks]]`: one check; which of the last keys it takes depends on its kind.
    CheckTable, CheckWritten {
        /// What is checked.
        kind: Must<Word<CheckKind>>,
        /// The name of the check; each once.
        name: Own<Text> = "its kind",
        /// Whether a generation is kept only if the check passes.
        need: Word<Need> = "required",
        /// The longest that the check may take.
        timeout: Own<Time> = "10s to 30s, and 10m for the repository",
        /// The pause until it is made again.
        interval: Own<Pause> = "500ms to 2s",
        /// How many peers must find all well, for `peer`.
        quorum: If<Quorum> = "any",
        /// Ports that peers must find open too, for `peer`.
        ports: If<Ports> = "",
        /// Where the port is, for `tcp`.
        address: Own<AddressAndPort>,
        /// The page, for `http`.
        url: Own<Web>,
        /// The status that is right, for `http`.
        status: If<Status> = "200",
        /// What the page must have in it, for `http`.
        body: Own<Text>,
        /// The program, by its absolute path, and its arguments, for `command`.
        command: Own<Program>,
        /// Units that do not matter, for `units`.
        ignore: If<List<Text>> = "",
    }
}

table! {
    /// `[statuses]`: commit statuses on a forge.
    StatusesTable, StatusesWritten {
        /// What the forge is, where the URL of the repository does not show.
        forge: Own<Word<Kind>>,
        /// The forge's interface, where it is not at the usual place.
        api: Own<Api>,
        /// Owner and name of the repository on the forge, where its URL does not show.
        repository: Own<OwnerAndName>,
        /// The file on the host with the forge's token.
        token_file: Opt<File>,
        /// The systemd credential with the forge's token; `services.nixus.forgeToken` sets it.
        credential: Opt<Credential>,
        /// Certificate authorities that are accepted in addition to the system's.
        extra_ca_file: Own<File>,
        /// The certificate authorities that are accepted instead of the system's.
        pinned_ca_file: Own<File>,
        /// The former name of `extra_ca_file` in this table.
        ca_file: Own<File>,
        /// The proxy on the way to the forge.
        proxy: Opt<Proxy> = "that of the environment",
        /// The longest that one request may take; at most a minute.
        timeout: Time = "10s",
        /// The page that a status leads to; `{host}`, `{commit}` and `{deployment}` are put in.
        link: Opt<Link>,
        /// Whether statuses are signed with the host's key.
        sign: Flag = "false",
        /// How many hosts post to the forge with the same token. Above 250, only canaries and failures are posted.
        hosts: Number<1, 1000000> = "1",
        /// Whether this host posts although many do.
        canary: Flag = "false",
    }
}

/// Every key, in the order of the file.
pub fn keys() -> Vec<Key> {
    let tables = [
        RootWritten::keys(""),
        RepositoryWritten::keys("repository."),
        MirrorWritten::keys("repository.mirrors.*."),
        ClosureWritten::keys("closure."),
        SwitchWritten::keys("switch."),
        PassesWritten::keys("passes."),
        HooksWritten::keys("hooks."),
        HealthWritten::keys("health."),
        SshWritten::keys("ssh."),
        OperatorsWritten::keys("operators.*."),
        PeerWritten::keys("peers.*."),
        CheckWritten::keys("checks.*."),
        StatusesWritten::keys("statuses."),
        ReportsWritten::keys("reports."),
    ];
    tables.into_iter().flatten().collect()
}
