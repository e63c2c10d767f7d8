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
  # What is kept is root's alone: a lock that others can open, they can hold for ever. Every start sets the modes
  # anew (systemd.exec(5)).
  private = {
    RuntimeDirectory = "nixus";
    RuntimeDirectoryMode = "0700";
    RuntimeDirectoryPreserve = true;
    UMask = "0077";
  };
  # A pass runs Nix, whose sandbox the scope of a build inherits from here. So nothing that a build needs is taken
  # away: no mount over a part of /proc (none of ProtectKernelLogs, ProtectKernelTunables, ProtectProc: the kernel
  # then refuses a user namespace its own /proc), no ProtectHostname (a sandbox sets its name), no LockPersonality
  # (ADDR_NO_RANDOMIZE, and PER_LINUX32 for i686), no SystemCallArchitectures (i686 again), no RestrictNamespaces,
  # RestrictSUIDSGID, ProtectSystem, ProtectHome, PrivateTmp, PrivateDevices.
  # The verification is the same, or it would prove something else.
  pass = {
    # git, libgit2 and the programs here read what others wrote. Builds and evaluations have a scope with a limit of
    # its own. Whoever is too large is ended alone, so that the pass can say so.
    MemoryMax = cfg.memoryLimit;
    OOMPolicy = "continue";
    CapabilityBoundingSet = "~CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_BLOCK_SUSPEND CAP_BPF CAP_LEASE CAP_LINUX_IMMUTABLE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_NET_BROADCAST CAP_PERFMON CAP_SYSLOG CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_PACCT CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_WAKE_ALARM";
    KeyringMode = "private";
    PrivateMounts = true;
    ProtectClock = true;
    ProtectKernelModules = true;
    RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
    RestrictRealtime = true;
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = "~@clock @module @obsolete @raw-io @reboot @swap";
  };
  # Parsers of what others wrote, which start nothing that would need more.
  confined = {
    KeyringMode = "private";
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateTmp = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectSystem = "strict";
    RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = "@system-service";
  };
  oneshot = command: private // {
    Type = "oneshot";
    ExecStart = command;
    StateDirectory = "nixus nixus/home";
    StateDirectoryMode = "0700";
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
        serviceConfig = oneshot "${nixus} reconcile" // pass;
      };
      # What a pass may do, this may: the same account, sandbox and credentials.
      nixus-verify = kept // {
        description = "Prove that this generation can take the next commit";
        # Read by the switcher of another release before it writes state.
        unitConfig = kept.unitConfig // {
          X-Nixus-Format = cfg.package.format or 1;
        };
        serviceConfig = oneshot "${nixus} verify" // pass;
      };
      # A forge may be slow; no pass waits for it.
      nixus-report = kept // {
        description = "Post commit statuses";
        after = [ "network.target" ];
        # Whatever comes of it is in `nixus status`; a failed unit would speak against a generation.
        serviceConfig =
          oneshot "-${nixus} post"
          // confined
          // {
            # The forge's token may be another user's file.
            CapabilityBoundingSet = "CAP_DAC_READ_SEARCH";
            MemoryMax = "512M";
            ProtectHome = "read-only";
            ProtectProc = "invisible";
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
        # It reads whose sockets others have, so it sees all of /proc.
        serviceConfig = private // confined // {
          ExecStart = "${nixus} answer-probe";
          StandardInput = "socket";
          StandardOutput = "socket";
          StandardError = "journal";
          RuntimeMaxSec = "60s";
          CapabilityBoundingSet = "";
          MemoryMax = "64M";
          ProtectHome = true;
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
          LockPersonality = true;
          SystemCallArchitectures = "native";
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
        # Each peer has slots of its own, and is refused at once where they are taken (probe/budget.rs): this is for
        # the moment until then.
        MaxConnections = 64 + 8 * builtins.length cfg.settings.peers;
      };
    };
    # `switch-to-configuration` makes its lock readable for everybody; one that is there keeps its mode.
    systemd.tmpfiles.rules = [ "f /run/nixos/switch-to-configuration.lock 0600 root root -" ];
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
