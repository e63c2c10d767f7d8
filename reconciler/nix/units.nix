# The units of a host. An activation neither restarts nor stops them: it is one of them that waits
# for it to end.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.nixus;
  nixus = "${cfg.package}/bin/nixus";
  switcher = "${cfg.package}/bin/nixus-switcher";

  kept = {
    restartIfChanged = false;
    stopIfChanged = false;
    unitConfig.X-StopOnRemoval = false;
    # The timer, the switcher and people all start passes; a refused start would be a failed unit.
    unitConfig.StartLimitIntervalSec = 0;
    environment.HOME = "/var/lib/nixus/home";
    path = [
      cfg.package
      config.nix.package
      pkgs.gitMinimal
      pkgs.openssh
    ];
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
  config = lib.mkIf cfg.enable {
    systemd.services = {
      nixus-reconcile = kept // {
        description = "Keep this host on the commit of the deploy repository";
        after = [
          "nixus-recover.service"
          "network.target"
        ];
        serviceConfig = oneshot "${nixus} reconcile";
      };
      # What a pass may do, this may: the same account, sandbox and credentials.
      nixus-verify = kept // {
        description = "Prove that this generation can take the next commit";
        # Read by the switcher of another release before it writes state.
        unitConfig = kept.unitConfig // {
          X-Nixus-Format = cfg.package.format or 1;
        };
        serviceConfig = oneshot "${nixus} verify";
      };
      # A forge may be slow; no pass waits for it.
      nixus-report = kept // {
        description = "Post commit statuses";
        after = [ "network.target" ];
        # Whatever comes of it is in `nixus status`; a failed unit would speak against a generation.
        serviceConfig =
          oneshot "-${nixus} post"
          // {
            LockPersonality = true;
            NoNewPrivileges = true;
            PrivateTmp = true;
            ProtectControlGroups = true;
            ProtectKernelModules = true;
            ProtectKernelTunables = true;
            RestrictRealtime = true;
            RestrictSUIDSGID = true;
          }
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
          ExecStart = "${nixus} answer-probe";
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
        # A mount that fails ends the boot in emergency mode, where nobody may be to look: a generation on
        # trial goes back from there, too (systemd.special(7), `local-fs.target`).
        wantedBy = [
          "multi-user.target"
          "emergency.target"
        ];
        after = [
          "local-fs.target"
          "sysinit.target"
          "basic.target"
        ];
        before = [
          "nixus-reconcile.timer"
          "nixus-reconcile.service"
          "shutdown.target"
        ];
        conflicts = [ "shutdown.target" ];
        unitConfig = kept.unitConfig // {
          # `sysinit.target` is never reached there, and all that needs it never started.
          DefaultDependencies = false;
          # Only a machine that goes down ends it, and so is noted as going down in order.
          IgnoreOnIsolate = true;
          # Whoever asks for that mode on the kernel's command line is there.
          ConditionKernelCommandLine = [
            "!systemd.unit=emergency.target"
            "!emergency"
            "!-b"
          ];
        };
        serviceConfig = oneshot "${switcher} recover" // {
          RemainAfterExit = true;
          # Without it, files of the store are taken for cut short at the next boot.
          ExecStop = "${switcher} goes-down";
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
        OnActiveSec = cfg.settings.passes.boot_delay;
        OnUnitInactiveSec = cfg.settings.passes.interval;
        AccuracySec = "100ms";
      };
    };
  };
}
