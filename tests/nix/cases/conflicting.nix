# Says of every host what another module says otherwise.
{
  perNode = [ (name: { networking.hostName = "${name}-too"; }) ];
}
