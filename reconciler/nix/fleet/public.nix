# services.nixus.public: where a host is reached from everywhere.
{ config, lib, ... }:
let
  ip = import ./ip.nix { inherit lib; };
  cfg = config.services.nixus.public;
in
{
  options.services.nixus.public = lib.mkOption {
    type = import ./public-addresses.nix { inherit lib; };
    default = { };
    description = "Where this host is reached from everywhere; other hosts of the fleet take it from here.";
  };
  config.assertions = [
    {
      assertion = cfg.ipv4 == null || ip.isV4 cfg.ipv4;
      message = "services.nixus.public.ipv4: ${toString cfg.ipv4} is not an IPv4 address such as 192.0.2.11.";
    }
    {
      assertion = cfg.ipv6 == null || ip.isV6 cfg.ipv6;
      message = "services.nixus.public.ipv6: ${toString cfg.ipv6} is not an IPv6 address such as 2001:db8::11.";
    }
  ];
}
