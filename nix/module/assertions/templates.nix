# What goes together in a template, and what its system says of itself.
{
  cfg,
  lib,
  providers,
  words,
}:
let
  names = import ./names.nix { inherit words; };
  agents = import ./agents.nix {
    inherit
      cfg
      lib
      providers
      words
      ;
  };
  inherit (import ./credentials.nix { inherit lib providers; }) plans;

  credentialVariables =
    lib.concatLists (lib.attrValues providers.vendors)
    ++ lib.concatMap (provider: provider.variables) (lib.attrValues providers.providers);

  # A credential that stands in the configuration is in the store, and would outrank the one that is delivered.
  variable =
    key: template: name:
    let
      isDelivered = lib.any (plan: plan.source != null && plan.variable == name) (plans template.agents);
    in
    {
      assertion = !(lib.elem name credentialVariables || isDelivered);
      message = ''
        ${key}.environment.${name} decides which credential an agent uses, and what is there comes to be in the Nix
        store, where everybody can read it; name a file in ${words.option}.secrets, and the agent's secretName
      '';
    };
in
name: template:
let
  key = words.of [
    "templates"
    name
  ];
  system = cfg.evaluated.${name}.config;
in
[
  {
    assertion = template.system != null -> template.config == null && template.extraPackages == [ ];
    message = ''
      ${key} has system, which is ready, and config or extraPackages, which go into a system that is built; leave one
      of them out
    '';
  }
  {
    assertion = template.network == "none" -> template.hostPorts == [ ];
    message = ''
      ${key} has hostPorts and network = "none", with which no port is reached; set network = "full", or leave
      hostPorts out
    '';
  }
  {
    assertion = template.agentUser != "root";
    message = "${key}.agentUser is root; agents never run as root: name another user";
  }
]
++ map (variable key template) (lib.attrNames template.environment)
++ names.of key "agent" template.agents
++ agents name template.agents
# Of a system that is built.
++ map (one: one // { message = "${key}, in its system: ${one.message}"; }) (
  lib.optionals (template.system == null && template.agentUser != "root") system.assertions
)
