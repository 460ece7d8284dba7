# What names are made of: a name may end up in a path, a unit and a table.
{ words }:
let
  kinds = {
    word = {
      pattern = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}";
      rule = "1 to 64 letters, digits, '-', '_' and '.', beginning with a letter, a digit or '_'";
    };
    credentialVariable = {
      pattern = "[A-Z][A-Z0-9_]{0,63}";
      rule = "1 to 64 of A-Z, 0-9 and '_', beginning with a letter";
    };
  };
  fits = kind: text: builtins.match kind.pattern text != null;
in
{
  inherit (kinds) credentialVariable;
  inherit fits;

  # Of a set whose names people choose.
  of =
    where: what: set:
    map (name: {
      assertion = fits kinds.word name;
      message = "${where}: the ${what} name ${words.quoted name} cannot be used; take ${kinds.word.rule}";
    }) (builtins.attrNames set);
}
