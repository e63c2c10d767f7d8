# As much of NixOS as the modules say something to, with the types that nixpkgs gives it, and no
# packages: `nixpkgs` as mkFleet takes it, made of the real library alone.
{ lib }:
let
  inherit (lib) mkOption types;
  option =
    type: default:
    mkOption {
      inherit type default;
    };
  # In order, each once (nixpkgs' firewall.nix).
  ports = option (types.listOf types.port) [ ] // {
    apply = all: lib.unique (lib.sort builtins.lessThan all);
  };
  attrs = types.attrsOf types.anything;
  list = types.listOf types.str;
  unit = types.attrsOf (
    types.submodule {
      freeformType = types.attrsOf types.anything;
      # Unit sections are merged, as nixpkgs does it (systemd-unit-options.nix).
      options.unitConfig = option (types.attrsOf types.anything) { };
    }
  );
  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    drvPath = "/nix/store/00000000000000000000000000000000-${name}.drv";
  };
  packages = lib.genAttrs [ "gitMinimal" "openssh" "wireguard-tools" "nixus" ] package // {
    nix = package "nix-2.28.3" // {
      pname = "nix";
      version = "2.28.3";
    };
  };
  module =
    { config, lib, ... }:
    {
      _file = "nixos";
      options = {
        assertions = option (types.listOf types.unspecified) [ ];
        warnings = option list [ ];
        environment = {
          etc = option (types.attrsOf (
            types.submodule {
              options = {
                enable = option types.bool true;
                text = option (types.nullOr types.lines) null;
                source = option (types.nullOr types.path) null;
                mode = option types.str "symlink";
                user = option types.str "+0";
                group = option types.str "+0";
              };
            }
          )) { };
          systemPackages = option (types.listOf types.package) [ ];
        };
        networking = {
          # As nixpkgs has them (network-interfaces.nix).
          hostName = option (types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$") "nixos";
          domain = option (types.nullOr types.str) null;
          useNetworkd = option types.bool false;
          useDHCP = option types.bool true;
          dhcpcd.denyInterfaces = option list [ ];
          nameservers = option list [ ];
          hosts = option (types.attrsOf list) { };
          resolvconf.useLocalResolver = option types.bool false;
          nftables.enable = option types.bool false;
          firewall = {
            enable = option types.bool true;
            allowedTCPPorts = ports;
            allowedUDPPorts = ports;
            checkReversePath = option (types.either types.bool types.str) true;
            interfaces = option attrs { };
            extraInputRules = option types.lines "";
            extraForwardRules = option types.lines "";
            extraCommands = option types.lines "";
          };
          nat = option attrs { };
        };
        boot = {
          kernel.sysctl = option attrs { };
          loader = option attrs { };
        };
        fileSystems = option attrs { };
        nixpkgs.hostPlatform = option types.str "x86_64-linux";
        nix = {
          enable = option types.bool true;
          package = option types.package packages.nix;
          settings = option attrs { };
          gc = {
            automatic = option types.bool false;
            dates = option types.str "03:15";
            options = option types.str "";
            randomizedDelaySec = option types.str "0";
          };
        };
        programs.ssh = {
          extraConfig = option types.lines "";
          knownHosts = option (types.attrsOf (
            types.submodule (
              { name, ... }:
              {
                options = {
                  certAuthority = option types.bool false;
                  hostNames = option list [ name ];
                  extraHostNames = option list [ ];
                  publicKey = option (types.nullOr types.str) null;
                };
              }
            )
          )) { };
        };
        services = {
          openssh = {
            enable = option types.bool false;
            ports = option (types.listOf types.port) [ 22 ];
            listenAddresses = option (types.listOf types.attrs) [ ];
            openFirewall = option types.bool true;
            settings = option (types.submodule { freeformType = types.attrsOf types.anything; }) { };
            extraConfig = option types.lines "";
            hostKeys = option (types.listOf types.attrs) [
              {
                type = "rsa";
                bits = 4096;
                path = "/etc/ssh/ssh_host_rsa_key";
              }
              {
                type = "ed25519";
                path = "/etc/ssh/ssh_host_ed25519_key";
              }
            ];
          };
          bind = {
            enable = option types.bool false;
            cacheNetworks = option list [ ];
            forwarders = option list [ ];
            listenOn = option list [ "any" ];
            listenOnIpv6 = option list [ "any" ];
            extraOptions = option types.lines "";
            zones = option (types.attrsOf (
              types.submodule (
                { name, ... }:
                {
                  options = {
                    name = option types.str name;
                    master = mkOption { type = types.bool; };
                    file = mkOption { type = types.either types.str types.path; };
                    masters = option list [ ];
                    slaves = option list [ ];
                    allowQuery = option list [ "any" ];
                    extraConfig = option types.lines "";
                  };
                }
              )
            )) { };
          };
          resolved.enable = option types.bool false;
          userborn.enable = option types.bool false;
        };
        security = option attrs { };
        system = {
          stateVersion = option types.str "25.11";
          switch.enable = option types.bool true;
          activationScripts = option attrs { };
          build = option attrs { };
        };
        systemd = {
          services = option unit { };
          sockets = option unit { };
          timers = option unit { };
          tmpfiles.rules = option list [ ];
          settings.Manager = option attrs { };
          network = {
            enable = option types.bool false;
            wait-online.enable = option types.bool true;
            netdevs = option attrs { };
            networks = option attrs { };
          };
        };
        users = {
          users = option (types.attrsOf (
            types.submodule ({ config, ... }: {
              freeformType = types.attrsOf types.anything;
              config.group = lib.mkIf config.isNormalUser (lib.mkDefault "users");
              options = {
                openssh.authorizedKeys.keys = option list [ ];
                extraGroups = option list [ ];
                group = option types.str "";
                isNormalUser = option types.bool false;
                isSystemUser = option types.bool false;
              };
            })
          )) { };
          groups = option attrs { };
        };
      };
      config = {
        _module.args.pkgs = packages // {
          inherit lib;
          stdenv.hostPlatform.system = "x86_64-linux";
          # A file is its text: there is nothing that could make it.
          writeText = name: text: "/nix/store/00000000000000000000000000000000-${name}:${text}";
        };
        # As nixpkgs has it (network-interfaces.nix, networkd.nix, sshd.nix, users-groups.nix).
        warnings =
          let
            inherit (config.networking) useDHCP useNetworkd;
          in
          lib.optional (config.systemd.network.enable && useDHCP && !useNetworkd)
            "The combination of `systemd.network.enable = true`, `networking.useDHCP = true` and `networking.useNetworkd = false` can cause both networkd and dhcpcd to manage the same interfaces.";
        services.resolved.enable = lib.mkIf config.systemd.network.enable (lib.mkDefault true);
        networking.firewall.allowedTCPPorts =
          let
            sshd = config.services.openssh;
          in
          lib.mkIf (sshd.enable && sshd.openFirewall) sshd.ports;
        assertions = lib.concatLists (
          lib.mapAttrsToList (name: user: [
            {
              assertion = user.isSystemUser != user.isNormalUser;
              message = "Exactly one of users.users.${name}.isSystemUser and users.users.${name}.isNormalUser must be set.";
            }
            {
              assertion = user.group != "";
              message = "users.users.${name}.group is unset.";
            }
          ]) (removeAttrs config.users.users [ "root" ])
        );
        system.build.toplevel =
          let
            failed = builtins.filter (one: !one.assertion) config.assertions;
          in
          if failed == [ ] then
            package "nixos-system-${config.networking.hostName}"
          else
            throw "Failed assertions:\n${lib.concatMapStringsSep "\n" (one: "- ${one.message}") failed}";
      };
    };
in
{
  lib = lib // {
    nixosSystem =
      {
        modules,
        specialArgs ? { },
        ...
      }:
      let
        evaluated = lib.evalModules {
          modules = [ module ] ++ modules;
          inherit specialArgs;
        };
      in
      {
        inherit (evaluated) config options;
        inherit (evaluated._module.args) pkgs;
      };
  };
}
