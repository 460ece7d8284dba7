# Secrets are files outside the Nix store, where everybody can read.
{
  cfg,
  lib,
  words,
}:
let
  # Those that `settings` names beside the option, or instead of it.
  others = lib.filterAttrs (name: path: toString (cfg.secrets.${name} or null) != toString path) (
    cfg.settings.secrets or { }
  );

  # Also where the store is seen below another root, as by an installer.
  inStore = text: lib.hasInfix "${builtins.storeDir}/" "${text}/";

  secret =
    where: name: path:
    let
      key = words.of (
        where
        ++ [
          "secrets"
          name
        ]
      );
      text = toString path;
      isText = !builtins.isPath path;
    in
    [
      {
        assertion = isText;
        message = ''
          ${key} is a path of Nix' own, which would be copied into the Nix store, where everybody can read it; write
          it as a string: ${key} = "/run/secrets/${name}"
        '';
      }
      {
        assertion = isText -> !inStore text;
        message = ''
          ${key} is in the Nix store (${text}), where everybody can read it; if its content is there already, replace
          the key; name a file outside of it, such as one that sops-nix or agenix makes:
          ${key} = config.sops.secrets.${name}.path
        '';
      }
      {
        assertion = isText -> lib.hasPrefix "/" text;
        message = ''
          ${key} is no absolute path; name a file (never its content), such as "/run/secrets/${name}"
        '';
      }
    ];

  all = where: secrets: lib.concatLists (lib.mapAttrsToList (secret where) secrets);
in
all [ ] cfg.secrets ++ all [ "settings" ] others
