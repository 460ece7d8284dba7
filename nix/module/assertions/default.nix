# What is wrong is said before anything is built, with both sides and the remedy; whatever is not said here
# `foraged check-config` says when the configuration is built.
{ config, lib, ... }:
let
  cfg = config.services.firefly-forage;
  providers = lib.importJSON ../../providers.json;
  words = import ./words.nix { inherit lib; };
  names = import ./names.nix { inherit words; };
  template = import ./templates.nix {
    inherit
      cfg
      lib
      providers
      words
      ;
  };
  inherit (import ./credentials.nix { inherit lib providers; }) plans;

  # Somebody who does not speak of a network has forgotten it, or comes from where it was there by default.
  reachesNothing =
    _: one: one.networkIsDefault && lib.any (plan: plan.source != null) (plans one.agents);
  warning = name: _: ''
    ${
      words.of [
        "templates"
        name
      ]
    } has agents with credentials and no network, so that they reach nobody; set network = "full", or network = "none"
    if that is meant
  '';
in
{
  config = lib.mkIf cfg.enable {
    assertions = map words.inLine (
      import ./users.nix { inherit config lib words; }
      ++ names.of "${words.option}.secrets" "secret" cfg.secrets
      ++ import ./secrets.nix { inherit cfg lib words; }
      ++ names.of "${words.option}.templates" "template" cfg.templates
      ++ lib.concatLists (lib.mapAttrsToList template cfg.templates)
    );

    warnings = map (text: lib.replaceStrings [ "\n" ] [ " " ] (lib.trim text)) (
      lib.mapAttrsToList warning (lib.filterAttrs reachesNothing cfg.templates)
    );
  };
}
