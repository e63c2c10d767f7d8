# What is the same for the whole fleet, and what lies between hosts. Edit this file first.
{
  nixus = {
    # This repository, as the hosts reach it. They may only read it.
    repository = "ssh://git@git.example.org/srv/git/deploy.git";
    branch = "main";
    # Where each host writes its reports, one branch per host.
    reports = "ssh://git@git.example.org/srv/git/reports.git";
    # Host keys of the git server, one line each as in known_hosts (ssh-keyscan, then compare by hand).
    knownHosts = ''
      git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAReplaceThisWithTheHostKeyOfYourGitServer00
    '';
    # Who may log in as root on every host. No system that keeps them out is kept.
    operators = [
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAReplaceThisWithThePublicKeyOfAnOperator000 operator"
    ];
    # Each host's private key for the git server. It is put there once, by hand, and is not part of
    # the repository.
    deployKey = "/var/lib/nixus-keys/deploy_key";
    # The same for the forge's token, where this repository is on a forge: README.md has more.
    # forgeToken = "/var/lib/nixus-keys/forge_token";
  };

  # How hosts know each other, and who gets in where. A host that has its key here is a peer of two
  # others: each looks whether the other can still be reached after a change. Its secrets are encrypted
  # to that key. Before a host gets another key, name both here, in an earlier commit.
  ssh.access = {
    # web1.hostKeys.ed25519 = "ssh-ed25519 AAAA…"; # its /etc/ssh/ssh_host_ed25519_key.pub
    # db1.hostKeys.ed25519 = "ssh-ed25519 AAAA…";
    # alice.keys.laptop = {
    #   publicKey = "ssh-ed25519 AAAA… alice";
    #   hasAccessTo.web1.alice = true;
    # };
  };

  # A private network between hosts; each has its key in /var/lib/nixus-keys/wireguard (`wg genkey`).
  # vpn.networks.lan = {
  #   ipv4 = "10.10.0.0/16";
  #   server = "web1";
  #   members.web1.publicKey = "…";
  #   members.db1.publicKey = "…";
  # };

  # Name servers; hosts may declare `services.nixus.dns.records` of their own.
  # dns.zones."example.org" = {
  #   primary = "web1";
  #   secondaries = [ "db1" ];
  #   soa.email = "hostmaster@example.org";
  # };
  # dns.records."example.org.".NS = [ "ns1.example.org." "ns2.example.org." ];
  # dns.records."ns1.example.org.".A = "192.0.2.11";
  # dns.records."ns2.example.org.".A = "192.0.2.12";
}
