# A package made of Debian's files: each file of the packages $debs becomes a link below $out, under the
# name that nixpkgs has for it. One process for each folder, not for each file.
set -eu

for output in $outputs; do mkdir -p "${!output}"; done
case $name in
  *unsecvars)
    # What ld.so takes from no one's environment in a program with more rights; wrappers compile it in.
    printf '#define UNSECURE_ENVVARS "GCONV_PATH\\0" "LD_PRELOAD\\0" "LD_LIBRARY_PATH\\0" "LD_AUDIT\\0" "TMPDIR\\0"\n' > "$out/unsecvars.h"
    exit
    ;;
  linux-config*)
    rmdir "$out"
    printf 'CONFIG_ARCH_MMAP_RND_BITS_MAX=32\nCONFIG_ARCH_MMAP_RND_COMPAT_BITS_MAX=16\n' > "$out"
    exit
    ;;
esac

declare -A linked copied
take() { # a file of Debian
  local file=$1 to
  case $file in
    /usr/share/doc/* | /usr/share/man/* | /usr/share/locale/* | /usr/share/lintian/*) return ;;
    /usr/bin/* | /usr/sbin/* | /bin/* | /sbin/* | /usr/lib/postgresql/*/bin/*) to=bin/${file##*/} ;;
    # Debian's multiarch folders; nixpkgs has PAM's modules and the like right below lib.
    /usr/lib/x86_64-linux-gnu/*) to=lib/${file#/usr/lib/x86_64-linux-gnu/} ;;
    /usr/*) to=${file#/usr/} ;;
    /lib/* | /etc/*) to=${file#/} ;;
    *) return ;;
  esac
  local folder=${to%/*} real=$file
  [[ $file == /bin/* || $file == /sbin/* || $file == /lib/* ]] && real=/usr$file
  # A host sees them there alone.
  [[ $real == /usr/* ]] && file=/debian$real
  [[ -e $file && (-L $file || ! -d $file) ]] || return 0
  case $file in
    # They name programs by paths that no NixOS has.
    /debian/usr/lib/systemd/system/* | /debian/usr/lib/systemd/user/* | /debian/usr/share/dbus-1/*)
      if [[ -f $file ]]; then
        copied[$folder]+=" $file"
        return
      fi
      ;;
  esac
  if [[ -L $file && $(readlink "$file") == /etc/alternatives/* ]]; then
    mkdir -p "$out/$folder"
    ln -sfn "/debian$(realpath "/usr/${file#/debian/usr/}")" "$out/$to"
  else
    linked[$folder]+=" /debian$real"
  fi
}

for deb in $debs; do
  lists=()
  for list in "/var/lib/dpkg/info/$deb.list" "/var/lib/dpkg/info/$deb:amd64.list"; do
    [[ -e $list ]] && lists+=("$list")
  done
  if [[ ${#lists[@]} = 0 ]]; then
    echo "the lab's Debian has no package $deb" >&2
    exit 1
  fi
  while read -r file; do take "$file"; done < <(cat "${lists[@]}")
done
for folder in "${!linked[@]}"; do
  mkdir -p "$out/$folder"
  # shellcheck disable=SC2086
  ln -sfn --target-directory="$out/$folder" ${linked[$folder]}
done
for folder in "${!copied[@]}"; do
  mkdir -p "$out/$folder"
  # shellcheck disable=SC2086
  cp --no-preserve=mode --target-directory="$out/$folder" ${copied[$folder]}
  find "$out/$folder" -maxdepth 1 -type f -exec sed -i -E "s#(/usr)?/s?bin/([a-z0-9.-]+)#$out/bin/\2#g" {} +
done
if [[ -d $out/bin && ! -e $out/sbin ]]; then ln -s bin "$out/sbin"; fi

case $pname in
  bash | bash-interactive) ln -sfn /debian/usr/bin/bash "$out/bin/sh" ;;
  dbus)
    mkdir -p "$out/libexec"
    ln -sfn /debian/usr/lib/dbus-1.0/dbus-daemon-launch-helper "$out/libexec/"
    ;;
  iptables)
    for program in {ip,ip6}tables{,-save,-restore}; do
      ln -sfn /debian/usr/sbin/xtables-nft-multi "$out/bin/$program"
    done
    ;;
  nix)
    mkdir -p "$out/lib/tmpfiles.d" "$out/lib/systemd/system"
    for unit in service socket; do
      if [[ -e /debian/usr/lib/systemd/system/nix-daemon.$unit ]]; then
        cp "/debian/usr/lib/systemd/system/nix-daemon.$unit" "$out/lib/systemd/system/"
      fi
    done
    ;;
  systemd*)
    # NixOS takes systemd's own units and rules from here.
    for folder in systemd/system systemd/user sysctl.d tmpfiles.d sysusers.d; do
      mkdir -p "$out/example/$folder"
      if [[ -d /debian/usr/lib/$folder ]]; then
        cp -r --no-preserve=mode "/debian/usr/lib/$folder/." "$out/example/$folder/"
      fi
    done
    find "$out/example" -type f -exec sed -i \
      "s|/usr/lib/systemd/|$out/lib/systemd/|g; s|/usr/bin/|$out/bin/|g; s|=\([-+!@:]*\)/sbin/|=\1$out/bin/|g" {} +
    for target in factory-reset sockets sysinit multi-user timers graphical local-fs remote-fs rescue; do
      mkdir -p "$out/example/systemd/system/$target.target.wants" "$out/example/systemd/user/$target.target.wants"
    done
    find "$out/example/systemd" -type f -exec sed -i -E \
      "s#^(Exec[A-Za-z]*=[-+!@:|]*)([a-z][a-z0-9-]+)( |\$)#\1$out/bin/\2\3#" {} +
    if [[ ! -e $out/example/sysctl.d/50-coredump.conf ]]; then
      echo "kernel.core_pattern=|$out/lib/systemd/systemd-coredump %P %u %g %s %t %c %h %d" \
        > "$out/example/sysctl.d/50-coredump.conf"
    fi
    rm -rf "$out/lib/systemd/system" "$out/lib/systemd/user"
    ;;
esac
for output in $outputs; do
  [[ $output = out ]] && continue
  mkdir -p "${!output}/lib/tmpfiles.d"
  for folder in bin lib share etc; do
    if [[ -e $out/$folder && ! -e ${!output}/$folder ]]; then ln -s "$out/$folder" "${!output}/$folder"; fi
  done
done
