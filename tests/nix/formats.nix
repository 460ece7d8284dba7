# Stands in for nixpkgs' `formats`: TOML made by a program of the package set that reads JSON.
{ pkgs }:
{
  toml = _: {
    type = pkgs.lib.types.attrsOf pkgs.lib.types.anything;
    generate =
      name: value:
      pkgs.runCommand name {
        nativeBuildInputs = [ pkgs.remarshal or pkgs.emptyDirectory ];
        value = builtins.toJSON value;
        passAsFile = [ "value" ];
      } ''json2toml "$valuePath" "$out"'';
  };
}
