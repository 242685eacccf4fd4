#!/bin/sh
# Before the files go. At an upgrade (deb: upgrade, rpm: 1) daemons keep running until the new files are there.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl stop 'ringmaster-coordinator.service' 'ringmaster-worker*.service'
		systemctl disable --quiet ringmaster-coordinator.service ringmaster-worker.service ringmaster-worker@.service
	fi
	;;
esac
