# What sshd's settings say of an account, as far as they can be read without sshd (sshd_config(5)). What a `Match`
# block says is looked at on the host.
{ lib, config }:
let
  inherit (config.services.openssh) settings;
  # Lists, or as the file has them.
  words =
    value: lib.concatMap (one: builtins.filter (word: word != "") (lib.splitString " " one)) (lib.toList value);
  given = name: settings.${name} or null;

  # PATTERNS in ssh_config(5).
  matches =
    pattern: text:
    builtins.match (builtins.replaceStrings [ "\\*" "\\?" ] [ ".*" "." ] (lib.escapeRegex pattern)) text
    != null;
  # From where a login comes is not known here: `everywhere` is whether the pattern is about each of them.
  ofUser =
    pattern:
    let
      parts = lib.splitString "@" pattern;
      named = builtins.length parts > 1;
    in
    {
      user = if named then lib.concatStringsSep "@" (lib.init parts) else pattern;
      everywhere = !named || lib.last parts == "*";
    };
  groupsOf =
    user:
    let
      described = config.users.users.${user} or { };
    in
    lib.unique (
      builtins.filter (group: group != "") (
        [ (described.group or "") ] ++ lib.optional (user == "root") "root" ++ described.extraGroups or [ ]
      )
      ++ builtins.attrNames (
        lib.filterAttrs (_: group: builtins.elem user (group.members or [ ])) (config.users.groups or { })
      )
    );
  # Of four settings those that are there; what is refused is refused first.
  keepsOut =
    user:
    let
      groups = groupsOf user;
      users = name: map ofUser (words (given name));
      isIn = pattern: builtins.any (matches pattern) groups;
      keeps = {
        DenyUsers = builtins.any (one: one.everywhere && matches one.user user) (users "DenyUsers");
        AllowUsers = !(builtins.any (one: matches one.user user) (users "AllowUsers"));
        DenyGroups = builtins.any isIn (words (given "DenyGroups"));
        AllowGroups = !(builtins.any isIn (words (given "AllowGroups")));
      };
    in
    builtins.filter (name: given name != null && keeps.${name}) (builtins.attrNames keeps);
in
{
  inherit keepsOut matches;
  # "AllowUsers lacks root and DenyGroups names its group", or nothing.
  why =
    user:
    lib.concatMapStringsSep " and " (
      name:
      "services.openssh.settings.${name} ${if lib.hasPrefix "Allow" name then "lacks" else "names"} ${
        if lib.hasSuffix "Groups" name then "the groups of ${user}" else user
      }"
    ) (keepsOut user);
  # NixOS takes both.
  isOff = value: value == false || (builtins.isString value && lib.toLower value == "no");
}
