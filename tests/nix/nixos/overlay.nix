# Packages that are neither text nor Debian's files.
final: prev:
let
  inherit (fromTOML (builtins.readFile ./differences.toml)) stubs;
  switch = (builtins.fromJSON (builtins.readFile ./packages.json)).switch-to-configuration-ng;
  cc = prev.stdenv.cc;
  stub =
    name: _:
    (final.runCommand name { meta.mainProgram = name; } ''
      mkdir -p $out/bin
      printf '#!/bin/sh\nexit 0\n' > $out/bin/${name}
      chmod +x $out/bin/${name}
    '')
    // {
      compiler.bootstrapAvailable = false;
    };
in
builtins.mapAttrs stub stubs
// {
  stdenvNoCC = final.stdenv;
  gcc = cc;
  gcc13 = cc;
  gcc14 = cc;
  gcc15 = cc;
  overrideCC = _: _: final.stdenv;
  wrapCC = _: cc;
  wrapCCWith = _: cc;
  glibc = cc.libc;
  # Debian's, which has the firmware's kind of it.
  grub2 = prev.grub2 // {
    grubTarget = "x86_64-efi";
    override = _: final.grub2;
  };
  getent = cc.libc;
  glibcLocales =
    (final.runCommand "glibc-locales" { } ''
      mkdir -p $out/lib/locale
      cp -r /usr/lib/locale/C.utf8 $out/lib/locale/
      touch $out/lib/locale/locale-archive
    '')
    // {
      override = _: final.glibcLocales;
    };
  glibcLocalesUtf8 = final.glibcLocales;
  # nixpkgs' own, compiled by the lab, which has put it into the store: a fixed-output derivation has the
  # path that `nix store add-path` gave its content.
  switch-to-configuration-ng =
    derivation {
      inherit (switch) name;
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [
        "-c"
        "exit 1"
      ];
      outputHashMode = "recursive";
      outputHashAlgo = "sha256";
      outputHash = switch.hash;
    }
    // {
      meta.mainProgram = "switch-to-configuration";
    };
}
