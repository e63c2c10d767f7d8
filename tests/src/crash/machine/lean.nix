  # What a machine needs to boot, and what it can do without: emulation is slow.
  imports = [
    (
      { lib, ... }:
      {
        services.nixus.interval = lib.mkForce "20s";
        services.nixus.bootDelay = lib.mkForce "2s";
        # Bounds only.
        services.nixus.settings.switch.activation_timeout = lib.mkForce "5m";
        services.nixus.settings.switch.trial_timeout = lib.mkForce "3m";
      }
    )
  ];
  lab.bootFiles = "/usr/lib/lab-boot";
  boot.kernelParams = [
    "rw"
    "console=ttyS0"
    "panic=5"
    "quiet"
    # A machine that has to wait for its processor looks to the kernel as if it had no timer.
    "no_timer_check"
    # The initrd has mounted everything.
    "systemd.gpt_auto=0"
  ];
  environment.etc = {
    "systemd/network/05-lab.link".text = ''
      [Match]
      Driver=virtio_net
      [Link]
      Name=host0
    '';
    # Only what is used: the network card, and the watchdog's driver.
    "systemd/system.control/systemd-udev-trigger.service.d/lab.conf".text = ''
      [Service]
      ExecStart=
      ExecStart=udevadm trigger --action=add --subsystem-match=net --subsystem-match=pci --subsystem-match=virtio
    '';
    "systemd/system.conf.d/watchdog.conf".text = ''
      [Manager]
      RuntimeWatchdogSec=30s
    '';
  };
  # No session of logind for each login.
  services.openssh.settings.UsePAM = false;
  systemd.units = lib.genAttrs [
    "apt-daily-upgrade.timer"
    "apt-daily.timer"
    "dev-hugepages.mount"
    "dev-mqueue.mount"
    "dpkg-db-backup.timer"
    "e2scrub_all.timer"
    "e2scrub_reap.service"
    "fstrim.timer"
    "getty.target"
    "getty@.service"
    "kmod-static-nodes.service"
    "ldconfig.service"
    "modprobe@.service"
    "proc-sys-fs-binfmt_misc.automount"
    "run-lock.mount"
    "serial-getty@.service"
    "sys-fs-fuse-connections.mount"
    "sys-kernel-config.mount"
    "sys-kernel-debug.mount"
    "sys-kernel-tracing.mount"
    "systemd-ask-password-console.path"
    "systemd-ask-password-wall.path"
    "systemd-binfmt.service"
    "systemd-firstboot.service"
    "systemd-hwdb-update.service"
    "systemd-journal-catalog-update.service"
    "systemd-logind.service"
    "systemd-modules-load.service"
    "systemd-networkd-persistent-storage.service"
    "systemd-pstore.service"
    "systemd-random-seed.service"
    "systemd-sysusers.service"
    "systemd-sysctl.service"
    "systemd-tmpfiles-clean.timer"
    "systemd-tmpfiles-setup-dev-early.service"
    "systemd-tmpfiles-setup-dev.service"
    "systemd-udev-load-credentials.service"
    "systemd-update-done.service"
    "systemd-update-utmp.service"
    "systemd-user-sessions.service"
  ] (_: { enable = false; });
