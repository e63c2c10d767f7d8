# Packages that are in the store already: a fixed-output derivation has the path that
# `nix store add-path` gave its content, so nothing is ever built.
let
  hashes = builtins.fromJSON (builtins.readFile ./packages.json);
in
builtins.mapAttrs (
  attribute: package:
  derivation {
    inherit (package) name;
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [
      "-c"
      "echo '${package.name} is not in the store of this host' >&2; exit 1"
    ];
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = package.hash;
  }
  # How far this release reads versions of its state files.
  // (if package ? format then { inherit (package) format; } else { })
) hashes
