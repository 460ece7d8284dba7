# What names are made of. A name may end up in a path, a unit and a table.
{
  word = {
    pattern = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}";
    rule = "1 to 64 letters, digits, '-', '_' and '.', beginning with a letter, a digit or '_'";
  };
  credentialVariable = {
    pattern = "[A-Z][A-Z0-9_]{0,63}";
    rule = "1 to 64 of A-Z, 0-9 and '_', beginning with a letter";
  };
}
