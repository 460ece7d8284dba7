# Types of options. What they let pass is what the daemon takes; `foraged check-config` has the last word.
{ lib }:
let
  inherit (lib) mkOptionType types;

  # A text of a number and what is behind it, within bounds that its unit is part of.
  number = text: lib.toIntBase10 (lib.head (builtins.match "0*([0-9]+).*" text));
  within =
    {
      pattern,
      description,
      least,
      most,
      value ? number,
    }:
    types.addCheck (types.strMatching pattern) (text: value text >= least && value text <= most)
    // {
      inherit description;
    };

  units = {
    M = 1;
    G = 1024;
    T = 1024 * 1024;
  };
  mebibytes = text: number text * units.${lib.substring (lib.stringLength text - 1) 1 text};
  size =
    least: description:
    within {
      pattern = "[0-9]{1,9}[MGT]";
      value = mebibytes;
      most = units.T;
      inherit description least;
    };
in
{
  size = size 1 ''size from "1M" to "1T", such as "4G"'';
  memory = size 64 ''size from "64M" to "1T", such as "4G"'';

  cpuQuota = within {
    pattern = "[0-9]{1,9}%";
    description = ''per cent of one processor from "1%" to "100000%", such as "150%"'';
    least = 1;
    most = 100000;
  };

  # A port of the host: TCP where nothing else is said.
  hostPort =
    types.either (types.ints.between 1 65535) (within {
      pattern = "(tcp/|udp/)?[1-9][0-9]{0,4}";
      description = "port";
      least = 1;
      most = 65535;
      value = text: number (lib.last (lib.splitString "/" text));
    })
    // {
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
