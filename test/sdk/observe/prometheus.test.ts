import * as assert from 'uvu/assert';
import { prometheusText } from '../../../sdk/observe/prometheus.js';
import { suite } from '../../support/suite.js';
import { ultima } from '../cli/spawned.js';

const test = suite('Prometheus text');

test('families have help and type once, then a line per sample with escaped labels', () => {
  const text = prometheusText([
    {
      name: 'nvme_a',
      help: 'one \\ two\nthree',
      type: 'gauge',
      samples: [
        { labels: { device: 'a"b\\c\nd', other: 'x' }, value: 0.25 },
        { labels: {}, value: 2n ** 90n },
      ],
    },
    { name: 'nvme_b_total', help: 'none', type: 'counter', samples: [] },
  ]);
  assert.is(
    text,
    '# HELP nvme_a one \\\\ two\\nthree\n# TYPE nvme_a gauge\n' +
      'nvme_a{device="a\\"b\\\\c\\nd",other="x"} 0.25\nnvme_a 1237940039285380274899124224\n' +
      '# HELP nvme_b_total none\n# TYPE nvme_b_total counter\n',
  );
});

/** Names of the community's textfile collector, controller and namespace. */
const communityNames = [
  'nvme_available_spare_ratio',
  'nvme_available_spare_threshold_ratio',
  'nvme_controller_busy_time_seconds',
  'nvme_controller_info',
  'nvme_critical_warning',
  'nvme_data_units_read_total',
  'nvme_data_units_written_total',
  'nvme_host_read_commands_total',
  'nvme_host_write_commands_total',
  'nvme_media_errors_total',
  'nvme_num_err_log_entries_total',
  'nvme_percentage_used_ratio',
  'nvme_physical_size_bytes',
  'nvme_power_cycles_total',
  'nvme_power_on_hours_total',
  'nvme_sector_size_bytes',
  'nvme_temperature_celsius',
  'nvme_unsafe_shutdowns_total',
  'nvme_used_bytes',
];

test('a card is shown under the names that dashboards know, in their units', () => {
  const { code, out, err } = ultima('metrics', 'sim:simple?bytes=16MiB');
  assert.is(code, 0, err);
  const values = new Map<string, string>();
  for (const line of out.split('\n').filter((text) => text !== '' && !text.startsWith('#'))) {
    const match = /^(\w+)(?:\{(?:\w+="[^"]*",?)*\})? (\S+)$/.exec(line);
    assert.ok(match !== null, line);
    values.set(match[1]!, match[2]!);
  }
  assert.equal([...values.keys()].sort(), communityNames);
  assert.is(values.get('nvme_available_spare_ratio'), '1');
  assert.is(values.get('nvme_physical_size_bytes'), String(16 * 1024 * 1024));
  assert.is(values.get('nvme_sector_size_bytes'), '512');
  assert.is(values.get('nvme_power_cycles_total'), '1');
  // 40 degrees Celsius at rest.
  assert.is(values.get('nvme_temperature_celsius'), '40');
});

test.run();
