# What is wrong is said before anything is built, with both sides and the remedy. Each has its counterpart in
# `foraged check-config`, which judges whatever is not judged here.
{ config, lib, ... }:
let
  cfg = config.services.firefly-forage;
  providers = lib.importJSON ../providers.json;
  names = import ./names.nix;
  inherit (import ./credentials.nix { inherit lib providers; }) plans vendorOfVariable;

  option = "services.firefly-forage";
  quoted = name: ''"${name}"'';

  inLine = one: one // { message = lib.replaceStrings [ "\n" ] [ " " ] (lib.trim one.message); };

  # Every pair of a list, each once.
  pairs =
    list:
    lib.concatLists (
      lib.imap0 (index: second: map (first: { inherit first second; }) (lib.take index list)) list
    );

  isName = kind: text: builtins.match kind.pattern text != null;

  named =
    kind: where: what: attributes:
    map (name: {
      assertion = isName kind name;
      message = "${where}: the ${what} name ${quoted name} cannot be used; take ${kind.rule}";
    }) (builtins.attrNames attributes);

  users =
    lib.optional (cfg.user != null) {
      option = "${option}.user";
      name = cfg.user;
    }
    ++ map (name: {
      option = "${option}.users";
      inherit name;
    }) (lib.subtractLists [ cfg.user ] cfg.users);

  declared = user: {
    assertion = config.users.users ? ${user.name};
    message = ''
      ${user.option}: the user ${quoted user.name} is not declared in users.users; declare
      users.users.${user.name}, or correct the name
    '';
  };

  secret =
    name: path:
    let
      key = "${option}.secrets.${name}";
      text = toString path;
    in
    [
      {
        assertion = !builtins.isPath path;
        message = ''
          ${key} is a path of Nix' own, which would be copied into the Nix store, where everybody can read it;
          write it as a string: ${key} = "/run/secrets/${name}"
        '';
      }
      {
        assertion = builtins.isPath path || !lib.hasPrefix builtins.storeDir text;
        message = ''
          ${key} is in the Nix store (${text}), where everybody can read it; name a file outside of it, such as
          one that sops-nix or agenix makes: ${key} = config.sops.secrets.${name}.path
        '';
      }
      {
        assertion = builtins.isPath path || lib.hasPrefix "/" text;
        message = "${key} is ${quoted text}; it must be an absolute path, such as \"/run/secrets/${name}\"";
      }
    ];

  agent =
    template: name: agent:
    let
      key = "${option}.templates.${template}.agents.${name}";
      plan = lib.head (plans {
        ${name} = agent;
      });
      isSecret = agent.secretName != null;
      canRead =
        plan.provider == "claude"
        && (plan.variable == "CLAUDE_CODE_OAUTH_TOKEN" || vendorOfVariable plan.variable != null);
    in
    [
      {
        assertion = agent.package != null || agent.command != null;
        message = "${key} has no program; set package, or command for one that is in the system already";
      }
      {
        assertion = isSecret -> cfg.secrets ? ${agent.secretName};
        message = ''
          ${key}.secretName names the secret ${quoted agent.secretName}, which is not in ${option}.secrets; declare
          ${option}.secrets.${agent.secretName}, or correct the name
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
        assertion = agent.authEnvVar != null -> isName names.credentialVariable agent.authEnvVar;
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

  # One credential of each vendor, and one value in each variable.
  together =
    template: agents:
    let
      key = "${option}.templates.${template}.agents";
      credentials = lib.filter (plan: plan.source != null) (plans agents);
      between =
        { first, second }:
        let
          who = "${key}.${first.name} (${first.source}) and ${key}.${second.name} (${second.source})";
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
              ${key}.${first.name} (${first.delivery}, ${first.variable}) and ${key}.${second.name}
              (${second.delivery}, ${second.variable}) get one credential in two ways, of which one would hide the
              other; use the same delivery and authEnvVar for both
            '';
          }
          {
            assertion = first.variable == second.variable && !oneVendor -> oneSource;
            message = "${who} give ${first.variable} two values; use one secret for both";
          }
        ];
    in
    lib.concatMap between (pairs credentials);

  template =
    name: template:
    let
      key = "${option}.templates.${name}";
    in
    [
      {
        assertion = template.system != null -> template.config == null && template.extraPackages == [ ];
        message = ''
          ${key} has system, which is ready, and config or extraPackages, which go into a system that is built; leave
          one of them out
        '';
      }
      {
        assertion = template.network == "none" -> template.hostPorts == [ ];
        message = ''
          ${key} has hostPorts and network = "none", with which no port is reached; set network = "full", or leave
          hostPorts out
        '';
      }
    ]
    ++ named names.word key "agent" template.agents
    ++ lib.concatLists (lib.mapAttrsToList (agent name) template.agents)
    ++ together name template.agents;
in
{
  config = lib.mkIf cfg.enable {
    assertions = map inLine (
      map declared users
      ++ named names.word "${option}.secrets" "secret" cfg.secrets
      ++ lib.concatLists (lib.mapAttrsToList secret cfg.secrets)
      ++ named names.word "${option}.templates" "template" cfg.templates
      ++ lib.concatLists (lib.mapAttrsToList template cfg.templates)
    );
  };
}
