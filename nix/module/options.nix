# The options. Their values become the daemon's configuration in config-file.nix.
{ lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  own = import ./types.nix { inherit lib; };
  providers = lib.importJSON ../providers.json;
in
{
  options.services.firefly-forage = {
    enable = lib.mkEnableOption "Firefly Forage, sandboxes for AI coding agents";

    package = mkOption {
      type = types.package;
      default = pkgs.firefly-forage or (pkgs.callPackage ../package.nix { });
      defaultText = literalExpression "pkgs.firefly-forage, or else pkgs.callPackage ./nix/package.nix { }";
      example = literalExpression "inputs.firefly-forage.packages.x86_64-linux.default";
      description = "The package of Firefly Forage.";
    };

    user = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "alice";
      description = ''
        The user of this host who lets agents work. Member of group `forage`; whose token is
        {file}`/var/lib/firefly-forage/tokens/claude-oauth.json`.
      '';
    };

    users = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "bob" ];
      description = ''
        More members of group `forage`. Each has sandboxes and a token of their own. Who may use a sandbox may
        use every template.
      '';
    };

    shareToken = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether members without a token of their own use that of `user`.";
    };

    secrets = mkOption {
      type = types.attrsOf own.secretPath;
      default = { };
      example = literalExpression ''
        {
          anthropic = config.sops.secrets.anthropic-api-key.path;
          openai = "/run/secrets/openai-api-key";
        }
      '';
      description = ''
        Secret files by name. Root reads them when a sandbox starts and whenever they change; root may be all
        who can. As strings: what is in the Nix store everybody can read.
      '';
    };

    templates = mkOption {
      type = types.attrsOf (types.submodule (import ./template.nix { inherit lib providers; }));
      default = { };
      example = literalExpression ''
        {
          claude = {
            description = "Claude Code sandbox";
            network = "full";
            agents.claude = {
              package = pkgs.claude-code;
              hostConfigDir = "~/.claude";
            };
          };
        }
      '';
      description = ''
        What sandboxes are made from. The system of each is built with this host's, so that
        {command}`forage-ctl up` builds nothing. A changed template holds from a sandbox's next start.
      '';
    };

    settings = mkOption {
      type = types.submodule {
        freeformType = (pkgs.formats.toml { }).type // {
          description = "TOML values";
        };
      };
      default = { };
      example = {
        maxSandboxesPerUser = 16;
        startTimeout = 120;
      };
      description = ''
        What else goes into {file}`/etc/firefly-forage/config.toml`: docs/configuration.md has every key. What the
        options above say is in it already; `lib.mkForce` overrides that.
      '';
    };
  };
}
