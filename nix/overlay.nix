# Adds `firefly-forage` to a package set.
final: _: { firefly-forage = final.callPackage ./package.nix { }; }
