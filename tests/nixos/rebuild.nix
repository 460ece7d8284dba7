# A rebuild and a rollback under a running sandbox: it is never stopped, its system is kept, and it takes up what
# changed at its next start.
{
  nodes.machine =
    { pkgs, ... }:
    {
      system.switch.enable = true;
      specialisation.changed.configuration = {
        services.firefly-forage.templates.claude.extraPackages = [ pkgs.hello ];
        # Of the daemon's unit, and of the sandboxes'.
        systemd.services.firefly-forage.environment.CHANGED = "yes";
        systemd.services."forage-sandbox@".environment.CHANGED = "yes";
      };
    };

  testScript =
    { nodes, ... }:
    let
      before = "${nodes.machine.system.build.toplevel}/bin/switch-to-configuration";
      after = "${nodes.machine.system.build.toplevel}/specialisation/changed/bin/switch-to-configuration";
    in
    builtins.readFile ./common/people.py
    + ''
      import json


      def status() -> dict[str, str | None]:
          """What is said about the sandbox."""
          return json.loads(by("alice", "forage-ctl status s1 --json"))


      def pid(unit: str) -> str:
          """The main process of a unit."""
          return machine.get_unit_property(unit, "MainPID")


      by("alice", "forage-ctl up s1 -t claude")
      by("alice", "forage-ctl exec s1 -- sh -c 'echo here > /tmp/mark'")
      unit = f"forage-sandbox@{status()['id']}.service"
      shim, daemon = pid(unit), pid(UNIT)

      with subtest("a rebuild changes the daemon and leaves the sandbox alone"):
          machine.succeed("${after} test")
          machine.wait_for_unit(UNIT)
          assert pid(UNIT) != daemon
          assert pid(unit) == shim
          assert by("alice", "forage-ctl exec s1 -- cat /tmp/mark") == "here"
          assert status()["newerSystem"] is not None
          assert "an older build" in by("alice", "forage-ctl status s1")
          refused("alice", "forage-ctl exec s1 -- hello")

      with subtest("so does a rollback"):
          machine.succeed("${before} test")
          machine.wait_for_unit(UNIT)
          assert pid(unit) == shim
          assert status()["newerSystem"] is None

      with subtest("a start takes up what changed"):
          machine.succeed("${after} test")
          machine.wait_for_unit(UNIT)
          by("alice", "forage-ctl stop s1 && forage-ctl start s1")
          by("alice", "forage-ctl exec s1 -- hello")
          assert status()["newerSystem"] is None
    '';
}
