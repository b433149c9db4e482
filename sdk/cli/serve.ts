import { usageError } from './arguments.js';
import { remoteUsage } from './remote-device.js';
import { serveCards } from './serve-card.js';
import { serveDevices, serveVolumes } from './serve-nbd.js';
import type { Terminal } from './terminal.js';

export const usage = `
usage: ultima serve card CARD [CARD ...] --vfio-user DIR [options]
       ultima serve device DEVICE --nbd PLACE [options]
       ultima serve volume NAME [NAME ...] --pool DEVICE --nbd PLACE [options]
       ultima serve device|volume ... --nvme-tcp HOST:PORT [options]

Serve until a signal (SIGINT, SIGTERM) ends it.

card: simulated cards as PCI devices, for programs that speak vfio-user. No root, no kernel module.
A card takes one client at a time; the next one waits.

  CARD              sim:ultima-g2, as for every other command; file=PATH in it keeps the data
  --vfio-user DIR   the socket is DIR/cntrl; of several cards DIR/0/cntrl, DIR/1/cntrl ...
  --time-scale N    virtual nanoseconds per real one: 0.1 is a card ten times slower, 1 as it is
                    (the default); free: the card takes no time of its own
  --movable         a client may take the card's state and blocks to another server, and bring one
  --faults PLAN     what goes wrong, and when; 'ultima faults' lists what there is
  --status SECONDS  a line about every card so often, also where no terminal is

device, volume: block devices for clients that speak NBD: QEMU, libnbd, fio, kernels. Any number of
clients, with any number of connections each. While volumes are served, 'ultima pool', 'volume' and
'snapshot' work on their pool all the same: a socket of this user's own leads them to this process.

  DEVICE            a card (sim:..., vfio:..., vfio-user:...), a file, memory:64MiB, or a namespace
                    of another machine: nvme-tcp:HOST:PORT/NQN/NSID, see below
  NAME              a volume of the pool, or VOLUME@SNAPSHOT: a snapshot, read-only
  -p, --pool DEVICE a device of the pool; once for each of its devices
  --map-cache SIZE  memory for the maps of the pool; all that they need when left out
  --key NAME=SOURCE the key of an encrypted volume, from file:PATH, env:VARIABLE or fd:NUMBER; once
                    for each key
  --nbd PLACE       unix:PATH, tcp:HOST:PORT or tcp:HOST; may be given more than once
  --nvme-tcp HOST:PORT  instead of --nbd, for NVMe/TCP hosts: kernels, SPDK, this command; may be
                    given more than once. What is served are namespaces 1, 2 ... of one subsystem
  --nqn NQN         name of the subsystem; made of the first name when left out
  --hosts FILE      only these hosts, a line each: NQN [SECRET [OUR-SECRET]], secrets for
                    DH-HMAC-CHAP as 'nvme gen-dhchap-key' prints them
  -n, --namespace-id N  which namespace of the card; 1 when left out
  --name NAME       what clients call the device; its address when left out
  --read-only       refuse every write
  --write-through   answer a write when it is durable: for clients that connect again by themselves
                    when the server was killed, and go on (QEMU's reconnect-delay, kernels)
  --allow-resize    NBD clients may make a volume larger, never smaller: the request has a number in
                    the protocol and no finished text, so that hardly any client sends it
  --tls DIR         encryption for clients that want it: DIR/server-cert.pem, DIR/server-key.pem;
                    with DIR/ca-cert.pem, clients show a certificate of that authority
                    for NVMe/TCP all three are needed, and nobody gets in without one
  --tls-required    refuse clients that do not encrypt
  --status SECONDS  a line about the clients so often
${remoteUsage}

Clients
  ultima id-ctrl vfio-user:DIR/cntrl
  qemu-system-x86_64 (10.1 or newer) -m 1G -object memory-backend-memfd,id=m,size=1G,share=on \\
    -numa node,memdev=m -device \\
    '{"driver":"vfio-user-pci","socket":{"path":"DIR/cntrl","type":"unix"}}'
  nbdinfo 'nbd+unix:///?socket=PATH'
  qemu-img convert disk.qcow2 -n -O raw 'nbd+unix:///?socket=PATH'
  nvme connect -t tcp -a HOST -s PORT -n NQN
`;

const kinds = { card: serveCards, device: serveDevices, volume: serveVolumes } as const;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const [what, ...rest] = words;
  const serve = Object.entries(kinds).find(([kind]) => kind === what)?.[1];
  if (serve === undefined) {
    throw usageError(
      "say what to serve: 'ultima serve card sim:ultima-g2 --vfio-user DIR', " +
        "'ultima serve device sim:ultima-g2 --nbd unix:PATH' or " +
        "'ultima serve volume NAME --pool DEVICE --nbd unix:PATH'",
    );
  }
  return serve(rest, terminal);
}
