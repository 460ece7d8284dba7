# services.firefly-forage.templates.<name>.agents.<name>
{ lib, providers }:
let
  inherit (lib) literalExpression mkOption types;
  own = import ./types.nix { inherit lib; };
in
{
  options = {
    package = mkOption {
      type = types.nullOr types.package;
      default = null;
      example = literalExpression "pkgs.claude-code";
      description = ''
        The package of the agent. It is installed in the sandbox, and its main program is what the agent
        is started with.
      '';
    };

    command = mkOption {
      type = types.nullOr own.absolutePath;
      default = null;
      defaultText = literalExpression "lib.getExe package";
      example = "/run/current-system/sw/bin/claude";
      description = "The agent's program in the sandbox, where that is not the main program of `package`.";
    };

    secretName = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "anthropic";
      description = ''
        The secret the agent uses, a name in `services.firefly-forage.secrets`. It rules out every other
        source: no token and no login is used.
      '';
    };

    authEnvVar = mkOption {
      type = types.nullOr types.str;
      default = null;
      defaultText = lib.literalMD "the variable the provider's program reads";
      example = "ANTHROPIC_API_KEY";
      description = "The variable the secret arrives in.";
    };

    provider = mkOption {
      type = types.nullOr (types.enum (builtins.attrNames providers.providers));
      default = null;
      defaultText = lib.literalMD "told from the agent's name, or from `authEnvVar`";
      example = "claude";
      description = ''
        Whose program an agent of another name is. A Claude agent without `secretName` uses the token
        store, or else the owner's login on the host.
      '';
    };

    delivery = mkOption {
      type = types.enum [
        "env"
        "file"
      ];
      default = "env";
      example = "file";
      description = ''
        How the credential reaches the agent. `"env"`: in a variable that is set when the agent is launched,
        so a new value is used at its next launch. `"file"` (Claude agents): in a file that running
        processes read again.
      '';
    };

    hostConfigDir = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "~/.claude";
      description = ''
        The agent's configuration directory on the host; `~` is the home of the sandbox's owner. The sandbox
        gets a copy of it, without credentials.
      '';
    };

    containerConfigDir = mkOption {
      type = types.nullOr types.str;
      default = null;
      defaultText = lib.literalMD "the directory of the same name in the home of `agentUser`";
      example = "/home/agent/.claude";
      description = "Where the sandbox sees the copy of `hostConfigDir`.";
    };

    hostConfigDirReadOnly = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the copy cannot be written in the sandbox, and follows what changes on the host.";
    };

    hostConfigDirMaxSize = mkOption {
      type = types.nullOr own.size;
      default = null;
      defaultText = literalExpression ''"256M"'';
      example = "1G";
      description = "How much the copy may hold.";
    };
  };
}
