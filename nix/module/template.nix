# services.firefly-forage.templates.<name>
{ lib, providers }:
{ options, ... }:
let
  inherit (lib) literalExpression mkOption types;
  own = import ./types.nix { inherit lib; };
  limit =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };
in
{
  options = {
    # Whether nobody said which network.
    networkIsDefault = mkOption {
      type = types.bool;
      internal = true;
      readOnly = true;
      default = options.network.highestPrio >= (lib.mkOptionDefault { }).priority;
    };

    description = mkOption {
      type = types.str;
      default = "";
      example = "Claude Code sandbox";
      description = "One line for `forage-ctl templates`.";
    };

    agents = mkOption {
      type = types.attrsOf (types.submodule (import ./agent.nix { inherit lib providers; }));
      default = { };
      example = literalExpression ''
        {
          claude = {
            package = pkgs.claude-code;
            hostConfigDir = "~/.claude";
          };
        }
      '';
      description = "The programs that need a credential, by name.";
    };

    extraPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.nodejs pkgs.ripgrep ]";
      description = "Further packages in the sandbox.";
    };

    network = mkOption {
      type = types.enum [
        "none"
        "full"
      ];
      default = "none";
      example = "full";
      description = ''
        `"none"`: a loopback device, nothing else. `"full"`: what the host reaches, but for the host itself
        and other sandboxes.
      '';
    };

    hostPorts = mkOption {
      type = types.listOf own.hostPort;
      default = [ ];
      example = [
        8080
        "udp/53"
      ];
      description = "Ports of the host that a sandbox with a network reaches at its gateway's address.";
    };

    resourceLimits = {
      cpuQuota = limit own.cpuQuota "150%" "Processor time in per cent of one processor.";
      memoryMax = limit own.memory "4G" "Memory, what is written to the sandbox's root included.";
      tasksMax = limit (types.ints.between 64 4194304) 512 "Processes and threads.";
    };

    rootSize = mkOption {
      type = own.size;
      default = "4G";
      example = "16G";
      description = "How much may be written to the sandbox's root, a memory file system that goes with the run.";
    };

    agentUser = mkOption {
      type = types.strMatching "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?";
      default = "agent";
      example = "dev";
      description = "The user agents run as in the sandbox.";
    };

    agentUid = mkOption {
      type = own.agentId;
      default = 1000;
      example = 1001;
      description = "The uid of `agentUser`; the workspace's owner in the sandbox.";
    };

    agentGid = mkOption {
      type = own.agentId;
      default = 1000;
      example = 1001;
      description = "The gid of `agentUser`.";
    };

    workspacePath = mkOption {
      type = own.absolutePath;
      default = "/workspace";
      example = "/src";
      description = "Where the sandbox sees the workspace.";
    };

    environment = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        EDITOR = "vi";
      };
      description = ''
        Variables for everything `agentUser` runs. No secrets: the configuration is for everybody on the
        host to read.
      '';
    };

    config = mkOption {
      type = types.nullOr types.deferredModule;
      default = null;
      example = literalExpression ''
        { pkgs, ... }: {
          programs.direnv.enable = true;
          environment.etc."claude-code/managed-settings.json".text = builtins.toJSON {
            permissions.deny = [ "WebFetch" ];
          };
        }
      '';
      description = "A NixOS module for the sandbox's system.";
    };

    system = mkOption {
      type = types.nullOr own.system;
      default = null;
      example = literalExpression "inputs.self.nixosConfigurations.agents.config.system.build.toplevel";
      description = ''
        A system that is ready, instead of one made from `agents`, `extraPackages` and `config`. It must be a
        system for containers (`boot.isContainer`) and have the user `agentUser`.
      '';
    };
  };
}
