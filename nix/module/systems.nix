# The system of a template: what its sandboxes boot.
{ lib, pkgs }:
let
  # Of this host's packages, so that its overlays and its choice of unfree ones hold, in a sandbox too.
  evaluate =
    name: template:
    import "${toString pkgs.path}/nixos/lib/eval-config.nix" {
      inherit lib;
      system = null;
      prefix = [
        "services"
        "firefly-forage"
        "templates"
        name
        "config"
      ];
      modules = [
        ../sandbox-system.nix
        {
          nixpkgs.pkgs = pkgs;
          forage.sandbox = {
            inherit (template) agentUser agentUid agentGid;
            packages = packagesOf template ++ template.extraPackages;
          };
        }
      ]
      ++ lib.optional (template.config != null) template.config;
    };

  packagesOf =
    template: lib.filter (package: package != null) (map (agent: agent.package) (agents template));

  agents = template: builtins.attrValues template.agents;

  # A ready system with the agents' packages beside it: what a sandbox runs then keeps them from Nix's garbage
  # collector, too.
  beside =
    name: template:
    let
      packages = lib.filterAttrs (_: agent: agent.package != null) template.agents;
      links = lib.mapAttrsToList (agent: { package, ... }: {
        name = "agents/${agent}";
        path = package;
      }) packages;
      init = {
        name = "init";
        path = "${template.system}/init";
      };
    in
    if packages == { } then
      template.system
    else
      pkgs.linkFarm "forage-sandbox-${name}" (links ++ [ init ]);
in
{
  build =
    name: template:
    if template.system != null then
      beside name template
    else
      (evaluate name template).config.system.build.toplevel;
}
