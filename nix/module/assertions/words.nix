# What assertions are worded with.
{ lib }:
rec {
  option = "services.firefly-forage";

  # The name of an option, as it is written in a configuration.
  key = parts: lib.concatMapStringsSep "." lib.strings.escapeNixIdentifier parts;
  of = parts: "${option}.${key parts}";

  # What somebody wrote in the place of a name. It may be a key that was pasted into the wrong place: such a text is
  # not shown to whoever sees the output of a build.
  quoted =
    text:
    if lib.stringLength text > 64 || lib.hasPrefix "sk-" text then "(not shown)" else ''"${text}"'';

  # On one line, however it is written here.
  inLine =
    assertion:
    assertion // { message = lib.replaceStrings [ "\n" ] [ " " ] (lib.trim assertion.message); };
}
