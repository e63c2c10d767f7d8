# All of nixpkgs, its own modules and packages, for evaluations: nothing of it is ever built.
{ tree }:
let
  lib = import (tree + "/lib");
  # Files whose text is looked at have it at the end of their path, as with the stand-in (cases/nixos.nix).
  isRead =
    name:
    lib.hasSuffix ".zone" name
    || lib.hasSuffix "-authorized_keys" name
    || builtins.elem name [
      "nixus-secrets.json"
      "sshd.conf-settings"
    ];
  pkgs = import tree {
    system = "x86_64-linux";
    config = { };
    overlays = [
      (_: prev: {
        nixus = prev.hello;
        # In Haskell, of whose packages this copy of nixpkgs has no list.
        shellcheck = prev.hello;
        shellcheck-minimal = prev.hello // {
          compiler.bootstrapAvailable = false;
        };
        writeText =
          name: text:
          let
            file = prev.writeText name text;
          in
          if isRead name then file // { outPath = "${file.outPath}:${text}"; } else file;
      })
    ];
  };
  machine = {
    nixpkgs.pkgs = pkgs;
    fileSystems."/" = {
      device = "/dev/disk/by-label/nixos";
      fsType = "ext4";
    };
    # Less than what is written anywhere.
    system.stateVersion = lib.mkOverride 1400 lib.trivial.release;
  };
in
{
  inherit lib pkgs;
  # A boot loader, which a host has to name.
  systemd-boot = {
    boot.loader.systemd-boot.enable = true;
    fileSystems."/boot" = {
      device = "/dev/disk/by-label/boot";
      fsType = "vfat";
    };
  };
  # `nixpkgs` as mkFleet takes it, all of whose hosts have these modules.
  nixpkgsWith = modules: {
    lib = lib // {
      nixosSystem =
        arguments:
        import (tree + "/nixos/lib/eval-config.nix") (
          {
            inherit lib;
            system = null;
          }
          // arguments
          // {
            modules = arguments.modules ++ [ machine ] ++ modules;
          }
        );
    };
  };
}
