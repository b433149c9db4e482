import { main } from '../support/campaign.js';
import { campaignOfCommands } from './commands.js';
import { campaignOfClient } from './vfio-user-client.js';
import { campaignOfVolumes } from './volume.js';

const campaigns = {
  commands: campaignOfCommands,
  'vfio-user-client': campaignOfClient,
  volume: campaignOfVolumes,
};

process.exitCode = await main('fuzz', campaigns, process.argv.slice(2));
