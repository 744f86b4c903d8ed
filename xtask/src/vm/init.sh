#!/bin/busybox sh
# The first process of the guest: mounts the host's root below an overlay, and goes on there.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

while read -r module; do
    insmod "/modules/$module.ko" || echo "portwitness: insmod $module failed"
done < /modules/order

# The ports appear some time after their driver.
tries=0
until [ -c /dev/vport0p3 ] || [ $tries -ge 100 ]; do sleep 0.1; tries=$((tries + 1)); done
exec 3> /dev/vport0p1

fail() {
    echo "failed $*" >&3
    poweroff -f
}

mkdir -p /lower /upper /root
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 root /lower || fail "cannot mount the host's root"
mount -t tmpfs -o size=90% tmpfs /upper || fail "cannot mount a tmpfs"
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root || fail "cannot mount the overlay"

mkdir -p /root/out /root/proc /root/sys /root/dev /root/run
# Without a cache: Linux 7.2 loses bytes at the edges of pages where a file is read while it grows (seen with cache=mmap).
mount -t 9p -o trans=virtio,version=9p2000.L,rw,cache=none,msize=512000 out /root/out || fail "cannot mount the out folder"
for folder in proc sys dev; do mount -o move "/$folder" "/root/$folder"; done
mount -t tmpfs tmpfs /root/run
mkdir -p /root/run/vm /root/dev/pts /root/dev/shm
cp /bin/busybox /guest.sh /job.sh /root/run/vm/
exec switch_root /root /run/vm/busybox sh /run/vm/guest.sh
