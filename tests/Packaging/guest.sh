#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs in the virtual machine, as root: what a user does with the packages from the first install to the last trace.
# guest.sh deb OLD.deb NEW.deb, or guest.sh rpm OLD.rpm NEW.rpm; etcd and etcdctl lie in the current folder.
set -uo pipefail
. ./checks.sh
. ./documented.sh
kind=$1 old=$2 new=$3
unit=mooncake-mesh.service
config=/etc/mooncake-mesh/config.json
node=127.0.0.1:12700
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin

install_package() {
  if [ "$kind" = deb ]; then dpkg -i "$1"; else rpm -U --nodeps --oldpackage "$1"; fi >/tmp/install.log 2>&1
}
active() { [ "$(systemctl is-active $unit)" = active ]; }
inactive() { [ "$(systemctl is-active $unit)" = inactive ]; }
pid() { systemctl show -p MainPID --value $unit; }
said() { journalctl -q -o cat -u $unit --since "@$since" --no-pager; }
mark() { journalctl --sync; since=$(date +%s.%N); }
as() { local user=$1; shift; runuser -u "$user" -- "$@"; }

serves() { # what the admin port answers
  local answer
  { exec 3<>/dev/tcp/127.0.0.1/12701; } 2>/dev/null || return 1
  printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
  answer=$(cat <&3)
  exec 3>&-
  has "$answer" "200 OK"
}
more_on_failure() { journalctl -q -o short-monotonic -u $unit -n 15 --no-pager; }
exposure() { has "$(systemd-analyze security $unit --no-pager | tail -1)" ": $1 OK"; }
set_field() { # a line of the configuration, and what it becomes
  sed -i "s|^  $1|  $2|" $config && grep -qF "$2" $config
}

fresh_install() {
  find / -xdev -path /var/lib -prune -o -path /var/log -prune -o -path /tmp -prune -o -print | sort >/tmp/before
  mark
  check "the package installs" install_package "$old"
  check "nothing was started that has no etcd yet" inactive
  check "nothing was enabled" not systemctl -q is-enabled $unit
  check "the node has a user of its own" getent passwd mooncake-mesh
  check "systemd finds nothing wrong with the unit" silent systemd-analyze verify $unit
  check "and gives it the exposure that docs/operations.md says" exposure "2.0"
  check "the command says its version" grep -q '^mooncake-mesh [0-9]' <(as nobody mooncake-mesh --version)
  if [ "$kind" = rpm ]; then check "rpm finds every file as it was" silent rpm -V --nodeps mooncake-mesh; fi
}

first_start() {
  mark
  check "a start without etcd endpoints is refused" not systemctl -q start $unit
  journalctl --sync
  check "for one reason, in one line" same "$(said | grep -c '^mooncake-mesh: ')" 1
  check "which names the setting" has "$(said)" "etcd.endpoints: none given"
  check "and is not tried again and again" same "$(systemctl show -p NRestarts --value $unit)" 0
  systemd-run -q --unit etcd ./etcd --data-dir /tmp/etcd
  check "etcd answers" retry ./etcdctl endpoint health
  check "the endpoint is set" set_field '// "etcd": .*' '"etcd": { "endpoints": "127.0.0.1:2379" }, "leaseTtl": "5m",'
  check "the file is in order" mooncake-mesh config check $config
  mark
  check "it starts" systemctl start $unit
  check "and is ready soon after" retry serves
  check "on the devices there are, under the unit's restrictions" not has "$(journalctl --sync; said)" rdma_not_used
  note "memory at rest: $(systemctl show -p MemoryCurrent --value $unit) bytes with a segment of 256 MiB"
}

users() {
  useradd --create-home alice && usermod -aG mooncake-mesh alice && useradd --create-home bob
  head -c 3000000 /dev/urandom >/home/alice/block && chown alice /home/alice/block
  check "a user of the group puts" as alice mooncake-mesh put kv/1 /home/alice/block --node $node --deadline 20s
  check "and gets" as alice mooncake-mesh get kv/1 --output /home/alice/copy --node $node --deadline 20s
  check "the same bytes" cmp /home/alice/block /home/alice/copy
  check "over the socket that the group may use" as alice test -w /run/mooncake-mesh/*.sock
  check "and nobody else" not as bob ls /run/mooncake-mesh
}

reload() {
  local before; before=$(pid)
  check "another log level is written" set_field '"logLevel": .*' '"logLevel": "debug",'
  mark
  check "a reload takes it" systemctl reload $unit
  check "and says so" retry has_said "config.reloaded"
  check "objects are still there" as alice mooncake-mesh get kv/1 --output /home/alice/copy --node $node --deadline 20s
  check "another port is written" set_field '"listen": .*' '"listen": "127.0.0.1:12799",'
  mark
  check "a reload is told" systemctl reload $unit
  check "what needs a restart" retry has_said "settings=listen"
  check "the port is put back" set_field '"listen": .*' '"listen": "127.0.0.1:12700",'
  cp $config /tmp/good
  echo nonsense >>$config
  check "a file that is wrong is refused" not systemctl reload $unit
  cp /tmp/good $config
  check "and the node goes on" serves
  check "as the same process" same "$(pid)" "$before"
}
has_said() { journalctl --sync; has "$(said)" "$1"; }

secret() {
  (umask 027; head -c 32 /dev/urandom | base64 >/etc/mooncake-mesh/secret)
  chgrp mooncake-mesh /etc/mooncake-mesh/secret
  check "a secret is set" set_field '// "secretFile"' '"secretFile"'
  check "it restarts with it" systemctl restart $unit
  check "and serves" retry serves
  local flags="--node $node --secret-file /etc/mooncake-mesh/secret --deadline 20s"
  # shellcheck disable=SC2086 # words
  check "the group knows the secret" as alice mooncake-mesh status $flags
  # shellcheck disable=SC2086 # words
  check "others do not" not as bob mooncake-mesh status $flags
  check "and are not let in without" not as bob mooncake-mesh status --node $node --deadline 20s
}

restarts() {
  local before start; before=$(pid) start=$SECONDS
  kill -9 "$before"
  check "after kill -9 it is started again" retry another_process "$before"
  check "and serves" retry serves
  check "without waiting for the lease of five minutes" test $((SECONDS - start)) -lt 240
  start=$SECONDS
  check "it stops" systemctl stop $unit
  check "within grace and a little" test $((SECONDS - start)) -lt 20
  check "in order" same "$(systemctl show -p Result --value $unit)" success
  check "it starts again" systemctl start $unit
}
another_process() { active && [ "$(pid)" != 0 ] && [ "$(pid)" != "$1" ]; }

upgrade() {
  local before; before=$(pid)
  sha256sum $config >/tmp/sum
  check "the next version installs while it runs" install_package "$new"
  check "what ran runs" active
  check "as the new version" another_process "$before"
  check "and serves" retry serves
  check "the edited configuration was kept" sha256sum --quiet -c /tmp/sum
  check "it stops" systemctl stop $unit
  check "the version before installs over it" install_package "$old"
  check "what was stopped stays stopped" inactive
  check "the edited configuration was kept again" sha256sum --quiet -c /tmp/sum
  check "it starts" systemctl enable --now --quiet $unit
}

removal() {
  if [ "$kind" = deb ]; then
    check "it is removed while it runs" silent_run dpkg -r mooncake-mesh
    check "with its process" not pgrep -x mooncake-mesh
    check "the configuration is still there" test -e $config
    check "it is purged" silent_run dpkg -P mooncake-mesh
    check "its user is gone" not getent passwd mooncake-mesh
    check "and its group" not getent group mooncake-mesh
  else
    check "it is erased while it runs" silent_run rpm -e --nodeps mooncake-mesh
    check "with its process" not pgrep -x mooncake-mesh
    check "the edited configuration was saved" test -e $config.rpmsave
    rm -f $config.rpmsave
    userdel mooncake-mesh
    # Folders of the C library and of pkg-config, which are there where packages are rpms, and not on this Debian.
    rmdir /usr/lib64/glibc-hwcaps/x86-64-v4 /usr/lib64/glibc-hwcaps /usr/lib64/pkgconfig
  fi
  check "the unit is gone" not systemctl -q cat $unit
  # What the user made: the secret, two people, and what systemd and useradd note of them.
  find / -xdev -path /var/lib -prune -o -path /var/log -prune -o -path /tmp -prune -o -print | sort >/tmp/after
  comm -13 /tmp/before /tmp/after | grep -vE '^/home|^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|^/var/mail' \
    | grep -vE '^/etc/mooncake-mesh(/secret)?$|^/root/.rpmdb|^/var/(spool|cache/ldconfig)|^/etc/\.pwd.lock$' >/tmp/left
  check "nothing is left but what the user made" same "$(cat /tmp/left)" ""
  comm -23 /tmp/before /tmp/after >/tmp/missing
  check "and nothing else went" same "$(cat /tmp/missing)" ""
  rm -rf /etc/mooncake-mesh
  userdel -r alice 2>/dev/null
  userdel -r bob 2>/dev/null
  systemctl stop etcd
  rm -rf /tmp/etcd
}

fresh_install
first_start
users
reload
secret
restarts
upgrade
removal
[ "$kind" != deb ] || documented "$old"
summary
