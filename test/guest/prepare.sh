#!/usr/bin/env bash
# Kernel and initial RAM disk of the guest that the hardware tests run in.
#
#   test/guest/prepare.sh DIRECTORY      (Debian, root for the packages; kept for the next run)
#
# The guest runs Debian's own kernel. Its root is this machine's root, read-only over 9p with a
# memory overlay: Node, the checkout and the built addon are there as they are here.
set -euo pipefail
out=$(realpath -m "${1:?usage: prepare.sh DIRECTORY}")
checkout=$(realpath "$(dirname "$0")/../..")
mkdir -p "$out"; cd "$out"

packages=(qemu-system-x86 busybox-static cpio kmod fio nvme-cli e2fsprogs sqlite3)
missing=()
for p in "${packages[@]}"; do dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p"); done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}"
  { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >apt.log 2>&1 ||
    { tail -5 apt.log >&2; exit 1; }
fi
if [ ! -d k ]; then
  image=$(apt-cache depends linux-image-amd64 | awk '/Depends:/{print $2}')
  rm -rf k.new ./*.deb; apt-get download "$image" >>apt.log 2>&1
  dpkg-deb -x "$image"_*.deb k.new; rm ./*.deb
  depmod -b "$PWD/k.new" "$(ls k.new/lib/modules)" 2>/dev/null || true
  mv k.new k
fi
version=$(ls k/lib/modules)

modules="virtio_pci 9p 9pnet_virtio overlay nvme vfio-pci vfio_iommu_type1 virtio_net virtio_blk ext4 crc32c_generic nvme-tcp nvmet-tcp"
rm -rf ird; mkdir -p ird/bin ird/proc ird/sys ird/dev; cp /bin/busybox ird/bin/
cat >ird/init <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in $modules; do modprobe \$m; done
mkdir -p /lo /rw /r; mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose host /lo
mount -t tmpfs rw /rw; mkdir /rw/u /rw/w
mount -t overlay o -o lowerdir=/lo,upperdir=/rw/u,workdir=/rw/w /r
for d in proc sys dev; do mount --rbind /\$d /r/\$d; done
chroot /r /bin/bash $checkout/test/guest/inside.sh; echo "EXIT:\$?"; poweroff -f
INIT
chmod 755 ird/init
for m in $modules; do
  modprobe -d "$PWD/k" -S "$version" --show-depends "$m" | awk '$1=="insmod"{print $2}'
done | sort -u | while read -r f; do install -D "$f" "ird/${f#"$PWD"/k/}"; done
cp "k/lib/modules/$version"/modules.{builtin,order} "ird/lib/modules/$version/"
depmod -b ird "$version" 2>/dev/null || true
(cd ird && find . | cpio -o -H newc 2>/dev/null | gzip -1) >ird.gz
cp "k/boot/vmlinuz-$version" vmlinuz
echo "guest kernel $version ready in $out"
