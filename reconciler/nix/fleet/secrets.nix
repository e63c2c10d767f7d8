# Who opens secrets beside the hosts that use them. To whom a file is encrypted follows from the fleet: the
# output `nixusSecrets` of mkFleet.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  own = import ../types.nix { inherit lib; };
in
{
  options.secrets.operators = mkOption {
    type = types.listOf (types.either own.publicKey own.ageKey);
    default = config.nixus.operators;
    defaultText = lib.literalExpression "config.nixus.operators";
    example = lib.literalExpression ''config.nixus.operators ++ [ "age1…" ]'';
    description = "The public keys that open every secret of the fleet beside those of the hosts that use it: SSH keys, or age's own. ecdsa and `sk-` keys cannot be encrypted to, and are passed over.";
  };
}
