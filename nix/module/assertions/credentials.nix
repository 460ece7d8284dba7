# How each agent of a template gets its credential, as the daemon plans it (api/src/config): what the
# assertions judge.
{ lib, providers }:
let
  vendorOfVariable =
    variable:
    lib.findFirst (vendor: lib.elem variable providers.vendors.${vendor}) null (
      builtins.attrNames providers.vendors
    );

  providerOf =
    name: agent:
    if agent.provider != null then
      agent.provider
    else if providers.providers ? ${name} then
      name
    else if agent.authEnvVar != null && vendorOfVariable agent.authEnvVar == "Anthropic" then
      "claude"
    else
      null;

  variableOf =
    provider: agent:
    if agent.secretName == null then
      if provider == null then null else providers.providers.${provider}.tokenVariable
    else if agent.authEnvVar != null then
      agent.authEnvVar
    else if provider != null then
      providers.providers.${provider}.secretVariable
    else
      null;

  orVendorOf =
    provider: vendor:
    if vendor != null || provider == null then vendor else providers.providers.${provider}.vendor;

  plan =
    name: agent:
    let
      provider = providerOf name agent;
      variable = variableOf provider agent;
    in
    {
      inherit name provider variable;
      inherit (agent) delivery;
      # Where the value comes from; null: an agent without a credential.
      source =
        if variable == null then
          null
        else if agent.secretName != null then
          "secret ${agent.secretName}"
        else
          "the token";
      vendor = orVendorOf provider (vendorOfVariable variable);
    };
in
{
  inherit vendorOfVariable;
  plans = lib.mapAttrsToList plan;
}
