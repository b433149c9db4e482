import { Nsid } from '../spec/nvme/identify.js';
import { dataUnitBytes, HealthLog, LogPage } from '../spec/nvme/logs.js';
import { HealthFields } from '../spec/nvme/whole-fields.js';
import { parseInteger, parseWords } from './arguments.js';
import { cardOf, cardOptions, withController } from './card.js';
import { type Row, row, rowJson, rowLines } from './field-rows.js';
import { formatOf, printPage } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima smart-log CARD [options]

The SMART / Health Information log in the words of 'nvme smart-log'.

  -n, --namespace-id N     of one namespace, where the controller keeps one; all when left out
  -H, --human-readable     what the bits of critical_warning mean
  -o, --output-format WORD normal, json, binary
  -b, --raw-binary         the 512 bytes themselves`;

const L = HealthLog;

/** nvme-cli's keys [nvme-cli §? smart-log]. */
const healthRows: readonly Row[] = [
  row('critical_warning', 'dec', HealthFields.criticalWarning),
  row('temperature', 'dec', L.temperature),
  row('avail_spare', 'dec', L.spare),
  row('spare_thresh', 'dec', L.spareThreshold),
  row('percent_used', 'dec', L.used),
  row('endurance_grp_critical_warning_summary', 'dec', L.enduranceWarnings),
  row('data_units_read', 'count', L.dataUnitsRead),
  row('data_units_written', 'count', L.dataUnitsWritten),
  row('host_read_commands', 'count', L.hostReads),
  row('host_write_commands', 'count', L.hostWrites),
  row('controller_busy_time', 'count', L.busyMinutes),
  row('power_cycles', 'count', L.powerCycles),
  row('power_on_hours', 'count', L.powerOnHours),
  row('unsafe_shutdowns', 'count', L.unsafeShutdowns),
  row('media_errors', 'count', L.mediaErrors),
  row('num_err_log_entries', 'count', L.errorEntries),
  row('warning_temp_time', 'dec', L.warningMinutes),
  row('critical_comp_time', 'dec', L.criticalMinutes),
];
/** A sensor that is not there reads 0 and is left out. */
const sensorRows: readonly Row[] = [
  row('temperature_sensor_1', 'dec', L.sensor1),
  row('temperature_sensor_2', 'dec', L.sensor2),
  row('temperature_sensor_3', 'dec', L.sensor3),
  row('temperature_sensor_4', 'dec', L.sensor4),
  row('temperature_sensor_5', 'dec', L.sensor5),
  row('temperature_sensor_6', 'dec', L.sensor6),
  row('temperature_sensor_7', 'dec', L.sensor7),
  row('temperature_sensor_8', 'dec', L.sensor8),
];
const thermalRows: readonly Row[] = [
  row('thm_temp1_trans_count', 'dec', L.thermal1Count),
  row('thm_temp2_trans_count', 'dec', L.thermal2Count),
  row('thm_temp1_total_time', 'dec', L.thermal1Seconds),
  row('thm_temp2_total_time', 'dec', L.thermal2Seconds),
];

const kelvinAtZero = 273;
const nameWidth = 40;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, cardOptions);
  const format = formatOf(values);
  const all = String(Nsid.broadcast);
  const range = { low: 0, high: Nsid.broadcast };
  const nsid = parseInteger('namespace-id', values['namespace-id'] ?? all, range);
  const address = cardOf(positionals, values.card);
  const page = await withController(address, (controller) =>
    controller.admin.logPage(LogPage.health, L.layout.bytes, { nsid }),
  );
  const sensors = sensorRows.filter(
    ({ field }) => Number(rowJson([row('x', 'dec', field)], page).x) > 0,
  );
  const rows = [...healthRows, ...sensors, ...thermalRows];
  const parts = values['human-readable'] === true ? { parts: HealthLog } : {};
  printPage(terminal, format, {
    words: page,
    lines: () => [
      `Smart Log for NVME device:${address} namespace-id:${nsid.toString(16)}`,
      ...rowLines(rows, page, { width: nameWidth, ...parts }).map((line) => withUnit(line, page)),
    ],
    json: () => rowJson(rows, page),
  });
  return 0;
}

/** The units that a person wants beside the numbers. */
function withUnit(line: string, page: Uint32Array): string {
  const [name] = line.split(/\s*:/, 1);
  if (name === 'temperature' || name?.startsWith('temperature_sensor') === true) {
    const kelvin = Number(line.slice(nameWidth + 2));
    return `${line.slice(0, nameWidth)}: ${kelvin - kelvinAtZero} °C (${kelvin} K)`;
  }
  if (name === 'avail_spare' || name === 'spare_thresh' || name === 'percent_used') {
    return `${line}%`;
  }
  if (name === 'data_units_read') return `${line} (${sizeText(L.dataUnitsRead.count(page, 0))})`;
  if (name === 'data_units_written') {
    return `${line} (${sizeText(L.dataUnitsWritten.count(page, 0))})`;
  }
  return line;
}

function sizeText(units: bigint): string {
  const bytes = Number(units) * dataUnitBytes;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(2)} MB`;
  return bytes < 1e12 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e12).toFixed(2)} TB`;
}
