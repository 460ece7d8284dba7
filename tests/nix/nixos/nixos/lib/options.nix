# The options of NixOS that the module and the sandbox's system set. What they mean to NixOS is not here.
{ lib, ... }:
let
  inherit (lib) types;
  of =
    type: default: paths:
    map (
      path: lib.setAttrByPath (lib.splitString "." path) (lib.mkOption { inherit type default; })
    ) paths;
  named = types.attrsOf types.anything;
  declared =
    of types.bool false [
      "boot.bcache.enable"
      "boot.enableContainers"
      "boot.isContainer"
      "documentation.doc.enable"
      "documentation.enable"
      "documentation.info.enable"
      "documentation.man.enable"
      "fonts.fontconfig.enable"
      "networking.firewall.enable"
      "networking.resolvconf.enable"
      "networking.useDHCP"
      "networking.useHostResolvConf"
      "nix.enable"
      "programs.command-not-found.enable"
      "programs.nano.enable"
      "security.polkit.enable"
      "security.sudo.enable"
      "services.logrotate.enable"
      "services.nscd.enable"
      "services.timesyncd.enable"
      "system.disableInstallerTools"
      "system.switch.enable"
      "systemd.coredump.enable"
      "systemd.oomd.enable"
      "systemd.shutdownRamfs.enable"
      "users.allowNoPasswordLogin"
      "users.manageLingering"
      "users.mutableUsers"
      "xdg.autostart.enable"
      "xdg.icons.enable"
      "xdg.menus.enable"
      "xdg.mime.enable"
      "xdg.sounds.enable"
    ]
    ++ of types.str "" [
      "i18n.defaultLocale"
      "networking.hostName"
      "system.name"
      "system.stateVersion"
    ]
    ++
      of (types.listOf types.package)
        [ ]
        [
          "environment.defaultPackages"
          "environment.systemPackages"
          "services.dbus.packages"
          "system.nssModules"
          "systemd.packages"
          "systemd.tmpfiles.packages"
        ]
    ++
      of (types.listOf types.str)
        [ ]
        [
          "networking.dhcpcd.denyInterfaces"
          "systemd.tmpfiles.rules"
          "warnings"
        ]
    ++ of named { } [
      "boot.kernel.sysctl"
      "boot.specialFileSystems"
      "environment.etc"
      "environment.variables"
      "system.build"
      "systemd.services"
      "systemd.user.services"
      "users.groups"
      "users.users"
    ]
    ++ of types.lines "" [ "environment.extraInit" ]
    ++ of (types.listOf types.raw) [ ] [ "assertions" ]
    ++ of types.raw null [ "nixpkgs.pkgs" ];
in
{
  options = lib.foldl' lib.recursiveUpdate { } declared;

  # What NixOS says of it where nobody does.
  config.boot.kernel.sysctl."net.ipv4.ping_group_range" = lib.mkDefault "0 2147483647";
}
