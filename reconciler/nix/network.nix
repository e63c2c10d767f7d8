# What this host itself declares of its network: only that can be missing after a rollback. Other programs put
# addresses and routes on interfaces too.
{ config, lib, ... }:
let
  networks = builtins.filter (one: one.enable or true) (
    builtins.attrValues (config.systemd.network.networks or { })
  );
  interfaces = builtins.attrValues (config.networking.interfaces or { });
  many = value: if value == null then [ ] else lib.toList value;

  # Both networkd's own keys and what older releases of NixOS wrap them in.
  address = one: one.Address or one.addressConfig.Address or null;
  route = one: one.routeConfig or one;
  ofInterface = one: "${one.address}/${toString one.prefixLength}";
  text = value: if value == null then null else toString value;
  # A lease's gateway is not an address.
  given = value: if value == null || lib.hasPrefix "_" value then null else value;

  addresses =
    lib.concatMap (
      one:
      many (one.address or null)
      ++ many (one.networkConfig.Address or null)
      ++ lib.concatMap (part: many (address part)) (one.addresses or [ ])
    ) networks
    ++ lib.concatMap (
      one:
      map ofInterface ((one.ipv4.addresses or [ ]) ++ (one.ipv6.addresses or [ ]))
    ) interfaces;
  routes =
    lib.concatMap (
      one:
      map (via: { inherit via; }) (many (one.gateway or null) ++ many (one.networkConfig.Gateway or null))
      # What is not a way to anywhere is in no table that counts.
      ++ map (part: {
        to = text (part.Destination or null);
        via = given (text (part.Gateway or null));
      }) (builtins.filter (part: !(part ? Table || part ? Type)) (map route (one.routes or [ ])))
    ) networks
    ++ lib.concatMap (
      one:
      map (part: {
        to = ofInterface part;
        via = part.via or null;
      }) ((one.ipv4.routes or [ ]) ++ (one.ipv6.routes or [ ]))
    ) interfaces
    ++ map (gateway: { via = gateway.address or gateway; }) (
      many (config.networking.defaultGateway or null) ++ many (config.networking.defaultGateway6 or null)
    );
in
{
  config = lib.mkIf config.services.nixus.enable {
    environment.etc."nixus/network.json".text = builtins.toJSON {
      version = 1;
      inherit addresses routes;
    };
  };
}
