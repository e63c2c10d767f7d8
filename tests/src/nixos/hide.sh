# The root is $1; Debian's own configuration, units and programs go, as far as nothing of them is compiled
# into another of its programs.
cd "$1"
units=usr/lib/systemd
rm -rf etc lib64 bin sbin usr/bin usr/sbin usr/local var/lib/dbus var/lib/nginx var/lib/postgresql debian \
  "$units/system" "$units/user" "$units/network" usr/lib/tmpfiles.d usr/lib/sysusers.d usr/lib/sysctl.d \
  usr/lib/environment.d
mkdir -p etc lib64 usr/bin usr/sbin usr/local debian srv nix/var/nix/profiles
ln -s usr/bin bin
ln -s usr/sbin sbin
# For people, and for the lab's own commands.
ln -s /debian/usr/bin usr/local/bin
ln -s /debian/usr/sbin usr/local/sbin
# Until the first activation has made it.
ln -s /debian/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 lib64/ld-linux-x86-64.so.2
ln -s /debian/usr/bin/sh usr/bin/sh
for program in bash dbus-broker dbus-daemon git git-receive-pack git-upload-pack journalctl mount scp ssh \
  swapoff swapon systemctl udevadm umount; do
  ln -s "/debian/usr/bin/$program" usr/bin/
done
for program in agetty modprobe nologin sulogin unix_chkpwd unix_update; do
  ln -s "/debian/usr/sbin/$program" usr/sbin/
done
# systemd's own programs call each other.
for program in systemd-ask-password systemd-cgls systemd-creds systemd-detect-virt systemd-escape \
  systemd-id128 systemd-inhibit systemd-machine-id-setup systemd-notify systemd-run systemd-socket-activate \
  systemd-stdio-bridge systemd-sysusers systemd-tmpfiles systemd-tty-ask-password-agent; do
  ln -s "/debian/usr/bin/$program" usr/bin/
done
