#!/bin/sh
# The lab's boot loader and kernel: reads what systemd-boot would read, and starts stage 2 of it.
refuse() {
  echo "lab-boot: $*; this machine does not boot" >&2
  exit 1
}

default=
while read -r key value; do
  [ "$key" = default ] && default=$value
done < /boot/loader/loader.conf || refuse "cannot read /boot/loader/loader.conf"
[ -n "$default" ] || refuse "/boot/loader/loader.conf names no default"

options=
while read -r key value; do
  [ "$key" = options ] && options=$value
done < "/boot/loader/entries/$default" || refuse "cannot read the entry $default"

for option in $options; do
  case $option in
    init=/nix/store/*/init) init=${option#init=} ;;
  esac
done
[ -n "${init-}" ] || refuse "the entry $default has no init="
[ -x "$init" ] || refuse "$init is not there"
echo "lab-boot: starting $default"
exec "$init"
