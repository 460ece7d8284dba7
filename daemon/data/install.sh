#!/bin/sh
# Installs what the programs need beside themselves, as every package of Firefly Forage has to:
#
#   install.sh ROOT PREFIX
#
# ROOT is the directory a package is gathered in ('' for this machine), PREFIX where it will lie, such as
# /usr. Files that name one of the programs below /usr are made to name it below PREFIX. The programs go to
# bin (foraged, forage-ctl) and libexec (forage-shim).
#
# ZSH_COMPLETIONS: where zsh looks for completions, below PREFIX; distributions differ.
set -eu

if [ $# -ne 2 ]; then
  echo "usage: install.sh ROOT PREFIX" >&2
  exit 2
fi
root=$1
prefix=$2
data=$(cd "$(dirname "$0")" && pwd)
docs=$data/../../docs
zsh=${ZSH_COMPLETIONS:-share/zsh/site-functions}
programs='bin/foraged\|bin/forage-ctl\|libexec/forage-shim'

# Where a file of this directory goes, below PREFIX.
place_of() {
  case $1 in
    systemd/*.service | systemd/*.mount) echo lib/systemd/system ;;
    systemd-user/*.service) echo lib/systemd/user ;;
    dbus/*.conf) echo share/dbus-1/system.d ;;
    dbus/*.service) echo share/dbus-1/system-services ;;
    dbus/*.xml) echo share/dbus-1/interfaces ;;
    polkit/*.policy) echo share/polkit-1/actions ;;
    polkit/*.rules) echo share/polkit-1/rules.d ;;
    sysusers/*.conf) echo lib/sysusers.d ;;
    tmpfiles/*.conf) echo lib/tmpfiles.d ;;
    sysctl/*.conf) echo lib/sysctl.d ;;
    *)
      echo "install.sh: daemon/data/$1 has no place; give it one in place_of" >&2
      return 1
      ;;
  esac
}

# Installs the file $1 as $2, below PREFIX.
put() {
  install -D -m 0644 "$1" "$root$prefix/$2"
}

for file in "$data"/*/*; do
  place=$(place_of "${file#"$data"/}")/${file##*/}
  put "$file" "$place"
  sed -i "s#/usr/\($programs\)#$prefix/\1#g" "$root$prefix/$place"
done

for page in "$docs"/man/*; do
  put "$page" "share/man/man${page##*.}/${page##*/}"
done

put "$docs/completions/forage-ctl.bash" share/bash-completion/completions/forage-ctl
put "$docs/completions/_forage-ctl" "$zsh/_forage-ctl"
put "$docs/completions/forage-ctl.fish" share/fish/vendor_completions.d/forage-ctl.fish
