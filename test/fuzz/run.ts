import { main } from '../support/campaign.js';
import { campaignOfCommands } from './commands.js';
import { campaignOfNbd } from './nbd.js';
import { campaignOfNvmeTcp } from './nvme-tcp.js';
import { campaignOfServer } from './vfio-user.js';
import { campaignOfClient } from './vfio-user-client.js';
import { campaignOfVolumes } from './volume.js';
import { campaignOfFlips } from './volume-flips.js';
import { campaignOfBigFlips } from './volume-flips-big.js';

const campaigns = {
  commands: campaignOfCommands,
  'vfio-user': campaignOfServer,
  nbd: campaignOfNbd,
  'nvme-tcp': campaignOfNvmeTcp,
  'vfio-user-client': campaignOfClient,
  volume: campaignOfVolumes,
  'volume-flips': campaignOfFlips,
  'volume-flips-big': campaignOfBigFlips,
};

process.exitCode = await main('fuzz', campaigns, process.argv.slice(2));
