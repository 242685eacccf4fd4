#!/bin/bash
# install.sh deb|rpm OLD NEW: installs, uses, upgrades and removes a package on a machine with systemd. Run within boot.sh.
set -euo pipefail
kind=$1 old=$2 new=$3
step() { echo "== $*"; }
fail() { echo "FAILED: $*"; journalctl --no-pager -n 30 -u 'ringmaster-*' || true; exit 1; }
within() { for i in $(seq 1800); do eval "$2" && return; sleep 0.1; done; fail "$1"; }
units="ringmaster-coordinator.service ringmaster-worker.service"
case $kind in
deb) install="dpkg -i" upgrade="dpkg -i" remove="dpkg -r ringmaster" ;;
rpm) install="rpm -i --nodeps" upgrade="rpm -U --nodeps" remove="rpm -e ringmaster" ;;
esac

step "install $old"
$install "/release/$old"
id ringmaster
systemd-analyze verify /usr/lib/systemd/system/ringmaster-*.service
for unit in $units; do
	systemd-analyze security --no-pager "$unit" | tail -1
	systemd-analyze security --no-pager --threshold=30 "$unit" >/dev/null || fail "$unit is less confined than it should be"
	test "$(systemctl is-active "$unit")" != active || fail "$unit starts before it is configured"
done
test "$(stat -c '%U %a' /var/lib/ringmaster /etc/ringmaster/certs | uniq)" = "ringmaster 700" || fail "folders of the user"

step "start, by the commands of docs/install.md"
cluster="--cluster 127.0.0.1:7070"
sed -n '/^## Packages/,/^## The image/s/^    \(systemctl\|ringmaster\)/\1/p' /usr/share/doc/ringmaster/docs/install.md >/tmp/commands
test "$(wc -l </tmp/commands)" = 2 || fail "the document has other commands: $(cat /tmp/commands)"
bash -ex /tmp/commands | tail -5
ringmaster jobs show quickstart $cluster | grep -q f9125966c1f1a6b58e51e313d7b1218ad1e60d76311f96d8cba86e88ef1ec4ce || fail "another digest than the README's"
ps -o user,cmd -C coordinator,worker
first=$(systemctl show -p MainPID --value ringmaster-worker)
job=$(ringmaster submit /usr/share/ringmaster/configs/quickstart.yaml $cluster --set train.epochs=100 --detach)
echo 'threads: 1 # changed by hand' >>/etc/ringmaster/worker.yaml
sed -i '/^threads: 0/d' /etc/ringmaster/worker.yaml
within "no step" "ringmaster jobs show $job $cluster --json | grep -q '\"step\": [1-9]'"

step "upgrade to $new while the job trains"
$upgrade "/release/$new"
grep -q 'changed by hand' /etc/ringmaster/worker.yaml || fail "the changed configuration was overwritten"
for daemon in coordinator worker; do
	within "the new $daemon does not run" "cmp -s /proc/\$(systemctl show -p MainPID --value ringmaster-$daemon)/exe /usr/lib/ringmaster/$daemon"
done
test "$(systemctl show -p MainPID --value ringmaster-worker)" != "$first" || fail "the old worker runs on"
ringmaster version
ringmaster jobs show "$job" $cluster --json | grep -q '"state": "running"' || fail "the job had ended before the upgrade was done: it must be longer"
within "the job is not done" "ringmaster jobs show $job $cluster --json | grep -q '\"state\": \"done\"'"
ringmaster jobs show "$job" $cluster | grep -i digest
got=$(ringmaster jobs show "$job" $cluster --json | sed -n 's/.*"digest": "\([0-9a-f]*\)".*/\1/p' | head -1)
# What 100 epochs of the quickstart give on any cluster, undisturbed.
test "$got" = 4de539eecf24ef2feb9176f55d3abc543cfc1a8d19a2bb575e97eb8a6e31f0df || fail "digest $got is not that of a run without an upgrade"

step "remove"
kept=$(ls -d /var/lib/ringmaster/coordinator-c1/checkpoints/step-* | wc -l)
$remove
test ! -e /usr/lib/ringmaster || fail "files are left"
! pgrep -x coordinator && ! pgrep -x worker || fail "daemons are left"
test -z "$(find /etc/systemd/system -name 'ringmaster*')" || fail "enabled units are left"
test "$(ls -d /var/lib/ringmaster/coordinator-c1/checkpoints/step-* | wc -l)" = "$kept" -a "$kept" -gt 0 || fail "checkpoints are gone"

step "install again: what was there goes on"
$install "/release/$new"
systemctl start $units
within "the cluster is not back" "ringmaster jobs show $job $cluster --json 2>/dev/null | grep -q \"$got\""
if [ "$kind" = deb ]; then
	step "purge"
	dpkg -P ringmaster
	test ! -e /etc/ringmaster/worker.yaml || fail "configurations are left"
	test "$(ls -d /var/lib/ringmaster/coordinator-c1/checkpoints/step-* | wc -l)" = "$kept" || fail "checkpoints are gone"
fi
echo PASSED
