import { main } from '../support/campaign.js';
import { campaignOfCommands } from './commands.js';
import { campaignOfClient } from './vfio-user-client.js';

const campaigns = { commands: campaignOfCommands, 'vfio-user-client': campaignOfClient };

process.exitCode = await main('fuzz', campaigns, process.argv.slice(2));
