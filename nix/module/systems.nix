# The systems of templates: what their sandboxes boot.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.firefly-forage;

  # Of this host's packages, so that its overlays and its choice of unfree ones hold in sandboxes, too.
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

  agentsWithPackage = template: lib.filterAttrs (_: agent: agent.package != null) template.agents;
  packagesOf =
    template: map (agent: agent.package) (builtins.attrValues (agentsWithPackage template));

  # A ready system with the agents' packages beside it: what a sandbox runs then keeps them from Nix's garbage
  # collector, too.
  beside =
    name: template:
    let
      links = lib.mapAttrsToList (agent: { package, ... }: {
        name = "agents/${agent}";
        path = package;
      }) (agentsWithPackage template);
      init = {
        name = "init";
        path = "${template.system}/init";
      };
    in
    if links == [ ] then
      template.system
    else
      pkgs.linkFarm "forage-sandbox-${name}" (links ++ [ init ]);

  built =
    name: template:
    if template.system != null then
      beside name template
    else
      cfg.evaluated.${name}.config.system.build.toplevel;
in
{
  # Each is evaluated once, for what it says of itself and for what it comes to.
  options.services.firefly-forage = lib.genAttrs [ "evaluated" "systems" ] (
    _:
    lib.mkOption {
      type = lib.types.lazyAttrsOf lib.types.raw;
      internal = true;
      readOnly = true;
    }
  );

  config.services.firefly-forage = {
    evaluated = lib.mapAttrs evaluate cfg.templates;
    systems = lib.mapAttrs built cfg.templates;
  };
}
