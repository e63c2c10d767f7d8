# What a host of NixOS' own modules has for its programs to read, as text without the hashes and versions in store
# paths, which change with nixpkgs.
{ lib }:
let
  plain =
    text:
    lib.concatMapStrings (
      part:
      if builtins.isString part then part else "/store/${(builtins.parseDrvName (builtins.head part)).name}"
    ) (builtins.split "/nix/store/[a-z0-9]*-([^/:\" \n]*)" (builtins.unsafeDiscardStringContext text));
  lines = text: lib.splitString "\n" text;
  # The lines that begin with one of these words.
  only =
    words: text:
    lib.concatMapStrings (line: line + "\n") (
      builtins.filter (
        line: builtins.any (word: builtins.match "${lib.escapeRegex word}[ =].*" line != null) words
      ) (lines text)
    );
  # The lines with one of these words in them.
  naming =
    words: text:
    lib.concatMapStrings (line: line + "\n") (
      builtins.filter (line: builtins.any (word: lib.hasInfix word line) words) (lines text)
    );
  # NixOS gives these to each unit.
  isOwn = line: builtins.match "Environment=\"(LOCALE_ARCHIVE|TZDIR)=.*" line == null;
  # What follows a path with its text at the end (real.nix).
  textOf = name: words: lib.concatStrings (builtins.tail (lib.splitString "-${name}:" words));
in
{
  inherit
    naming
    only
    plain
    textOf
    ;
  unit = host: name: lib.concatStringsSep "\n" (builtins.filter isOwn (lines host.systemd.units.${name}.text));
  keys = host: user: textOf "${user}-authorized_keys" host.environment.etc."ssh/authorized_keys.d/${user}".source;
  # sshd's settings of these names; those of NixOS itself change with it.
  sshd =
    host: names:
    only names (textOf "sshd.conf-settings" host.environment.etc."ssh/sshd_config".source.buildCommand);
  # The zones at the end of named.conf, with their texts after the paths of their files.
  zones =
    host:
    let
      begun = lib.splitString "\nzone " host.services.bind.configFile.text;
    in
    lib.concatMapStrings (zone: "zone ${zone}\n") (builtins.tail begun);
  forwarding =
    host:
    only [
      "net.ipv4.conf.all.forwarding"
      "net.ipv6.conf.all.forwarding"
    ] host.environment.etc."sysctl.d/60-nixos.conf".text;
  # Each text is as its file in a folder, line by line.
  differing =
    folder: texts:
    lib.concatMapAttrs (
      name: text:
      let
        got = lines text;
        want = lines (builtins.readFile (folder + "/${name}"));
      in
      {
        "what is not expected in ${name}" = [
          (lib.subtractLists want got)
          [ ]
        ];
        "what is missing in ${name}" = [
          (lib.subtractLists got want)
          [ ]
        ];
        "the order of ${name} as expected" = [
          (got == want)
          true
        ];
      }
    ) texts
    // {
      "the list of texts" = [
        (builtins.attrNames texts)
        (builtins.attrNames (builtins.readDir folder))
      ];
    };
}
