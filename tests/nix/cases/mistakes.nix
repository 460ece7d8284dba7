# Values that are none of their option's.
{ pkgs }:
let
  template = keys: { services.firefly-forage.templates.t = keys; };
  agent =
    keys:
    template {
      agents.claude = {
        package = pkgs.tmux;
      }
      // keys;
    };
in
{
  network = template { network = "restricted"; };
  cpuQuota = template { resourceLimits.cpuQuota = "150"; };
  memoryMax = template { resourceLimits.memoryMax = "4 GB"; };
  smallMemoryMax = template { resourceLimits.memoryMax = "63M"; };
  rootSize = template { rootSize = "2T"; };
  noPort = template { hostPorts = [ 0 ]; };
  largePort = template { hostPorts = [ "udp/99999" ]; };
  tasksMax = template { resourceLimits.tasksMax = 1; };
  agentUid = template { agentUid = 0; };
  agentUser = template { agentUser = "Agent"; };
  hostPorts = template { hostPorts = [ "http" ]; };
  workspacePath = template { workspacePath = "workspace"; };
  provider = agent { provider = "clyde"; };
  delivery = agent { delivery = "proxy"; };
  secrets.services.firefly-forage.secrets.a = 1;
  user.services.firefly-forage.user = [ "alice" ];
}
