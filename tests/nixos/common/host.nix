# The host of every test: what people write to let alice and bob have sandboxes; mallory has none.
{ pkgs, ... }:
let
  # Says what it was given: Claude Code itself is unfree and wants a network.
  agent = pkgs.writeShellScriptBin "claude" ''
    echo "token:''${CLAUDE_CODE_OAUTH_TOKEN:-none} key:''${ANTHROPIC_API_KEY:-none}"
  '';
in
{
  imports = [ ../../../module.nix ];

  virtualisation.cores = 2;
  virtualisation.memorySize = 2048;

  users.users.alice.isNormalUser = true;
  users.users.bob.isNormalUser = true;
  users.users.mallory.isNormalUser = true;

  services.firefly-forage = {
    enable = true;
    user = "alice";
    users = [ "bob" ];
    templates.claude = {
      description = "An agent of the name of Claude's";
      network = "none";
      agents.claude.package = agent;
    };
  };
}
