#!/bin/bash
# Installs rfdetr-edge as a service, upgrades it, rolls it back, removes it; docs/install.md explains.
set -euo pipefail

readonly PREFIX=/opt/rfdetr-edge # releases/<name>/, current -> releases/<name>, previous -> releases/<name>
readonly CONFIG_DIR=/etc/rfdetr-edge
readonly STATE_DIR=/var/lib/rfdetr-edge
readonly CACHE_DIR=/var/cache/rfdetr-edge
readonly UNIT=/usr/local/lib/systemd/system/rfdetr-edge.service # /etc/systemd/system stays the owner's
readonly DROP_INS=/etc/systemd/system/rfdetr-edge.service.d
readonly COMMAND=/usr/local/bin/rfdetr-edge
readonly ACCOUNT=rfdetr-edge

usage() {
    cat <<'TEXT'
usage: install.sh [--torch EXTRA] [--wheels DIR] [--python PYTHON] [--system-site-packages]
       install.sh --check-config | --rollback | --uninstall [--purge]

Installs this clone, or upgrades to it, and keeps what ran before for --rollback.

  --torch EXTRA   jp6-cu126 (on JetPack 6 the default), cpu, cu118, cu124, cu126, cu128;
                  none: the torch that PYTHON has already, seen by --system-site-packages
  --wheels DIR    install from this folder alone, without a network (docs/offline-install.md)
  --python PYTHON the interpreter, 3.10 to 3.13 (default: python3)
  --system-site-packages
                  let the environment see PYTHON's own packages, JetPack's OpenCV for one
                  (the default with jp6-cu126 and none)
  --check-config  what the installed release says to the configuration, read as the service reads
                  it: with its account, variables and credentials
  --rollback      back to the release before this one; called again, forth
  --uninstall     remove service and programs; configuration and state stay
  --purge         remove configuration, state and account, too
TEXT
}

die() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

say() { echo "== $*"; }

# -- what is asked ---------------------------------------------------------------------------------

task=install torch='' wheels='' python=python3 system_packages=no purge=no

value() { # OPTION [VALUE]
    [ -n "${2-}" ] || die "$1 needs a value" 2
    echo "$2"
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --torch) torch=$(value "$@") ;;
        --wheels) wheels=$(value "$@") ;;
        --python) python=$(value "$@") ;;
        --system-site-packages) system_packages=yes ;;
        --check-config) task=check_config ;;
        --rollback) task=rollback ;;
        --uninstall) task=uninstall ;;
        --purge) purge=yes ;;
        -h | --help)
            usage
            exit
            ;;
        *) die "unknown option $1; --help lists them" 2 ;;
        esac
        case $1 in --torch | --wheels | --python) shift ;; esac
        shift
    done
    [ $purge = no ] || [ $task = uninstall ] || die "--purge goes with --uninstall" 2
}

choose_torch() {
    if [ -z "$torch" ] && grep -qs '^# R36 ' /etc/nv_tegra_release; then
        torch=jp6-cu126
    fi
    case $torch in
    jp6-cu126 | none) system_packages=yes ;;
    cpu | cu118 | cu124 | cu126 | cu128) ;;
    '') die "this is no JetPack 6: say which torch, e.g. --torch cpu, or --torch cu126 for an NVIDIA GPU" 2 ;;
    *) die "--torch $torch: not one of jp6-cu126, cpu, cu118, cu124, cu126, cu128, none" 2 ;;
    esac
}

choose_source() {
    clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    [ -f "$clone/pyproject.toml" ] || die "run install.sh from a clone of rfdetr-edge to install or upgrade" 2
    [ -z "$wheels" ] && return
    wheels=$(cd "$wheels" 2>/dev/null && pwd) || die "--wheels: no such folder" 2
    compgen -G "$wheels/rfdetr_edge-*.whl" >/dev/null || die "$wheels holds no wheel of rfdetr-edge itself" 2
}

choose_python() {
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null ||
        die "$python is no Python 3.10 to 3.13 that runs here; --python names one" 2
}

# -- the steps -------------------------------------------------------------------------------------

make_account() {
    say "account $ACCOUNT, groups video and render"
    local group
    for group in video render; do # most Jetsons and PCs have them
        getent group $group >/dev/null || groupadd --system $group
    done
    getent passwd $ACCOUNT >/dev/null || useradd --system --user-group --no-create-home \
        --home-dir $STATE_DIR --shell /usr/sbin/nologin $ACCOUNT
    usermod --append --groups video,render $ACCOUNT
}

make_folders() {
    install -d -m 0755 $PREFIX $PREFIX/releases
    install -d -m 0750 -g $ACCOUNT $CONFIG_DIR
    install -d -m 0750 -o $ACCOUNT -g $ACCOUNT $STATE_DIR $CACHE_DIR
}

# Only where there is none: these are the owner's.
make_configuration() {
    if [ ! -e $CONFIG_DIR/config.yaml ]; then
        install -m 0640 -g $ACCOUNT "$clone/config/one-camera.yaml" $CONFIG_DIR/config.yaml
    fi
    if [ ! -e $CONFIG_DIR/environment ]; then
        (umask 077 && echo '# Variables of config.yaml, one a line: DOCK_PASSWORD=…' >$CONFIG_DIR/environment)
    fi
}

# Sets $release to a complete environment that nothing uses yet.
build_release() {
    local version number=1
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$clone/edge/version.py")
    if [ -n "$wheels" ]; then
        version=$(basename "$(compgen -G "$wheels/rfdetr_edge-*.whl" | sort -V | tail -n 1)")
        version=${version#rfdetr_edge-} version=${version%%-*}
    fi
    while [ -e "$PREFIX/releases/$version-$number" ]; do number=$((number + 1)); done
    release=$PREFIX/releases/$version-$number
    unfinished=$release
    say "building $release"

    local options=()
    [ $system_packages = no ] || options+=(--system-site-packages)
    "$python" -m venv "${options[@]}" "$release" ||
        die "$python cannot make virtual environments (Debian, Ubuntu: apt install python3-venv)"
    install_package "$version"
    "$release/bin/rfdetr-edge" --version

    install -d "$release/share"
    cp -r "$clone/systemd/." "$release/share/"
}

install_package() { # VERSION
    local extras=() pip=("$release/bin/python" -m pip --disable-pip-version-check)
    # Alone means that no other place which pip is configured to look at counts.
    [ -z "$wheels" ] || pip=(env PIP_CONFIG_FILE=/dev/null "${pip[@]}" --isolated)
    pip+=(install)
    [ -z "$wheels" ] || pip+=(--no-index --find-links "$wheels")
    cp -r "$clone/constraints" "$scratch"
    local constraints=$scratch/constraints/runtime.txt
    if [ "$torch" != none ]; then
        extras+=("torch-$torch")
        constraints=$scratch/constraints/torch-$torch.txt
    fi
    if "$release/bin/python" -c 'import cv2' 2>/dev/null; then
        own_opencv=no
    else
        own_opencv=yes
        extras+=(opencv)
    fi
    local joined
    joined=$(IFS=,; echo "${extras[*]}")

    if [ -n "$wheels" ]; then
        # Addresses of files are of no use here: the folder has the files.
        sed -i '/ @ /d' "$constraints"
        "${pip[@]}" --constraint "$constraints" "rfdetr-edge[$joined]==$1"
    else
        # A copy, so that the build leaves nothing of root's in the clone.
        mkdir "$scratch/source"
        cp -r "$clone"/{pyproject.toml,README.md,LICENSE,edge} "$scratch/source"
        case $torch in
        cpu | cu*) pip+=(--extra-index-url "https://download.pytorch.org/whl/$torch") ;;
        esac
        "${pip[@]}" --constraint "$constraints" "$scratch/source[$joined]"
    fi
    "$release/bin/python" -c 'import torch' 2>"$scratch/torch" || add_torch_libraries
    if [ $own_opencv = no ] && compgen -G "$release/lib/python3*/site-packages/cv2" >/dev/null; then
        die "pip has put an OpenCV of its own over the machine's"
    fi
}

# NVIDIA's torch is linked to libraries that not every JetPack has. Without what they depend on: that
# would bring a cuBLAS of its own. torch's libraries look for others beside themselves.
add_torch_libraries() {
    if [ "$torch" != jp6-cu126 ] || ! grep -q 'libcudss\|libcusparseLt' "$scratch/torch"; then
        die "$(tail -n 1 "$scratch/torch")"
    fi
    say "adding libraries that torch misses: $(tail -n 1 "$scratch/torch")"
    "${pip[@]}" --no-deps --requirement "$clone/constraints/jetson-libraries.txt"
    local packages
    packages=$(compgen -G "$release/lib/python3*/site-packages")
    ln -sf "$packages"/nvidia/*/lib/*.so* "$packages/torch/lib/"
    "$release/bin/python" -c 'import torch' 2>"$scratch/torch" || die "$(tail -n 1 "$scratch/torch")"
}

running_systemd() { [ -d /run/systemd/system ]; }

# Also while it waits to be tried again.
service_is_up() {
    running_systemd || return 1
    case $(systemctl is-active rfdetr-edge) in active | activating | reloading) ;; *) return 1 ;; esac
}

service_has_failed() { running_systemd && systemctl is-failed --quiet rfdetr-edge; }

# Ask a release about the configuration, as the service would read it: with the unit's user, variables
# and credentials, in a unit of its own beside the running one.
configuration_is_accepted_by() { # RELEASE
    running_systemd || return 0
    local name=rfdetr-edge-check accepted=yes
    local check=/run/systemd/system/$name.service
    cat "$1/share/rfdetr-edge.service" $DROP_INS/*.conf >$check 2>/dev/null || true
    cat >>$check <<TEXT

[Service]
Type=oneshot
ExecStart=
ExecStart=$1/bin/rfdetr-edge check-config -c $CONFIG_DIR/config.yaml
ExecReload=
Restart=no
WatchdogSec=0
# Of its own: systemd removes it when the check ends.
RuntimeDirectory=
RuntimeDirectory=$name
Environment=GST_REGISTRY=%t/$name/gstreamer-registry.bin
StandardOutput=file:$scratch/said
StandardError=inherit
TEXT
    systemctl daemon-reload
    systemctl start $name 2>/dev/null || accepted=no
    if [ -s "$scratch/said" ]; then
        cat "$scratch/said"
    else # what it says where it could not even be asked
        systemctl status --no-pager --full $name || true
    fi
    systemctl reset-failed $name 2>/dev/null || true
    rm $check
    systemctl daemon-reload
    [ $accepted = yes ]
}

point() { # LINK TARGET: in one step, there is no moment without a link
    ln -sfn "$2" "$PREFIX/.$1" && mv -fT "$PREFIX/.$1" "$PREFIX/$1"
}

# From here on a start is one of this release: its programs and its unit.
switch_to() { # RELEASE
    point current "$1"
    install -D -m 0644 "$1/share/rfdetr-edge.service" $UNIT
    if [ ! -e $COMMAND ] || [ -L $COMMAND ]; then
        install -d "$(dirname $COMMAND)"
        ln -sfn $PREFIX/current/bin/rfdetr-edge $COMMAND
    fi
    if running_systemd; then systemctl daemon-reload; fi
}

# -- the tasks -------------------------------------------------------------------------------------

before='' was_up=no      # the release in use when we came, and whether the service was up
on_trial=''              # the release that is put in its place, until it has started
unfinished='' scratch='' # what goes when we fail, and what goes in any case

# Whatever ends us, the machine is left with a release that works: the one on trial, or the one before.
on_exit() {
    if [ -n "$on_trial" ] && [ -n "$before" ] && [ "$(readlink -f $PREFIX/current)" = "$on_trial" ]; then
        say "back to $(basename "$before")"
        switch_to "$before"
        [ $was_up = no ] || restart || true
    fi
    [ "$(readlink -f $PREFIX/current)" = "$unfinished" ] || rm -rf ${unfinished:+"$unfinished"}
    rm -rf "$scratch"
}

# One at a time; the lock goes with the process.
take_lock() {
    exec 9>/run/rfdetr-edge-install.lock # root's folder: in /run/lock anybody could hold it
    flock --nonblock 9 || die "another install.sh is at work"
    scratch=$(mktemp -d)
    trap on_exit EXIT
    trap 'exit 1' INT TERM HUP
}

install_task() {
    choose_torch
    choose_source
    choose_python
    make_account
    make_folders
    make_configuration
    [ ! -e $PREFIX/current ] || before=$(readlink -f $PREFIX/current)
    build_release
    if service_is_up; then was_up=yes; fi
    replace_by "$release"
    unfinished=''
    remove_old_releases
    say "installed $(basename "$release")"
    [ $was_up = yes ] || say "edit $CONFIG_DIR/config.yaml, then: systemctl enable --now rfdetr-edge"
}

# $before by another release, which stays only where it takes the configuration and starts.
replace_by() { # RELEASE
    local name
    name=$(basename "$1")
    if [ $was_up = yes ]; then
        configuration_is_accepted_by "$1" ||
            die "$name refuses $CONFIG_DIR/config.yaml (see above); nothing has changed"
    fi
    on_trial=$1
    switch_to "$1"
    if [ $was_up = yes ]; then
        restart || die "$name does not start (journalctl -u rfdetr-edge)"
    fi
    on_trial=''
    [ -z "$before" ] || point previous "$before"
}

# Returns when the daemon says that it is ready.
restart() {
    say "restarting the service, which takes as long as its model loads"
    systemctl restart rfdetr-edge
}

remove_old_releases() {
    local kept
    for kept in "$PREFIX"/releases/*; do
        [ "$kept" = "$(readlink -f $PREFIX/current)" ] || [ "$kept" = "$(readlink -f $PREFIX/previous)" ] || rm -rf "$kept"
    done
}

check_config_task() {
    [ -e $PREFIX/current ] || die "nothing is installed"
    running_systemd || die "systemd does not run here"
    configuration_is_accepted_by "$(readlink -f $PREFIX/current)" || die "refused"
}

rollback_task() {
    [ -e $PREFIX/previous ] || die "there is no release to go back to"
    local target
    target=$(readlink -f $PREFIX/previous)
    before=$(readlink -f $PREFIX/current)
    if service_is_up || service_has_failed; then was_up=yes; fi
    replace_by "$target"
    say "now on $(basename "$target"); --rollback goes back to $(basename "$before")"
}

uninstall_task() {
    if running_systemd; then systemctl disable --now rfdetr-edge 2>/dev/null || true; fi
    [ "$(readlink $COMMAND)" != $PREFIX/current/bin/rfdetr-edge ] || rm $COMMAND
    rm -rf $UNIT $PREFIX $CACHE_DIR
    if [ $purge = yes ]; then
        rm -rf $CONFIG_DIR $STATE_DIR $DROP_INS
        ! getent passwd $ACCOUNT >/dev/null || userdel $ACCOUNT || die "all but the account is removed"
        say "removed"
    else
        say "removed; $CONFIG_DIR, $STATE_DIR, $DROP_INS and the account stay (--purge)"
    fi
    if running_systemd; then
        systemctl daemon-reload
        systemctl reset-failed rfdetr-edge 2>/dev/null || true
    fi
}

main() {
    parse "$@"
    [ "$(id -u)" = 0 ] || die "needs root: sudo $0 $*"
    umask 022 # the service reads what root installs
    take_lock
    "${task}_task"
}

# Read as a whole before it runs: --uninstall removes this file.
{
    main "$@"
    exit
}
