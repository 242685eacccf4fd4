#!/bin/bash
# boot.sh FOLDER COMMAND...: boots systemd on a copy of this machine's root, in namespaces of its own, and runs a command there. What is written
# goes to a file system in memory and is gone afterwards. FOLDER is seen within as /release. Needs root.
set -eu
if [ "${BOOT_STAGE:-}" != inside ]; then
	group=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)/ringmaster-install-$$
	mkdir "$group"
	trap 'for i in 1 2 3 4 5; do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.2; done' EXIT
	base=$(mktemp -d)
	BOOT_STAGE=inside BOOT_BASE=$base bash -c 'echo $$ >"$0/cgroup.procs"; exec unshare -pmfiuCn --kill-child --propagation private bash "$@"' "$group" "$0" "$@" &
	unshare=$!
	until [ -s "$base/code" ] || ! kill -0 $unshare 2>/dev/null; do sleep 0.2; done
	kill -KILL $unshare 2>/dev/null && wait $unshare 2>/dev/null || true # and with it all that it started
	code=$(cat "$base/code" 2>/dev/null || echo 1)
	cat "$base/out" 2>/dev/null || true
	rm -rf "$base"
	exit "$code"
fi
folder=$1 && shift
base=$BOOT_BASE disk=$BOOT_BASE/disk
mkdir "$disk" && mount -t tmpfs none "$disk" && mkdir "$disk/upper" "$disk/work" "$disk/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
root=$disk/root
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for dir in run tmp dev; do mount -t tmpfs tmpfs "$root/$dir"; done
for device in null zero full random urandom tty; do touch "$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/pts" "$root/dev/shm" && mount -t devpts devpts "$root/dev/pts" && mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
touch "$root/dev/console" && mkdir -p "$root/release" && mount --bind "$folder" "$root/release"
# Nothing of this machine starts, and nothing waits for its network.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/{usr/,}lib/systemd/system/network-online.target.wants
ip link set lo up
touch "$base/out"
(
	for i in $(seq 100); do chroot "$root" systemctl is-system-running 2>/dev/null | grep -q 'running\|degraded' && break; sleep 0.1; done
	code=0 && chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root timeout "${BOOT_SECONDS:-300}" "$@" >"$base/out" 2>&1 </dev/null || code=$?
	echo $code >"$base/code"
) &
exec chroot "$root" env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null --unit=basic.target >/dev/null 2>&1
