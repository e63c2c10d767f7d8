# What only a NixOS host has that is a machine: Debian's kernel, the lab's initrd, and partitions. The boot
# loader is nixpkgs' own, as the host's description says; differences.toml has the reasons.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.lab;
  kernel =
    pkgs.runCommand "linux" { } ''
      mkdir -p $out
      cp ${cfg.bootFiles}/kernel $out/bzImage
    ''
    // {
      inherit (pkgs) stdenv;
      inherit (pkgs.linux) configfile;
      version = cfg.kernel;
      modDirVersion = cfg.kernel;
      target = "bzImage";
      buildDTBs = false;
      features.efiBootStub = true;
      # What modules ask of a kernel, Debian's has.
      config = lib.genAttrs [ "isEnabled" "isModule" "isSet" "isYes" ] (_: _: true);
      kernelAtLeast = lib.versionAtLeast cfg.kernel;
      kernelOlder = lib.versionOlder cfg.kernel;
      override = _: kernel;
    };
  # Its modules are in /lib/modules, where Debian's programs look for them.
  packages = {
    inherit kernel;
    inherit (pkgs) stdenv;
    inherit (kernel) kernelAtLeast kernelOlder;
    extend = _: packages;
  };
in
{
  options.lab.bootFiles = lib.mkOption {
    default = null;
    description = "The folder with a kernel and an initrd; without one, the host is a container.";
  };

  config = lib.mkIf (cfg.bootFiles != null) {
    boot = {
      kernelPackages = packages;
      kernelParams = [
        "rw"
        "console=ttyS0"
        "panic=5"
        # A machine that has to wait for its processor looks to the kernel as if it had no timer.
        "no_timer_check"
      ];
      loader.timeout = 0;
      loader.grub.splashImage = null;
    };
    fileSystems = {
      "/" = {
        device = "/dev/vda2";
        fsType = "ext4";
      };
      "/boot" = {
        device = "/dev/vda1";
        fsType = "vfat";
        options = [ "umask=0077" ];
      };
    };
    system.build.initialRamdisk = lib.mkForce (
      pkgs.runCommand "initrd" { } ''
        mkdir -p $out
        cp ${cfg.bootFiles}/initrd $out/initrd
      ''
    );
    console.enable = false;
    services.lvm.enable = false;
    services.timesyncd.enable = false;
    systemd = {
      network.links."05-lab" = {
        matchConfig.Driver = "virtio_net";
        linkConfig.Name = "host0";
      };
      shutdownRamfs.enable = false;
    };
  };
}
