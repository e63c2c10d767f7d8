# The option reference (OPTIONS.md), from the modules themselves:
#
#   nix eval --impure --raw --expr \
#     'import ./reconciler/nix/reference.nix { lib = import <nixpkgs/lib>; }' > reconciler/nix/OPTIONS.md
{ lib }:
let
  documented = import ./documented.nix { inherit lib; };
  # systemd.time(7), as nixpkgs' manual writes it.
  plain = builtins.replaceStrings [ "{manpage}" ] [ "" ];
  shown =
    value:
    if value ? text then
      (if value._type or "" == "literalMD" then value.text else "`${oneLine value.text}`")
    else
      "`${oneLine (lib.generators.toPretty { multiline = false; } value)}`";
  oneLine = text: lib.concatStringsSep " " (builtins.filter (word: builtins.isString word && word != "") (builtins.split "[ \n]+" text));
  entry =
    option:
    "### `${option.name}`\n\n${plain option.description}\n\n- type: ${option.type}\n"
    + lib.optionalString (option ? default) "- default: ${shown option.default}\n"
    + lib.optionalString (option ? example) "- example: ${shown option.example}\n"
    + "\n";
  section =
    title: text: options:
    "## ${title}\n\n${text}\n\n"
    + lib.concatMapStrings entry options;
in
''
  # Options

  Made from the modules by `reference.nix`; the tests compare.

''
+ section "Of a host" "NixOS options, from `nixosModules.default` and, where they are the fleet's, from `mkFleet`." documented.host
+ section "Of the fleet" "Options of the modules that are given to `mkFleet`." documented.fleet
