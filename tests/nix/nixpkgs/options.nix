# The options that lab hosts have. Names and meanings are those of NixOS, except for `lab`.
{ lib, ... }:
let
  option = default: lib.mkOption { inherit default; };
in
{
  options = {
    networking = {
      hostName = option "host";
      domain = option null;
      hosts = option { };
      nameservers = option [ ];
      useNetworkd = option true;
      useDHCP = option false;
      firewall = option { };
      dhcpcd = option { };
      resolvconf = option { };
    };
    boot = {
      kernel.sysctl = option { };
      kernelParams = option [ ];
      loader = option { };
    };
    fileSystems = option { };
    nixpkgs = {
      hostPlatform = option "x86_64-linux";
    };
    nix = {
      enable = option true;
      # Debian's.
      package = option {
        pname = "nix";
        version = "2.26.3";
        outPath = "/usr";
      };
      settings = option { };
    };
    environment = {
      etc = lib.mkOption {
        default = { };
        type = lib.types.attrsOf (
          lib.types.submodule {
            freeformType = lib.types.attrsOf lib.types.anything;
            options.text = lib.mkOption {
              type = lib.types.nullOr lib.types.lines;
              default = null;
            };
            options.source = option null;
          }
        );
      };
      systemPackages = option [ ];
    };
    services.resolved = option { };
    services.openssh = {
      enable = option false;
      ports = option [ 22 ];
      settings = option { };
      extraConfig = option "";
      hostKeys = option [
        {
          type = "ed25519";
          path = "/etc/ssh/ssh_host_ed25519_key";
        }
      ];
    };
    programs.ssh = {
      knownHosts = option { };
      extraConfig = lib.mkOption {
        type = lib.types.lines;
        default = "";
      };
    };
    services.bind = {
      enable = option false;
      extraOptions = lib.mkOption {
        type = lib.types.lines;
        default = "";
      };
      zones = option { };
    };
    system = {
      activationScripts = option { };
      stateVersion = option "25.05";
      nixos.label = option "lab";
      switch.enable = option true;
      switch.inhibitors = option { };
      etc = option { };
    };
    systemd = {
      # The containers have no watchdog, and nothing is rendered of it.
      settings.Manager = option { };
      network = option { };
      services = option { };
      timers = option { };
      sockets = option { };
      targets = option { };
      paths = option { };
      units = option { };
      tmpfiles = option { };
    };
    users = {
      users = option { };
      groups = option { };
    };
    assertions = option [ ];
    warnings = option [ ];
    lab = {
      # The text of the "kernel" and "initrd": another text is another kernel.
      kernel = option "6.12.0";
      initrd = option "6.12.0";
      # A folder of the host with a kernel and an initrd that really boot.
      bootFiles = option null;
      initInterfaceVersion = option "systemd 2";
      # How a piece of the system fails: null, or as named in toplevel.nix.
      break = {
        activation = option null;
        bootloader = option null;
        init = option null;
      };
      # The package with bin/switch-to-configuration.
      switchToConfiguration = lib.mkOption { };
    };
  };
}
