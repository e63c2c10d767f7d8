# From the name of a package in nixpkgs to the packages of Debian whose files it is made of. What is not
# here is an empty folder.
{
  acl = [ "acl" ];
  attr = [ "attr" ];
  bash = [ "bash" ];
  bash-interactive = [ "bash" ];
  bind = [ "bind9-dnsutils" ];
  bzip2 = [ "bzip2" ];
  cacert = [ "ca-certificates" ];
  # nixpkgs' has kill, which Debian has in procps.
  coreutils = [
    "coreutils"
    "procps"
  ];
  coreutils-full = [
    "coreutils"
    "procps"
  ];
  cpio = [ "cpio" ];
  curl = [ "curl" ];
  dash = [ "dash" ];
  dbus = [
    "dbus"
    "dbus-daemon"
    "dbus-bin"
    "dbus-system-bus-common"
    "dbus-session-bus-common"
    "dbus-user-session"
  ];
  dbus-broker = [ "dbus-broker" ];
  diffutils = [ "diffutils" ];
  dosfstools = [ "dosfstools" ];
  e2fsprogs = [ "e2fsprogs" ];
  findutils = [ "findutils" ];
  gawk = [ "gawk" ];
  getent-glibc = [ "libc-bin" ];
  git = [ "git" ];
  git-minimal = [ "git" ];
  gitMinimal = [ "git" ];
  glibc = [
    "libc-bin"
    "libc6"
  ];
  gnugrep = [ "grep" ];
  gnused = [ "sed" ];
  gnutar = [ "tar" ];
  grub = [
    "grub-common"
    "grub2-common"
  ];
  gzip = [ "gzip" ];
  hostname-debian = [ "hostname" ];
  iana-etc = [ "netbase" ];
  iproute2 = [ "iproute2" ];
  iptables = [ "iptables" ];
  iputils = [ "iputils-ping" ];
  jq = [ "jq" ];
  kbd = [ "kbd" ];
  kmod = [ "kmod" ];
  libcap = [ "libcap2-bin" ];
  libxslt = [ "xsltproc" ];
  linux-pam = [
    "libpam-modules"
    "libpam-modules-bin"
    "libpam0g"
    "libpam-runtime"
  ];
  lndir = [ "xutils-dev" ];
  ncurses = [ "ncurses-bin" ];
  nftables = [ "nftables" ];
  nginx = [
    "nginx"
    "nginx-common"
  ];
  nix = [ "nix-bin" ];
  nss-cacert = [ "ca-certificates" ];
  openssh = [
    "openssh-server"
    "openssh-client"
    "openssh-sftp-server"
  ];
  openssl = [ "openssl" ];
  patch = [ "patch" ];
  perl = [
    "perl"
    "perl-base"
    "perl-modules-5.40"
  ];
  postgresql = [
    "postgresql-17"
    "postgresql-client-17"
  ];
  procps = [ "procps" ];
  python3 = [
    "python3-minimal"
    "python3.13-minimal"
  ];
  shadow = [
    "passwd"
    "login"
    "uidmap"
    "util-linux"
    "login.defs"
  ];
  sudo = [ "sudo" ];
  systemd = [
    "systemd"
    "systemd-sysv"
    "udev"
    "systemd-resolved"
    "systemd-container"
    "libpam-systemd"
    "systemd-boot"
    "systemd-boot-tools"
    "libudev1"
    "libsystemd0"
    "systemd-coredump"
    "systemd-cryptsetup"
  ];
  systemd-minimal = [
    "systemd"
    "udev"
    "libudev1"
    "libsystemd0"
    "systemd-coredump"
    "systemd-cryptsetup"
  ];
  systemd-minimal-libs = [
    "libudev1"
    "libsystemd0"
    "systemd-coredump"
    "systemd-cryptsetup"
  ];
  tzdata = [ "tzdata" ];
  util-linux = [
    "util-linux"
    "mount"
    "login"
  ];
  util-linux-minimal = [
    "util-linux"
    "mount"
  ];
  which = [ "debianutils" ];
  xz = [ "xz-utils" ];
  zstd = [ "zstd" ];
}
