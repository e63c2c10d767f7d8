#!/bin/sh
# Stage 1 of a machine of the lab: finds the disk and starts stage 2, as the boot entry says.
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
ln -s /proc/self/fd /dev/fd
# Stage 2 writes to /run before there is a systemd.
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
while read -r module; do
  insmod "/modules/$module.ko"
done < /modules/order

# The lab may ask for a fault point of this boot, by the machine's serial number.
read -r fault < /sys/class/dmi/id/product_serial
case $fault in
  before-* | after-*)
    mkdir -p /run/nixus
    echo "$fault" > /run/nixus/fault
    ;;
esac

tries=0
until mount -t ext4 /dev/vda2 /root; do
  tries=$((tries + 1))
  [ "$tries" -lt 50 ] || exec poweroff -f
  sleep 0.1
done
installs=
for option in $(cat /proc/cmdline); do
  case $option in
    init=/nix/store/*/init) init=${option#init=} ;;
    lab.installs=/nix/store/*) installs=${option#lab.installs=} ;;
  esac
done
for folder in dev proc sys run; do
  mount --move "/$folder" "/root/$folder"
done
if [ -n "$installs" ]; then
  # What nixos-install does in the end. GRUB's installer asks what /boot is mounted from.
  chroot /root /debian/usr/bin/mount -t vfat -o umask=0077 /dev/vda1 /boot
  NIXOS_INSTALL_BOOTLOADER=1 chroot /root "$installs/bin/install-bootloader" "$installs" &&
    echo "lab: the boot loader is installed"
  umount /root/boot
  chroot /root /debian/usr/bin/mount -o remount,ro /
  exec poweroff -f
fi
if [ -e "/root${init%/init}/prepare-root" ]; then
  # A NixOS of which stage 1 has systemd (nixos/modules/system/boot/systemd/initrd.nix). /boot is in its fstab.
  IN_NIXOS_SYSTEMD_STAGE1=true chroot /root "${init%/init}/prepare-root"
  exec switch_root /root "$init"
fi
# What a power cut left of it is put in order, as on NixOS, where file systems are checked before they
# are mounted (nixos/modules/tasks/filesystems.nix, fs_passno). Else the kernel makes it read-only.
chroot /root /usr/lib/lab-boot/fsck.fat -a /dev/vda1
mount -t vfat -o umask=0077 /root/dev/vda1 /root/boot
exec switch_root /root "$init"
