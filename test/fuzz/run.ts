import { main } from '../support/campaign.js';
import { campaignOfCommands } from './commands.js';

const campaigns = { commands: campaignOfCommands };

process.exitCode = await main('fuzz', campaigns, process.argv.slice(2));
