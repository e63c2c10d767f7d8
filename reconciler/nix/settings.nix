# `services.nixus.settings`: every key of the configuration file, named as there.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };

  optional =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };
  # A table of the file. What is not an option is written as it is, for programs that are newer than this module.
  keys =
    options:
    types.submodule {
      inherit options;
      freeformType = own.toml;
    };
  # With what the program does where nothing is written.
  defaulting =
    type: default: description:
    optional type "${description} Unless set: ${default}.";
  list =
    type: description:
    mkOption {
      type = types.listOf type;
      default = [ ];
      inherit description;
    };
  table =
    options: description:
    mkOption {
      type = keys options;
      default = { };
      inherit description;
    };

  remote = {
    url = mkOption {
      type = own.remote;
      example = "ssh://git@git.example.org/srv/git/deploy.git";
      description = "The URL of the repository: ssh://, https:// or file://.";
    };
    ssh_key = optional own.file "The private key for ssh://, a file on the host.";
    known_hosts = optional own.file "The host keys that are accepted for ssh://, as ssh knows them; nothing is trusted on first use.";
    token_file = optional own.file "The file on the host with the token for https://.";
    ca_file = optional own.file "The certificate authorities that are accepted for https:// instead of the system's.";
    timeout = defaulting own.duration "60s" "The longest that one network operation may take.";
  };
  remoteType = keys remote;

  closure = {
    from = defaulting (types.enum [
      "flake"
      "file"
      "manifest"
    ]) "flake" "How the system is made from a commit: from the flake, from a Nix file, or as CI's manifest says.";
    attribute = defaulting types.str "`nixosConfigurations.\"<host>\".config.system.build.toplevel`" "The attribute that has the system.";
    file = defaulting types.str "`default.nix`" "The Nix file, below the repository's root, for `from = \"file\"`.";
    directory = optional own.folder "The folder of the flake, or of the Nix file, below the repository's root. Unless set: the root itself.";
    submodules = defaulting types.bool "false" "Whether git submodules are fetched.";
    lfs = defaulting (types.enum [
      "refuse"
      "ignore"
    ]) "refuse" "What is done about a commit with files in Git LFS, of which Nix gets the pointers alone: it is refused, or the pointers are taken for the files.";
    build_timeout = defaulting own.duration "2h" "The longest that evaluation and build may take.";
    memory_limit = defaulting own.memory "75%" "The memory that evaluation and build may take together.";
    cpu_weight = defaulting (types.ints.between 1 10000) "20" "The share of the processor that a build gets when others want it (100 is usual).";
    recheck = defaulting own.duration "30s" "How often the branch is looked at again during a build.";
    retries = defaulting (types.ints.between 0 10) "1" "How often a commit is tried again, later, whose builder failed.";
    manifest_keys = optional (types.nonEmptyListOf own.publicKey) "The keys (ed25519) of which one must have signed a manifest.";
    system_name = defaulting types.str "the host's name up to the first dot" "The name of this host's system in its store path.";
    wait = defaulting own.duration "30m" "How long CI may take for a manifest.";
    fallback = optional (types.enum [ "build" ]) "What is done without a manifest after that time: `build` here.";
    older = defaulting types.bool "false" "Whether the newest commit that has a manifest is taken, where the head has none.";
  };

  switch = {
    activation_timeout = defaulting own.duration "15m" "The longest that an activation may take.";
    trial_timeout = defaulting own.duration "5m" "The longest that a generation may be on trial.";
    commit_timeout = defaulting own.duration "5m" "The longest that it may take to make it permanent.";
    carrier_timeout = defaulting own.duration "10m" "The longest that a first boot waits for a carrier before it is judged.";
    failed_units = defaulting (types.enum [
      "revert"
      "ignore"
    ]) "revert" "What is done about units that failed and ran before.";
    drift = defaulting (types.enum [
      "correct"
      "report"
      "refuse"
    ]) "correct" "What is done about a system profile or boot default that somebody changed by hand: what was kept is deployed again, or it is only reported, or no commit is taken until it is put right.";
  };

  hook =
    description:
    mkOption {
      type = types.listOf (types.either types.str (types.nonEmptyListOf types.str));
      default = [ ];
      example = [
        "/run/current-system/sw/bin/systemctl"
        "is-active"
        "backup.timer"
      ];
      inherit description;
    };
  hooks = {
    before = hook "The program that is run before a commit is activated, by its absolute path, and its arguments; or a list of such lists. Where it fails, the commit is held back, and tried again later.";
    after = hook "The same, after a commit was kept and after a rollback. Nothing waits for it, and a failure is reported and changes nothing.";
    timeout = defaulting own.duration "5m" "The longest that each program may run.";
  };

  statuses = {
    forge = optional (types.enum [
      "github"
      "gitlab"
      "gitea"
      "forgejo"
      "bitbucket"
    ]) "What the forge is, where the URL of the repository does not show.";
    api = optional own.https "The forge's interface, where it is not at the usual place.";
    repository = optional (types.strMatching "[^/ ]+(/[^/ ]+)+") "Owner and name of the repository on the forge, where its URL does not show.";
    token_file = optional own.file "The file on the host with the forge's token.";
    credential = optional (types.strMatching "[A-Za-z0-9._-]+") "The systemd credential with the forge's token; `services.nixus.forgeToken` sets it.";
    ca_file = optional own.file "The certificate authorities that are accepted instead of the system's.";
    proxy = optional own.proxy "The proxy on the way to the forge.";
    timeout = defaulting own.duration "10s" "The longest that one request may take; at most a minute.";
    link = optional own.web "The page that a status leads to; `{host}` and `{commit}` are put in.";
    sign = defaulting types.bool "false" "Whether statuses are signed with the host's key.";
    hosts = defaulting types.ints.positive "1" "How many hosts post to the forge with the same token.";
    canary = defaulting types.bool "false" "Whether this host posts although many do.";
  };

  peer = {
    name = mkOption {
      type = own.hostName;
      description = "The peer's name.";
    };
    addresses = list own.address "Where its sshd is, in the order in which they are tried.";
    port = defaulting types.port "22" "Its sshd's port.";
    host_keys = list own.hostKey "The host keys that it may show.";
    user = defaulting own.account "nixus-probe" "The account that answers peers there.";
  };

  check = {
    kind = mkOption {
      type = types.enum [
        "repository"
        "ssh"
        "peer"
        "tcp"
        "http"
        "command"
        "units"
      ];
      description = "What is checked.";
    };
    name = optional (types.strMatching "[A-Za-z0-9_.-]{1,40}") "The name of the check; each once.";
    need = defaulting (types.enum [
      "required"
      "wanted"
    ]) "required" "Whether a generation is kept only if the check passes.";
    timeout = optional own.duration "The longest that the check may take.";
    interval = optional own.duration "The pause until it is made again.";
    quorum = defaulting (types.either types.ints.positive (
      types.enum [
        "any"
        "all"
      ]
    )) "any" "How many peers must find all well, for `peer`.";
    ports = optional (types.listOf types.port) "Ports that peers must find open too, for `peer`.";
    address = optional own.addressAndPort "Where the port is, for `tcp`.";
    url = optional own.web "The page, for `http`.";
    status = defaulting (types.ints.between 100 599) "200" "The status that is right, for `http`.";
    body = optional types.str "What the page must have in it, for `http`.";
    command = optional (types.nonEmptyListOf types.str) "The program, by its absolute path, and its arguments, for `command`.";
    ignore = optional (types.listOf types.str) "Units that do not matter, for `units`.";
  };
in
{
  options.services.nixus.settings = mkOption {
    description = "The configuration file, `/etc/nixus/config.toml`. Keys are named as in the file, and what is `null` is not written.";
    default = { };
    type = types.submodule {
      freeformType = own.toml;
      options = {
        host = mkOption {
          type = own.hostName;
          default = config.networking.hostName;
          defaultText = lib.literalExpression "config.networking.hostName";
          description = "The host's name in the deploy repository and in reports; mkFleet sets it to the name in `nodes`.";
        };
        repository =
          table
            (
              remote
              // {
                url = optional own.remote "The URL of the deploy repository; it must be set.";
                branch = defaulting types.str "main" "The branch that says what is to run.";
                mirrors = list remoteType "Other URLs of the same repository. Each of them is believed alone once the URL itself has not answered for `mirror_after`: whoever runs it has root on this host then.";
                mirror_after = defaulting own.duration "1h" "How long the URL itself must not have answered for a mirror to be believed in what it alone has.";
              }
            )
            "The deploy repository.";
        closure = table closure "How a commit's system is made.";
        switch = table switch "The deadlines and rules of a switch.";
        passes = table {
          interval = mkOption {
            type = own.span;
            default = config.services.nixus.interval;
            defaultText = lib.literalExpression "config.services.nixus.interval";
            description = "The time between two passes ({manpage}`systemd.time(7)`), at most 7 days. The timer has it too, and a generation is kept only if they agree.";
          };
          boot_delay = mkOption {
            type = own.span;
            default = config.services.nixus.bootDelay;
            defaultText = lib.literalExpression "config.services.nixus.bootDelay";
            description = "The time from the boot to the first pass ({manpage}`systemd.time(7)`), at most 7 days.";
          };
          timeout = optional own.duration "The longest that a pass may take; one that takes longer is ended, which is an error. Unless set: four times `closure.build_timeout`, and one hour.";
        } "When passes begin.";
        hooks = table hooks "What is run around a deployment, as root, in a separate unit; reconciler/docs/hooks.md lists the variables of its environment.";
        health = table {
          soak = defaulting own.duration "10s" "The least time that all checks must go on passing.";
          peers_lost_after = defaulting own.duration "24h" "How long a peer must have been silent for no commit to wait for it.";
        } "When a generation is healthy.";
        reports = optional (keys (
          remote
          // {
            heartbeat = defaulting own.duration "24h" "After how long a host that has nothing to report says that it is there, give or take an eighth.";
          }
        )) "The repository for reports; what is not set is as for the deploy repository.";
        statuses = optional (keys statuses) "Commit statuses on a forge.";
        ssh = table {
          addresses = list own.address "Where this host's own sshd must answer. Unless set: at one of the host's addresses.";
          port = defaulting types.port "22" "The port of its sshd.";
          host_key = defaulting own.file "`/etc/ssh/ssh_host_ed25519_key`" "The private key by which this host is known to its peers.";
          host_keys = list own.hostKey "The host keys that it may show. Unless set: the public half of that key.";
        } "This host's own sshd.";
        operators = list (types.submodule {
          freeformType = own.toml;
          options = {
            user = defaulting own.account "root" "The account.";
            keys = list own.publicKey "The keys that must let their owner in.";
            from = list (types.strMatching "[A-Za-z0-9_.:/*?!-]+") "Where their owner comes from: addresses, networks or patterns of them, for which sshd's settings are looked at.";
          };
        }) "Who must be able to get in; `services.nixus.operators` is shorter.";
        peers = list (keys peer) "The hosts that look whether this one can be reached; `services.nixus.peers` lets them in too.";
        checks = list (keys check) "Checks beside those that every host has, or these with other settings.";
      };
    };
  };
}
