# /etc/firefly-forage/config.toml: what the options say, in the daemon's words, judged by the daemon.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.firefly-forage;

  # TOML knows no null; and what says nothing is left out.
  said = lib.filterAttrs (_: value: value != null && value != { } && value != [ ]);

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
        network
        hostPorts
        rootSize
        agentUser
        agentUid
        agentGid
        workspacePath
        environment
        ;
      description = if template.description == "" then null else template.description;
      system = "${cfg.systems.${name}}";
      resourceLimits = said template.resourceLimits;
      agents = lib.mapAttrs (_: agent) template.agents;
    };

  # A path of Nix' own would be copied into the store when it is written, and with it what is a secret.
  written =
    value:
    if builtins.isPath value then
      toString value
    else if lib.isDerivation value then
      value
    else if builtins.isAttrs value then
      lib.mapAttrs (_: written) value
    else if builtins.isList value then
      map written value
    else
      value;

  # What is no path may be the secret itself.
  secret = path: if lib.hasPrefix "/" (toString path) then toString path else "not a path";

  settings = written (
    cfg.settings
    // lib.optionalAttrs (cfg.settings ? secrets) {
      secrets = lib.mapAttrs (_: secret) cfg.settings.secrets;
    }
  );

  unchecked = (pkgs.formats.toml { }).generate "firefly-forage-config.toml" settings;

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
      # Never interpolated: that copies what is a path of Nix' own.
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
