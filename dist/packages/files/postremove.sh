#!/bin/sh
# After the files are gone. Logs, checkpoints and certificates are nobody's but the owner's to delete, so even a purge leaves them.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
purge)
	for kept in /var/lib/ringmaster /etc/ringmaster/certs; do
		if [ -n "$(ls -A $kept 2>/dev/null)" ]; then
			echo "ringmaster: $kept is kept, with what is in it"
		else
			rmdir $kept 2>/dev/null || true
		fi
	done
	rmdir /etc/ringmaster 2>/dev/null || true
	;;
esac
