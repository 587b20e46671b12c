# Makes a root directory of this host's own programs and lets systemd be the first process in it. Run by busybox, as the
# first process of a container that has the host's /usr, /etc and package database below /host, and a folder for
# the test there as well. Nothing that is written here reaches the host.
set -e
/bin/busybox mkdir -p /tools
/bin/busybox --install -s /tools
export PATH=/tools

mkdir /machine
mount -t tmpfs -o mode=0755 machine /machine
cd /machine
mkdir -p usr etc var/lib/dpkg var/log run tmp proc sys dev root share scratch old
chmod 1777 tmp

# The host's programs, on which a package can be installed.
mount -t tmpfs scratch scratch
mkdir scratch/usr scratch/usr.work scratch/dpkg scratch/dpkg.work
mount -t overlay -o lowerdir=/host/usr,upperdir=scratch/usr,workdir=scratch/usr.work overlay usr
mount -t overlay -o lowerdir=/host/dpkg,upperdir=scratch/dpkg,workdir=scratch/dpkg.work overlay var/lib/dpkg
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
# A host that is a container itself may forbid that packages start services.
rm -f usr/sbin/policy-rc.d

# Of its settings only what programs cannot do without: none of its services is started here.
for name in passwd group shadow nsswitch.conf ld.so.conf ld.so.conf.d ld.so.cache alternatives dpkg protocols services; do
    [ ! -e "/host/etc/$name" ] || cp -a "/host/etc/$name" etc/
done
: >etc/machine-id
ln -s /run var/run

mount -t proc proc proc
mount -t sysfs sysfs sys
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount --rbind /sys/fs/cgroup sys/fs/cgroup
fi
mount --rbind /dev dev
mount -t tmpfs -o mode=0755 run run
mkdir run/lock
mount --bind /host/share share
pivot_root . old
umount -l /old
exec /usr/lib/systemd/systemd
