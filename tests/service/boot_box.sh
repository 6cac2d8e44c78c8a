#!/bin/bash
# Boots a real systemd as PID 1 of a throw-away machine: an overlay of this machine's root, in namespaces
# of its own. Runs as PID 1 of a new PID namespace with private mounts (systemd_box.py starts it so), and
# becomes systemd; every mount goes with the namespace.
#
# usage: boot_box.sh EMPTY_FOLDER REPOSITORY PYTHON_PREFIX SITE_PACKAGES
#   /opt/python in the box is the Python at PYTHON_PREFIX with the packages of SITE_PACKAGES, but for
#   rfdetr-edge itself: what is installed in the box must come from the box's own installation.
set -euo pipefail
folder=$1 repository=$2 prefix=$3 site_packages=$4

mount -t tmpfs tmpfs "$folder" # an overlay's upper side must not be on an overlay or on the root itself
mkdir "$folder"/{root,python,packages,work,root-work,python-work,packages-work}
root=$folder/mnt
mkdir "$root"
overlay() { # LOWER UPPER MOUNT_POINT
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$folder/$2,workdir=$folder/$2-work" "$3"
}
overlay / root "$root"

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys" # the kernel's settings are this machine's
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind /dev/$device "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts" "$root/run/lock"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

mkdir -p "$root$repository" "$root/opt/python"
mount --bind -o ro "$repository" "$root$repository"
overlay "$prefix" python "$root/opt/python"
packages=$(echo "$root"/opt/python/lib/python3*/site-packages)
overlay "$site_packages" packages "$packages"
rm -rf "$packages"/*rfdetr_edge*
echo /opt/python/lib >"$root/etc/ld.so.conf.d/python.conf" # a prefix may have a libpython of its own
ldconfig -r "$root"

ip link set lo up
mkdir "$root/.old"
cd "$root"
pivot_root . .old
umount -l /.old
mount --make-rshared / # else credentials, which systemd mounts in another namespace, are not seen
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=basic.target --log-target=journal
