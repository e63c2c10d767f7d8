# What nixpkgs' own modules render: sshd, networkd, nix.conf, users' keys, hosts.
{ config, lib, ... }:
let
  shown = value: if value == true then "yes" else if value == false then "no" else toString value;
  setting = value: if value == true then "true" else if value == false then "false" else toString value;
  ssh = config.services.openssh;
  keysOf = user: user.openssh.authorizedKeys.keys or [ ];
  withKeys = lib.filterAttrs (_: user: keysOf user != [ ]) config.users.users;

  section =
    name: settings:
    lib.optionalString (settings != { }) (
      "[${name}]\n"
      + lib.concatMapStrings (
        key: lib.concatMapStrings (value: "${key}=${setting value}\n") (lib.toList settings.${key})
      ) (builtins.attrNames settings)
      + "\n"
    );
  network =
    n:
    section "Match" (n.matchConfig or { })
    + section "Link" (n.linkConfig or { })
    + section "Network" (
      (n.networkConfig or { })
      // lib.optionalAttrs (n ? address) { Address = n.address; }
      // lib.optionalAttrs (n ? gateway) { Gateway = n.gateway; }
      // lib.optionalAttrs (n ? dns) { DNS = n.dns; }
    )
    + lib.concatMapStrings (section "Route") (n.routes or [ ])
    + lib.concatMapStrings (section "RoutingPolicyRule") (n.routingPolicyRules or [ ]);
  netdev =
    n:
    section "NetDev" (n.netdevConfig or { })
    + section "WireGuard" (n.wireguardConfig or { })
    + lib.concatMapStrings (section "WireGuardPeer") (n.wireguardPeers or [ ]);
  networkFiles =
    lib.mapAttrs' (
      name: n: lib.nameValuePair "systemd/network/${name}.network" { text = network n; }
    ) (config.systemd.network.networks or { })
    // lib.mapAttrs' (
      name: n: lib.nameValuePair "systemd/network/${name}.netdev" { text = netdev n; }
    ) (config.systemd.network.netdevs or { });

  sshdConfig = lib.concatStringsSep "\n" (
    map (port: "Port ${toString port}") ssh.ports
    ++ map (key: "HostKey ${key.path}") ssh.hostKeys
    ++ lib.mapAttrsToList (key: value: "${key} ${shown value}") (
      {
        AuthorizedKeysFile = "%h/.ssh/authorized_keys /etc/ssh/authorized_keys.d/%u";
        PermitRootLogin = "prohibit-password";
        PasswordAuthentication = false;
        KbdInteractiveAuthentication = false;
        UsePAM = true;
        PrintMotd = false;
      }
      // ssh.settings
    )
    ++ [ ssh.extraConfig ]
  );
  knownHost =
    name: entry:
    "${lib.optionalString (entry.certAuthority or false) "@cert-authority "}${
      lib.concatStringsSep "," (entry.hostNames or [ name ])
    } ${entry.publicKey}\n";
in
{
  config = lib.mkMerge [
    {
      nix.settings = {
        experimental-features = [
          "nix-command"
          "flakes"
        ];
        sandbox = lib.mkDefault false;
        substituters = lib.mkDefault [ ];
        build-users-group = lib.mkDefault "";
      };
      environment.etc = lib.mkMerge [
        {
          "hostname".text = config.networking.hostName + "\n";
          "hosts".text =
            "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 ${config.networking.hostName}\n"
            + lib.concatMapStrings (
              address: "${address} ${lib.concatStringsSep " " config.networking.hosts.${address}}\n"
            ) (builtins.attrNames config.networking.hosts);
          "resolv.conf".text = lib.concatMapStrings (
            server: "nameserver ${server}\n"
          ) config.networking.nameservers;
          "nix/nix.conf".text = lib.concatMapStrings (
            key: "${key} = ${lib.concatStringsSep " " (map setting (lib.toList config.nix.settings.${key}))}\n"
          ) (builtins.attrNames config.nix.settings);
          # Debian's ssh_config includes what is there.
          "ssh/ssh_config.d/nixos.conf".text = config.programs.ssh.extraConfig;
          "ssh/ssh_known_hosts".text = lib.concatMapStrings (
            name: knownHost name config.programs.ssh.knownHosts.${name}
          ) (builtins.attrNames config.programs.ssh.knownHosts);
        }
        networkFiles
        (lib.mapAttrs' (
          name: user:
          lib.nameValuePair "ssh/authorized_keys.d/${name}" {
            text = lib.concatMapStrings (key: key + "\n") (keysOf user);
            # sshd refuses a file below the store, which its group may write.
            mode = "0444";
          }
        ) withKeys)
      ];

      systemd.units = {
        # Not possible in a container, and "no unit is failed" must be possible.
        "systemd-remount-fs.service".source = "/dev/null";
        # NixOS has all of systemd's units in a generation. Of those that Debian has, these are what an activation may
        # stop that isolates the machine: without them it accepts no logins, and starts nothing that is new.
        "multi-user.target".source = "/usr/lib/systemd/system/multi-user.target";
        "graphical.target".source = "/usr/lib/systemd/system/graphical.target";
        "systemd-user-sessions.service".source = "/usr/lib/systemd/system/systemd-user-sessions.service";
        "systemd-networkd.service" = {
          source = "/usr/lib/systemd/system/systemd-networkd.service";
          wantedBy = [ "multi-user.target" ];
          overrides = ''
            [Unit]
            X-Restart-Triggers=${
              builtins.hashString "sha256" (builtins.toJSON (builtins.mapAttrs (_: f: f.text) networkFiles))
            }
            [Service]
            X-StopIfChanged=false
          '';
        };
      };
    }
    (lib.mkIf ssh.enable {
      environment.etc."ssh/sshd_config".text = sshdConfig + "\n";
      systemd.services.sshd = {
        description = "SSH Daemon";
        wantedBy = [ "multi-user.target" ];
        after = [ "network.target" ];
        stopIfChanged = false;
        restartTriggers = [ sshdConfig ];
        serviceConfig = {
          ExecStartPre = "/usr/sbin/sshd -t -f /etc/ssh/sshd_config";
          ExecStart = "/usr/sbin/sshd -D -f /etc/ssh/sshd_config";
          KillMode = "process";
          Restart = "always";
          RuntimeDirectory = "sshd";
          RuntimeDirectoryMode = "0755";
          RuntimeDirectoryPreserve = true;
          Type = "notify";
        };
      };
    })
  ];
}
