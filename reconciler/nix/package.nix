# The programs, from this workspace. `program` is nixus, with nixus-secrets and nixus-switcher beside it,
# or the latter alone, for a rescue by hand.
{
  lib,
  rustPlatform,
  stdenv,
  installShellFiles,
  program ? "nixus",
}:
let
  whole = program == "nixus";
  crates = lib.optional whole "nixus" ++ [ "nixus-switcher" ];
  flags = lib.concatMap (crate: [
    "--package"
    crate
  ]) crates;
  # The version of the state files that this release writes (switcher/src/protocol.rs).
  format = lib.head (
    lib.concatMap (
      line:
      let
        found = builtins.match "pub const VERSION: u32 = ([0-9]+);" line;
      in
      lib.optional (found != null) (lib.toInt (lib.head found))
    ) (lib.splitString "\n" (builtins.readFile ../../switcher/src/protocol.rs))
  );
in
rustPlatform.buildRustPackage {
  pname = program;
  inherit ((lib.importTOML ../../Cargo.toml).workspace.package) version;
  src = lib.fileset.toSource {
    root = ../..;
    # All members, since cargo reads their manifests, and what is compiled in.
    fileset = lib.fileset.unions [
      ../../Cargo.lock
      ../../Cargo.toml
      ../../deploy-repo-template
      ../../reconciler
      ../../switcher
      ../../tests
    ];
  };
  cargoLock.lockFile = ../../Cargo.lock;
  cargoBuildFlags = flags;
  # Cargo.toml says what it is.
  buildType = "dist";
  # The tests need real hosts: .ci/run has them.
  doCheck = false;
  nativeBuildInputs = [ installShellFiles ];
  postInstall = lib.optionalString (whole && stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash fish zsh; do
      $out/bin/nixus completions $shell > nixus.$shell
      $out/bin/nixus completions $shell --switcher > nixus-switcher.$shell
    done
    installShellCompletion nixus.{bash,fish,zsh} nixus-switcher.{bash,fish,zsh}
    $out/bin/nixus man man
    installManPage man/*
  '';
  passthru = { inherit format; };
  meta = {
    description = "Keeps a NixOS host on the commit that its git repository says";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    mainProgram = program;
    platforms = lib.platforms.linux;
  };
}
