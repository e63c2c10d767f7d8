# What only hosts of the lab have: packages by name, and WireGuard where the kernel has none.
packages:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  wireguard = lib.filterAttrs (_: netdev: netdev.netdevConfig.Kind or null == "wireguard") (
    config.systemd.network.netdevs or { }
  );
  quote = lib.escapeShellArg;
  arguments =
    peer:
    "peer ${quote peer.PublicKey} allowed-ips ${quote (lib.concatStringsSep "," peer.AllowedIPs)}"
    + lib.optionalString (peer ? Endpoint) " endpoint ${quote peer.Endpoint}"
    + lib.optionalString (
      peer ? PersistentKeepalive
    ) " persistent-keepalive ${toString peer.PersistentKeepalive}";
  # As networkd would set the interface up.
  configure =
    name: netdev:
    pkgs.writeShellScript "configure-${name}" ''
      for _ in $(seq 100); do
        if wg show ${quote name} > /dev/null 2>&1; then break; fi
        sleep 0.1
      done
      exec wg set ${quote name} ${
        lib.optionalString (
          netdev.wireguardConfig ? ListenPort
        ) "listen-port ${toString netdev.wireguardConfig.ListenPort}"
      } private-key ${quote netdev.wireguardConfig.PrivateKeyFile} ${
        lib.concatMapStringsSep " " arguments netdev.wireguardPeers
      }
    '';
  unit =
    _: netdev:
    let
      name = netdev.netdevConfig.Name;
      script = configure name netdev;
    in
    lib.nameValuePair "wireguard-${name}" {
      description = "WireGuard ${name} without the kernel's";
      wantedBy = [ "multi-user.target" ];
      restartTriggers = [ script ];
      serviceConfig = {
        # Where the kernel has it, networkd does all by itself.
        ExecCondition = pkgs.writeShellScript "kernel-lacks-wireguard" ''
          if ip link add lab-wireguard type wireguard 2> /dev/null; then
            ip link delete lab-wireguard
            exit 1
          fi
        '';
        ExecStart = "/usr/bin/wireguard-go -f ${name}";
        ExecStartPost = script;
      };
    };
in
{
  # Which of the packages that the lab has put into the store.
  options.lab.nixusPackage = lib.mkOption { default = "nixus"; };

  config = {
    # The stand-in's own, and on NixOS what writes the boot entries of a container.
    lab.switchToConfiguration = lib.mkDefault packages.switch-to-configuration;
    services.nixus.package = lib.mkDefault packages.${config.lab.nixusPackage};
    systemd.services = lib.mapAttrs' unit wireguard;
  };
}
