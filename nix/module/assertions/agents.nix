# The agents of a template: each has a program and a credential it can read, and together they have one of each
# vendor.
{
  cfg,
  lib,
  providers,
  words,
}:
let
  names = import ./names.nix { inherit words; };
  inherit (import ./credentials.nix { inherit lib providers; }) plans vendorOfVariable;
  inherit (words) quoted;

  # Every pair of a list, each once.
  pairs =
    list:
    lib.concatLists (
      lib.imap0 (index: second: map (first: { inherit first second; }) (lib.take index list)) list
    );

  isDeclared = name: cfg.secrets ? ${name} || (cfg.settings.secrets or { }) ? ${name};

  one =
    key: name: agent:
    let
      plan = lib.head (plans {
        ${name} = agent;
      });
      isSecret = agent.secretName != null;
      hasProgram = agent.package.meta.mainProgram or null != null;
      canRead =
        plan.provider == "claude"
        && (plan.variable == "CLAUDE_CODE_OAUTH_TOKEN" || vendorOfVariable plan.variable != null);
      secret = words.of [
        "secrets"
        agent.secretName
      ];
    in
    [
      {
        assertion = agent.package != null || agent.command != null;
        message = "${key} has no program; set package, or command for one that is in the system already";
      }
      {
        assertion = agent.package != null && agent.command == null -> hasProgram;
        message = ''
          ${key}.package does not say which of its programs is the agent (meta.mainProgram); set command, such as
          "''${package}/bin/${name}"
        '';
      }
      {
        assertion = isSecret -> isDeclared agent.secretName;
        message = ''
          ${key}.secretName names the secret ${quoted agent.secretName}, which is not in ${words.option}.secrets;
          declare ${
            if quoted agent.secretName == "(not shown)" then "it there" else secret
          }, or correct the name
        '';
      }
      {
        assertion = isSecret -> plan.variable != null;
        message = ''
          ${key} has secretName = ${quoted agent.secretName} without authEnvVar, and of an agent called
          ${quoted name} no variable is known; set authEnvVar to the one it reads, or provider to whose program it is
        '';
      }
      {
        assertion = agent.authEnvVar != null -> isSecret;
        message = ''
          ${key} has authEnvVar = ${quoted agent.authEnvVar} without secretName; set secretName to the secret the
          variable carries, or leave authEnvVar out
        '';
      }
      {
        assertion = agent.authEnvVar != null -> names.fits names.credentialVariable agent.authEnvVar;
        message = ''
          ${key}.authEnvVar: the variable name ${quoted agent.authEnvVar} cannot be used; take
          ${names.credentialVariable.rule}
        '';
      }
      {
        assertion = agent.delivery == "file" && plan.variable != null -> canRead;
        message = ''
          ${key} has delivery = "file" with ${toString plan.variable}; only Claude agents with
          CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY read a file again; use delivery = "env"
        '';
      }
      {
        assertion = agent.delivery == "file" && !isSecret -> plan.variable != null;
        message = ''
          ${key} has delivery = "file" and gets no credential; set secretName, or leave delivery out
        '';
      }
    ];

  # Two that get a credential.
  together =
    key:
    { first, second }:
    let
      who = "${key first.name} (${first.source}) and ${key second.name} (${second.source})";
      oneVendor = first.vendor != null && first.vendor == second.vendor;
      oneSource = first.source == second.source;
      oneWay = first.delivery == second.delivery && first.variable == second.variable;
    in
    [
      {
        assertion = oneVendor -> oneSource;
        message = "${who} give ${toString first.vendor} two credentials; use one for both";
      }
      {
        assertion = oneVendor && oneSource -> oneWay;
        message = ''
          ${key first.name} (${first.delivery}, ${first.variable}) and ${key second.name}
          (${second.delivery}, ${second.variable}) get one credential in two ways, of which one would hide the other;
          use the same delivery and authEnvVar for both
        '';
      }
      {
        assertion = first.variable == second.variable && !oneVendor -> oneSource;
        message = "${who} give ${first.variable} two values; use one secret for both";
      }
    ];
in
template: agents:
let
  key =
    name:
    words.of [
      "templates"
      template
      "agents"
      name
    ];
  credentials = lib.filter (plan: plan.source != null) (plans agents);
in
lib.concatLists (lib.mapAttrsToList (name: one (key name) name) agents)
++ lib.concatMap (together key) (pairs credentials)
