# `services.nixus.settings`: every key of the configuration file, named as there.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  own = import ./types.nix { inherit lib; };

  # What the program itself says of each key (reconciler/src/config/tables.rs).
  declared = lib.importJSON ./keys.json;
  description =
    path:
    let
      key = declared.${path};
    in
    key.description + lib.optionalString (key ? default) " Unless set: ${key.default}.";

  optional =
    path: type:
    mkOption {
      type = types.nullOr type;
      default = null;
      description = description path;
    };
  # The options of a table: each key with its type.
  optionals = table: lib.mapAttrs (key: optional "${table}.${key}");
  needed =
    path: type:
    mkOption {
      inherit type;
      inherit (declared.${path}) description;
    };
  list =
    path: type:
    mkOption {
      type = types.listOf type;
      default = [ ];
      description = description path;
    };
  # A table of the file. What is not an option is written as it is, for programs that are newer than this module.
  keys =
    options:
    types.submodule {
      inherit options;
      freeformType = own.toml;
    };
  table =
    options: description:
    mkOption {
      type = keys options;
      default = { };
      inherit description;
    };
  tables =
    type: description:
    mkOption {
      type = types.listOf type;
      default = [ ];
      inherit description;
    };

  remote =
    path:
    optionals path {
      ssh_key = own.file;
      known_hosts = own.file;
      token_file = own.file;
      extra_ca_file = own.file;
      pinned_ca_file = own.file;
      ca_file = own.file;
      timeout = own.duration;
    }
    // {
      url = needed "${path}.url" own.remote // {
        example = "ssh://git@git.example.org/srv/git/deploy.git";
      };
    };

  closure = optionals "closure" {
    from = types.enum [
      "flake"
      "file"
      "manifest"
    ];
    attribute = types.str;
    file = types.str;
    directory = own.folder;
    submodules = types.bool;
    lfs = types.enum [
      "refuse"
      "ignore"
    ];
    build_timeout = own.duration;
    memory_limit = own.memory;
    cpu_weight = types.ints.between 1 10000;
    recheck = own.duration;
    retries = types.ints.between 0 10;
    manifest_keys = types.nonEmptyListOf own.publicKey;
    system_name = types.str;
    wait = own.duration;
    fallback = types.enum [ "build" ];
    older = types.bool;
  };

  switch = optionals "switch" {
    activation_timeout = own.duration;
    trial_timeout = own.duration;
    commit_timeout = own.duration;
    carrier_timeout = own.duration;
    failed_units = types.enum [
      "revert"
      "ignore"
    ];
    drift = types.enum [
      "correct"
      "report"
      "refuse"
    ];
  };

  hook =
    path:
    list path (types.either types.str (types.nonEmptyListOf types.str))
    // {
      example = [
        "/run/current-system/sw/bin/systemctl"
        "is-active"
        "backup.timer"
      ];
    };
  hooks = {
    before = hook "hooks.before";
    after = hook "hooks.after";
    timeout = optional "hooks.timeout" own.duration;
  };

  statuses = optionals "statuses" {
    forge = types.enum [
      "github"
      "gitlab"
      "gitea"
      "forgejo"
      "bitbucket"
    ];
    api = own.https;
    repository = types.strMatching "[^/ ]+(/[^/ ]+)+";
    token_file = own.file;
    credential = types.strMatching "[A-Za-z0-9._-]+";
    extra_ca_file = own.file;
    pinned_ca_file = own.file;
    ca_file = own.file;
    proxy = own.proxy;
    timeout = own.duration;
    link = own.web;
    sign = types.bool;
    hosts = types.ints.positive;
    canary = types.bool;
  };

  peer =
    optionals "peers.*" {
      port = types.port;
      user = own.account;
    }
    // {
      name = needed "peers.*.name" own.hostName;
      addresses = list "peers.*.addresses" own.address;
      host_keys = list "peers.*.host_keys" own.hostKey;
    };

  check =
    optionals "checks.*" {
      name = types.strMatching "[A-Za-z0-9_.-]{1,40}";
      need = types.enum [
        "required"
        "wanted"
      ];
      timeout = own.duration;
      interval = own.duration;
      quorum = types.either types.ints.positive (
        types.enum [
          "any"
          "all"
        ]
      );
      ports = types.listOf types.port;
      address = own.addressAndPort;
      url = own.web;
      status = types.ints.between 100 599;
      body = types.str;
      command = types.nonEmptyListOf types.str;
      ignore = types.listOf types.str;
    }
    // {
      kind = needed "checks.*.kind" (
        types.enum [
          "repository"
          "ssh"
          "peer"
          "tcp"
          "http"
          "command"
          "units"
        ]
      );
    };
in
{
  options.services.nixus.settings = mkOption {
    description = "The configuration file, `/etc/nixus/config.toml`. Keys are named as in the file, and what is `null` is not written.";
    default = { };
    type = types.submodule {
      freeformType = own.toml;
      options = {
        host = needed "host" own.hostName // {
          default = config.networking.hostName;
          defaultText = lib.literalExpression "config.networking.hostName";
        };
        repository = table (
          remote "repository"
          // optionals "repository" {
            url = own.remote;
            branch = types.str;
            mirror_after = own.duration;
          }
          // {
            mirrors = tables (keys (
              remote "repository.mirrors.*"
            )) "Other URLs of the same repository. Each of them is believed alone once the URL itself has not answered for `mirror_after`: whoever runs it has root on this host then.";
          }
        ) "The deploy repository; its URL must be set.";
        closure = table closure "How a commit's system is made.";
        switch = table switch "The deadlines and rules of a switch.";
        passes = table {
          interval = needed "passes.interval" own.span // {
            default = config.services.nixus.interval;
            defaultText = lib.literalExpression "config.services.nixus.interval";
          };
          boot_delay = needed "passes.boot_delay" own.span // {
            default = config.services.nixus.bootDelay;
            defaultText = lib.literalExpression "config.services.nixus.bootDelay";
          };
          timeout = optional "passes.timeout" own.duration;
        } "When passes begin.";
        hooks = table hooks "What is run around a deployment, as root, in a separate unit; reconciler/docs/hooks.md lists the variables of its environment.";
        health = table (optionals "health" {
          soak = own.duration;
          peers_lost_after = own.duration;
        }) "When a generation is healthy.";
        reports = mkOption {
          type = types.nullOr (
            keys (remote "reports" // { heartbeat = optional "reports.heartbeat" own.duration; })
          );
          default = null;
          description = "The repository for reports; what is not set is as for the deploy repository.";
        };
        statuses = mkOption {
          type = types.nullOr (keys statuses);
          default = null;
          description = "Commit statuses on a forge.";
        };
        ssh = table {
          addresses = list "ssh.addresses" own.address;
          port = optional "ssh.port" types.port;
          host_key = optional "ssh.host_key" own.file;
          host_keys = list "ssh.host_keys" own.hostKey;
        } "This host's own sshd.";
        operators = tables (keys {
          user = optional "operators.*.user" own.account;
          keys = list "operators.*.keys" own.publicKey;
          from = list "operators.*.from" (types.strMatching "[A-Za-z0-9_.:/*?!-]+");
        }) "Who must be able to get in; `services.nixus.operators` is shorter.";
        peers = tables (keys peer) "The hosts that look whether this one can be reached; `services.nixus.peers` lets them in too.";
        checks = tables (keys check) "Checks in addition to those that every host has, or these with other settings.";
      };
    };
  };
}
