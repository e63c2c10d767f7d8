# The stages of the package set (nixpkgs' `stdenvStages`): the tools of the host itself, as in nixpkgs'
# stdenv/native, and a `mkDerivation` that links Debian's files in place of a package that has a source.
{ tree }:
{
  lib,
  localSystem,
  crossSystem,
  config,
  overlays,
  crossOverlays,
}:
let
  native = import (tree + "/pkgs/stdenv/native") {
    inherit
      lib
      localSystem
      config
      overlays
      ;
    crossSystem = localSystem;
  };
  debian = import ./debian.nix;
  inherit (lib.importTOML ./differences.toml) linked;

  linking =
    stdenv:
    stdenv
    // {
      mkDerivation =
        argument:
        let
          package =
            if builtins.isFunction argument then
              lib.fix (self: argument (self // { finalPackage = result; }))
            else
              argument;
          pname = package.pname or null;
          hasSource = pname != null && (package ? src || package ? srcs);
          links = stdenv.mkDerivation {
            inherit pname;
            outputs = package.outputs or [ "out" ];
            version = package.version or "0";
            passthru = package.passthru or { };
            meta = builtins.removeAttrs (package.meta or { }) [
              "broken"
              "badPlatforms"
            ];
            debs = debian.${pname} or [ ];
            buildCommand = "/bin/bash ${./link.sh}";
            preferLocalBuild = true;
          };
          # Whatever options of a build are changed, Debian's files stay what they are.
          fixed = links // {
            overrideAttrs = _: fixed;
            override = _: fixed;
          };
          result =
            if hasSource || builtins.elem pname linked.names then fixed else stdenv.mkDerivation argument;
        in
        result;
    };
in
[
  (builtins.elemAt native 0)
  (
    previous:
    let
      base = (builtins.elemAt native 1 previous).stdenv;
      stdenv = linking base;
      libc = stdenv.mkDerivation {
        pname = "glibc";
        version = "2.41";
        src = null;
        outputs = [
          "out"
          "bin"
          "dev"
          "static"
          "getent"
        ];
      };
    in
    {
      inherit config overlays;
      stdenv = stdenv // {
        cc = lib.fix (
          cc:
          base.cc
          // {
            inherit libc;
            libc_lib = libc.out;
            libc_bin = libc.bin;
            libc_dev = libc.dev;
            override = _: cc;
          }
        );
      };
    }
  )
]
