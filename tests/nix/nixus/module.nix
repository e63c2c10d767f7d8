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
      # `null` takes a default away.
      here = lib.filterAttrs (_: v: !(isTable v) && v != null) attrs;
      below = lib.filterAttrs (_: isTable) attrs;
    in
    lib.optionalString (path != [ ] && (here != { } || below == { }))
      "\n[${lib.concatStringsSep "." path}]\n"
    + lib.concatStringsSep "" (lib.mapAttrsToList (key: v: "${key} = ${value v}\n") here)
    + lib.concatStringsSep "" (lib.mapAttrsToList (key: table (path ++ [ key ])) below);

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
  };

  config = lib.mkMerge [
    { lab.switchToConfiguration = lib.mkDefault packages.switch-to-configuration; }
    (lib.mkIf cfg.enable {
      services.nixus.settings = {
        host = lib.mkDefault config.networking.hostName;
        repository.ssh_key = lib.mkDefault "/etc/nixus/deploy_key";
        repository.known_hosts = lib.mkDefault "/etc/nixus/known_hosts";
      };
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
