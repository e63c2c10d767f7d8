# The accounts of people. Operators need none: they log in as root.
{
  # users.users.alice = {
  #   isNormalUser = true;
  #   extraGroups = [ "wheel" ];
  # };
}
