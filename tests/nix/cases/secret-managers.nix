# What of sops-nix and agenix people's configurations name, with their defaults: a file below /run that root alone
# may read.
{ lib, ... }:
let
  secrets =
    directory:
    lib.mkOption {
      default = { };
      type = lib.types.attrsOf (
        lib.types.submodule (
          { name, ... }:
          {
            options = {
              path = lib.mkOption {
                type = lib.types.str;
                default = "${directory}/${name}";
              };
              mode = lib.mkOption {
                type = lib.types.str;
                default = "0400";
              };
              owner = lib.mkOption {
                type = lib.types.str;
                default = "root";
              };
            };
          }
        )
      );
    };
in
{
  options.sops.secrets = secrets "/run/secrets";
  options.age.secrets = secrets "/run/agenix";
}
