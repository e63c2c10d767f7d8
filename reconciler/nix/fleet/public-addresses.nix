# A host's public addresses. A submodule, as whether there is one is to be known from these options alone.
{ lib }:
let
  inherit (lib) mkOption types;
  address =
    version:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "The public IPv${version} address of this host.";
    };
  has =
    version: value:
    mkOption {
      type = types.bool;
      readOnly = true;
      default = value != null;
      defaultText = lib.literalMD "whether there is one";
      description = "Whether this host has a public IPv${version} address.";
    };
in
types.submodule (
  { config, ... }:
  {
    options = {
      ipv4 = address "4";
      ipv6 = address "6";
      hasIpv4 = has "4" config.ipv4;
      hasIpv6 = has "6" config.ipv6;
    };
  }
)
