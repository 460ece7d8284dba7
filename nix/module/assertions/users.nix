# Those who let agents work are accounts of the host.
{
  config,
  lib,
  words,
}:
let
  cfg = config.services.firefly-forage;
  user = cfg.settings.user or null;
  names = lib.mapAttrsToList (key: account: account.name or key) config.users.users;

  declared =
    option: name:
    let
      remedy = words.key [
        "users"
        "users"
        name
      ];
    in
    {
      assertion = lib.elem name names;
      message = ''
        ${words.option}.${option}: the user "${name}" is not declared in users.users; declare ${remedy}, or correct
        the name
      '';
    };
in
lib.optionals (user != null) [
  (declared "user" user)
  {
    assertion = user != "root";
    message = "${words.option}.user is root, whom no sandbox belongs to; name the user who lets agents work";
  }
]
++ map (declared "users") (lib.subtractLists [ user ] (lib.unique cfg.users))
