# The flake's output `nixusSecrets`, from which `nixus secrets` knows to whom a file is encrypted: the hosts
# whose systems open it, and the operators. It is made from the hosts' own configurations.
{
  # The deploy repository: `./.` in its flake.
  root,
  # As in the flake's outputs: `self.nixosConfigurations`.
  nixosConfigurations,
  # Each host's public SSH host keys: `{ web1 = [ "ssh-ed25519 AAAA…" ]; }`. While a key is rotated, both.
  hostKeys,
  # The operators' public keys: SSH, or age's own.
  operators,
}:
let
  prefix = toString root + "/";
  length = builtins.stringLength prefix;
  relative =
    host: file:
    let
      path = toString file;
    in
    if builtins.substring 0 length path == prefix then
      builtins.unsafeDiscardStringContext (
        builtins.substring length (builtins.stringLength path - length) path
      )
    else
      throw "services.nixus.secrets.files of ${host}: ${path} is not in the deploy repository, so nobody can encrypt it anew";
in
{
  hosts = builtins.mapAttrs (host: system: {
    keys = hostKeys.${host} or [ ];
    secrets = map (secret: relative host secret.file) (
      builtins.attrValues (system.config.services.nixus.secrets.files or { })
    );
  }) nixosConfigurations;
  inherit operators;
}
