# /etc/firefly-forage/config.toml: what the options say, in the daemon's words, judged by the daemon.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.firefly-forage;
  systems = import ./systems.nix { inherit lib pkgs; };

  # TOML knows no null; and what says nothing is left out.
  said = lib.filterAttrs (_: value: value != null && value != "" && value != { } && value != [ ]);

  agent =
    agent:
    said {
      command = if agent.command != null then agent.command else lib.getExe agent.package;
      inherit (agent)
        secretName
        authEnvVar
        provider
        delivery
        hostConfigDir
        containerConfigDir
        hostConfigDirMaxSize
        ;
      # Without a directory this says nothing, and the daemon takes it for a mistake.
      hostConfigDirReadOnly = if agent.hostConfigDirReadOnly then true else null;
    };

  template =
    name: template:
    said {
      inherit (template)
        description
        network
        hostPorts
        rootSize
        agentUser
        agentUid
        agentGid
        workspacePath
        environment
        ;
      system = "${systems.build name template}";
      resourceLimits = said template.resourceLimits;
      agents = lib.mapAttrs (_: agent) template.agents;
    };

  unchecked = (pkgs.formats.toml { }).generate "firefly-forage-config.toml" cfg.settings;

  # What the daemon would refuse fails the build. Where its program cannot run, on a machine that builds for
  # another kind, the daemon says so itself.
  judge = lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
    foraged check-config ${unchecked}
  '';
in
{
  config = lib.mkIf cfg.enable {
    services.firefly-forage.settings = said {
      inherit (cfg) user;
      shareToken = if cfg.shareToken then true else null;
      # Never interpolated: a path that is none of text would be copied into the store.
      secrets = lib.mapAttrs (_: toString) cfg.secrets;
      templates = lib.mapAttrs template cfg.templates;
    };

    environment.etc."firefly-forage/config.toml".source =
      pkgs.runCommand "firefly-forage-config.toml" { nativeBuildInputs = [ cfg.package ]; }
        ''
          ${judge}cp ${unchecked} $out
        '';
  };
}
