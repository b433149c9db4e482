import { main } from '../support/campaign.js';
import { campaignOfCommands } from './commands.js';
import { campaignOfServer } from './vfio-user.js';
import { campaignOfClient } from './vfio-user-client.js';
import { campaignOfVolumes } from './volume.js';

const campaigns = {
  commands: campaignOfCommands,
  'vfio-user': campaignOfServer,
  'vfio-user-client': campaignOfClient,
  volume: campaignOfVolumes,
};

process.exitCode = await main('fuzz', campaigns, process.argv.slice(2));
