# Types of options. What they let pass is what the daemon takes; `foraged check-config` has the last word.
{ lib }:
let
  inherit (lib) mkOptionType types;
  sized = types.strMatching "[1-9][0-9]*[MGT]" // {
    description = ''size, such as "512M" or "4G"'';
  };
in
{
  size = sized;

  cpuQuota = types.strMatching "[1-9][0-9]*%" // {
    description = ''per cent of one processor, such as "150%"'';
  };

  # A port of the host: TCP where nothing else is said.
  hostPort = types.either types.port (types.strMatching "(tcp/|udp/)?[1-9][0-9]*") // {
    description = ''port, such as 8080 or "udp/53"'';
  };

  # An id inside a sandbox; never root's.
  agentId = types.ints.between 1 65535;

  absolutePath = types.strMatching "/.*" // {
    description = "absolute path, as a string";
  };

  # A Nix path is taken here so that it can be refused with the remedy, not with a type's name.
  secretPath = mkOptionType {
    name = "secretPath";
    description = "absolute path outside the Nix store, as a string";
    descriptionClass = "noun";
    check = value: builtins.isString value || builtins.isPath value;
    merge = lib.options.mergeEqualOption;
  };

  # What is in a NixOS configuration, or built already.
  system = types.package // {
    description = "NixOS system (config.system.build.toplevel)";
  };
}
