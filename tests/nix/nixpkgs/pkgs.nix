# Derivations for hosts that have Debian's tools and no nixpkgs. Builds run without a sandbox.
system:
let
  lib = import ./lib.nix;
  shell = "/bin/sh";
  path = "/usr/sbin:/usr/bin:/sbin:/bin";
  runCommand =
    name: attrs: script:
    derivation (
      {
        inherit name system script;
        builder = shell;
        args = [
          "-ec"
          ''. "$scriptPath"''
        ];
        passAsFile = [ "script" ];
        PATH = path;
        preferLocalBuild = true;
        allowSubstitutes = false;
      }
      // attrs
    );
in
{
  inherit runCommand;
  stdenv.hostPlatform.system = system;
  # Debian's own are in every host.
  gitMinimal = "/usr";
  openssh = "/usr";
  writeText = name: text: runCommand name { inherit text; } ''printf %s "$text" > "$out"'';
  writeShellScript =
    name: text:
    runCommand name { } ''
      printf '%s\n' ${lib.escapeShellArg "#!/bin/sh\n${text}"} > "$out"
      chmod +x "$out"
    '';
}
