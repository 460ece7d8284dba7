# The system of a sandbox, as a NixOS module: a container under a user namespace, with a user for agents, their
# packages, and next to nothing else. What differs between sandboxes (workspace, credentials, addresses, resolvers)
# the shim brings when one starts; nothing of it is here.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.forage.sandbox;
  # Those below are of system users, to whom NixOS gives neither shell nor home.
  firstNormalId = 1000;
  id =
    what:
    mkOption {
      type = (import ./module/types.nix { inherit lib; }).agentId;
      default = 1000;
      description = "The ${what} of the agents' user.";
    };
in
{
  options.forage.sandbox = {
    agentUser = mkOption {
      type = types.str;
      default = "agent";
      description = "The user agents run as.";
    };
    agentUid = id "uid";
    agentGid = id "gid";
    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "The packages of the agents, and others the sandbox has.";
    };
  };

  config = lib.mkMerge [
    {
      boot.isContainer = true;
      system.name = mkDefault "forage-sandbox";
      # Its files go with the run: there is nothing to migrate.
      system.stateVersion = mkDefault lib.trivial.release;
      # nspawn has mounted what there is to mount, and lets nobody do it again.
      boot.specialFileSystems = lib.mkForce { };
    }
    # Options that not every release of NixOS has.
    (lib.optionalAttrs (options.boot ? isNspawnContainer) { boot.isNspawnContainer = true; })
    (lib.optionalAttrs (options.security ? enableWrappers) {
      # No privileges are gained in a sandbox: set-uid programs would not be set-uid.
      security.enableWrappers = mkDefault false;
    })
    (lib.optionalAttrs (options.users ? manageLingering) {
      # It needs logind.
      users.manageLingering = mkDefault false;
    })

    # The agents' user; nobody else logs in, nobody with a password.
    {
      users.mutableUsers = false;
      users.allowNoPasswordLogin = true;
      users.users.${cfg.agentUser} = {
        isNormalUser = cfg.agentUid >= firstNormalId;
        isSystemUser = cfg.agentUid < firstNormalId;
        useDefaultShell = true;
        createHome = true;
        uid = cfg.agentUid;
        group = cfg.agentUser;
        home = "/home/${cfg.agentUser}";
      };
      users.groups.${cfg.agentUser}.gid = cfg.agentGid;
      environment.systemPackages = [
        pkgs.bashInteractive
        pkgs.git
        pkgs.tmux
      ]
      ++ cfg.packages;
      # Shells that do not read `profile.local`, such as zsh and fish, find the agents' wrappers first, too.
      environment.extraInit = lib.mkAfter ''
        if [ "$(id -u)" != 0 ]; then
          export PATH="/run/forage/bin:$PATH"
        fi
      '';
    }

    # The shim gives name, link, addresses and resolvers; the firewall is on the host.
    {
      networking = {
        hostName = "";
        useDHCP = false;
        useHostResolvConf = false;
        resolvconf.enable = false;
        firewall.enable = false;
      };
      # The name is known once it runs, and no name service but files answers for it.
      environment.etc.hosts.mode = "0644";
      systemd.tmpfiles.rules = [ "w+ /etc/hosts - - - - 127.0.0.2 %H\\n" ];
      # The agents' group may ping; NixOS' own range has groups that the user namespace has not, and would be refused.
      boot.kernel.sysctl."net.ipv4.ping_group_range" = "0 65535";
    }

    # What has no job in it, or wants rights that nobody there has.
    {
      security.sudo.enable = mkDefault false;
      boot.bcache.enable = mkDefault false;
      boot.enableContainers = mkDefault false;
      # The store is the host's, which shares no Nix daemon.
      nix.enable = mkDefault false;
      environment.variables.NIX_REMOTE = lib.mkForce "";
      system.switch.enable = mkDefault false;
      system.disableInstallerTools = mkDefault true;
      # Nobody logs in by a console, and commands are started from outside.
      systemd.services.console-getty.enable = false;
      systemd.services.systemd-logind.enable = mkDefault false;
      systemd.coredump.enable = mkDefault false;
      systemd.oomd.enable = mkDefault false;
      systemd.shutdownRamfs.enable = mkDefault false;
      services.timesyncd.enable = mkDefault false;
      services.logrotate.enable = mkDefault false;
      # Users and hosts are in files.
      services.nscd.enable = mkDefault false;
      system.nssModules = lib.mkIf (!config.services.nscd.enable) (lib.mkForce [ ]);
      # Memory is all there is to write to.
      environment.etc."systemd/journald.conf.d/forage.conf".text = ''
        [Journal]
        Storage=volatile
        RuntimeMaxUse=16M
      '';
    }

    # Small: no documentation, no fonts, nothing of a desktop.
    {
      documentation = {
        enable = mkDefault false;
        doc.enable = mkDefault false;
        info.enable = mkDefault false;
        man.enable = mkDefault false;
      };
      environment.defaultPackages = mkDefault [ ];
      fonts.fontconfig.enable = mkDefault false;
      i18n.defaultLocale = mkDefault "C.UTF-8";
      programs.command-not-found.enable = mkDefault false;
      programs.nano.enable = mkDefault false;
      xdg.autostart.enable = mkDefault false;
      xdg.icons.enable = mkDefault false;
      xdg.menus.enable = mkDefault false;
      xdg.mime.enable = mkDefault false;
      xdg.sounds.enable = mkDefault false;
    }
  ];
}
