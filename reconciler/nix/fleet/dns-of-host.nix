# services.nixus.dns.records: what a host wants to be found by. The fleet's name servers collect it.
{ lib, ... }:
{
  options.services.nixus.dns.records = lib.mkOption {
    type = lib.types.attrsOf (import ./dns-record.nix { inherit lib; });
    default = { };
    example = lib.literalExpression ''{ "www.example.org.".CNAME = "web1.example.org."; }'';
    description = "Records by name, which ends with a dot.";
  };
}
