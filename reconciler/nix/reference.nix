# The option reference (OPTIONS.md), from the modules themselves:
#
#   nix eval --impure --raw --expr \
#     'import ./reconciler/nix/reference.nix { lib = import <nixpkgs/lib>; }' > reconciler/nix/OPTIONS.md
{ lib }:
let
  evaluate =
    modules:
    (lib.evalModules {
      modules = modules ++ [ { _module.check = false; } ];
      # Only options are looked at, and what they have for a default is not.
      specialArgs.pkgs = { };
    }).options;
  host = evaluate [
    (import ./module.nix { packageFor = _: { }; })
    ./fleet/public.nix
    ./fleet/dns-of-host.nix
  ];
  fleet = evaluate [
    (import ./fleet/modules.nix { nixosModule = { }; })
  ];
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
    + lib.concatMapStrings entry (
      builtins.filter (
        option:
        !option.internal && option.visible && !(lib.hasPrefix "_module" option.name)
      ) (lib.optionAttrSetToDocList options)
    );
in
''
  # Options

  Made from the modules by `reference.nix`; the tests compare.

''
+ section "Of a host" "NixOS options, from `nixosModules.default` and, where they are the fleet's, from `mkFleet`." host
+ section "Of the fleet" "Options of the modules that are given to `mkFleet`." fleet
