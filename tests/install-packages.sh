#!/bin/sh
# Debian packages that the tests use as real counterparts. Installs what is missing where it may
# (root, or sudo without a password), else says what to install. With arguments it installs those instead.
set -eu

packages="python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-tools gstreamer1.0-plugins-base
gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
gstreamer1.0-python3-plugin-loader python3-gst-1.0 python3-venv glib-networking mosquitto mosquitto-clients systemd iproute2 openssl prometheus chromium gcc libc6-dev"
[ $# -eq 0 ] || packages=$*

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    root=""
elif sudo -n true 2>/dev/null; then
    root="sudo"
else
    echo "The tests need these packages, please install them:" >&2
    echo "    sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# No broker or Prometheus of the system's own is to start just because it was installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod +x "$policy"
    trap '$root rm -f "$policy"' EXIT
fi
$root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
