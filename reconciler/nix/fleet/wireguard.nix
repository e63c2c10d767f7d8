# vpn.networks on each host: WireGuard by systemd-networkd (systemd.netdev(5), systemd.network(5)).
{ config, lib, ... }:
let
  networks = lib.filterAttrs (_: network: network.enable) config.vpn.networks;
  # The mark of WireGuard's own packets, and the table for all others; wg-quick does it the same way.
  mark = 51820;

  build =
    host: name: network:
    let
      members = lib.filterAttrs (_: one: one.enable) network.members;
      me = members.${host};
      star = network.topology == "star";
      isServer = star && host == network.server;
      others =
        if star && !isServer then
          { ${network.server} = members.${network.server}; }
        else
          removeAttrs members [ host ];
      listens = me.endpoint != null && (!star || isServer);
      own =
        one: lib.optional (one.ipv4 != null) "${one.ipv4}/32" ++ lib.optional (one.ipv6 != null) "${one.ipv6}/128";
      subnets =
        lib.optional (network.ipv4 != null) network.ipv4 ++ lib.optional (network.ipv6 != null) network.ipv6;
      everything =
        lib.optional (network.ipv4 != null) "0.0.0.0/0" ++ lib.optional (network.ipv6 != null) "::/0";
      through = me.internetGateway && !isServer;
      routed = lib.concatMap (one: one.routes) (builtins.attrValues (removeAttrs members [ host ]));
      allowed =
        one:
        if through then
          everything
        else if star && !isServer then
          subnets ++ routed
        else
          own one ++ one.routes;
      # A colon in an address is IPv6's.
      endpoint =
        one:
        if lib.hasInfix ":" one.endpoint then
          "[${one.endpoint}]:${toString one.port}"
        else
          "${one.endpoint}:${toString one.port}";
      reachable = one: !isServer && one.endpoint != null;
      peer =
        _: one:
        {
          PublicKey = one.publicKey;
          AllowedIPs = allowed one;
        }
        // lib.optionalAttrs (reachable one) { Endpoint = endpoint one; }
        # Keeps the way open through translated addresses.
        // lib.optionalAttrs (reachable one && me.endpoint == null) { PersistentKeepalive = 25; };
      length = subnet: lib.last (lib.splitString "/" subnet);
    in
    {
      systemd.network = {
        enable = lib.mkDefault true;
        netdevs."50-${network.interface}" = {
          netdevConfig = {
            Kind = "wireguard";
            Name = network.interface;
          };
          wireguardConfig = {
            PrivateKeyFile = me.privateKeyFile;
          }
          // lib.optionalAttrs listens { ListenPort = me.port; }
          // lib.optionalAttrs through { FirewallMark = mark; };
          wireguardPeers = lib.mapAttrsToList peer others;
        };
        networks."50-${network.interface}" = {
          matchConfig.Name = network.interface;
          address =
            lib.optional (me.ipv4 != null) "${me.ipv4}/${length network.ipv4}"
            ++ lib.optional (me.ipv6 != null) "${me.ipv6}/${length network.ipv6}";
          # No boot waits for a network that others make.
          linkConfig.RequiredForOnline = "no";
          networkConfig = {
            IPv6AcceptRA = false;
            LinkLocalAddressing = "no";
          }
          // lib.optionalAttrs (isServer && network.ipv4 != null) { IPv4Forwarding = true; }
          // lib.optionalAttrs (isServer && network.internetGateway) { IPMasquerade = "both"; };
          routes =
            map (Destination: { inherit Destination; }) (
              if isServer || !star then
                lib.concatMap (one: one.routes) (builtins.attrValues others)
              else
                routed
            )
            ++ lib.optionals through (
              map (Destination: {
                inherit Destination;
                Table = mark;
              }) everything
            );
          routingPolicyRules = lib.optionals through [
            {
              Family = "both";
              SuppressPrefixLength = 0;
              Table = "main";
              Priority = 32764;
            }
            {
              Family = "both";
              FirewallMark = mark;
              InvertRule = true;
              Table = mark;
              Priority = 32765;
            }
          ];
        };
      };
      networking.firewall = {
        allowedUDPPorts = lib.mkIf listens [ me.port ];
        # WireGuard's own packets come in without the mark, and the rollback of such leads into the tunnel.
        checkReversePath = lib.mkIf through (lib.mkDefault "loose");
      };
      # IPv6 forwards for all interfaces or for none (ip-sysctl.rst). NixOS 25.11 has a default of its own for
      # IPv4 (nixpkgs' network-interfaces.nix), and two of one priority are an error.
      boot.kernel.sysctl = lib.mkIf isServer (
        lib.optionalAttrs (network.ipv6 != null) {
          "net.ipv6.conf.all.forwarding" = lib.mkOverride 900 true;
        }
        # Answers come in by another interface, which must forward as well.
        // lib.optionalAttrs network.internetGateway {
          "net.ipv4.conf.all.forwarding" = lib.mkOverride 900 true;
        }
      );
      assertions = [
        {
          assertion = !(lib.hasPrefix "${builtins.storeDir}/" me.privateKeyFile);
          message = "vpn.networks.${name}.members.${host}.privateKeyFile is in the Nix store, where everyone can read it: name a file on the host, as a string.";
        }
      ];
    };
  module =
    host:
    { config, lib, ... }:
    let
      firewall = config.networking.firewall;
      serves = lib.filterAttrs (_: network: network.topology == "star" && network.server == host) mine;
      through = lib.filterAttrs (
        name: network: network.members.${host}.internetGateway && !(serves ? ${name})
      ) mine;
      mine = lib.filterAttrs (
        _: network: network.members ? ${host} && network.members.${host}.enable
      ) networks;
    in
    {
      config = lib.mkMerge (
        lib.mapAttrsToList (build host) mine
        ++ [
          (lib.mkIf (mine != { }) {
            # Where networkd has this to do alone, nothing else comes online by it.
            systemd.network.wait-online.enable = lib.mkDefault config.networking.useNetworkd;
            # nixpkgs' module would give a host another resolver with its first network, and dhcpcd asks at each
            # interface that is there.
            services.resolved.enable = lib.mkIf (!config.networking.useNetworkd) (lib.mkOverride 900 false);
            networking.dhcpcd.denyInterfaces = map (network: network.interface) (builtins.attrValues mine);
            assertions = lib.mapAttrsToList (name: _: {
              assertion =
                !(firewall.enable or true)
                || builtins.elem firewall.checkReversePath [
                  false
                  "loose"
                ];
              message = "vpn.networks.${name}.members.${host}.internetGateway: networking.firewall.checkReversePath is ${builtins.toJSON firewall.checkReversePath}, by which the server's answers are dropped, and with them all of this host's traffic: leave it out, or set it to \"loose\".";
            }) through;
          })
          {
            # Where the firewall is asked about what is passed on (`filterForward`).
            networking.firewall.extraForwardRules = lib.mkIf (serves != { }) (
              lib.concatMapStrings (network: "iifname \"${network.interface}\" accept\n") (
                builtins.attrValues serves
              )
            );
          }
        ]
      );
    };
in
{
  perNode = [ module ];
}
