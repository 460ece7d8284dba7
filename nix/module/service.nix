# The daemon on a NixOS host: units, bus and polkit files come from the package.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.firefly-forage;
  user = cfg.settings.user or null;
  # The units of the shim.
  work = {
    # What it starts, but for systemd's programs, which every unit finds.
    path = [
      pkgs.iproute2
      pkgs.iptables
      pkgs.nftables
    ];
    restartIfChanged = false;
  };
in
{
  config = lib.mkIf cfg.enable {
    # Programs, manual pages and completions; polkit reads its files here, too.
    environment.systemPackages = [ cfg.package ];
    services.dbus.packages = [ cfg.package ];
    security.polkit.enable = true;
    systemd.packages = [ cfg.package ];
    systemd.tmpfiles.packages = [ cfg.package ];

    users.users.foraged = {
      description = "Firefly Forage daemon";
      isSystemUser = true;
      group = "foraged";
      home = "/var/lib/firefly-forage";
    };
    users.groups.foraged = { };
    users.groups.forage.members = lib.unique (lib.optional (user != null) user ++ cfg.users);

    systemd.services.firefly-forage = {
      wantedBy = [ "multi-user.target" ];
      # A changed configuration is read again; a changed program is started anew. What runs stays.
      reloadTriggers = [ config.environment.etc."firefly-forage/config.toml".source ];
      stopIfChanged = false;
    };
    # Running sandboxes keep what they were started with, and a removal that began comes to its end.
    systemd.services."forage-sandbox@" = work;
    systemd.services."forage-remove@" = work;

    # As daemon/data/sysctl; what asks for more, such as a desktop, goes before.
    boot.kernel.sysctl."fs.inotify.max_user_instances" = lib.mkOverride 1100 8192;
    # It would ask for an address on the links of sandboxes.
    networking.dhcpcd.denyInterfaces = [ "vf-*" ];
  };
}
