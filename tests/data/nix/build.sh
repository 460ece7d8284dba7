# Builds the system: $shell, $usr, $etc and $init are in the store, and so will be $out.
set -e
bb=$shell/busybox
$bb mkdir -p "$out/sw/bin"
for program in "$usr"/bin/* "$usr"/local/bin/*; do
  $bb ln -s "$program" "$out/sw/bin/"
done
$bb ln -s "$etc" "$out/etc"
$bb ln -s "$usr/lib/systemd" "$out/systemd"
$bb sed -e "s|@shell@|$shell|g; s|@usr@|$usr|g; s|@out@|$out|g" "$init" >"$out/init"
$bb chmod 0555 "$out/init"
