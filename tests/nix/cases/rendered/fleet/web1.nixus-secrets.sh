if [ "${NIXOS_ACTION:-}" = dry-activate ]; then
  /store/nixus/bin/nixus-secrets dry-run --system "$systemConfig" /store/nixus-secrets.json:{"identities":["/etc/ssh/ssh_host_ed25519_key"],"program":"/store/nixus/bin/nixus-secrets","secrets":[{"file":"/store/nixus-secret","group":"acme","mode":"0440","name":"db","path":"/etc/shop/db","reloadUnits":["nginx.service"],"restartUnits":["shop.service"],"user":"shop"}],"version":1}
else
  /store/nixus/bin/nixus-secrets activate --system "$systemConfig" /store/nixus-secrets.json:{"identities":["/etc/ssh/ssh_host_ed25519_key"],"program":"/store/nixus/bin/nixus-secrets","secrets":[{"file":"/store/nixus-secret","group":"acme","mode":"0440","name":"db","path":"/etc/shop/db","reloadUnits":["nginx.service"],"restartUnits":["shop.service"],"user":"shop"}],"version":1}
fi
