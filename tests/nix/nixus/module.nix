# services.nixus: the units and files of a host that follows a deploy repository.
self:
{ config, lib, pkgs, ... }:
let
  cfg = config.services.nixus;
  packages = self.packages.${pkgs.stdenv.hostPlatform.system};

  value =
    v:
    if builtins.isAttrs v then
      "{ ${lib.concatStringsSep ", " (lib.mapAttrsToList (key: item: "${builtins.toJSON key} = ${value item}") v)} }"
    else if builtins.isList v then
      "[${lib.concatStringsSep ", " (map value v)}]"
    else
      builtins.toJSON v;
  table =
    path: attrs:
    let
      isTable = v: builtins.isAttrs v;
      isTables = v: builtins.isList v && v != [ ] && builtins.all builtins.isAttrs v;
      # `null` takes a default away.
      here = lib.filterAttrs (_: v: !(isTable v || isTables v) && v != null) attrs;
      below = lib.filterAttrs (_: isTable) attrs;
      many = lib.filterAttrs (_: isTables) attrs;
    in
    lib.optionalString (path != [ ] && (here != { } || below == { }))
      "\n[${lib.concatStringsSep "." path}]\n"
    + lib.concatStringsSep "" (lib.mapAttrsToList (key: v: "${key} = ${value v}\n") here)
    + lib.concatStringsSep "" (lib.mapAttrsToList (key: table (path ++ [ key ])) below)
    + lib.concatStringsSep "" (
      lib.mapAttrsToList (
        key: lib.concatMapStrings (item: "\n[[${lib.concatStringsSep "." (path ++ [ key ])}]]\n" + table [ ] item)
      ) many
    );

  # Who may ask: each peer's host keys open the account, and nothing but its own question.
  probeKeys = builtins.concatLists (
    lib.mapAttrsToList (
      name: peer: map (key: "command=\"${cfg.package}/bin/nixus probe ${name}\",restrict ${key}") peer.hostKeys
    ) cfg.peers
  );
  hostKeyFile = (builtins.head config.services.openssh.hostKeys).path;

  kept = {
    restartIfChanged = false;
    stopIfChanged = false;
    unitConfig.X-StopOnRemoval = false;
    # The timer, the switcher and people all start passes; a refused start would be a failed unit.
    unitConfig.StartLimitIntervalSec = 0;
    environment.HOME = "/var/lib/nixus/home";
    path = [ cfg.package ];
  };
  oneshot = command: {
    Type = "oneshot";
    ExecStart = command;
    StateDirectory = "nixus nixus/home";
    RuntimeDirectory = "nixus";
    RuntimeDirectoryPreserve = true;
    WorkingDirectory = "/";
  };
in
{
  imports = [ ./secrets.nix ];

  # Which of the packages that the lab has put into the store.
  options.lab.nixusPackage = lib.mkOption { default = "nixus"; };

  options.services.nixus = {
    enable = lib.mkEnableOption "Nixus, which keeps this host on the commit that the deploy repository says";
    package = lib.mkOption { default = packages.${config.lab.nixusPackage}; };
    settings = lib.mkOption { default = { }; };
    interval = lib.mkOption { default = "1min"; };
    bootDelay = lib.mkOption { default = "30s"; };
    deployKey = lib.mkOption { default = null; };
    knownHosts = lib.mkOption { default = ""; };
    # The keys that must let an operator in as root.
    operators = lib.mkOption { default = [ ]; };
    # Where this host's own sshd must answer.
    addresses = lib.mkOption { default = [ ]; };
    # The hosts that look whether this one can be reached: name -> { addresses; hostKeys; }.
    peers = lib.mkOption { default = { }; };
    # The file with the token for the forge, given to the unit that posts as a credential.
    forgeToken = lib.mkOption { default = null; };
    # Checks beside those that every host has.
    checks = lib.mkOption { default = [ ]; };
  };

  config = lib.mkMerge [
    { lab.switchToConfiguration = lib.mkDefault packages.switch-to-configuration; }
    (lib.mkIf cfg.enable {
      services.nixus.settings = {
        host = lib.mkDefault config.networking.hostName;
        repository.ssh_key = lib.mkDefault "/etc/nixus/deploy_key";
        repository.known_hosts = lib.mkDefault "/etc/nixus/known_hosts";
        ssh.host_key = lib.mkDefault hostKeyFile;
        ssh.addresses = cfg.addresses;
        operators = lib.optionals (cfg.operators != [ ]) [
          {
            user = "root";
            keys = cfg.operators;
          }
        ];
        peers = lib.mapAttrsToList (name: peer: {
          inherit name;
          inherit (peer) addresses;
          host_keys = peer.hostKeys;
        }) cfg.peers;
        checks = cfg.checks;
      }
      // lib.optionalAttrs (cfg.forgeToken != null) { statuses.credential = "forge"; };
      # Questions about keys look like guessing (sshd_config(5)); known since OpenSSH 9.8.
      services.openssh.settings.PerSourcePenaltyExemptList = lib.mkDefault (
        lib.concatStringsSep "," (
          [ "127.0.0.1" "::1" ]
          ++ cfg.addresses
          ++ builtins.concatLists (lib.mapAttrsToList (_: peer: peer.addresses) cfg.peers)
        )
      );
      users.users.nixus-probe = {
        isSystemUser = true;
        group = "nixus-probe";
        home = "/var/empty";
        shell = "/bin/sh";
        openssh.authorizedKeys.keys = probeKeys;
      };
      users.groups.nixus-probe = { };
      environment.systemPackages = [ cfg.package ];
      environment.etc = {
        "nixus/config.toml".text = table [ ] cfg.settings;
        "nixus/known_hosts".text = cfg.knownHosts;
        "nixus/deploy_key" = lib.mkIf (cfg.deployKey != null) { source = cfg.deployKey; };
      };
      systemd.services = {
        nixus-reconcile = kept // {
          description = "Keep this host on the commit of the deploy repository";
          after = [ "nixus-recover.service" "network.target" ];
          serviceConfig = oneshot "${cfg.package}/bin/nixus reconcile";
        };
        nixus-verify = kept // {
          description = "Prove that this generation can take the next commit";
          # Read by the switcher of another release before it writes state.
          unitConfig = kept.unitConfig // {
            X-Nixus-Format = cfg.package.format or 1;
          };
          serviceConfig = oneshot "${cfg.package}/bin/nixus verify";
        };
        # A forge may be slow; no pass waits for it.
        nixus-report = kept // {
          description = "Post commit statuses";
          after = [ "network.target" ];
          serviceConfig =
            # Whatever comes of it is in `nixus status`; a failed unit would speak against a generation.
            oneshot "-${cfg.package}/bin/nixus post"
            // lib.optionalAttrs (cfg.forgeToken != null) {
              LoadCredential = "forge:${cfg.forgeToken}";
            };
        };
        "nixus-probe@" = kept // {
          description = "Answer a peer";
          unitConfig = {
            X-StopOnRemoval = false;
            CollectMode = "inactive-or-failed";
          };
          serviceConfig = {
            ExecStart = "${cfg.package}/bin/nixus answer-probe";
            StandardInput = "socket";
            StandardOutput = "socket";
            StandardError = "journal";
            RuntimeMaxSec = "60s";
            RuntimeDirectory = "nixus";
            RuntimeDirectoryPreserve = true;
            CapabilityBoundingSet = "";
            NoNewPrivileges = true;
            PrivateTmp = true;
            ProtectHome = true;
            ProtectSystem = "strict";
            RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
          };
        };
        nixus-recover = kept // {
          description = "Settle what a crash left of a deployment";
          wantedBy = [ "multi-user.target" ];
          before = [ "nixus-reconcile.timer" "nixus-reconcile.service" ];
          serviceConfig = oneshot "${cfg.package}/bin/nixus-switcher recover" // {
            RemainAfterExit = true;
            # Without it, files of the store are taken for cut short at the next boot.
            ExecStop = "${cfg.package}/bin/nixus-switcher goes-down";
            # A journal that cannot be used waits for an operator.
            RestartPreventExitStatus = 2;
            # Until it has armed a watchdog of its own, nobody else settles what a crash left.
            Restart = "on-failure";
            RestartSec = "1s";
          };
        };
      };
      # The account may only ask; who answers may use this host's key, and nothing else of root's.
      systemd.sockets.nixus-probe = {
        description = "Take what peers ask";
        wantedBy = [ "sockets.target" ];
        socketConfig = {
          ListenStream = "/run/nixus-probe.sock";
          SocketUser = "nixus-probe";
          SocketMode = "0600";
          Accept = true;
          MaxConnections = 8;
        };
      };
      systemd.timers.nixus-reconcile = {
        description = "Regularly keep this host on the commit of the deploy repository";
        wantedBy = [ "timers.target" ];
        timerConfig = {
          OnActiveSec = cfg.bootDelay;
          OnUnitInactiveSec = cfg.interval;
          AccuracySec = "100ms";
        };
      };
    })
  ];
}
