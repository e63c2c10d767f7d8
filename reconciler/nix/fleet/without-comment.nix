# A public key's kind and body: whoever's comment follows, it is the same key.
{ lib }: key: lib.concatStringsSep " " (lib.take 2 (lib.splitString " " key))
