#!@shell@/busybox sh
# Stage 2 of a system of NixOS' shape: makes what is not in the store, then becomes systemd.
set -e
bb=@shell@/busybox

# Activation: /etc, the users, /bin/sh and what the programs of a distribution expect in /usr.
$bb ln -sfn @out@/etc /etc/static
for file in /etc/static/*; do
  name=${file##*/}
  case $name in
    group | gshadow | passwd | shadow)
      $bb cp "$file" "/etc/$name"
      $bb chmod u+w "/etc/$name"
      ;;
    profile)
      # As NixOS' ends.
      echo '. /etc/static/profile; if test -f /etc/profile.local; then . /etc/profile.local; fi' >"/etc/$name"
      ;;
    hostname | hosts | machine-id | resolv.conf) ;;
    *) $bb ln -sfn "/etc/static/$name" "/etc/$name" ;;
  esac
done
for directory in @usr@/*; do
  $bb ln -sfn "$directory" "/usr/${directory##*/}"
done
for link in bin lib lib64 sbin; do
  $bb ln -sfn "usr/$link" "/$link"
done
$bb mkdir -p /home/agent
$bb chown 1000:1000 /home/agent
$bb ln -sfn @out@ /run/current-system

exec @out@/systemd/systemd "$@"
