# One host. Copy this file to add another; its name is the host's name.
{
  # imports = [ ../hardware/web1.nix ]; # from nixos-generate-config

  nixpkgs.hostPlatform = "x86_64-linux";
  boot.loader.systemd-boot.enable = true;
  boot.loader.efi.canTouchEfiVariables = true;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  fileSystems."/boot" = {
    device = "/dev/disk/by-label/boot";
    fsType = "vfat";
  };

  # Where it is reached: by the others, and by whom it is looked up.
  services.nixus.public.ipv4 = "192.0.2.11";
  systemd.network.enable = true;
  systemd.network.networks."10-lan" = {
    matchConfig.Name = "en*";
    address = [ "192.0.2.11/24" ];
    gateway = [ "192.0.2.1" ];
  };
  networking.useNetworkd = true;
  networking.useDHCP = false;
  networking.nameservers = [ "192.0.2.1" ];
}
