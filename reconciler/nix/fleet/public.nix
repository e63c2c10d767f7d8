# networking.public: where a host is reached from everywhere.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  ip = import ./ip.nix { inherit lib; };
  cfg = config.networking.public;
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
{
  options.networking.public = {
    ipv4 = address "4";
    ipv6 = address "6";
    hasIpv4 = has "4" cfg.ipv4;
    hasIpv6 = has "6" cfg.ipv6;
  };
  config.assertions = [
    {
      assertion = cfg.ipv4 == null || ip.isV4 cfg.ipv4;
      message = "networking.public.ipv4: ${toString cfg.ipv4} is not an IPv4 address such as 192.0.2.11.";
    }
    {
      assertion = cfg.ipv6 == null || ip.isV6 cfg.ipv6;
      message = "networking.public.ipv6: ${toString cfg.ipv6} is not an IPv6 address such as 2001:db8::11.";
    }
  ];
}
