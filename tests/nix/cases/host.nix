# What the module gives a host that has one template.
{
  lib,
  configured,
  pkgs,
}:
let
  config = configured [
    {
      users.users.bob.isNormalUser = true;
      services.firefly-forage = {
        user = "alice";
        users = [ "bob" ];
        shareToken = true;
        settings.maxSandboxesPerUser = 16;
        templates = {
          built = {
            network = "full";
            hostPorts = [
              8080
              "udp/53"
            ];
            resourceLimits = {
              cpuQuota = "150%";
              memoryMax = "4G";
              tasksMax = 512;
            };
            environment.EDITOR = "vi";
            extraPackages = [ pkgs.tmux ];
            agents.claude.package = pkgs.tmux;
            config.environment.variables.PAGER = "less";
          };
          ready = {
            system = pkgs.tmux;
            agents.claude.command = "/run/current-system/sw/bin/claude";
          };
          ready-and-agent = {
            system = pkgs.tmux;
            agents.claude.package = pkgs.git;
          };
        };
      };
    }
  ];
  services = config.systemd.services;
  # The agents' user by uid, and what NixOS has against a system with it.
  agent =
    uid:
    let
      inherit
        ((configured [
          {
            services.firefly-forage.templates.t = {
              agentUid = uid;
              agents.plain.package = pkgs.tmux;
            };
          }
        ]).services.firefly-forage.evaluated.t
        )
        config
        ;
    in
    {
      inherit (config.users.users.agent) isNormalUser isSystemUser useDefaultShell;
      failing = map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
    };
  disabled = configured [ { services.firefly-forage.enable = false; } ];
  isOurs = name: lib.hasPrefix "forage" name || lib.hasPrefix "firefly-forage" name;
  ours = set: lib.filter isOurs (builtins.attrNames set);
in
{
  inherit (config.services.firefly-forage) settings;
  members = config.users.groups.forage.members;
  daemon = {
    inherit (config.users.users.foraged) group isSystemUser;
  };
  packages = map (list: lib.any (package: (package.pname or "") == "firefly-forage") list) [
    config.environment.systemPackages
    config.services.dbus.packages
    config.systemd.packages
    config.systemd.tmpfiles.packages
  ];
  polkit = config.security.polkit.enable;
  restarts = map (unit: services.${unit}.restartIfChanged) [
    "forage-sandbox@"
    "forage-remove@"
  ];
  daemonStops = services.firefly-forage.stopIfChanged;
  daemonReloads =
    services.firefly-forage.reloadTriggers == [
      config.environment.etc."firefly-forage/config.toml".source
    ];
  tools = lib.genAttrs [ "forage-sandbox@" "forage-remove@" ] (
    unit: map lib.getName (lib.filter (package: lib.isDerivation package) services.${unit}.path)
  );
  deniedInterfaces = lib.filter (lib.hasPrefix "vf") config.networking.dhcpcd.denyInterfaces;
  agents = map agent [
    1000
    500
  ];

  # Without `enable` nothing of it is there.
  disabled = {
    etc = ours disabled.environment.etc;
    groups = ours disabled.users.groups;
    services = ours disabled.systemd.services;
    users = ours disabled.users.users;
  };
}
