#!/bin/bash
# Runs in the guest, as root, in a copy-on-write view of the host's root.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
export ULTIMA_GUEST=1
cd "$(dirname "$0")/../.." || exit 1
# A checkout below /tmp must stay visible.
[[ $PWD == /tmp/* ]] || mount -t tmpfs t /tmp
node=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^ultima.node=//p')
what=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^ultima.what=//p')
exec "${node:-node}" dist/test/guest/inside.js $(echo "$what" | tr ',' ' ')
