import type { Health } from '../nvme/admin-results.js';
import type { NvmeController } from '../nvme/controller.js';
import { type MetricFamily, prometheusText, type Sample } from '../observe/prometheus.js';
import { IdentifyNamespace } from '../spec/nvme/identify-namespace.js';
import { HealthFields } from '../spec/nvme/whole-fields.js';
import { parseWords } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import type { Terminal } from './terminal.js';

export const usage = `
ultima metrics CARD

The card's health and namespaces in Prometheus's text format, under the names of the community's
textfile collector (nvme_metrics): dashboards and alerts that are there work as they are.

  ultima metrics sim:ultima-g2
  ultima metrics vfio:0000:01:00.0 > /var/lib/node_exporter/nvme.prom
`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, { card: cardOptions.card });
  const address = cardOf(positionals, values.card);
  const families = await withController(address, (controller) => familiesOf(controller, address));
  terminal.out(prometheusText(families));
  return 0;
}

const kelvinAtZero = 273;

type Rule = readonly [
  name: string,
  type: MetricFamily['type'],
  help: string,
  value: (health: Health) => number | bigint,
];

/** As the collector scales them: ratios are of 1, temperature is in Celsius. */
const rules: readonly Rule[] = [
  ['available_spare_ratio', 'gauge', 'Available spare', (h) => h.sparePercent / 100],
  [
    'available_spare_threshold_ratio',
    'gauge',
    'Available spare below which the card warns',
    (h) => h.spareThresholdPercent / 100,
  ],
  ['percentage_used_ratio', 'gauge', 'Life used; it may exceed 1', (h) => h.usedPercent / 100],
  [
    'critical_warning',
    'gauge',
    'Critical warning bits',
    (h) => HealthFields.criticalWarning.get(h.words, 0),
  ],
  [
    'temperature_celsius',
    'gauge',
    'Composite temperature',
    (h) => h.temperatureKelvin - kelvinAtZero,
  ],
  ['controller_busy_time_seconds', 'counter', 'Time with commands', (h) => h.busyMinutes * 60n],
  ['data_units_read_total', 'counter', 'Units of 512,000 bytes read', (h) => h.dataUnitsRead],
  [
    'data_units_written_total',
    'counter',
    'Units of 512,000 bytes written',
    (h) => h.dataUnitsWritten,
  ],
  ['host_read_commands_total', 'counter', 'Read commands', (h) => h.hostReads],
  ['host_write_commands_total', 'counter', 'Write commands', (h) => h.hostWrites],
  ['media_errors_total', 'counter', 'Unrecovered errors of media or data', (h) => h.mediaErrors],
  ['num_err_log_entries_total', 'counter', 'Entries of the error log', (h) => h.errorEntries],
  ['power_cycles_total', 'counter', 'Power cycles', (h) => h.powerCycles],
  ['power_on_hours_total', 'counter', 'Hours with power', (h) => h.powerOnHours],
  ['unsafe_shutdowns_total', 'counter', 'Power lost without shutdown', (h) => h.unsafeShutdowns],
];

async function familiesOf(
  controller: NvmeController,
  address: string,
): Promise<readonly MetricFamily[]> {
  const { admin } = controller;
  const identity = await admin.identifyController();
  const health = await admin.health();
  const labels = { controller: address };
  const info = {
    ...labels,
    model: identity.modelNumber,
    firmware: identity.firmwareRevision,
    serial: identity.serialNumber,
    transport: 'pcie',
  };
  return [
    {
      name: 'nvme_controller_info',
      help: 'What the controller is',
      type: 'gauge',
      samples: [{ labels: info, value: 1 }],
    },
    ...rules.map(([name, type, help, value]) => ({
      name: `nvme_${name}`,
      help,
      type,
      samples: [{ labels, value: value(health) }],
    })),
    ...(await namespaceFamilies(controller, address)),
  ];
}

async function namespaceFamilies(
  controller: NvmeController,
  address: string,
): Promise<readonly MetricFamily[]> {
  const sectors: Sample[] = [];
  const sizes: Sample[] = [];
  const used: Sample[] = [];
  const table = IdentifyNamespace;
  for (const nsid of await controller.namespaceIds()) {
    const words = await controller.admin.identifyNamespace(nsid);
    const { format } = await controller.namespace(nsid);
    const labels = { device: `${address}n${nsid}` };
    const blockBytes = BigInt(format.dataBytes);
    sectors.push({ labels, value: blockBytes });
    sizes.push({ labels, value: BigInt(table.nsze.get(words, 0)) * blockBytes });
    used.push({ labels, value: BigInt(table.nuse.get(words, 0)) * blockBytes });
  }
  const gauge = (name: string, help: string, samples: readonly Sample[]): MetricFamily => ({
    name: `nvme_${name}`,
    help,
    type: 'gauge',
    samples,
  });
  return [
    gauge('sector_size_bytes', 'Bytes of a block', sectors),
    gauge('physical_size_bytes', 'Size of the namespace', sizes),
    gauge('used_bytes', 'Blocks in use', used),
  ];
}
