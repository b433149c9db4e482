import { main } from '../support/campaign.js';
import { stormOfCard } from './card.js';
import { stormOfCheckpoint } from './checkpoint.js';
import { stormOfClusterFio } from './cluster-fio.js';
import { stormOfClusterKills } from './cluster-kill.js';
import { stormOfDrive } from './drive.js';
import { stormOfNarrowDrive } from './drive-narrow.js';
import { stormOfDriver } from './driver.js';
import { stormOfFaults } from './faults.js';
import { stormOfMirror } from './mirror.js';
import { stormOfNbdFio } from './nbd-fio.js';
import { stormOfNbdKills } from './nbd-kill.js';
import { stormOfQos } from './qos.js';
import { stormOfQosCard } from './qos-card.js';
import { stormOfQosSlow } from './qos-slow.js';
import { stormOfVfioUser } from './vfio-user.js';
import { stormOfProtectedCrash, stormOfVolumeCrash } from './volume-crash.js';

const campaigns = {
  card: stormOfCard,
  'cluster-fio': stormOfClusterFio,
  'cluster-kill': stormOfClusterKills,
  drive: stormOfDrive,
  'drive-narrow': stormOfNarrowDrive,
  checkpoint: stormOfCheckpoint,
  driver: stormOfDriver,
  faults: stormOfFaults,
  mirror: stormOfMirror,
  qos: stormOfQos,
  'qos-card': stormOfQosCard,
  'qos-slow': stormOfQosSlow,
  'nbd-fio': stormOfNbdFio,
  'nbd-kill': stormOfNbdKills,
  'volume-crash': stormOfVolumeCrash,
  'volume-crash-protected': stormOfProtectedCrash,
  'vfio-user': stormOfVfioUser,
};

process.exitCode = await main('storm', campaigns, process.argv.slice(2));
