#!/bin/sh
# The package on arm64, emulated: makes a Debian arm64 root, installs the package there from a wheel
# folder that was made on this machine, without network (docs/offline-install.md), and runs the demo.
# Needs root on Debian or Ubuntu, 3 GB in .cache/arm64 and 10 to 20 minutes.
#
# Nothing else stays behind: what runs inside has mounts, processes and a network of its own, which
# end with it, and the kernel's handler for arm64 programs goes again where it was not there before.
set -eu
cd "$(dirname "$0")/.."

work=$PWD/.cache/arm64
root=$work/root
wheels=$work/wheels
misc=/proc/sys/fs/binfmt_misc
say() { echo "arm64: $*"; }

make_root() {
    [ ! -e "$root/.complete" ] || return 0
    say "making a Debian arm64 root (minutes)"
    rm -rf "$root"
    debootstrap --arch=arm64 --variant=minbase --include=python3,python3-venv bookworm "$root" >"$work/debootstrap.log"
    touch "$root/.complete"
}

# As the page on installing offline says, but for this Debian's Python 3.11 and a torch for the CPU.
make_wheels() {
    say "making the wheel folder"
    rm -rf "$wheels" "$work/source"
    mkdir -p "$wheels" "$work/source"
    cp -R edge pyproject.toml README.md LICENSE "$work/source" # pip leaves build/ in what it builds
    pip="${PYTHON:-python3} -m pip -qq --disable-pip-version-check"
    sed -n -e 's/; platform_machine == "aarch64"$//p' -e '/^sympy/p' constraints/torch-cpu.txt >"$work/torch.txt"
    grep -E '^(attrs|jsonschema|referencing|rpds)' constraints/dev.txt >"$work/check.txt"
    $pip wheel --no-deps --wheel-dir "$wheels" "$work/source"
    $pip download --no-deps --only-binary :all: --dest "$wheels" --python-version 3.11 \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        --requirement "$work/torch.txt" --requirement "$work/check.txt" \
        --requirement constraints/runtime.txt --requirement constraints/numpy2.txt
}

# In namespaces of its own: the root's mounts, a process table, and loopback alone.
inside() {
    ip link set lo up
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/tmp"
    mkdir -p "$root/wheels" "$root/check/platforms" "$root/check/tests"
    mount --bind "$wheels" "$root/wheels"
    cp platforms/demo_check.py "$root/check/platforms"
    cp tests/truth.py "$root/check/tests"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8 OMP_NUM_THREADS=1 sh -eu -c '
        rm -rf /opt/rfdetr-edge
        python3 -m venv /opt/rfdetr-edge
        /opt/rfdetr-edge/bin/pip install --quiet --no-compile --no-index --find-links /wheels \
            "rfdetr-edge[torch-cpu,opencv,demo]" jsonschema
        echo "arm64: installed from the wheel folder without network, $(uname -m)"
        exec /opt/rfdetr-edge/bin/python /check/platforms/demo_check.py --frames 6'
}

# Packages and the kernel's handler for arm64 programs.
prepare() {
    missing=""
    for package in qemu-user-static debootstrap iproute2; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        say "installing$missing"
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
    fi
    if [ ! -e $misc/register ]; then
        mount -t binfmt_misc binfmt_misc $misc
        mounted=yes
    fi
    if [ ! -e $misc/qemu-aarch64 ]; then
        cat /usr/lib/binfmt.d/qemu-aarch64.conf >$misc/register
        registered=yes
    fi
}

clean_up() {
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true # takes all inside with it
    [ -z "$registered" ] || echo -1 >$misc/qemu-aarch64
    [ -z "$mounted" ] || umount $misc
}

if [ "$(id -u)" -ne 0 ]; then
    echo "$0 makes a root file system and mounts: run it as root" >&2
    exit 1
fi
case "${1:-}" in
    root) make_root; exit ;;
    inside) inside ;;
esac

mkdir -p "$work"
child="" mounted="" registered=""
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
prepare
make_wheels
for step in root inside; do # in the background: only then does this shell hear a signal meanwhile
    case $step in root) network="" ;; *) network=--net ;; esac
    unshare --mount --pid $network --fork --kill-child "$0" $step &
    child=$!
    wait $child
    child=""
done
say "done"
