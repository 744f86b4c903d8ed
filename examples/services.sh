#!/bin/sh
# What happens to a port when its service reloads or restarts: nginx, haproxy, redis and sshd, as portwitness sees it.
#
#   apt-get install nginx-light haproxy redis-server openssh-server
#   sudo examples/services.sh [path/to/portwitness]
#
# Everything runs in a folder, a network and a /run of its own, and ends with this script.
set -eu

if [ "${INSIDE:-}" != yes ]; then
    program=$(realpath "${1:-target/release/portwitness}")
    exec env INSIDE=yes unshare --net --mount "$0" "$program"
fi
program=$1
ip link set lo up
mount -t tmpfs tmpfs /run
place=$(mktemp -d)
cd "$place"

end() {
    for file in nginx.pid haproxy.pid redis.pid sshd.pid; do
        if [ -s "$file" ]; then kill "$(cat "$file")" 2>/dev/null || true; fi
    done
    cd / && rm -rf "$place"
}
trap end EXIT

cat > nginx.conf <<END
pid $place/nginx.pid;
error_log $place/nginx.log;
events {}
http {
    access_log off;
    client_body_temp_path $place/nginx.tmp;
    server { listen 127.0.0.1:8080; return 200 "hello\n"; }
}
END
cat > haproxy.cfg <<END
global
    stats socket $place/haproxy.sock level admin expose-fd listeners
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:8081
    http-request return status 200 content-type text/plain string hello
END
cat > redis.conf <<END
bind 127.0.0.1
port 8082
daemonize yes
pidfile $place/redis.pid
dir $place
save ""
END
cat > sshd_config <<END
ListenAddress 127.0.0.1:8083
HostKey $place/key
PidFile $place/sshd.pid
END
ssh-keygen -q -t ed25519 -N "" -f key
mkdir /run/sshd

nginx="nginx -c $place/nginx.conf"
haproxy="haproxy -W -D -f $place/haproxy.cfg -p $place/haproxy.pid"
redis="redis-server $place/redis.conf"
sshd="/usr/sbin/sshd -f $place/sshd_config"
for service in "$nginx" "$haproxy" "$redis" "$sshd"; do $service; done
sleep 1

window() {
    echo "\$ portwitness window $*" >&2
    "$program" window --runs "$place" "$@" || echo "exit code $?" >&2
    echo >&2
}
echo "nginx: a reload and a restart" >&2
window --port 8080 --stays-open --for 2s --trigger "$nginx -s reload"
window --port 8080 --closes-within 1s --reopens-after 0 --tolerance 1s \
    --trigger "$nginx -s quit; while [ -e $place/nginx.pid ]; do sleep 0.01; done; $nginx"
echo "haproxy: a seamless reload" >&2
window --port 8081 --stays-open --for 2s --trigger "kill -USR2 \$(cat $place/haproxy.pid)"
echo "redis: a restart" >&2
window --port 8082 --closes-within 1s --reopens-after 0 --tolerance 1s \
    --trigger "redis-cli -p 8082 shutdown; $redis"
echo "sshd: a reload, which starts it anew" >&2
window --port 8083 --closes-within 1s --reopens-after 0 --tolerance 1s --trigger "kill -HUP \$(cat $place/sshd.pid)"
window --port 8083 --stays-open --for 2s --trigger "kill -HUP \$(cat $place/sshd.pid)"

echo "\$ portwitness watch --pid NGINX, over a reload" >&2
(sleep 1; $nginx -s reload; sleep 0.5; redis-cli -p 8080 ping > client.log 2>&1 || true) &
"$program" watch --for 3s --pid "$(cat nginx.pid)"
echo "\$ portwitness record -- redis-cli -p 8082 ping" >&2
"$program" record -o "$place/record" -- redis-cli -p 8082 ping
