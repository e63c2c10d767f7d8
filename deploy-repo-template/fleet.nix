# What is the same for the whole fleet. Edit this file first.
{
  # This repository, as the hosts reach it. They may only read it.
  repository = "ssh://git@git.example.org/srv/git/deploy.git";
  branch = "main";

  # Where each host writes its reports, one branch per host.
  reports = "ssh://git@git.example.org/srv/git/reports.git";

  # Commit statuses, where this repository is on a forge; README.md has an example.
  statuses = null;

  # Host keys of the git server, one line each as in known_hosts (ssh-keyscan, then compare by hand).
  knownHosts = ''
    git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIReplaceThisWithTheHostKeyOfYourGitServer00
  '';

  # Who may log in as root on every host.
  operators = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIReplaceThisWithThePublicKeyOfAnOperator0000000 alice"
  ];

  # The hosts, as they reach each other: each looks whether the others can still be reached after a
  # change. Host keys are in /etc/ssh/ssh_host_ed25519_key.pub of each host. Before a host gets another
  # address or key, name both here, in an earlier commit.
  hosts = {
    # web1 = {
    #   addresses = [ "192.0.2.11" ];
    #   hostKeys = [ "ssh-ed25519 AAAA..." ];
    # };
  };

  # This host's private key for the git server. It is put there once, by hand, and is no part of
  # the repository.
  deployKey = "/var/lib/nixus-keys/deploy_key";
}
