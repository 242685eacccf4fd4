#!/bin/sh
# After the files are there, at the first installation and at upgrades: the user, its folders, and daemons that ran go on with the new programs.
set -e
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers ringmaster.conf
elif ! getent passwd ringmaster >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/ringmaster --no-create-home --shell /usr/sbin/nologin ringmaster
fi
install -d -m 0700 -o ringmaster -g ringmaster /var/lib/ringmaster /etc/ringmaster/certs
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart 'ringmaster-coordinator.service' 'ringmaster-worker*.service'
fi
