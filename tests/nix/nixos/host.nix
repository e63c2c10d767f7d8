# What only NixOS hosts of the lab have; differences.toml has the reasons.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  differences = lib.importTOML ./differences.toml;
  cfg = config.lab;
  option = default: lib.mkOption { inherit default; };
  programs = "/debian/usr/bin:/debian/usr/sbin";
  activation = {
    exit1 = "false";
    hang = "echo 'activation hangs, as the host description asks'; sleep infinity";
    half = "echo 'activation dies half-way, as the host description asks'; kill -KILL $$";
  };
  install = ''exec ${cfg.switchToConfiguration}/bin/switch-to-configuration install-bootloader "$@"'';
  bootloader = {
    none = install;
    fail = "echo 'boot loader installation fails, as the host description asks' >&2; exit 1";
    slow = "sleep 5; ${install}";
    hang = "echo 'boot loader installation hangs, as the host description asks' >&2; exec sleep infinity";
  };
  init = {
    fail = "echo 'init fails, as the host description asks'; exit 1";
    hang = "echo 'init hangs, as the host description asks'; exec sleep infinity";
  };
  # A machine has a kernel: machine.nix.
  isContainer = cfg.bootFiles == null;
  text = name: builtins.toFile "${name}-${cfg.${name}}" cfg.${name};
in
{
  # As the stand-in has them.
  options.lab = {
    kernel = option "6.12.0";
    initrd = option "6.12.0";
    initInterfaceVersion = option null;
    break = {
      activation = option null;
      bootloader = option null;
      init = option null;
    };
    switchToConfiguration = lib.mkOption { };
  };

  config = {
    boot = {
      isContainer = isContainer;
      loader.external = {
        enable = isContainer;
        installHook = pkgs.writeScript "install-bootloader" ''
          #!/debian/usr/bin/sh
          PATH=${programs}
          ${bootloader.${if cfg.break.bootloader == null then "none" else cfg.break.bootloader}}
        '';
      };
      postBootCommands = lib.mkIf (cfg.break.init != null) init.${cfg.break.init};
    };
    documentation.enable = lib.mkForce false;
    environment = {
      etc."systemd/system.conf.d/evaluation.conf".text = ''
        [Manager]
        DefaultEnvironment=GC_INITIAL_HEAP_SIZE=768M
      '';
      ldso = "/debian/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
      stub-ld.enable = false;
      systemPackages = [ pkgs.git ];
    };
    fonts.fontconfig.enable = lib.mkForce false;
    networking = {
      useDHCP = lib.mkDefault false;
      useHostResolvConf = false;
      useNetworkd = lib.mkDefault true;
    };
    # No test waits for it, and none meets it.
    nix.gc.automatic = false;
    nix.settings = {
      keep-outputs = true;
      build-users-group = lib.mkForce "";
      sandbox = lib.mkForce false;
      substituters = lib.mkOverride 90 [ ];
    };
    programs.nano.enable = false;
    # More than a default, less than what a test says.
    security.pam.services.sshd.startSession = lib.mkOverride 90 false;
    services = {
      nginx.validateConfigFile = false;
      nscd.enable = false;
      openssh.enable = true;
      postgresql.checkConfig = false;
    };
    system = {
      activationScripts = lib.mkIf (cfg.break.activation != null) {
        lab-break = activation.${cfg.break.activation};
      };
      disableInstallerTools = true;
      nssModules = lib.mkForce [ ];
      # Another text is another kernel.
      systemBuilderCommands = lib.mkAfter (''
        # For a disk on which nothing was installed yet.
        mkdir -p $out/bin
        ln -s ${config.system.build.installBootLoader} $out/bin/install-bootloader
      ''
      + lib.optionalString isContainer ''
        ln -s ${text "kernel"} $out/kernel
        ln -s ${text "initrd"} $out/initrd
        ln -s ${builtins.toFile "kernel-modules-${cfg.kernel}" cfg.kernel} $out/kernel-modules
        printf %s ${lib.escapeShellArg (toString config.boot.kernelParams)} > $out/kernel-params
      ''
      + lib.optionalString (cfg.initInterfaceVersion != null) ''
        printf %s ${lib.escapeShellArg cfg.initInterfaceVersion} > $out/init-interface-version
      '');
      tools.nixos-rebuild.enable = false;
    };
    systemd = {
      suppressedSystemUnits = differences.units.names;
      tmpfiles.rules = [ "d /run/sshd 0755 root root" ];
    };
  };
}
