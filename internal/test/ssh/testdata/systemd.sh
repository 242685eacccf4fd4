# What is typed on a machine that systemd runs, where alice's ssh and daemons are: see TestUnderSystemd.
set -eu
PATH=/release:$PATH
says() { # says TEXT COMMAND...
	want=$1 && shift
	echo "> $*"
	code=0
	out=$("$@" 2>&1) || code=$?
	echo "$out"
	case $out in
	*"$want"*) return $code ;;
	esac
	echo "nothing says: $want (exit code $code)"
	cat /tmp/sshd.log
	exit 1
}
eventually() {
	for _ in $(seq 300); do
		if eval "$1"; then return 0; fi
		sleep 0.1
	done
	echo "did not come: $1"
	exit 1
}
systemctl start dbus.service systemd-logind.service systemd-user-sessions.service
useradd --create-home --shell /bin/bash alice
mkdir -p /run/sshd /root/.ssh ~alice/.ssh
ssh-keygen -q -t ed25519 -N '' -f /tmp/key
ssh-keygen -q -t ed25519 -N '' -f /tmp/host_key
cp /tmp/key.pub ~alice/.ssh/authorized_keys
chown -R alice: ~alice/.ssh
systemd-run --quiet --unit=lab-sshd /usr/sbin/sshd -D -p 22 -h /tmp/host_key -o UsePAM=yes -E /tmp/sshd.log
eventually 'ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null >/tmp/known && [ -s /tmp/known ]'
printf 'Host 127.0.0.1\n  User alice\n  IdentityFile /tmp/key\n  UserKnownHostsFile /tmp/known\n' >/root/.ssh/config
chmod 600 /root/.ssh/config
cd /tmp
printf 'hosts: [{ssh: 127.0.0.1, name: n}]\n' >lab.yaml
ringmaster() { /release/ringmaster "$@"; }

# Without lingering, systemd would end the daemons at the logout.
says 'run there: loginctl enable-linger' ringmaster up lab.yaml
says 'detached' ringmaster hosts lab.yaml
says 'n-w1 stopped' ringmaster down lab.yaml

loginctl enable-linger alice
eventually '[ -S /run/user/$(id -u alice)/systemd/private ]'
says 'n-w1 started' ringmaster up lab.yaml
says 'systemd' ringmaster hosts lab.yaml
says 'nothing was to change' ringmaster up lab.yaml
pid() { ringmaster hosts lab.yaml | awk '$3 == "n-w1" && $4 == "running" {print $5}'; }
before=$(pid)
kill -9 "$before"
eventually 'now=$(pid); [ -n "$now" ] && [ "$now" != "$before" ]'
echo "n-w1 was process $before and is $now"
printf 'hosts: [{ssh: 127.0.0.1, name: n, threads: 1}]\n' >lab.yaml
says 'n-w1 restarted' ringmaster up lab.yaml
printf 'service: detached\nhosts: [{ssh: 127.0.0.1, name: n, threads: 1}]\n' >lab.yaml
says 'n-c restarted' ringmaster up lab.yaml
says 'detached' ringmaster hosts lab.yaml
printf 'service: systemd\nhosts: [{ssh: 127.0.0.1, name: n, threads: 1}]\n' >lab.yaml
says 'n-c restarted' ringmaster up lab.yaml
says 'systemd' ringmaster hosts lab.yaml
says 'nothing of the cluster runs' ringmaster down lab.yaml
[ -z "$(pgrep -u alice ringmaster || true)" ]
says 'deleted' ringmaster down lab.yaml --purge
[ -z "$(ls ~alice/.config/systemd/user/*.service 2>/dev/null)" ]
[ -z "$(ls ~alice/.local/share/ringmaster)" ]
echo PASSED
